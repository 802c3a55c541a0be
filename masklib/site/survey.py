"""What a store holds, as the site shows it: a page for the newest run of each experiment, a table for all other runs."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from masklib.claims import recording
from masklib.claims.recording import RECORDS
from masklib.engine.collect import Tables, claim_rows, collect, set_aside
from masklib.engine.committed import newness
from masklib.engine.contents import parse_json
from masklib.engine.declaring import read_parameters
from masklib.engine.files import is_local
from masklib.engine.notebooks import OWN_NOTEBOOKS, PARAMETERS_TAG, notebooks_folder, read_notebook
from masklib.engine.parameters import own_parameters
from masklib.engine.parquet import read_table
from masklib.engine.record import MISFORMED, OK, CorruptError, Record, read_file, read_lines, read_record
from masklib.engine.run import EXECUTED
from masklib.engine.store import Store, notebook_at
from masklib.engine.values import as_json
from masklib.errors import MasklibError, StoreError
from masklib.site.executed import read_executed
from masklib.site.svg import clean_svg

if TYPE_CHECKING:
    from masklib.figures.recipes import Recipe

SHORT = 12  # digits of a key
SUITE = "notebooks"  # its folder, beside that of the runs
MAIN = "tensorflow"  # the backend whose run is an experiment's main page, where there is one
EVIDENCE = re.compile(r"notebook\.ipynb|records\.jsonl|tables/[^/]+\.parquet|figures/[^/]+\.(svg|png|json)")
LONGEST = 100  # characters of a name in that of a file
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

    @property
    def files(self) -> list[str]:
        """The names of the files that are its evidence; a notebook may have left others in its folder."""
        return list(filter(EVIDENCE.fullmatch, self.record.files))

    def read(self, name: str) -> bytes:
        """Return the content of a file of the run, checked.

        Raises:
            CorruptError: the run has no such file, or it was changed since.
        """
        return read_file(self.folder, self.record, name)

    def table(self, name: str) -> pd.DataFrame:
        """Return a recorded table.

        Raises:
            StoreError: the run has none of that name, or it cannot be read.
        """
        file = f"tables/{name}.parquet"
        content = self.read(file)
        try:
            return read_table(content)
        except ValueError as error:
            msg = f"{self.folder / file}: {error}."
            raise StoreError(msg) from None

    @cached_property
    def tables(self) -> list[str]:
        """The names of its recorded tables."""
        return self._names("tables/", ".parquet")

    @cached_property
    def figures(self) -> list[str]:
        """The names of its recorded figures."""
        return list(dict.fromkeys([*self._names("figures/", ".json"), *self.drawings]))

    @property
    def first_figure(self) -> str:
        """The name of the figure that it recorded first; "" for none."""
        return next((str(r["name"]) for r in self.records if r["kind"] == "figure" and r["name"] in self.figures), "")

    @cached_property
    def drawings(self) -> list[str]:
        """The names of the figures that were recorded as SVG, too; masklib did so before 0.2."""
        return self._names("figures/", ".svg")

    def drawing(self, name: str) -> bytes:
        """Return a figure that was recorded as SVG, in which nothing runs or loads.

        Raises:
            StoreError: the run has none of that name, or it is no SVG.
        """
        file = f"figures/{name}.svg"
        try:
            return clean_svg(self.read(file))
        except ValueError as error:
            msg = f"{self.folder / file}: {error}."
            raise StoreError(msg) from None

    def recipe(self, name: str) -> "Recipe | None":
        """Return what a recorded figure is drawn from; None if there is nothing, or nothing that this masklib can read."""
        from masklib.figures.recipes import from_json

        file = f"figures/{name}.json"
        if file not in self.record.files:
            return None
        try:
            found = from_json(parse_json(self.read(file)))
        except MISFORMED:
            return None
        texts = (found.name, found.plot, found.caption, found.alt)
        is_sound = all(isinstance(text, str) for text in texts) and isinstance(found.arguments, dict)
        return found if is_sound and found.name == name else None

    def _names(self, prefix: str, suffix: str) -> list[str]:
        """Return the names of the files of one kind."""
        names = [one.removeprefix(prefix).removesuffix(suffix) for one in self.record.files if one.endswith(suffix)]
        return [name for name in names if f"{prefix}{name}{suffix}" in self.record.files and "/" not in name]

    @cached_property
    def notebook(self) -> Any:
        """Its executed notebook.

        Raises:
            StoreError: it is none.
        """
        node = read_executed(self.folder, self.record)
        if node is None:
            msg = f"{self.folder / EXECUTED} must be a notebook, it cannot be read as one."
            raise StoreError(msg)
        return node

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
        return f"evidence/{slug(self.name)}/{slug(self.record.key[:16])}"

    def metric(self, name: str) -> float | None:
        """Return a number that it recorded, or None."""
        return next((r["value"] for r in self.records if r["kind"] == "metric" and r["name"] == name), None)

    @property
    def answer(self) -> str:
        """The answer that it recorded, as Markdown; "" for none."""
        return recording.answer_of(self.records)


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

    @cached_property
    def has_suite(self) -> bool:
        """Whether it holds a run of masklib's suite, or one that measures its claims."""
        own = {path.stem for path in OWN_NOTEBOOKS.glob("*.ipynb")}
        runs = self.shown()
        return any(run.claims or (run.record.notebook in own and run.record.origin in (None, "", SUITE)) for run in runs)

    def earlier(self, notebook: str) -> int:
        """Return how many runs of a notebook were executed again later, in equal circumstances."""
        total = int((self.tables.runs["notebook"] == notebook).sum())
        return total - len(self.others.get(notebook, ())) - len(self.experiments.get(notebook, ()))

    def points(self) -> Iterator[Experiment]:
        """Yield every run that ended well, those of sweeps too, by notebook and in the order in which they were started."""
        runs = self.tables.runs.assign(folder=self.tables.folders).sort_values(["notebook", "started", "key"], kind="stable")
        ended = runs[runs["status"] == OK]
        places = zip(ended["notebook"], ended["folder"], strict=True)
        found = (_first_readable(self.store, str(name), [str(place)], self.tables.unreadable) for name, place in places)
        return (run for run in found if run)

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
    found = {name: _experiments(store, name, frame, tables.unreadable) for name, frame in notebooks.items()}
    return Survey(store, tables, {name: experiments for name, experiments in found.items() if experiments})


