"""Small multiples of a sweep: a panel for each measured value, against the parameter that varies most."""

import hashlib
import io
from typing import TYPE_CHECKING

import pandas as pd

from masklib.engine.summaries import SUBJECT, summarize
from masklib.site.rows import NOISE, rounded
from masklib.site.writing import Writer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 12  # at most
SERIES = 6  # at most, in a panel
BRIEF, LONGEST = 8, 18  # letters of a word on an axis: up to which it lies, and up to which it is shown
SEED = "param_seed"
THEMES = ("light", "dark")
VERSION = 6  # of the drawing: figures of another version are drawn again


def draw(measured: pd.DataFrame, varied: list[str], name: str, out: Writer) -> dict[str, str] | None:
    """Draw the values of a sweep for light and dark pages, if that is not there; return how it is shown, None if nothing varies.

    Args:
        measured: the measurements of the runs.
        varied: the columns of the parameters that differ between them.
        name: of the files, without the part that stands for their content and their theme.
        out: the folder of the site.
    """
    x, series = _axes(measured, varied)
    panels = [] if x is None else _panels(measured, x)
    if x is None or not panels:
        return None
    kept = ["key", "name", "value", x, *([series] if series else [])]
    chosen = measured[measured["name"].isin(panels)]
    content = chosen[kept].sort_values(["name", "key"]).to_csv(index=False) + f"{VERSION} {series}"
    path = f"figures/{name}.{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    for theme in THEMES:
        if not out.keep(f"{path}.{theme}.svg"):
            out.write(f"{path}.{theme}.svg", _svg(chosen, panels, x, series, theme))
    return {"path": path} | _caption(measured, panels, x, series)


def _axes(measured: pd.DataFrame, varied: list[str]) -> tuple[str | None, str | None]:
    """Return the parameter along the axis, and the one whose values have different colours; None where there is none."""
    present = [column for column in varied if column in measured and measured[column].nunique() > 1]
    others = [column for column in present if column != SEED] or present
    if not others:
        return None, None
    numeric = [column for column in others if pd.api.types.is_numeric_dtype(measured[column])]
    x = max(numeric or others, key=lambda column: measured[column].nunique())
    series = [column for column in others if column != x and measured[column].nunique() <= SERIES]
    return x, (min(series, key=lambda column: pd.api.types.is_numeric_dtype(measured[column])) if series else None)


def _panels(measured: pd.DataFrame, x: str) -> list[str]:
    """Return the names of the values that are shown: the first ones that were measured in more than one place."""
    places = measured.dropna(subset=["value"]).groupby("name", sort=False)[x].nunique()
    return [str(name) for name in places[places > 1].index[:PANELS]]


def _caption(measured: pd.DataFrame, panels: list[str], x: str, series: str | None) -> dict[str, str]:
    """Return the caption, and the text that stands for the figure."""
    along = f"against {x.removeprefix('param_')}" + (f", by {series.removeprefix('param_')}" if series else "")
    total = measured["name"].nunique()
    left = f" The first {len(panels)} of {total} values are shown." if total > len(panels) else ""
    mean = "" if x == SEED else f" The mean of the runs with the same {x.removeprefix('param_')}, with its 95 % interval."
    noise = f" Values below {NOISE:g} are shown as 0." if (measured["value"].abs() < NOISE).any() else ""
    return {"alt": f"Measured values {along}: {', '.join(panels)}", "caption": f"Measured values {along}.{mean}{left}{noise}"}


