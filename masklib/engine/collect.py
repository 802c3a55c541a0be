"""The tables: `runs`, `claims` and `measurements`, rebuilt from the folders of the runs at any time.

What was read of a folder once is kept in `.rows.jsonl` beside them, so that the next time only new folders are read.
That file is never needed: it is made again if it is damaged, or was made by another version of masklib.
"""

import gc
import io
import json
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from masklib.claims.ledger import NOT_TESTED, Judgement, decide, find_claim, judge
from masklib.claims.recording import CLAIM_KINDS, RECORDS
from masklib.claims.words import REFUTED, UNTESTED
from masklib.engine.files import is_local, make_folder, reason, remove_unfinished, store_error, write_atomically
from masklib.engine.identity import source_hash
from masklib.engine.locks import Lock, acquire
from masklib.engine.naming import tell_apart
from masklib.engine.record import (
    MISFORMED,
    OK,
    CorruptError,
    NewerError,
    Record,
    check_content,
    check_key,
    parse_record,
    read_lines,
)
from masklib.engine.store import Content, Store, notebook_at
from masklib.errors import MasklibError, StoreError

RUNS = ("key", "notebook", "status", "launch", "started", "duration_s", "keras", "backend", "python", "device", "error")
CLAIMS = (
    *("claim", "verdict", "notebook", "key", "keras", "backend", "part", "parts", "refuted_parts"),
    *("untested_parts", "observed", "expected", "tolerance", "deviation", "reason", "started"),
)
MEASUREMENTS = ("key", "notebook", "name", "value", "unit")
CIRCUMSTANCES = ("keras", "backend", "device", "started")  # of a measurement, after its parameters
CACHE = ".rows.jsonl"
LOCK = ".lock"  # held by who writes tables into a folder
LOOK_AGAIN_S, WAIT_S = 0.05, 20.0  # between two looks at it, and in all
_NOTHING = {"observed": None, "expected": None, "atol": float("nan"), "reason": ""}  # of what is untested
_OF_CLAIM = tuple(name for name in CLAIMS if name not in RUNS)
_DTYPES = {"parts": "Int64", "refuted_parts": "Int64", "untested_parts": "Int64", "duration_s": "Float64"}
_DTYPES |= dict.fromkeys(("tolerance", "deviation", "value"), "float64")
_CORRUPT = (MasklibError, *MISFORMED)
_LARGEST = {int: 2**63 - 1, float: 2**53}  # integers that a column of the type holds exactly


