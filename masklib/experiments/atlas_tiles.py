"""The atlas of layers as a table of tiles: layers of a family that behave alike share a row."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from masklib.experiments.atlas import CHANGED, ENDED, GONE, KEPT, MADE, NA, NO, UNLESS_LAST, YES

if TYPE_CHECKING:
    import pandas as pd

Tile = tuple[str, str]
NOTHING: Tile = ("none", "\N{EN DASH}")
LETTERS, LINES = 27, 2  # of a label
_TILES: dict[str, dict[str, Tile]] = {  # by column of the atlas, and value there
    "mask": {
        KEPT: ("good", "kept"),
        MADE: ("good", "made"),
        CHANGED: ("fair", "changed"),
        ENDED: ("fair", "used\nand ended"),
        GONE: ("bad", "dropped"),
    },
    "warns": {YES: ("off", "warns"), NO: ("bad", "no word")},
    "mixes padding in": {NO: ("good", "no"), UNLESS_LAST: ("off", "unless\nlast"), YES: ("bad", "yes")},
    "mask fits": {YES: ("good", "yes"), NO: ("bad", "no")},
    "at masked steps": {"repeats the step before": ("other", "repeats\nthe last"), "as if valid": ("other", "as if\nvalid")},
    "without a valid step": {"NaN": ("error", "NaN")},
}
COLUMNS = {
    "mask": "the mask after it",
    "warns": "if dropped, Keras",
    "mixes padding in": "padding is mixed in",
    "mask fits": "the mask fits the output",
    "at masked steps": "output at masked steps",
    "without a valid step": "output of padding alone",
}
LEGEND = {
    "good": "as one would wish",
    "fair": "the mask is used or changed",
    "off": "depends on the padding, or Keras warns",
    "bad": "the mask is lost, or padding is treated as data",
    "error": "not a number",
    "other": "no judgement",
}


def tiles(rows: "pd.DataFrame") -> dict[str, Any]:
    """Return the arguments of `plots.plot_tiles` for rows of `atlas.describe`, but for title and texts."""
    groups: dict[tuple[str, tuple[Tile, ...]], list[str]] = {}
    for row in rows.sort_values("family", kind="stable").to_dict("records"):
        groups.setdefault((str(row["family"]), tuple(_tile(column, row) for column in COLUMNS)), []).append(_name(row))
    families = [family for family, _ in groups]
    rules = [place for place in range(1, len(families)) if families[place] != families[place - 1]]
    shown = [[*answers] for _, answers in groups]
    legend = {kind: text for kind, text in LEGEND.items() if any(kind == tile[0] for line in shown for tile in line)}
    labels = [label(names) for names in groups.values()]
    return {"tiles": shown, "rows": labels, "columns": list(COLUMNS.values()), "rules": rules, "legend": legend}


def _name(row: Any) -> str:
    """Return a layer with its setting; that a recurrent layer puts out all steps is left out where something else is set, too."""
    setting = row["setting"].removeprefix("return_sequences=True, ")
    return f"{row['layer']}({setting})" if setting else str(row["layer"])


def label(names: Sequence[str]) -> str:
    """Return names in two lines, the shortest first, as many as fit; the others are counted."""
    names = sorted(names, key=len)
    for count in range(len(names), 0, -1):
        more = f" and {len(names) - count} more" if count < len(names) else ""
        lines = textwrap.wrap(", ".join(names[:count]) + more, LETTERS)
        if len(lines) <= LINES:
            return "\n".join(lines)
    return textwrap.shorten(names[0], LETTERS, placeholder="\N{HORIZONTAL ELLIPSIS}")


def _tile(column: str, row: Any) -> Tile:
    """Return the tile of an answer; whether Keras warns is asked only where the mask is dropped."""
    value = row[column]
    if value == NA or (column == "warns" and row["mask"] != GONE):
        return NOTHING
    return _TILES[column].get(value, ("other", value))
