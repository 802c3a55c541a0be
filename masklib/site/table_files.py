"""The collected results as tables to paste: `masklib tables`. Every cell is text, whatever it holds.

`verdicts` is the suite's answer; `runs`, `claims` and `measurements` are those of `masklib collect`; `<notebook>/<table>` is what
the newest run of a notebook, as declared, recorded; `<notebook>/<table>@<key>` is that of another run, such as one of a sweep.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from masklib.checks import check_one_of
from masklib.claims.ledger import load_claims
from masklib.claims.verdicts import reason
from masklib.engine.files import store_error, write_atomically
from masklib.engine.store import Store
from masklib.errors import ArgumentError, StoreError
from masklib.site.survey import Experiment, Survey, survey

VERDICTS = "verdicts"
COLLECTED = ("runs", "claims", "measurements")
SUFFIXES = {"markdown": "md", "latex": "tex", "csv": "csv", "html": "html"}
DIGITS = 6  # of a number, as pandas shows it; CSV keeps every digit
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~#&!$])")


@dataclass(frozen=True)
class Results:
    """The tables of a store.

    Attributes:
        found: what the store holds.
        recorded: the runs whose notebooks recorded a table, by its full name.
    """

    found: Survey
    recorded: dict[str, Experiment]

    @property
    def names(self) -> list[str]:
        """The names of all tables."""
        return [VERDICTS, *COLLECTED, *self.recorded]

    def frame(self, name: str) -> pd.DataFrame:
        """Return a table by its name; the notebook may be left out where no other has a table of that name.

        Raises:
            ArgumentError: there is no such table, or several; the message names them.
        """
        if name == VERDICTS:
            return _verdicts(self.found)
        if name in COLLECTED:
            table: pd.DataFrame = getattr(self.found.tables, name)
            return table
        matching = [full for full in self.recorded if name in (full, full.rpartition("/")[2])]
        if len(matching) == 1:
            return self.recorded[matching[0]].table(matching[0].rpartition("/")[2])
        if matching:
            msg = f"A table needs its notebook where two have one of its name, got {name!r}. Choose {' or '.join(matching)}."
            raise ArgumentError(msg)
        if "@" in name:
            return self._of_point(*name.split("@", 1))
        near = get_close_matches(name, [*self.names, *(full.rpartition("/")[2] for full in self.recorded)], n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        msg = f"A table must be one of {', '.join(self.names)}, got {name!r}.{hint}"
        raise ArgumentError(msg)

    def of_all_points(self, name: str) -> pd.DataFrame:
        """Return a recorded table of every run that ended well, one below the other, with the run's parameters and key before it.

        Raises:
            ArgumentError: no run has such a table.
        """
        found = [_with_point(run, table) for run in self.found.points() for table in _tables(run, name)]
        if found:
            return pd.concat(found, ignore_index=True)
        known = ", ".join(self.recorded) or "there are none"
        msg = f"A table of all points must be one that runs recorded, {known}; got {name!r}."
        raise ArgumentError(msg)

    def _of_point(self, name: str, key: str) -> pd.DataFrame:
        """Return a recorded table of the run whose key begins so."""
        runs = [run for run in self.found.points() if run.record.key.startswith(key)]
        found = [run.table(table) for run in runs for table in _tables(run, name)]
        if len(found) == 1:
            return found[0]
        msg = f"A table needs the beginning of one key, {key!r} is that of {len(found)} runs with a table {name}."
        raise ArgumentError(msg)


def _with_point(run: Experiment, table: str) -> pd.DataFrame:
    """Return a recorded table with the parameters and the key of its run before its columns."""
    frame = run.table(table)
    told = {f"param_{name}": value for name, value in run.record.parameters.items()} | {"key": run.record.key}
    columns = {name: [value] * len(frame) for name, value in {"notebook": run.name, **told}.items()}
    return pd.concat([pd.DataFrame(columns, index=frame.index), frame], axis=1)


def _tables(run: Experiment, name: str) -> list[str]:
    """Return the table that is meant by its name or by `<notebook>/<name>`, as a list; [] if the run has none."""
    return [table for table in run.tables if name in (table, f"{run.name}/{table}")]


def load(store: Store) -> Results:
    """Return the tables of a store.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    if not store.exists():
        msg = f"Tables are made of stored runs, {store.root} is not there. Run the suite first: masklib reproduce."
        raise StoreError(msg)
    found = survey(store)
    runs = [experiments[0] for experiments in found.experiments.values()]
    return Results(found, {f"{run.name}/{name}": run for run in runs for name in sorted(run.tables)})