def slug(text: str) -> str:
    """Return a name for files and links, made of letters, digits, dots, dashes and underscores alone."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:LONGEST] or "unnamed"
    return plain if plain == text else f"{plain}-{sha256(text.encode()).hexdigest()[:8]}"


def _experiments(store: Store, name: str, runs: pd.DataFrame, unreadable: list[str]) -> list[Experiment]:
    """Return the newest run of a notebook on each Keras and backend, the main one first."""
    newest_first = runs.sort_values("started", kind="stable")[::-1]
    newest = _first_readable(store, name, list(newest_first["folder"]), unreadable)
    if newest is None:
        return []
    newest_first = newest_first[[store.root / place for place in newest_first["folder"]].index(newest.folder) :]
    chosen = _as_declared(newest, newest_first)
    groups = chosen.groupby(["keras", "backend"], sort=False, dropna=False)
    cells = {(str(keras), str(backend)): list(frame["folder"]) for (keras, backend), frame in groups}
    if chosen.empty:
        cells = {("", ""): list(newest_first["folder"])}
    order = sorted(cells, key=lambda cell: newness(*cell), reverse=True)
    readable = [found for cell in order if (found := _first_readable(store, name, cells[cell], unreadable))]
    return [replace(one, page=f"experiments/{slug(name)}{_suffix(one) if place else ''}") for place, one in enumerate(readable)]


def _suffix(experiment: Experiment) -> str:
    """Return what follows the notebook in the name of a page that is not its main one."""
    return f".{slug(f'keras-{experiment.record.keras}-{experiment.record.backend}')}"


def _first_readable(store: Store, name: str, places: list[str], unreadable: list[str]) -> Experiment | None:
    """Return the first of a notebook's runs that can be shown, None for none; the others are reported in `unreadable`."""
    for place in places:
        folder = store.root / place
        try:
            return _read(name, place, folder)
        except CorruptError as error:
            unreadable += set_aside(store, folder, error)
        except (StoreError, OSError) as error:
            unreadable.append(f"{folder}: left where it is, it cannot be shown: {error}")
    return None


def _as_declared(newest: Experiment, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that are given nothing but what a suite may differ in.

    The notebook is that of the suite, if it is there; else what the newest run was made of.
    """
    path = in_suite(newest.record)
    try:
        declared = own_parameters(read_notebook(path)) if path else read_parameters(parameters_cell(newest.record))
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


def parameters_cell(record: Record) -> str:
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


def _read(name: str, place: str, folder: Path) -> Experiment | None:
    """Return a run with its records, all of which its page needs; None if it has no notebook, as one of an early masklib.

    Raises:
        StoreError: a part of it cannot be read; a CorruptError if it never will be.
    """
    record = replace(read_record(folder), notebook=notebook_at(place.partition("/")[0]))
    lines = read_file(folder, record, RECORDS) if RECORDS in record.files else b""
    found = Experiment(record, read_lines(lines), folder, name, page="")
    if EXECUTED not in record.files:
        return None
    for one in found.files if is_local(folder) else ():  # to look at those of an object store, all would be fetched each time
        found.read(one)
    _ = found.notebook, found.claims, [found.table(one) for one in found.tables], [found.drawing(one) for one in found.drawings]
    return found