@dataclass(frozen=True)
class Tables:
    """The collected tables, and what could not be read.

    Attributes:
        runs: a row a run or failed attempt; parameters as `param_<name>`. Two notebooks of one name have their folder before it.
        claims: a row a claim and run that ended well; `observed` and `expected` as JSON, of the part that decides.
        measurements: a row a metric of a run that ended well; parameters as `param_<name>`, then Keras, backend and device.
        unreadable: folders that could not be read and were set aside, with the reason.
        folders: of each row of `runs`, below the root of the store.
    """

    runs: pd.DataFrame
    claims: pd.DataFrame
    measurements: pd.DataFrame
    unreadable: list[str]
    folders: list[str] = field(default_factory=list)

    def _repr_html_(self) -> str:
        """Return what a notebook shows of the tables: how long they are, and what could not be read."""
        rows = [
            f"<tr><th>{name}</th><td>{len(getattr(self, name))} rows</td></tr>" for name in ("runs", "claims", "measurements")
        ]
        rows += [f"<tr><th>set aside</th><td>{escape(note)}</td></tr>" for note in self.unreadable]
        return f"<table>{''.join(rows)}</table>"

    def write(self, folder: Path) -> None:
        """Write each table as Parquet and as CSV, whole or not at all.

        Raises:
            StoreError: the folder is not writable, or the disk is full.
        """
        try:
            make_folder(folder)
            with _only_writer(folder):
                for name in ("runs", "claims", "measurements"):
                    frame: pd.DataFrame = getattr(self, name)
                    buffer = io.BytesIO()
                    frame.to_parquet(buffer, index=False)
                    write_atomically(folder / f"{name}.parquet", buffer.getvalue())
                    write_atomically(folder / f"{name}.csv", frame.to_csv(index=False).encode())
        except OSError as error:
            msg = f"The tables cannot be written to {folder}"
            raise store_error(msg, error) from None


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Wait until no other process writes into a folder, and remove what one that was killed left there.

    One that is stopped is not waited for longer than `WAIT_S`: files are written whole or not at all, whoever else writes.
    """
    lock, until = None, time.monotonic() + WAIT_S
    if is_local(folder):  # an object is written whole or not at all
        while not (lock := acquire(folder / LOCK)) and time.monotonic() < until:
            time.sleep(LOOK_AGAIN_S)
    with lock or Lock():
        if lock:
            remove_unfinished(folder)
        yield


class Row(NamedTuple):
    """What the tables need of one folder; as JSON, a line of the cache.

    Attributes:
        name: of the folder, below the root of the store, and `stamp`, which shows whether it is still the same one.
        run: the values of `RUNS`.
        parameters: by name; a list or dict as JSON.
        claims: for each claim, the values of `CLAIMS` that are not those of the run.
        metrics: name, value and unit of each.
        origin: the folder of the notebook; see `masklib.engine.record.Record`.
    """

    name: str
    stamp: str
    run: list[Any]
    parameters: dict[str, Any]
    claims: list[list[Any]]
    metrics: list[list[Any]]
    origin: str | None


@contextmanager
def _without_collector() -> Iterator[None]:
    """Let the collector of reference circles rest: it would walk through millions of new values that are in none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_without_collector()
def collect(store: Store) -> Tables:
    """Return the tables of every run in the store; a folder that cannot be read is set aside, never dropped silently.

    Args:
        store: of the runs; need not be writable.

    Returns:
        The same tables whatever was read before, and in whichever order the runs were made.

    Raises:
        StoreError: the store cannot be listed.
    """
    cache = store.root / CACHE
    entries = store.entries()
    known = _load(cache)
    rows = {e.name: known[e.name] for e in entries if e.name in known and known[e.name].stamp == e.stamp}
    new = [entry for entry in entries if entry.name not in rows]
    unreadable: list[str] = []
    for content in store.contents(new):
        row = _read(store, content, unreadable)
        if row:
            rows[row.name] = row
    found = [rows[entry.name] for entry in entries if entry.name in rows]
    if new or len(known) != len(found):
        _save(cache, found)
    named = _tell_apart(found)
    return Tables(_runs(named), _claims(named), _measurements(named), unreadable, [row.name for row in named])


def _tell_apart(rows: Sequence[Row]) -> list[Row]:
    """Return rows in which two notebooks of one name have different ones."""
    place = RUNS.index("notebook")
    names = tell_apart((row.run[place], row.origin) for row in rows)
    labels = [names[row.run[place], row.origin] for row in rows]
    return [row._replace(run=[*row.run[:place], label, *row.run[place + 1 :]]) for row, label in zip(rows, labels, strict=True)]


def _read(store: Store, content: Content, unreadable: list[str]) -> Row | None:
    """Return the row of a folder; one that cannot be read is reported in `unreadable`, and set aside if it never will be."""
    folder = store.root / content.entry.name
    if isinstance(content.error, ValueError):
        unreadable += set_aside(store, folder, content.error)
        return None
    if content.error:
        unreadable.append(f"{folder}: left where it is, it cannot be read now: {reason(content.error)}.")
        return None
    try:
        return _extract(folder, content)
    except NewerError as error:
        unreadable.append(f"{folder}: left where it is: {error}")
        return None
    except _CORRUPT as error:
        unreadable += set_aside(store, folder, error)
        return None


