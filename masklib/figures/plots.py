"""Figures: `plot_<what>(data, *, title="", ax=None) -> Axes`. Masked steps are hatched everywhere.

Colours and sizes are those of the current style, see `masklib.figures.style`; what a notebook records is drawn by
`masklib.figures.recipes`, in any theme, width and format.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from masklib.figures.style import HATCH, colour, current, new_axes
from masklib.figures.tiles import arrange_tiles, plot_tile_tables, plot_tiles

__all__ = [
    "arrange_tiles",
    "new_axes",
    "plot_candidates",
    "plot_choices",
    "plot_curves",
    "plot_masks",
    "plot_outcomes",
    "plot_outputs_over_time",
    "plot_rows",
    "plot_tile_tables",
    "plot_tiles",
    "shade_masked",
]

WIDE = ("plot_tiles", "plot_tile_tables")  # need the width of a page
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
DIVERGING = {"light": ("#b2182b", "#f7f7f7", "#2166ac"), "dark": ("#d6604d", "#26292d", "#4393c3")}  # of a heat map


def _masked() -> dict[str, Any]:
    """Return how what is masked looks."""
    return {"facecolor": colour("masked"), "hatch": HATCH, "edgecolor": colour("hatch"), "linewidth": 0.0}


def _entitle(ax: Axes, title: str) -> None:
    """Give what `ax` shows a title, in as many lines as it needs: over the whole figure where the axes are alone in it."""
    title = textwrap.fill(title, current().letters)
    if len(ax.figure.axes) > 1:
        ax.set_title(title)
    elif title:
        ax.figure.suptitle(title)


def _put_legend(ax: Axes, handles: Sequence[Any] | None = None, labels: Sequence[str] | None = None, *, columns: int = 2) -> None:
    """Put the legend below the axes."""
    given = ax.get_legend_handles_labels() if handles is None else (handles, labels)
    below: dict[str, Any] = {"loc": "outside lower center", "frameon": False, "ncols": 1 if current().is_narrow else columns}
    ax.figure.legend(*given, **below)


def plot_outputs_over_time(outputs: ArrayLike, mask: ArrayLike, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Plot each unit's output over the steps of one sequence, masked steps hatched.

    Args:
        outputs: (T, U).
        mask: bool (T,), True = valid.
        title: what is shown.
        ax: where to draw; a new figure by default.
    """
    outputs, mask = np.asarray(outputs, dtype=float), np.asarray(mask)
    ax = ax or new_axes()
    steps = np.arange(1, len(mask) + 1)
    shade_masked(ax, mask)
    lines = _line_colours(outputs.shape[1])
    for unit, values in enumerate(outputs.T):
        ax.plot(steps, values, marker=MARKERS[unit % len(MARKERS)], markersize=5, color=lines[unit], label=f"unit {unit + 1}")
    ax.set(xlabel="step", ylabel="output", xticks=steps, xlim=(0.5, len(mask) + 0.5))
    _entitle(ax, title)
    handles, labels = ax.get_legend_handles_labels()
    _put_legend(ax, [*handles, Patch(**_masked())], [*labels, "masked step"], columns=6)
    return ax


def _row_labels(labels: Iterable[str], letters: int) -> list[str]:
    """Return the labels of rows, in lines of so many letters where there is little room."""
    return [textwrap.fill(label, letters) if current().is_narrow else label for label in labels]


def _line_colours(count: int) -> list[str]:
    """Return colours for lines; beyond three they repeat, and the markers distinguish the lines."""
    known = [colour(role) for role in ("valid", "measured", "third")]
    return [known[index % len(known)] for index in range(count)]


def shade_masked(ax: Axes, mask: ArrayLike) -> Axes:
    """Hatch the masked steps of one sequence, bool (T,), True = valid, behind what `ax` shows over the steps 1 to T."""
    for step in np.flatnonzero(~np.asarray(mask, dtype=bool)) + 1:
        ax.axvspan(step - 0.5, step + 0.5, **_masked(), zorder=0)
    return ax


def plot_rows(rows: ArrayLike, labels: Sequence[str], *, title: str = "", ax: Axes | None = None) -> Axes:
    """Plot vectors as rows of a heat map with their values.

    Args:
        rows: (R, F).
        labels: of the rows.
        title: what is shown.
        ax: where to draw.
    """
    rows = np.asarray(rows, dtype=float)
    ax = ax or new_axes(height=0.9 + 0.42 * len(rows))
    limit = float(np.abs(rows).max()) or 1.0
    ends = DIVERGING[current().theme]
    ax.imshow(rows, cmap=LinearSegmentedColormap.from_list("diverging", ends), vmin=-limit, vmax=limit, aspect="auto")
    light = current().theme == "light"
    for (row, column), value in np.ndenumerate(rows):
        ink = "white" if (abs(value) > 0.6 * limit) == light else "black" if light else "white"
        ax.text(column, row, f"{value:.3f}", ha="center", va="center", color=ink)
    ax.set(xlabel="feature", xticks=np.arange(rows.shape[1]), yticks=np.arange(len(rows)), yticklabels=labels)
    _entitle(ax, title)
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
    kinds: dict[str, dict[str, Any]] = {
        "valid": {"facecolor": colour("valid"), "linewidth": 0.0},
        "masked": _masked(),
        "no mask": {"facecolor": colour("absent"), "linewidth": 0.0},
    }
    for row, mask in enumerate(masks.values()):
        shown = ["no mask"] * steps if mask is None else ["valid" if step else "masked" for step in np.asarray(mask)]
        for step, kind in enumerate(shown, start=1):
            ax.barh(row, 0.92, left=step - 0.46, height=0.8, **kinds[kind])
    ax.set(xlabel="step", yticks=np.arange(len(masks)), yticklabels=list(masks), xticks=np.arange(1, steps + 1))
    ax.invert_yaxis()
    _entitle(ax, title)
    named = [kind for kind in kinds if kind != "no mask" or any(mask is None for mask in masks.values())]
    _put_legend(ax, [Patch(**kinds[kind]) for kind in named], named, columns=3)
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    return ax


