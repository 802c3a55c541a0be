"""The results, as a user of the library asks for them: `masklib.load_results`, `masklib.summarize`, `masklib.pivot`.

```
tables = masklib.load_results("runs")
summary = masklib.summarize(tables.measurements, over="seed")
masklib.pivot(summary, name="valid_error", index="cell", columns="units", values="mean")
```
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from masklib.engine.collect import Tables, collect
from masklib.engine.stores import open_store
from masklib.errors import ArgumentError, StoreError

SUBJECT = ("notebook", "name", "unit", "keras", "backend", "device")  # what is never averaged over
STATISTICS = ("n", "n_nan", "n_repeated", "mean", "std", "low", "high")
_PREFIX = "param_"

Names = str | Sequence[str]


def load_results(runs: str | Path = "runs") -> Tables:
    """Return the tables of every run in a store: `.runs`, `.claims` and `.measurements`.

    Only folders that are new since the last time are read. The store need not be writable.

    Args:
        runs: a folder, or a URL of fsspec such as `s3://bucket/prefix`.

    Returns:
        Three data frames, and in `.unreadable` what could not be read, with the reason.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    store = open_store(runs)
    if not store.exists():
        msg = f"Results are loaded from a store of runs, {runs} is not there. Run a notebook first: masklib run NOTEBOOK."
        raise StoreError(msg)
    return collect(store)


def summarize(measurements: pd.DataFrame, over: Names = "seed", confidence: float = 0.95) -> pd.DataFrame:
    """Return the mean of each measured value over seeds, with its confidence interval.

    The interval is Student's: mean ± t·std/√n, with t the quantile of n - 1 degrees of freedom. One value has no interval:
    its bounds are NaN. Where a value was measured again in the same circumstances, as by a later version of masklib, only the
    last one counts: the same seed twice is not two independent values.

    Args:
        measurements: of `load_results`, all or some of its rows.
        over: the parameters over which the mean is taken; the prefix `param_` may be left out.
        confidence: of the interval, between 0 and 1.

    Returns:
        A row for each notebook, name, unit, Keras version, backend, device and combination of the other parameters that vary
        in a notebook. `n` counts the values of the mean; `n_nan` those that are NaN and not part of it; `n_repeated` those
        that a later one replaced. `std` has the denominator n - 1; `low` and `high` are the bounds.

    Raises:
        ArgumentError: a parameter is unknown, a column is missing, or `confidence` is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        msg = f"summarize: confidence must lie between 0 and 1, got {confidence!r}. For 95 percent give 0.95."
        raise ArgumentError(msg)
    _check_columns(measurements, (*SUBJECT, "value", "started"))
    parameters = [column for column in map(str, measurements) if column.startswith(_PREFIX)]
    averaged = _resolve(over, parameters)
    last = _last(measurements, [*SUBJECT, *parameters])
    others = [column for column in parameters if column not in averaged]
    by = [*SUBJECT, *(column for column in others if _varies(measurements, column))]
    return _statistics(last, by, confidence)


def pivot(
    summary: pd.DataFrame, *, index: Names, columns: Names, values: Names = "mean", name: str | None = None
) -> pd.DataFrame:
    """Return a table with a row for each value of one parameter and a column for each of another.

    Nothing is averaged here: a cell of the table is a row of `summary`.

    Args:
        summary: of `summarize`, all or some of its rows.
        index: the columns of `summary` whose values become rows; the prefix `param_` may be left out.
        columns: those whose values become columns.
        values: what is shown, such as "mean", or several: ["mean", "low", "high"].
        name: of the measured value; may be left out if `summary` has only one.

    Raises:
        ArgumentError: a column or the name is unknown, or several rows of `summary` would fall into one cell.
    """
    _check_columns(summary, ("name",))
    rows = _of_name(summary, name)
    labels = [column for column in map(str, rows) if column not in STATISTICS]
    rows_by, columns_by = _resolve(index, labels), _resolve(columns, labels)
    _check_single(rows, rows_by + columns_by, labels)
    shown = [values] if isinstance(values, str) else list(values)
    _check_columns(rows, shown)
    one = isinstance(values, str)
    table = rows.pivot(index=rows_by, columns=columns_by, values=shown[0] if one else shown)
    table = table.sort_index().sort_index(axis=1)
    return (table if one else table[shown]).rename_axis(index=_short, columns=_short)


def _statistics(measurements: pd.DataFrame, by: list[str], confidence: float) -> pd.DataFrame:
    """Return the statistics of each group of values."""
    from scipy.stats import t

    groups = measurements.groupby(by, dropna=False, sort=True)
    values = groups["value"]
    table = pd.DataFrame({"n": values.count(), "n_nan": values.size() - values.count(), "n_repeated": groups["n_repeated"].sum()})
    table["mean"], table["std"] = values.mean(), values.std()
    error = table["std"] / np.sqrt(table["n"])
    half = error * t.ppf((1 + confidence) / 2, np.where(table["n"] > 1, table["n"] - 1, np.nan))
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    return table.reset_index()[[*by, *STATISTICS]]


def _last(measurements: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the last measured row of each group, with `n_repeated`: how many earlier ones it replaces."""
    ordered = measurements.sort_values(["started", "key"], kind="stable")
    counts = ordered.groupby(by, dropna=False)["value"].transform("size")
    return ordered.assign(n_repeated=counts - 1).drop_duplicates(by, keep="last")


