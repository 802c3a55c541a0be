"""Figures: `plot_<what>(data, *, ax=None) -> Axes`. Masked steps are hatched grey everywhere."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.transforms import ScaledTranslation
from numpy.typing import ArrayLike

MASKED: dict[str, Any] = {"facecolor": "0.88", "hatch": "///", "edgecolor": "0.6", "linewidth": 0.0}
VALID_COLOUR, MASKED_COLOUR, NONE_COLOUR = "#2a7f9e", "#e6e6e6", "#f5d9b8"
REFERENCE_COLOUR, MEASURED_COLOUR = "0.55", "#c2410c"


def new_axes(width: float = 7.0, height: float = 3.4) -> Axes:
    """Return the axes of a new figure, in inches, that leaves room for its labels."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained", dpi=150)
    return ax


def plot_outputs_over_time(outputs: ArrayLike, mask: ArrayLike, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Plot each unit's output over the steps of one sequence, masked steps hatched.

    Args:
        outputs: (T, U).
        mask: bool (T,), True = valid.
        title: what is shown.
        ax: where to draw; a new figure by default.
    """
    outputs, mask = np.asarray(outputs), np.asarray(mask)
    ax = ax or new_axes()
    steps = np.arange(1, len(mask) + 1)
    shade_masked(ax, mask)
    for unit, values in enumerate(outputs.T):
        ax.plot(steps, values, marker="o", label=f"unit {unit + 1}")
    ax.set(xlabel="step", ylabel="output", title=title, xticks=steps, xlim=(0.5, len(mask) + 0.5))
    handles, labels = ax.get_legend_handles_labels()
    ax.legend([*handles, Patch(**MASKED)], [*labels, "masked step"], loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return ax


def shade_masked(ax: Axes, mask: ArrayLike) -> Axes:
    """Hatch the masked steps of one sequence, bool (T,), True = valid, behind what `ax` shows over the steps 1 to T."""
    for step in np.flatnonzero(~np.asarray(mask)) + 1:
        ax.axvspan(step - 0.5, step + 0.5, **MASKED, zorder=0)
    return ax


def plot_rows(rows: ArrayLike, labels: Sequence[str], *, title: str = "", ax: Axes | None = None) -> Axes:
    """Plot vectors as rows of a heat map with their values.

    Args:
        rows: (R, F).
        labels: of the rows.
        title: what is shown.
        ax: where to draw.
    """
    rows = np.asarray(rows)
    ax = ax or new_axes(height=0.9 + 0.42 * len(rows))
    limit = float(np.abs(rows).max()) or 1.0
    ax.imshow(rows, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    for (row, column), value in np.ndenumerate(rows):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        ax.text(column, row, f"{value:.3f}", ha="center", va="center", fontsize=8, color=colour)
    ax.set(xlabel="feature", title=title, xticks=np.arange(rows.shape[1]), yticks=np.arange(len(rows)), yticklabels=labels)
    return ax


def plot_masks(masks: Mapping[str, ArrayLike | None], *, title: str = "", ax: Axes | None = None) -> Axes:
    """Plot masks of one sequence under each other, such as those of the inputs and that of the merged result.

    Args:
        masks: by label, each bool (T,), True = valid, or None where there is no mask.
        title: what is shown.
        ax: where to draw.
    """
    ax = ax or new_axes(height=1.1 + 0.36 * len(masks))
    steps = max(np.size(mask) for mask in masks.values() if mask is not None)
    for row, mask in enumerate(masks.values()):
        values = np.full(steps, np.nan) if mask is None else np.asarray(mask, dtype=float)
        for step, value in enumerate(values, start=1):
            colour, hatch = (NONE_COLOUR, "") if np.isnan(value) else (VALID_COLOUR, "") if value else (MASKED_COLOUR, "///")
            ax.barh(row, 0.92, left=step - 0.46, height=0.8, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
    ax.set(xlabel="step", title=title, yticks=np.arange(len(masks)), yticklabels=list(masks), xticks=np.arange(1, steps + 1))
    ax.invert_yaxis()
    keys = {"valid": VALID_COLOUR, "masked": MASKED_COLOUR}
    if any(mask is None for mask in masks.values()):
        keys["no mask"] = NONE_COLOUR
    handles = [Patch(facecolor=c, hatch="///" if k == "masked" else "", edgecolor="white") for k, c in keys.items()]
    ax.legend(handles, list(keys), loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    ax.spines[:].set_visible(False)
    return ax


def plot_candidates(
    measured: float, candidates: Mapping[str, float], *, title: str = "", xlabel: str = "loss", ax: Axes | None = None
) -> Axes:
    """Plot the values that a loss could have, each with its distance from the one that Keras reports.

    A value that differs from the measured one by less than a hundred-thousandth of it is drawn filled, in blue.

    Args:
        measured: what Keras reports.
        candidates: by label, what NumPy computes with that denominator.
        title: what is shown.
        xlabel: the loss.
        ax: where to draw.
    """
    ax = ax or new_axes(width=7.6, height=1.5 + 0.42 * len(candidates))
    columns, header = ax.get_yaxis_transform(), -0.85
    ax.axvline(measured, color=MEASURED_COLOUR, linewidth=1.5, zorder=1)
    ax.text(measured, header, f"evaluate() = {measured:.4f}", ha="center", va="center", color=MEASURED_COLOUR)
    for x, name in ((1.18, "NumPy"), (1.37, "difference")):
        ax.text(x, header, name, transform=columns, ha="right", va="center", color="0.35")
    for row, value in enumerate(candidates.values()):
        agrees = bool(np.isclose(value, measured, rtol=1e-5, atol=0.0))
        colour = VALID_COLOUR if agrees else "0.35"
        ax.plot([measured, value], [row, row], color=colour, linewidth=2, zorder=2)
        ax.plot(value, row, "o", markersize=9, color=colour, markerfacecolor=colour if agrees else "white", zorder=3)
        for x, text in ((1.18, f"{value:.4f}"), (1.37, "agrees" if agrees else f"{value - measured:+.4f}")):
            weight = "bold" if agrees else "normal"
            ax.text(x, row, text, transform=columns, ha="right", va="center", color=colour, fontweight=weight)
    ax.margins(x=0.12)
    ax.set_ylim(len(candidates) - 0.4, -0.55)
    ax.set(xlabel=xlabel, yticks=np.arange(len(candidates)), yticklabels=list(candidates))
    figure = ax.get_figure()
    if figure is not None and title:
        figure.suptitle(title, fontsize="large")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def plot_choices(
    choices: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot values for a few choices, side by side at even distances; labels work as in `plot_curves`.

    Args:
        choices: (N,), such as batch sizes.
        curves: by label, each (N,).
        xlabel: with its unit.
        ylabel: with its unit.
        title: what is shown.
        ax: where to draw.
    """
    names = [str(choice) for choice in np.asarray(choices)]
    ax = plot_curves(np.arange(len(names)), curves, xlabel=xlabel, ylabel=ylabel, title=title, ax=ax)
    ax.set_xticks(np.arange(len(names)), names)
    ax.set_xlim(-0.4, len(names) - 0.6)
    return ax


def plot_curves(
    x: ArrayLike, curves: Mapping[str, ArrayLike], *, xlabel: str, ylabel: str, title: str = "", ax: Axes | None = None
) -> Axes:
    """Plot curves over one variable; a label that starts with "expected" is drawn grey, as the line to compare with.

    Args:
        x: (N,).
        curves: by label, each (N,).
        xlabel: with its unit.
        ylabel: with its unit.
        title: what is shown.
        ax: where to draw.
    """
    ax = ax or new_axes()
    styles: list[dict[str, Any]] = [
        {"color": VALID_COLOUR, "marker": "o", "markersize": 9, "markerfacecolor": "none"},
        {"color": MEASURED_COLOUR, "marker": "s", "markersize": 4, "linestyle": "--"},
        {"color": "#6b8e23", "marker": "D", "markersize": 4, "linestyle": ":"},
    ]
    for label, values in curves.items():
        expected = label.startswith("expected")
        style = {"color": REFERENCE_COLOUR, "linewidth": 5, "alpha": 0.5, "marker": "o"} if expected else styles.pop(0)
        ax.plot(np.asarray(x), np.asarray(values), label=label, **style)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_outcomes(
    outcomes: Mapping[str, str], columns: Sequence[str], *, title: str = "", alarming: Sequence[str] = (), ax: Axes | None = None
) -> Axes:
    """Plot for each of many cases which outcome it has: a row a case, a column an outcome.

    Args:
        outcomes: by case, one of `columns`.
        columns: the outcomes, from left to right.
        title: what is shown.
        alarming: outcomes that are drawn in the colour of warning, as squares.
        ax: where to draw.
    """
    ax = ax or new_axes(width=7.6, height=1.2 + 0.24 * len(outcomes))
    for row, outcome in enumerate(outcomes.values()):
        alarm = outcome in alarming
        ax.axhline(row, color="0.92", linewidth=1, zorder=0)
        colour, marker = (MEASURED_COLOUR, "s") if alarm else (VALID_COLOUR, "o")
        ax.plot(list(columns).index(outcome), row, marker, markersize=9, color=colour)
    figure = ax.get_figure()
    if figure is not None and title:
        figure.suptitle(title, fontsize="large")
    ax.set(xticks=np.arange(len(columns)), yticks=np.arange(len(outcomes)))
    ax.set_xticklabels([textwrap.fill(name, 12) for name in columns])
    ax.set_yticklabels(list(outcomes))
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(outcomes) - 0.4, -0.6))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