def _svg(measured: pd.DataFrame, panels: list[str], x: str, series: str | None, theme: str) -> bytes:
    """Return the figure for light or dark pages."""
    import matplotlib as mpl

    from masklib.figures.style import style

    buffer = io.BytesIO()
    with style(theme), mpl.rc_context({"svg.hashsalt": "masklib"}):
        _draw(measured, panels, x, series).savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _draw(measured: pd.DataFrame, panels: list[str], x: str, series: str | None) -> "Figure":
    """Return the figure, a panel for each value."""
    from matplotlib.figure import Figure

    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(4.2, 3.0 * columns), 2.2 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=pd.api.types.is_numeric_dtype(measured[x]))
    for axes, name in zip(grid.flat, panels, strict=False):
        _panel(axes, measured[measured["name"] == name], x, series, name)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    figure.align_ylabels()
    handles, labels = grid.flat[0].get_legend_handles_labels()
    if series and handles:
        figure.legend(handles, labels, loc="outside upper left", ncols=SERIES, frameon=False, title=_plain(series), fontsize=8)
    return figure


def _panel(axes: "Axes", measured: pd.DataFrame, x: str, series: str | None, name: str) -> None:
    """Draw one value."""
    from matplotlib.ticker import MaxNLocator

    groups = [("", measured)] if series is None else [(str(value), frame) for value, frame in measured.groupby(series)]
    for label, frame in groups:
        _line(axes, frame, x, label)
    units = [unit for unit in measured["unit"].dropna().unique() if unit]
    axes.set_title(_plain(name), fontsize=9, loc="left")
    axes.set_ylabel(_plain(units[0]) if units else "", fontsize=8)
    axes.set_xlabel(_plain(x), fontsize=8)
    if pd.api.types.is_integer_dtype(measured[x]):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.tick_params(labelsize=8, labelbottom=True)
    _keep_noise_small(axes, measured["value"].dropna())
    axes.spines[["top", "right"]].set_visible(False)


def _keep_noise_small(axes: "Axes", values: "pd.Series[float]") -> None:
    """Give an axis limits at which the noise of floats looks like what it is: nothing, or no difference."""
    largest, middle = values.abs().max(), values.mean()
    if largest < NOISE:
        axes.set(ylim=(-1.0, 1.0), yticks=[0.0])
    elif values.max() - values.min() < NOISE * largest:
        axes.set(ylim=(middle - 0.1 * largest, middle + 0.1 * largest), yticks=[middle])
        axes.set_yticklabels([rounded(float(middle))])


def _line(axes: "Axes", measured: pd.DataFrame, x: str, label: str) -> None:
    """Draw one series: the mean and its interval along a parameter, or each value along the seed."""
    statistics = _along(measured, x)
    shown = _plain(label) or None
    low, high = (statistics["mean"] - statistics["low"]).fillna(0.0), (statistics["high"] - statistics["mean"]).fillna(0.0)
    if not pd.api.types.is_numeric_dtype(statistics[x]):  # between words there is no line
        places = [_plain(_brief(str(place))) for place in statistics[x]]
        axes.tick_params("x", labelrotation=30 if max(map(len, places)) > BRIEF else 0)
        axes.errorbar(places, statistics["mean"], yerr=[low, high], fmt="o", markersize=3, capsize=3, linewidth=1.0, label=shown)
        return
    (drawn,) = axes.plot(statistics[x], statistics["mean"], marker="o", markersize=2.5, linewidth=1.0, label=shown)
    below, above = statistics["mean"] - low, statistics["mean"] + high
    axes.fill_between(statistics[x].astype(float), below, above, color=drawn.get_color(), alpha=0.2, linewidth=0)


def _along(measured: pd.DataFrame, x: str) -> pd.DataFrame:
    """Return the mean of a value at each place, in order, with its interval over the runs there."""
    alike = measured.drop_duplicates("key").assign(name="", unit="", keras="", backend="", device="")
    columns = [*SUBJECT, "key", "value", "started", x]
    runs = alike[columns].assign(param_run=range(len(alike)))
    found = summarize(runs, over="run")
    return found.sort_values(x) if x in found else found.assign(**{x: runs[x].iloc[0]})  # what is the same everywhere is left out


def _brief(text: str) -> str:
    """Return a word for an axis: the end of a path, cut to what fits."""
    name = text.rstrip("/").rpartition("/")[2] or text
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _plain(text: str) -> str:
    """Return a text for a figure: nothing in it is mathematics."""
    return text.removeprefix("param_").replace("$", r"\$")
