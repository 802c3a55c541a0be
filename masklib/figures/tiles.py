"""Tables of tiles: cells that say in colour, and in a word or two, how each case ended."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.transforms import ScaledTranslation
from numpy.typing import ArrayLike

from masklib.errors import ArgumentError
from masklib.figures.style import PAGE, WIDTHS, colour, current, new_figure, tile

TITLE = 60  # letters of a title in a line, which is centred above the tiles and not above the labels of the rows

Tiles = Sequence[Sequence[tuple[str, str]]]
Marks = Mapping[str, tuple[str, ArrayLike]]


def plot_tiles(
    tiles: Tiles,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    legend: Mapping[str, str],
    marks: Marks | None = None,
    heads: Mapping[str, int] | None = None,
    rules: Sequence[int] = (),
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot a table of tiles.

    Args:
        tiles: R rows of C pairs (kind, text); a kind is one of `masklib.figures.style.TILES`, a text has one or two lines.
        rows: R labels.
        columns: C labels, above the table; long ones are broken into lines.
        legend: what a kind means; {} for no legend.
        marks: by the letter that stands in a corner of some cells, at most two: what it means, and where, bool (R, C).
        heads: above the labels of the columns, what some columns in a row have in common: how many it are, from the left.
        rules: rows above which a line is drawn.
        title: what is shown.
        ax: where to draw.

    Raises:
        ArgumentError: the current width is that of a column; no text in the tiles could be read.
    """
    table = {"tiles": tiles, "rows": rows, "columns": columns, "heads": heads, "rules": rules, "marks": marks, "title": title}
    scale = _scale(len(columns))
    if ax is None:
        ax = new_figure(scale * (1.4 + 0.36 * len(rows) + 0.13 * len(legend))).add_subplot()
    _draw_table(ax, table, scale)
    if legend:
        _explain(ax, legend, {letter: text for letter, (text, _) in (marks or {}).items()}, scale)
    return ax


def plot_tile_tables(tables: Sequence[Mapping[str, Any]], *, legend: Mapping[str, str], ax: Axes | None = None) -> Axes:
    """Plot tables of tiles under each other, with one legend.

    Args:
        tables: each the arguments of `plot_tiles` but `legend` and `ax`; all have the marks of the last.
        legend: what a kind means.
        ax: must be None; the tables have axes of their own.

    Returns:
        The axes of the last table.

    Raises:
        ArgumentError: as `plot_tiles`.
    """
    if ax is not None:
        msg = "Several tables have axes of their own, got ax. Leave it out."
        raise ArgumentError(msg)
    heights = [len(table["rows"]) + 3 for table in tables]
    scale = _scale(max(len(table["columns"]) for table in tables))
    figure = new_figure(scale * (0.38 * sum(heights) + 1.0))
    places = figure.subplots(nrows=len(tables), height_ratios=heights, squeeze=False)[:, 0]
    for place, table in zip(places, tables, strict=True):
        _draw_table(place, table, scale)
    last: Axes = places[-1]
    _explain(last, legend, {letter: text for letter, (text, _) in tables[-1].get("marks", {}).items()}, scale)
    return last