def _varies(measurements: pd.DataFrame, column: str) -> bool:
    """Return whether a parameter has more than one value in some notebook."""
    return bool((measurements.groupby("notebook")[column].nunique(dropna=False) > 1).any())


def _resolve(given: Names, known: Sequence[str]) -> list[str]:
    """Return the columns that are meant; a parameter's prefix may be left out.

    Raises:
        ArgumentError: one is unknown; the message names the known ones.
    """
    names = [given] if isinstance(given, str) else list(given)
    found = {name: next((c for c in (name, f"{_PREFIX}{name}") if c in known), None) for name in names}
    unknown = [name for name, column in found.items() if column is None]
    if unknown:
        short = [column.removeprefix(_PREFIX) for column in known]
        near = get_close_matches(unknown[0], short, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        msg = f"A column must be one of {', '.join(short) or '(none)'}, got {', '.join(map(repr, unknown))}.{hint}"
        raise ArgumentError(msg)
    return [column for column in found.values() if column]


def _short(name: str | None) -> str | None:
    """Return the name of a column without the prefix of parameters."""
    return name.removeprefix(_PREFIX) if name else name


def _of_name(summary: pd.DataFrame, name: str | None) -> pd.DataFrame:
    """Return the rows of one measured value."""
    names = sorted(summary["name"].unique())
    if name is None and len(names) == 1:
        return summary
    if name not in names:
        msg = f"pivot: name must be one of {', '.join(names) or '(none)'}, got {name!r}."
        raise ArgumentError(msg)
    return summary[summary["name"] == name]


def _check_single(rows: pd.DataFrame, by: list[str], labels: list[str]) -> None:
    """Raise an ArgumentError if two rows have the same values in the columns `by`."""
    repeated = rows[rows.duplicated(by, keep=False)]
    if repeated.empty:
        return
    also = [column for column in labels if column not in by and repeated[column].nunique(dropna=False) > 1]
    short = ", ".join(column.removeprefix(_PREFIX) for column in also)
    what = "pivot: a cell must be one row of the summary"
    msg = f"{what}, {len(repeated)} rows share cells. They differ in {short}: add it to index or columns, or choose rows."
    raise ArgumentError(msg)


def _check_columns(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise an ArgumentError that names every missing column."""
    missing = [column for column in columns if column not in frame]
    if missing:
        msg = f"The table must have the columns {', '.join(columns)}, {', '.join(missing)} missing. Take it from load_results."
        raise ArgumentError(msg)
