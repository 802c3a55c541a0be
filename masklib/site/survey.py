"""What a store holds, as the site shows it: a page for the newest run of each experiment, a table for all other runs."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from masklib.claims import recording
from masklib.engine.collect import Tables, claim_rows, collect
from masklib.engine.declaring import read_parameters
from masklib.engine.notebooks import PARAMETERS_TAG, notebooks_folder, read_notebook
from masklib.engine.parameters import own_parameters
from masklib.engine.record import OK, Record, parse_record
from masklib.engine.run import EXECUTED
from masklib.engine.store import RECORD, Store
from masklib.engine.values import as_json
from masklib.errors import MasklibError

SHORT = 12  # digits of a key
SUITE = "notebooks"  # its folder, beside that of the runs
MAIN = "tensorflow"  # the backend whose run is an experiment's main page, where there is one
CIRCUMSTANCES = ("environment", "backend", "profile")  # parameters in which the runs of the suite may differ


@dataclass(frozen=True)
class Experiment:
    """A run that has a page of its own.

    Attributes:
        record: of the run.
        records: what it recorded.
        folder: of the run, local or of an object store.
        name: of its notebook, as the tables have it.
        page: the name of its page in the site, such as "experiments/02_rnn_carry_over".
    """

    record: Record
    records: list[dict[str, Any]]
    folder: Path
    name: str
    page: str

    @cached_property
    def claims(self) -> list[dict[str, Any]]:
        """Its claims, judged now."""
        return claim_rows(self.record, self.records)

    @property
    def short_key(self) -> str:
        """The beginning of its key, which names it among the runs of its notebook."""
        return self.record.key[:SHORT]

    @property
    def cell(self) -> tuple[str, str]:
        """The Keras and the backend."""
        return self.record.keras, self.record.backend

    @property
    def evidence(self) -> str:
        """The folder of the site that holds its files."""
        return f"evidence/{slug(self.name)}/{self.record.key[:16]}"

    def metric(self, name: str) -> float | None:
        """Return a number that it recorded, or None."""
        return next((r["value"] for r in self.records if r["kind"] == "metric" and r["name"] == name), None)


@dataclass(frozen=True)
class Survey:
    """Everything that the site shows of a store.

    Attributes:
        store: the store itself.
        tables: the collected tables.
        experiments: by notebook, the main one first.
    """

    store: Store
    tables: Tables
    experiments: dict[str, list[Experiment]]

    @cached_property
    def others(self) -> dict[str, pd.DataFrame]:
        """The runs without a page, by notebook: sweeps and failed attempts; of equal circumstances the newest run alone."""
        paged = {experiment.record.key for experiment in self.shown()}
        runs = self.tables.runs.sort_values("started", kind="stable")
        parameters = [column for column in map(str, runs) if column.startswith("param_")]
        newest = runs.drop_duplicates(["notebook", "keras", "backend", "device", *parameters], keep="last")
        rest = newest[~(newest["key"].isin(paged) & (newest["status"] == OK))]
        return {str(name): frame for name, frame in rest.groupby("notebook", sort=True)}

    def earlier(self, notebook: str) -> int:
        """Return how many runs of a notebook were executed again later, in equal circumstances."""
        total = int((self.tables.runs["notebook"] == notebook).sum())
        return total - len(self.others.get(notebook, ())) - len(self.experiments.get(notebook, ()))

    def points(self) -> Iterator[Experiment]:
        """Yield every run that ended well, those of sweeps too, by notebook and in the order in which they were started."""
        runs = self.tables.runs.assign(folder=self.tables.folders).sort_values(["notebook", "started", "key"], kind="stable")
        ended = runs[runs["status"] == OK]
        return (_read(self.store, str(name), str(place)) for name, place in zip(ended["notebook"], ended["folder"], strict=True))

    def shown(self) -> Iterator[Experiment]:
        """Yield every experiment that has a page."""
        return (experiment for found in self.experiments.values() for experiment in found)


def survey(store: Store) -> Survey:
    """Return what the site shows of `store`.

    Raises:
        StoreError: the store cannot be read.
    """
    tables = collect(store)
    ended = tables.runs.assign(folder=tables.folders)[tables.runs["status"] == OK]
    notebooks = {str(name): frame for name, frame in ended.groupby("notebook", sort=True)}
    found = {name: _experiments(store, name, frame) for name, frame in notebooks.items()}
    return Survey(store, tables, {name: experiments for name, experiments in found.items() if experiments})


def slug(text: str) -> str:
    """Return a name for files and links, made of letters, digits, dots, dashes and underscores alone."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "unnamed"
    return plain if plain == text else f"{plain}-{sha256(text.encode()).hexdigest()[:8]}"


def version_key(version: str) -> tuple[int, ...]:
    """Return a version so that it can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _experiments(store: Store, name: str, runs: pd.DataFrame) -> list[Experiment]:
    """Return the newest run of a notebook on each Keras and backend, the main one first."""
    runs = runs.sort_values("started", kind="stable")
    chosen = _as_declared(_read(store, name, str(runs["folder"].iloc[-1])), runs)
    if chosen.empty:
        chosen = runs.tail(1)
    newest = chosen.drop_duplicates(["keras", "backend"], keep="last")
    cells = sorted(
        zip(newest["keras"], newest["backend"], newest["folder"], strict=True),
        key=lambda row: (version_key(row[0]), row[1] == MAIN, row[1]),
        reverse=True,
    )
    suffixes = ["", *(f".{slug(f'keras-{keras}-{backend}')}" for keras, backend, _ in cells[1:])]
    found = [_read(store, name, folder, suffix) for (_, _, folder), suffix in zip(cells, suffixes, strict=True)]
    return [experiment for experiment in found if EXECUTED in experiment.record.files]


def _as_declared(newest: Experiment, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that are given nothing but what a suite may differ in.

    The notebook is that of the suite, if it is there; else what the newest run was made of.
    """
    path = in_suite(newest.record)
    try:
        declared = own_parameters(read_notebook(path)) if path else read_parameters(_parameters_cell(newest.record))
    except (MasklibError, LookupError, TypeError, ValueError):
        return runs.iloc[:0]
    fits = pd.Series(True, index=runs.index)
    for parameter in declared:
        column = f"param_{parameter.name}"
        if parameter.name not in CIRCUMSTANCES and not parameter.required and column in runs:
            fits &= _equal(runs[column], as_json(parameter.default))
    return runs[fits]


def in_suite(record: Record) -> Path | None:
    """Return the notebook of the suite that a run is of; None for the notebooks of others."""
    if record.origin not in (None, "", SUITE):
        return None
    return next((path for path in notebooks_folder().glob("*.ipynb") if path.stem == record.notebook), None)


def _parameters_cell(record: Record) -> str:
    """Return the parameters cell of the notebook that a run executed, "" if it had none."""
    return next((str(source) for source, tags in record.inputs["cells"] if PARAMETERS_TAG in tags), "")


def _equal(column: "pd.Series[Any]", value: Any) -> "pd.Series[bool]":
    """Return where a column of the runs holds a parameter's value."""
    if value is None:  # the default, or nothing where the notebook computes it
        return column.isna()
    if column.dtype == "string":
        value = json.dumps(value) if isinstance(value, list | dict) else str(value)
    same: pd.Series[bool] = (column == value).fillna(False).astype(bool)
    return same


def _read(store: Store, name: str, place: str, suffix: str = "") -> Experiment:
    """Return a run with its records."""
    folder = store.root / place
    record = parse_record((folder / RECORD).read_bytes(), folder)
    return Experiment(record, recording.read(folder), folder, name, f"experiments/{slug(name)}{suffix}")
