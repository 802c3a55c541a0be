"""Figures: `plot_<what>(data, *, ax=None) -> Axes`. Masked steps are hatched grey everywhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch
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
    for step in steps[~mask]:
        ax.axvspan(step - 0.5, step + 0.5, **MASKED, zorder=0)
    for unit, values in enumerate(outputs.T):
        ax.plot(steps, values, marker="o", label=f"unit {unit + 1}")
    ax.set(xlabel="step", ylabel="output", title=title, xticks=steps, xlim=(0.5, len(mask) + 0.5))
    handles, labels = ax.get_legend_handles_labels()
    ax.legend([*handles, Patch(**MASKED)], [*labels, "masked step"], loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
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