def set_aside(store: Store, folder: Path, error: Exception) -> list[str]:
    """Set a folder aside; return the note that says so, none if the folder is gone."""
    try:
        aside = store.set_aside(folder)
    except StoreError as failure:
        return [f"{failure} {error}"]
    return [f"{aside}: {error}"] if aside else []


def _extract(folder: Path, content: Content) -> Row:
    """Return what the tables need of a folder; all else that it holds, such as the cells' source, is dropped here."""
    if content.record is None:
        msg = f"{folder} must hold record.json."
        raise CorruptError(msg)
    record = _read_entry(content, folder)
    if content.entry.published:
        check_content(folder, record, RECORDS, content.lines)
    records = read_lines(content.lines) if record.status == OK else []
    return Row(
        content.entry.name,
        content.entry.stamp,
        run=_run_values(record),
        parameters={
            name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in record.parameters.items()
        },
        claims=[[row[name] for name in _OF_CLAIM] for row in claim_rows(record, records)],
        metrics=[[r["name"], float(r["value"]), r["unit"]] for r in records if r["kind"] == "metric"],
        origin=record.origin,
    )


def _read_entry(content: Content, folder: Path) -> Record:
    """Return the record of a folder; its notebook is the one that the store has it under, whatever it was called once.

    Raises:
        CorruptError: it is none, or that of another run.
        NewerError: a later masklib wrote it.
    """
    record = parse_record(content.record or b"", folder)
    check_key(record, folder.name)
    if content.entry.published != (record.status == OK):
        msg = f"{folder} must hold a run of another status, its record says {record.status}."
        raise CorruptError(msg)
    notebook = notebook_at(content.entry.name.partition("/")[0])
    notebook.encode()  # the name of a folder may be no Unicode, which no table could hold
    return replace(record, notebook=notebook)