def arrange_tiles(
    records: Sequence[Mapping[str, Any]],
    row: str,
    column: str,
    marks: Mapping[str, tuple[str, str]] | None = None,
    columns: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the arguments of `plot_tiles` for records that hold one tile each.

    Args:
        records: each with a "tile" (kind, text), and what follows; a place without one is of the kind "none".
        row: the key of its row's label; rows come in the order of the records.
        column: the key of its column's label.
        marks: by letter, what it means, and the key that says whether it stands there.
        columns: the labels of the columns in order; by default they come in the order of the records.
    """
    rows = list(dict.fromkeys(record[row] for record in records))
    columns = list(columns or dict.fromkeys(record[column] for record in records))
    at = {(record[row], record[column]): record for record in records}
    empty = {"tile": ("none", "\u2013")}
    places = [[at.get((r, c), empty) for c in columns] for r in rows]
    tiles = [[place["tile"] for place in line] for line in places]
    given = {
        letter: (text, [[bool(place.get(key, False)) for place in line] for line in places])
        for letter, (text, key) in (marks or {}).items()
    }
    return {"tiles": tiles, "rows": rows, "columns": columns, "marks": given}


def _scale(columns: int) -> float:
    """Return by how much a table of so many columns is made smaller, so that it fits the page."""
    if current().is_narrow:
        msg = "A table of tiles needs the width of a page, the one asked for is that of a column. Choose --width page."
        raise ArgumentError(msg)
    return min(1.0, WIDTHS[PAGE] / (2.0 + 0.9 * columns))


def _draw_table(ax: Axes, table: Mapping[str, Any], scale: float) -> None:
    """Draw one table of tiles into its axes."""
    tiles, rows, columns, heads = table["tiles"], table["rows"], table["columns"], table.get("heads") or {}
    for row, line in enumerate(tiles):
        for column, (kind, text) in enumerate(line):
            _draw_tile(ax, column, row, kind, text, scale)
    for y, (letter, (_, given)) in zip((0.28, 0.74), (table.get("marks") or {}).items(), strict=False):
        for row, column in np.argwhere(np.asarray(given)):
            style: dict[str, Any] = {"fontsize": 7 * scale, "fontweight": "bold", "color": tile(tiles[row][column][0])["text"]}
            ax.text(column + 0.93, row + y, letter, ha="right", va="center", **style)
    ax.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    labels = [_fill(column) for column in columns]
    _head_columns(ax, heads, 1 + max(label.count("\n") for label in labels), scale)
    for rule in table.get("rules", ()):
        ax.axhline(rule, color=colour("soft"), linewidth=0.8)
    title = textwrap.fill(table.get("title", ""), round(TITLE / scale))
    ax.set_title(title, pad=(24 if heads else 10) * scale, fontsize=10.5 * scale)
    ax.set_xticks(np.arange(len(columns)) + 0.5, labels, fontsize=8 * scale)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=8.5 * scale)
    ax.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)


def _head_columns(ax: Axes, heads: Mapping[str, int], lines: int, scale: float) -> None:
    """Write what some columns have in common above their labels, which take so many lines."""
    start, height = 0, scale * (6 + 10 * lines)  # in points, above the table
    for head, columns in heads.items():
        style: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "annotation_clip": False}
        text: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 9 * scale, "style": "italic"}
        ax.annotate(head, (start + columns / 2, 1), (0, height + 3), **text, **style)
        ax.plot(
            [start + 0.06, start + columns - 0.06],
            [1, 1],
            transform=ax.get_xaxis_transform() + ScaledTranslation(0, height / 72, ax.figure.dpi_scale_trans),
            color=colour("soft"),
            linewidth=0.8,
            clip_on=False,
        )
        start += columns


def _fill(label: str, width: int = 13) -> str:
    """Return a label in lines of some `width` letters, broken at blanks outside brackets and after underscores."""
    lines = [""]
    for part in re.findall(r"(?:\([^)]*\)|[^ _(])+[ _]?", label):
        if lines[-1] and len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _draw_tile(ax: Axes, column: int, row: int, kind: str, text: str, scale: float) -> None:
    """Draw one cell of a table of tiles."""
    style = tile(kind)
    look: dict[str, Any] = {"facecolor": style["facecolor"], "edgecolor": style["edge"], "linewidth": 0}
    box = Rectangle((column + 0.03, row + 0.05), 0.94, 0.9, **look)
    box.set_hatch(style["hatch"])
    ax.add_patch(box)
    words: dict[str, Any] = {"ha": "center", "va": "center", "linespacing": 1.15, "color": style["text"]}
    ax.text(column + 0.47, row + 0.5, text, fontsize=7.5 * scale, **words)


def _explain(ax: Axes, legend: Mapping[str, str], marks: Mapping[str, str], scale: float) -> None:
    """Put the meaning of the kinds, and of the letters, below a table of tiles."""
    handles: list[Any] = []
    for kind in legend:
        style = tile(kind)
        handles.append(Patch(facecolor=style["facecolor"], hatch=style["hatch"], edgecolor=style["edge"], linewidth=0))
    handles += [Line2D([], [], linestyle="") for _ in marks]
    texts = [*legend.values(), *(f"{letter}: {text}" for letter, text in marks.items())]
    layout: dict[str, Any] = {"loc": "outside lower center", "ncols": 2, "frameon": False, "fontsize": 8.5 * scale}
    ax.figure.legend(handles, texts, **layout)