def _verdicts(found: Survey) -> pd.DataFrame:
    """Return a row for each claim that the suite measured, in the order of the ledger, for each Keras and backend."""
    rows = {
        (row["claim"], run.cell): {
            "claim": row["claim"],
            "verdict": row["verdict"],
            "Keras": run.record.keras,
            "backend": run.record.backend,
            "decided by": reason(row),
            "the documents say": load_claims()[row["claim"]].statement,
        }
        for run in found.shown()
        for row in run.claims
    }
    order = {claim: index for index, claim in enumerate(load_claims())}
    ordered = sorted(rows, key=lambda key: order[key[0]])
    columns = ["claim", "verdict", "Keras", "backend", "decided by", "the documents say"]
    return pd.DataFrame([rows[key] for key in ordered], columns=columns)


def select(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return a table with these columns only, all for none.

    Raises:
        ArgumentError: a column is unknown.
    """
    unknown = [column for column in columns if column not in frame]
    if unknown:
        msg = f"A column must be one of {', '.join(map(str, frame))}, got {', '.join(unknown)}."
        raise ArgumentError(msg)
    return frame[list(columns)] if columns else frame


def to_text(frame: pd.DataFrame, format: str) -> str:  # noqa: A002 (as pandas)
    """Return a table as text that ends with a line break.

    Args:
        frame: the table; its index is left out.
        format: "markdown" (with the tables of GitHub), "latex" (with booktabs), "csv" or "html".

    Raises:
        ArgumentError: the format is unknown.
    """
    writers: dict[str, Callable[[pd.DataFrame], str]] = {
        "markdown": _to_markdown,
        "latex": lambda shown: shown.to_latex(index=False, escape=True),
        "csv": lambda shown: shown.to_csv(index=False, lineterminator="\n"),
        "html": lambda shown: shown.to_html(index=False, escape=True, border=0),
    }
    check_one_of("format", format, writers)
    return writers[format](frame if format == "csv" else _shown(frame)).rstrip("\n") + "\n"


def _shown(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose cells are the text that is shown."""
    columns = {name: [_cell(value) for value in frame[name]] for name in frame}
    return pd.DataFrame({_line(name): pd.Series(cells, dtype="object") for name, cells in columns.items()})


def _cell(value: Any) -> str:
    """Return what is shown of a value: nothing of what is missing, six digits of a number."""
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float | np.floating):
        return "NaN" if np.isnan(value) else f"{value:.{DIGITS}g}"
    return _line(value)


def _line(value: Any) -> str:
    """Return a value as one line of text."""
    return " ".join(str(value).split())


def _to_markdown(frame: pd.DataFrame) -> str:
    """Return a table of text as Markdown; what could be markup is escaped."""
    rows = [list(frame), *frame.to_numpy().tolist()]
    lines = ["| " + " | ".join(_MARKUP.sub(r"\\\1", cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(frame.columns), *lines[1:]])


def write(text: str, folder: Path, name: str, format: str) -> Path:  # noqa: A002 (as pandas)
    """Write a table into a folder, which is made if need be, and return the path.

    Args:
        text: from `to_text`.
        folder: of the file.
        name: of the table.
        format: of the text.

    Raises:
        StoreError: the folder is not writable.
    """
    path = folder / f"{name.replace('/', '-').replace('@', '-')}.{SUFFIXES[format]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        msg = f"The table cannot be written to {path}"
        raise store_error(msg, error) from None
    return path
