"""The tables: `runs`, `claims` and `measurements`, rebuilt from the folders of the runs at any time."""

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from masklib import recording
from masklib.engine.store import OK, Record, Store, read_record, write_atomically
from masklib.errors import MasklibError
from masklib.ledger import REFUTED, decide, find_claim, judge

RUNS = ("key", "notebook", "status", "launch", "started", "duration_s", "keras", "backend", "python", "device", "error")
CLAIMS = (
    *("claim", "verdict", "notebook", "key", "keras", "backend", "part", "parts", "refuted_parts"),
    *("observed", "expected", "tolerance", "deviation", "started"),
)
MEASUREMENTS = ("key", "notebook", "name", "value", "unit")
_INTEGERS = ("parts", "refuted_parts")
_FLOATS = ("duration_s", "tolerance", "deviation", "value")


@dataclass(frozen=True)
class Tables:
    """The collected tables, and what could not be read.

    Attributes:
        runs: a row a run or failed attempt; parameters as `param_<name>`.
        claims: a row a claim and run that ended well; `observed` and `expected` as JSON, of the part that decides.
        measurements: a row a metric of a run that ended well; parameters as `param_<name>`.
        unreadable: folders that were set aside, with the reason.
    """

    runs: pd.DataFrame
    claims: pd.DataFrame
    measurements: pd.DataFrame
    unreadable: list[str]

    def write(self, folder: Path) -> None:
        """Write each table as Parquet and as CSV, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("runs", "claims", "measurements"):
            frame: pd.DataFrame = getattr(self, name)
            buffer = io.BytesIO()
            frame.to_parquet(buffer, index=False)
            write_atomically(folder / f"{name}.parquet", buffer.getvalue())
            write_atomically(folder / f"{name}.csv", frame.to_csv(index=False).encode())


def collect(store: Store) -> Tables:
    """Return the tables of every run in the store; a folder that cannot be read is set aside, never dropped silently."""
    runs: list[dict[str, Any]] = []
    claims: list[dict[str, Any]] = []
    measurements: list[dict[str, Any]] = []
    unreadable: list[str] = []
    for folder in [*store.runs(), *store.attempts()]:
        try:
            record = read_record(folder)
            records = recording.read(folder) if record.status == OK else []
            claims += claim_rows(record, records)
        except (MasklibError, ValueError, KeyError) as error:
            unreadable.append(f"{store.set_aside(folder)}: {error}")
            continue
        runs.append(_run_row(record))
        measurements += _measurement_rows(record, records)
    tables = (_frame(runs, RUNS), _frame(claims, CLAIMS), _frame(measurements, MEASUREMENTS))
    return Tables(*tables, unreadable)


def claim_rows(record: Record, records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each claim of a run, judged now from what was recorded.

    The row shows the part that decides; see `masklib.ledger.decide`.

    Raises:
        ClaimError: a claim is not in the ledger or cannot be judged.
    """
    parts: dict[str, list[dict[str, Any]]] = {}
    for line in records:
        if line["kind"] == "claim":
            find_claim(line["claim"])
            judgement = judge(line["observed"], line["expected"], line["atol"])
            parts.setdefault(line["claim"], []).append({**line, "judgement": judgement})
    return [_claim_row(record, claim, found) for claim, found in parts.items()]


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
        "observed": json.dumps(deciding["observed"]),
        "expected": json.dumps(deciding["expected"]),
        "tolerance": deciding["atol"],
        "deviation": deciding["judgement"].deviation,
        "started": record.started,
    }


def _run_row(record: Record) -> dict[str, Any]:
    """Return the row of one run."""
    error = record.error
    return {
        "key": record.key,
        "notebook": record.notebook,
        "status": record.status,
        "launch": record.launch,
        "started": record.started,
        "duration_s": record.duration_s,
        "keras": record.keras,
        "backend": record.backend,
        "python": record.inputs["python"],
        "device": record.inputs["device"],
        "error": f"{error['ename']}: {error['evalue']}" if error else None,
        **_parameter_columns(record),
    }


def _measurement_rows(record: Record, records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each metric of a run."""
    columns = _parameter_columns(record)
    return [
        {
            "key": record.key,
            "notebook": record.notebook,
            "name": r["name"],
            "value": r["value"],
            "unit": r["unit"],
            **columns,
        }
        for r in records
        if r["kind"] == "metric"
    ]


def _parameter_columns(record: Record) -> dict[str, Any]:
    """Return the parameters as table cells: a list as JSON."""
    values = record.parameters.items()
    return {f"param_{name}": json.dumps(value) if isinstance(value, list) else value for name, value in values}


def _frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    """Return a table with `columns` first, and every column of one type whatever rows there are."""
    parameters = sorted({name for row in rows for name in row} - set(columns))
    frame = pd.DataFrame(rows, columns=pd.Index([*columns, *parameters]))
    return frame.astype({name: _dtype(name, frame[name]) for name in frame.columns})


def _dtype(name: str, column: "pd.Series[Any]") -> str:
    """Return the type of a column: that of its values if they agree, else text."""
    if name in _INTEGERS:
        return "Int64"
    if name in _FLOATS:
        return "Float64" if name == "duration_s" else "float64"
    if not name.startswith("param_"):
        return "string"
    kinds = {type(value) for value in column.dropna()}
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "Int64"
    return "float64" if kinds and kinds <= {int, float} else "string"
