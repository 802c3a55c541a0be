"""A page for each layer of the atlas that notebook 12 recorded: what it does with a mask, and what to write instead."""

from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd
import tomllib

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
    source.write("fragments/layers.html", render("layers.html", layers=rows))
    source.write("layers.md", f"# Which layers keep the mask?\n\n{_ABOUT}\n\n{raw('fragments/layers.html')}")
    return ["layers"]


def _measured(experiments: list[Experiment]) -> pd.DataFrame:
    """Return the rows of all runs of the atlas, with the Keras, the backend and the page of each."""
    shown = [one for one in experiments if TABLE in one.tables]
    frames = [one.table(TABLE).assign(keras=one.record.keras, backend=one.record.backend, page=one.page) for one in shown]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _write(name: str, rows: pd.DataFrame, source: Writer) -> dict[str, str]:
    """Write the page of a layer; return its row in the list."""
    records = [row | {"on": on_keras(row["keras"], row["backend"])} for row in rows.to_dict("records")]
    plain = records[0]
    told = remedies()[remedy] if (remedy := remedy_of(plain)) else {"says": str(plain["why"])}
    questions = {column: text for column, text in QUESTIONS.items() if any(row[column] for row in records)}
    fragment = f"layers/fragments/{slug(name)}.html"
    source.write(fragment, render("layer.html", name=name, rows=records, questions=questions, **told))
    code = f"\n```python\n{told['code']}\n```\n" if "code" in told else ""
    body = f"# {markdown(name)}\n\n{markdown(told['says'])}\n{code}\n{raw(fragment.removeprefix('layers/'))}"
    source.write(f"layers/{slug(name)}.md", f"---\norphan: true\n---\n\n{body}")
    return {
        "name": name,
        "page": f"layers/{slug(name)}.html",
        "mask": str(plain["mask"]),
        "says": told["says"].partition(". ")[0],
    }


def remedy_of(row: Any) -> str:
    """Return which remedy of `layers.toml` fits a row of the atlas; "" where there is nothing to remedy and nothing to say."""
    mask, mixed, same_steps = row["mask"], row["mixes padding in"], bool(row["at masked steps"])
    if mask in ("kept", "changed"):
        return "misfit" if row["mask fits"] == "no" else "leaks" if mixed == "yes" else "kept"
    if mask == "gone":
        return ("mixed" if mixed != "no" else "dropped") if same_steps else "pooled" if mixed != "no" else ""
    return {"made": "made", "used and ended": "ended", "error": "error"}.get(mask, "")


@cache
def remedies() -> dict[str, dict[str, str]]:
    """Return what to write instead, by kind: `says`, and `code` where there is some, which can be pasted."""
    found = tomllib.loads(files("masklib.site").joinpath("layers.toml").read_text(encoding="utf-8"))
    return {kind: one | ({"code": _IMPORTS + one["code"].strip()} if "code" in one else {}) for kind, one in found.items()}


_IMPORTS = "import keras\nfrom keras import layers, ops\n\n"
_ABOUT = (
    "Every layer class that `keras.layers` exports was called with a padded sequence and its mask. The page of a layer says what "
    "it did, in each setting and on each Keras that was measured, and what to write instead where that does harm."
)