def plot_candidates(
    measured: float, candidates: Mapping[str, float], *, title: str = "", xlabel: str = "loss", ax: Axes | None = None
) -> Axes:
    """Plot the values that a loss could have, each with its distance from the one that Keras reports.

    A value that differs from the measured one by less than a hundred-thousandth of it is drawn filled and bold.

    Args:
        measured: what Keras reports.
        candidates: by label, what NumPy computes with that denominator.
        title: what is shown.
        xlabel: the loss.
        ax: where to draw.
    """
    ax = ax or new_axes(height=1.5 + 0.42 * len(candidates))
    columns, header = ax.get_yaxis_transform(), -0.85
    ax.axvline(measured, color=colour("measured"), linewidth=1.5, zorder=1)
    narrow = current().is_narrow
    told: dict[str, Any] = {"ha": "center", "va": "center", "color": colour("measured")}
    ax.text(measured, header - (0.45 if narrow else 0.0), f"evaluate() = {measured:.4f}", **told)
    places = (1.36, 1.7) if narrow else (1.18, 1.37)
    for x, name in zip(places, ("NumPy", "difference"), strict=True):
        ax.text(x, header, name, transform=columns, ha="right", va="center", color=colour("soft"))
    for row, value in enumerate(candidates.values()):
        agrees = bool(np.isclose(value, measured, rtol=1e-5, atol=0.0))
        ink = colour("valid" if agrees else "soft")
        ax.plot([measured, value], [row, row], color=ink, linewidth=2, zorder=2)
        ax.plot(value, row, "o", markersize=9, color=ink, markerfacecolor=ink if agrees else colour("page"), zorder=3)
        texts = (f"{value:.4f}", "agrees" if agrees else f"{value - measured:+.4f}")
        for x, text in zip(places, texts, strict=True):
            weight = "bold" if agrees else "normal"
            ax.text(x, row, text, transform=columns, ha="right", va="center", color=ink, fontweight=weight)
    ax.margins(x=0.12)
    ax.set_ylim(len(candidates) - 0.4, -0.55)
    ax.set(xlabel=xlabel, yticks=np.arange(len(candidates)), yticklabels=_row_labels(candidates, 14))
    _entitle(ax, title)
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
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    mask: ArrayLike | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot up to three curves over one variable; a label that starts with "expected" is drawn grey, as what to compare with.

    Args:
        x: (N,).
        curves: by label, each (N,).
        xlabel: with its unit.
        ylabel: with its unit.
        mask: bool (T,), True = valid, if `x` counts the steps of one sequence from 1: masked steps are hatched.
        title: what is shown.
        ax: where to draw.
    """
    ax = ax or new_axes()
    styles: list[dict[str, Any]] = [
        {"color": colour("valid"), "marker": "o", "markersize": 9, "markerfacecolor": "none"},
        {"color": colour("measured"), "marker": "s", "markersize": 4, "linestyle": "--"},
        {"color": colour("third"), "marker": "D", "markersize": 4, "linestyle": ":"},
    ]
    for label, values in curves.items():
        band = {"color": colour("reference"), "linewidth": 5, "marker": "o"}
        ax.plot(np.asarray(x), np.asarray(values), label=label, **(band if label.startswith("expected") else styles.pop(0)))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    handles, labels = ax.get_legend_handles_labels()
    if mask is not None:
        shade_masked(ax, mask)
        handles, labels = [*handles, Patch(**_masked())], [*labels, "masked step"]
    _entitle(ax, title)
    _put_legend(ax, handles, labels)
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
    ax = ax or new_axes(height=1.2 + 0.24 * len(outcomes))
    for row, outcome in enumerate(outcomes.values()):
        alarm = outcome in alarming
        ax.axhline(row, color=colour("rule"), linewidth=0.8, zorder=0)
        ink, marker = (colour("measured"), "s") if alarm else (colour("valid"), "o")
        ax.plot(list(columns).index(outcome), row, marker, markersize=8, color=ink)
    _entitle(ax, title)
    ax.set(xticks=np.arange(len(columns)), yticks=np.arange(len(outcomes)))
    ax.set_xticklabels([textwrap.fill(name, 8 if current().is_narrow else 12) for name in columns])
    ax.set_yticklabels(_row_labels(outcomes, 26))
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(outcomes) - 0.4, -0.6))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax
