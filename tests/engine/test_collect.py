"""The tables are what the folders of the runs say, judged anew each time."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from masklib.engine.collect import Tables, collect
from masklib.engine.store import FAILED, OK, Record, Store

INPUTS = {
    "parameters": {"seed": ["int", 0], "cell": ["str", "gru"], "rate": ["float", 0.5], "lengths": ["list", [1, 2]]},
    "versions": {"keras": "3.15.1"},
    "settings": {"KERAS_BACKEND": "tensorflow"},
    "python": "CPython 3.11.7",
    "device": "cpu",
}
RECORD = Record("nb", "a" * 64, OK, INPUTS, launch="spawn", started="2026-01-01T00:00:00+00:00", duration_s=2.0)


def claim(claim: str, observed: Any, expected: Any, part: str = "", atol: float = 0.0) -> dict[str, Any]:
    return {"kind": "claim", "claim": claim, "part": part, "observed": observed, "expected": expected, "atol": atol}


LINES = [
    {"kind": "metric", "name": "m", "value": 1.5, "unit": "s"},
    claim("emb-1", 1.0, 1.0, "first"),
    claim("emb-1", 1.0, 1.25, "second", 0.5),
    claim("emb-2", 1.0, 1.0, "first"),
    claim("emb-2", 1.0, 3.0, "second"),
    claim("emb-2", "ValueError", 1.0, "third"),
]


def publish(store: Store, lines: list[dict[str, Any]], record: Record = RECORD) -> Path:
    work = store.begin(record)
    (work / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return store.finish(work, record)


def assert_equal(left: Tables, right: Tables) -> None:
    for name in ("runs", "claims", "measurements"):
        pd.testing.assert_frame_equal(getattr(left, name), getattr(right, name))


def test_a_claim_holds_if_every_part_holds(store: Store):
    publish(store, LINES)
    rows = collect(store).claims.set_index("claim")

    assert rows["verdict"].to_dict() == {"emb-1": "holds", "emb-2": "refuted"}
    assert rows["part"].to_dict() == {"emb-1": "second", "emb-2": "second"}
    assert rows.loc["emb-2", ["parts", "refuted_parts", "observed", "expected", "deviation"]].to_list() == [
        3,
        2,
        "1.0",
        "3.0",
        2.0,
    ]
    assert rows.loc["emb-1", ["keras", "backend", "notebook", "key"]].to_list() == ["3.15.1", "tensorflow", "nb", RECORD.key]


def test_a_verdict_written_into_a_record_counts_nothing(store: Store):
    publish(store, [{**claim("emb-1", 1.0, 2.0), "verdict": "holds"}])
    assert collect(store).claims["verdict"].to_list() == ["refuted"]


def test_the_tables_have_the_promised_columns(store: Store):
    publish(store, LINES)
    tables = collect(store)

    assert {"claim", "verdict", "notebook", "key", "keras", "backend", "observed", "expected", "tolerance"} <= {*tables.claims}
    assert {"key", "notebook", "status", "launch", "duration_s", "keras", "backend", "param_seed", "param_cell"} <= {*tables.runs}
    assert {"key", "name", "value", "unit", "param_seed", "param_cell"} <= {*tables.measurements}
    types = {name: str(dtype) for name, dtype in tables.runs.dtypes.items() if str(name).startswith("param_")}
    assert types == {"param_seed": "Int64", "param_cell": "string", "param_rate": "float64", "param_lengths": "string"}
    assert tables.measurements[["name", "value", "unit"]].to_numpy().tolist() == [["m", 1.5, "s"]]


def test_a_failed_run_is_a_row_with_its_reason_and_no_result(store: Store):
    failed = replace(RECORD, status=FAILED, error={"ename": "ValueError", "evalue": "too wide"})
    publish(store, LINES, failed)
    tables = collect(store)

    assert tables.runs[["status", "error"]].to_numpy().tolist() == [["failed", "ValueError: too wide"]]
    assert (len(tables.claims), len(tables.measurements)) == (0, 0)


def test_an_empty_store_gives_empty_tables_of_the_same_columns(store: Store, tmp_path: Path):
    tables = collect(store)
    tables.write(tmp_path / "tables")
    assert len(pd.read_parquet(tmp_path / "tables" / "claims.parquet")) == 0
    assert list(pd.read_csv(tmp_path / "tables" / "runs.csv")) == list(tables.runs)


def test_written_tables_read_back_equal_and_rebuilt_ones_are_the_same(store: Store, tmp_path: Path):
    publish(store, LINES)
    publish(store, LINES[:2], replace(RECORD, key="b" * 64, inputs={**INPUTS, "parameters": {"seed": ["str", "x"]}}))
    tables = collect(store)
    tables.write(tmp_path / "tables")

    assert_equal(collect(store), tables)
    for name in ("runs", "claims", "measurements"):
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "tables" / f"{name}.parquet"), getattr(tables, name))
        assert len(pd.read_csv(tmp_path / "tables" / f"{name}.csv")) == len(getattr(tables, name))
    assert str(tables.runs.dtypes["param_seed"]) == "string"


@pytest.mark.parametrize(
    "line",
    ['{"kind": "claim"', '{"kind": "claim", "claim": "nope-1", "observed": 1, "expected": 1, "atol": 0, "part": ""}', "{}"],
)
def test_what_cannot_be_read_is_set_aside_and_told_and_the_rest_collected(store: Store, line: str):
    bad = publish(store, LINES)
    (bad / "records.jsonl").write_text(line + "\n")
    publish(store, LINES, replace(RECORD, key="b" * 64))
    tables = collect(store)

    assert tables.runs["key"].to_list() == ["b" * 64]
    assert len(tables.unreadable) == 1
    assert "corrupt" in tables.unreadable[0]
    assert not bad.exists()