TILES: dict[str, dict[str, Any]] = {
    "good": {"facecolor": VALID_COLOUR, "text": "white"},
    "fair": {"facecolor": "#a9d3e0", "text": "black"},
    "off": {"facecolor": "#f7d9b5", "text": "black", "hatch": "////"},
    "bad": {"facecolor": "#9a3412", "text": "white"},
    "other": {"facecolor": "0.9", "text": "black"},
    "error": {"facecolor": "0.25", "text": "white"},
    "none": {"facecolor": "0.95", "text": "0.6"},
}
HATCH_COLOUR = "#e8b77d"


def plot_tiles(
    tiles: Sequence[Sequence[tuple[str, str]]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    legend: Mapping[str, str],
    marks: Mapping[str, tuple[str, ArrayLike]] | None = None,
    heads: Mapping[str, int] | None = None,
    rules: Sequence[int] = (),
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot a table whose cells say in colour, and in a word or two, how each case ended.

    Args:
        tiles: R rows of C pairs (kind, text); a kind is one of `TILES`, a text has one or two lines.
        rows: R labels.
        columns: C labels, above the table; long ones are broken into lines.
        legend: what a kind means; {} for no legend.
        marks: by the letter that stands in a corner of some cells, at most two: what it means, and where, bool (R, C).
        heads: above the labels of the columns, what some columns in a row have in common: how many it are, from the left.
        rules: rows above which a line is drawn.
        title: what is shown.
        ax: where to draw.
    """
    ax = ax or new_axes(width=2.0 + 0.9 * len(columns), height=1.4 + 0.36 * len(rows))
    for row, line in enumerate(tiles):
        for column, (kind, text) in enumerate(line):
            _draw_tile(ax, column, row, kind, text)
    marks = marks or {}
    for y, (letter, (_, given)) in zip((0.28, 0.74), marks.items(), strict=False):
        for row, column in np.argwhere(np.asarray(given)):
            colour = TILES[tiles[row][column][0]]["text"]
            ax.text(column + 0.93, row + y, letter, ha="right", va="center", fontsize=7, fontweight="bold", color=colour)
    ax.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    labels = [_fill(column) for column in columns]
    _head_columns(ax, heads or {}, 1 + max(label.count("\n") for label in labels))
    for rule in rules:
        ax.axhline(rule, color="0.4", linewidth=0.8)
    ax.set_title(title, pad=24 if heads else 10)
    ax.set_xticks(np.arange(len(columns)) + 0.5, labels, fontsize=8)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=8.5)
    ax.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)
    if legend:
        _explain_tiles(ax, legend, {letter: text for letter, (text, _) in marks.items()})
    return ax


def _head_columns(ax: Axes, heads: Mapping[str, int], lines: int) -> None:
    """Write what some columns have in common above their labels, which take so many lines."""
    start, height = 0, 6 + 10 * lines  # in points, above the table
    for head, columns in heads.items():
        style: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "annotation_clip": False}
        ax.annotate(
            head, (start + columns / 2, 1), (0, height + 3), ha="center", va="bottom", fontsize=9, style="italic", **style
        )
        ax.plot(
            [start + 0.06, start + columns - 0.06],
            [1, 1],
            transform=ax.get_xaxis_transform() + ScaledTranslation(0, height / 72, ax.figure.dpi_scale_trans),
            color="0.4",
            linewidth=0.8,
            clip_on=False,
        )
        start += columns


def _fill(label: str, width: int = 13) -> str:
    """Return a label in lines of some `width` letters, broken at blanks outside brackets and behind underscores."""
    lines = [""]
    for part in re.findall(r"(?:\([^)]*\)|[^ _(])+[ _]?", label):
        if lines[-1] and len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


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
        marks: by letter, what it means, and the key that tells whether it stands there.
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


def _draw_tile(ax: Axes, column: int, row: int, kind: str, text: str) -> None:
    """Draw one cell of a table of tiles."""
    style = TILES[kind]
    box = Rectangle((column + 0.03, row + 0.05), 0.94, 0.9, facecolor=style["facecolor"], edgecolor=HATCH_COLOUR, linewidth=0)
    box.set_hatch(style.get("hatch", ""))
    ax.add_patch(box)
    ax.text(column + 0.47, row + 0.5, text, ha="center", va="center", fontsize=7.5, linespacing=1.15, color=style["text"])


def _explain_tiles(ax: Axes, legend: Mapping[str, str], marks: Mapping[str, str]) -> None:
    """Put the meaning of the kinds, and of the letters, below a table of tiles."""
    handles: list[Any] = []
    for kind in legend:
        style = TILES[kind]
        handles.append(Patch(facecolor=style["facecolor"], hatch=style.get("hatch", ""), edgecolor=HATCH_COLOUR, linewidth=0))
    letter: dict[str, Any] = {"linestyle": "", "color": "black", "markersize": 6, "markeredgewidth": 0}
    handles += [Line2D([], [], marker=f"$\\mathbf{{{mark}}}$", **letter) for mark in marks]
    layout: dict[str, Any] = {"loc": "outside lower center", "ncols": 2, "frameon": False, "fontsize": 8.5}
    ax.figure.legend(handles, [*legend.values(), *marks.values()], **layout)