def claim_rows(record: Record, records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each claim of a run, judged now from what was recorded.

    The row shows the part that decides; see `masklib.claims.ledger.decide`.

    Raises:
        ClaimError: a claim is not in the ledger or cannot be judged.
    """
    parts: dict[str, list[dict[str, Any]]] = {}
    for line in records:
        if line["kind"] in CLAIM_KINDS:
            find_claim(line["claim"])
            parts.setdefault(line["claim"], []).append({**_NOTHING, **line, "judgement": _judge(line)})
    return [_claim_row(record, claim, found) for claim, found in parts.items()]


def _judge(line: Mapping[str, Any]) -> Judgement:
    """Return the judgement of a record of a part of a claim."""
    return judge(line["observed"], line["expected"], line["atol"]) if line["kind"] == "claim" else NOT_TESTED


def _claim_row(record: Record, claim: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of one claim of a run."""
    verdict, index = decide([part["judgement"] for part in parts])
    deciding = parts[index]
    return {
        "claim": claim,
        "verdict": verdict,
        "notebook": record.notebook,
        "key": record.key,
        "keras": record.keras,
        "backend": record.backend,
        "part": deciding["part"],
        "parts": len(parts),
        "refuted_parts": sum(part["judgement"].verdict == REFUTED for part in parts),
        "untested_parts": sum(part["judgement"].verdict == UNTESTED for part in parts),
        "observed": json.dumps(deciding["observed"]),
        "expected": json.dumps(deciding["expected"]),
        "tolerance": deciding["atol"],
        "deviation": deciding["judgement"].deviation,
        "reason": next((part["reason"] for part in parts if part["reason"]), ""),
        "started": record.started,
    }


def _run_values(record: Record) -> list[Any]:
    """Return the values of `RUNS` for one run."""
    error = record.error
    told = f"{error.ename}: {error.evalue}" if error else None
    computer = (record.keras, record.backend, record.inputs["python"], record.inputs["device"])
    return [record.key, record.notebook, record.status, record.launch, record.started, float(record.duration_s), *computer, told]


def _runs(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the table of the runs."""
    return pd.concat([_of_runs(rows, RUNS), _parameters(rows)], axis=1)


def _claims(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the table of the claims."""
    rows, owners = _repeated(rows, [row.claims for row in rows])
    shared = _of_runs(rows, [name for name in CLAIMS if name in RUNS]).take(owners).reset_index(drop=True)
    own = _columns(_OF_CLAIM, [claim for row in rows for claim in row.claims])
    return pd.concat([shared, own], axis=1)[list(CLAIMS)]


def _measurements(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the table of the measurements."""
    rows, owners = _repeated(rows, [row.metrics for row in rows])
    parameters = _parameters(rows)
    shared = pd.concat([_of_runs(rows, ["key", "notebook", *CIRCUMSTANCES]), parameters], axis=1)
    own = _columns(("name", "value", "unit"), [metric for row in rows for metric in row.metrics])
    table = pd.concat([shared.take(owners).reset_index(drop=True), own], axis=1)
    return table[[*MEASUREMENTS, *parameters, *CIRCUMSTANCES]]


def _repeated(rows: Sequence[Row], items: Sequence[Sequence[Any]]) -> "tuple[list[Row], np.ndarray[Any, np.dtype[np.intp]]]":
    """Return the rows that have items, and for each item the index of its row among them."""
    kept = [row for row, of_row in zip(rows, items, strict=True) if of_row]
    return kept, np.repeat(np.arange(len(kept)), [len(of_row) for of_row in items if of_row])


def _of_runs(rows: Sequence[Row], names: Sequence[str]) -> pd.DataFrame:
    """Return columns of `RUNS`."""
    places = [RUNS.index(name) for name in names]
    return _columns(names, [[row.run[place] for place in places] for row in rows])


def _columns(names: Sequence[str], values: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return a table of rows of values, each column of its type whatever rows there are."""
    columns = {name: [row[place] for row in values] for place, name in enumerate(names)}
    return pd.DataFrame({name: pd.Series(column, dtype=_DTYPES.get(name, "string")) for name, column in columns.items()})


def _parameters(rows: Sequence[Row]) -> pd.DataFrame:
    """Return a typed column `param_<name>` for each parameter that a row has."""
    names = sorted({name for row in rows for name in row.parameters})
    return pd.DataFrame({f"param_{name}": _typed([row.parameters.get(name) for row in rows]) for name in names})


def _typed(values: list[Any]) -> "pd.Series[Any]":
    """Return a column of the type of its values; text where they differ. None is a notebook without the parameter."""
    dtype = _dtype([value for value in values if value is not None])
    if dtype == "string":
        values = [value if value is None else str(value) for value in values]
    return pd.Series(values, dtype=dtype)


def _dtype(values: list[Any]) -> str:
    """Return the type of a column that holds `values` exactly."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "boolean"
    if not kinds or not kinds <= {int, float}:
        return "string"
    kind = float if float in kinds else int
    if any(abs(value) > _LARGEST[kind] for value in values if isinstance(value, int)):
        return "string"
    return "float64" if kind is float else "Int64"


def _load(cache: Path) -> dict[str, Row]:
    """Return the rows of the cache by the folder's name; {} if it is missing, damaged, or of another version of masklib."""
    try:
        header, _, body = cache.read_bytes().partition(b"\n")
        if json.loads(header) != _header(body):
            return {}
        return {row.name: row for row in (Row(*json.loads(line)) for line in body.splitlines())}
    except Exception:  # whatever it is, the rows can be read again
        return {}


def _save(cache: Path, rows: Iterable[Row]) -> None:
    """Write the cache; where the store is not writable, there is none."""
    body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    with suppress(Exception), _only_writer(cache.parent):  # read-only, full, or out of reach: the tables are right without it
        write_atomically(cache, json.dumps(_header(body)).encode() + b"\n" + body)


def _header(body: bytes) -> dict[str, Any]:
    """Return the first line of the cache: what its rows were made by, and a sum that shows damage."""
    return {"source": source_hash(), "crc32": zlib.crc32(body)}
