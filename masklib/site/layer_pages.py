"""A page for each layer of the atlas that notebook 12 recorded: what it does with a mask, and what to write instead."""

from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd
import tomllib

from masklib.site.changes import changes_of
from masklib.site.front import raw
from masklib.site.names import on_keras
from masklib.site.survey import Experiment, Survey, slug
from masklib.site.text import markdown, render
from masklib.site.writing import Writer

NOTEBOOK, TABLE = "12_layer_atlas", "layers"
QUESTIONS = {  # columns of the atlas, as a page asks them
    "mask": "the mask after it",
    "warns": "Keras warns",
    "mixes padding in": "padding is mixed into valid steps",
    "mask fits": "the mask fits the output",
    "gradient at padding": "gradient at padded steps",
    "at masked steps": "output at masked steps",
    "without a valid step": "output for padding alone",
    "supports_masking": "the flag `supports_masking`",
    "compiled as eager": "`predict` does what a call does",
}


def write_layers(survey: Survey, source: Writer) -> list[str]:
    """Write a page for each layer that the store's atlas measured, and the list of them; return the list's name, or []."""
    frame = _measured(survey.experiments.get(NOTEBOOK, []))
    if frame.empty:
        return []
    rows = [_write(str(name), rows, source) for name, rows in frame.groupby("layer", sort=True)]
    source.write("fragments/layers.html", render("layers.html", layers=sorted(rows, key=_place)))
    source.write("layers.md", f"# Which layers keep the mask?\n\n{_ABOUT}\n\n{raw('fragments/layers.html')}")
    return ["layers"]


def _place(row: dict[str, str]) -> int:
    """Return where a layer stands in the list: what drops the mask is asked for most, what takes no sequence least."""
    return 0 if "gone" in row["mask"] else 2 if row["mask"] == "takes no sequence" else 1


def _measured(experiments: list[Experiment]) -> pd.DataFrame:
    """Return the rows of all runs of the atlas, with the Keras, the backend and the page of each."""
    shown = [one for one in experiments if TABLE in one.tables]
    frames = [one.table(TABLE).assign(keras=one.record.keras, backend=one.record.backend, page=one.page) for one in shown]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _write(name: str, rows: pd.DataFrame, source: Writer) -> dict[str, str]:
    """Write the page of a layer; return its row in the list."""
    records = [{str(column): value for column, value in row.items()} for row in rows.to_dict("records")]
    records = [row | {"on": on_keras(row["keras"], row["backend"])} for row in records]
    newest = [row for row in records if row["on"] == records[0]["on"]]
    questions = {column: text for column, text in QUESTIONS.items() if any(row[column] for row in records)}
    fragment = f"fragments/{slug(name)}.html"
    told = {"rows": records, "questions": questions, "changes": changes_of(name)}
    source.write(f"layers/{fragment}", render("layer.html", name=name, **told))
    lines = ["---", "orphan: true", "---", "", f"# {markdown(name)}", "", *_advice(name, newest), raw(fragment)]
    source.write(f"layers/{slug(name)}.md", "\n".join(lines))
    masks = ", ".join(dict.fromkeys(row["mask"] for row in newest))
    return {"name": name, "page": f"layers/{slug(name)}.html", "mask": masks, "says": _first(newest)}


def _advice(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """Return the Markdown that says what a layer does, and what to write instead, once for all settings that are alike."""
    settings: dict[str, list[str]] = {}
    for row in rows:
        settings.setdefault(remedy_of(row), []).append(row["setting"])
    lines = []
    for kind in filter(None, settings):
        where = ", ".join(f"`{setting}`" if setting else "as it is" for setting in settings[kind])
        lines += [f"**{where[0].upper()}{where[1:]}.** {markdown(remedies()[kind]['says'])}", ""]
        lines += ["```python", code, "```", ""] if (code := code_of(kind, name)) else []
    return lines


def _first(rows: list[dict[str, Any]]) -> str:
    """Return in a sentence what a layer does as it is, or why it was not measured."""
    kind = remedy_of(rows[0])
    return str(remedies()[kind]["says"]).partition(". ")[0].rstrip(".") if kind else str(rows[0]["why"])


def remedy_of(row: Any) -> str:
    """Return which remedy of `layers.toml` fits a row of the atlas; "" where nothing was measured that one could follow from."""
    mask, mixed, same_steps = row["mask"], row["mixes padding in"], bool(row["at masked steps"])
    if mask in ("kept", "changed", "gone") and not mixed:
        return ""  # its output is random
    if mask in ("kept", "changed"):
        return "misfit" if row["mask fits"] == "no" else "kept" if mixed == "no" else "leaks"
    if mask == "gone":
        return {(True, True): "dropped", (True, False): "mixed", (False, True): "moved"}.get(
            (same_steps, mixed == "no"), "pooled"
        )
    return {"made": "made", "none": "none", "used and ended": "ended", "error": "error"}.get(mask, "")


def code_of(kind: str, layer: str) -> str:
    """Return code that can be pasted, in which a layer is used so that padding does no harm; "" where none was tried for it."""
    remedy = remedies()[kind]
    call = remedy.get("calls", {}).get(layer, "")
    return _IMPORTS + remedy["code"].strip().replace("{call}", call) if call else ""


@cache
def remedies() -> dict[str, dict[str, Any]]:
    """Return what to write instead, by kind: `says`, and for the layers in `calls` the `code`."""
    return tomllib.loads(files("masklib.site").joinpath("layers.toml").read_text(encoding="utf-8"))


_IMPORTS = "import keras\nfrom keras import layers, ops\n\n"
_ABOUT = (
    "Every layer class that `keras.layers` exports was called with a padded sequence and its mask. The page of a layer says what "
    "it did, in each setting and on each Keras that was measured, and what to write instead where that does harm. Layers that "
    "drop the mask come first, those that take no sequence last."
)
