"""The tables are what the folders of the runs say, judged again each time."""

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from masklib.claims.verdicts import reason
from masklib.engine import collect as module
from masklib.engine.collect import CACHE, Tables, collect
from masklib.engine.record import Failure
from masklib.engine.store import FAILED, OK, Content, Record, Store
from masklib.errors import StoreError
from tests.stores import read_anew, read_by

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


def untested(claim: str, part: str = "") -> dict[str, Any]:
    return {"kind": "untested", "claim": claim, "part": part, "reason": f"No {claim} here."}


def test_what_was_not_tested_neither_holds_nor_is_refuted(store: Store):
    lines = [
        untested("emb-1"),
        claim("emb-2", 1.0, 1.0, "p"),
        untested("emb-2", "q"),
        claim("emb-3", 1, 2),
        untested("emb-3", "q"),
    ]
    publish(store, lines)
    rows = collect(store).claims.set_index("claim")

    assert rows["verdict"].to_dict() == {"emb-1": "untested", "emb-2": "holds", "emb-3": "refuted"}
    assert rows["untested_parts"].to_list() == [1, 1, 1]
    assert rows["reason"].to_list() == ["No emb-1 here.", "No emb-2 here.", "No emb-3 here."]
    assert [reason(row) for row in rows.to_dict("records")][:2] == ["No emb-1 here.", "1 of 2 parts hold, 1 untested"]
    assert_equal(collect(store), read_anew(store)[0])


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
    failed = replace(RECORD, status=FAILED, error=Failure(FAILED, "ValueError", "too wide"))
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
def test_what_cannot_be_read_is_set_aside_and_reported_and_the_rest_collected(store: Store, line: str):
    bad = publish(store, LINES)
    (bad / "records.jsonl").write_text(line + "\n")
    publish(store, LINES, replace(RECORD, key="b" * 64))
    tables = collect(store)

    assert tables.runs["key"].to_list() == ["b" * 64]
    assert len(tables.unreadable) == 1
    assert "corrupt" in tables.unreadable[0]
    assert not bad.exists()


def keyed(letter: str, **parameters: Any) -> Record:
    """The record of another run, with other parameters."""
    typed = {name: [type(value).__name__, value] for name, value in parameters.items()}
    return replace(RECORD, key=letter * 64, inputs={**INPUTS, "parameters": typed or INPUTS["parameters"]})


def test_tables_made_step_by_step_equal_rebuilt_ones(store: Store):
    folders = [publish(store, LINES, keyed(letter)) for letter in "abc"]
    assert read_by(store)[1] == 3

    publish(store, LINES[:1], keyed("d", seed=1))
    publish(store, LINES, replace(RECORD, status=FAILED, error=Failure(FAILED, "E", "x")))
    shutil.rmtree(folders[0])
    store.set_aside(folders[1])
    tables, n_read = read_by(store)
    assert n_read == 2
    assert tables.runs["key"].str[0].to_list() == ["c", "d", "a"]

    rebuilt, n_read = read_anew(store)
    assert n_read == 3
    assert_equal(tables, rebuilt)
    assert_equal(read_by(store)[0], rebuilt)
    assert read_by(store)[1] == 0


def test_nothing_is_written_if_nothing_is_new(store: Store):
    publish(store, LINES)
    collect(store)
    cache = store.root / ".rows.jsonl"
    before = cache.stat().st_ino
    collect(store)
    assert cache.stat().st_ino == before


def test_a_run_that_was_published_again_is_read_again(store: Store):
    folder = publish(store, LINES)
    collect(store)
    shutil.move(folder, store.root.parent / "elsewhere")
    publish(store, LINES[:2])
    assert collect(store).claims["claim"].to_list() == ["emb-1"]


@pytest.mark.parametrize("file", ["record.json", "records.jsonl"])
def test_a_run_that_was_damaged_later_is_set_aside(store: Store, file: str):
    folder = publish(store, LINES)
    collect(store)
    (folder / file).write_text("{")
    tables = collect(store)
    assert (len(tables.runs), len(tables.unreadable), folder.exists()) == (0, 1, False)


def test_another_version_of_masklib_reads_every_run_again(store: Store, monkeypatch: pytest.MonkeyPatch):
    publish(store, LINES)
    collect(store)
    monkeypatch.setattr(module, "source_hash", lambda: "another")
    assert read_by(store)[1] == 1
    assert read_by(store)[1] == 0


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-9], lambda b: b.replace(b"gru", b"lru"), lambda b: b"\xff" + b])
def test_a_damaged_cache_is_made_again(store: Store, damage: Any):
    publish(store, LINES)
    expected = collect(store)
    cache = store.root / ".rows.jsonl"
    cache.write_bytes(damage(cache.read_bytes()))

    tables, n_read = read_by(store)

    assert n_read == 1
    assert_equal(tables, expected)
    assert read_by(store)[1] == 0


def test_the_cache_does_not_hold_the_source_of_the_notebooks(store: Store):
    publish(store, LINES, replace(RECORD, inputs={**INPUTS, "cells": [["the source", []]]}))
    collect(store)
    assert b"the source" not in (store.root / ".rows.jsonl").read_bytes()


def test_a_store_that_cannot_be_written_is_collected(store: Store, monkeypatch: pytest.MonkeyPatch):
    publish(store, LINES)
    (publish(store, LINES, keyed("b")) / "records.jsonl").write_text("{")

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(module, "write_atomically", refuse)
    tables = collect(store)

    assert tables.runs["key"].to_list() == [RECORD.key]
    assert len(tables.unreadable) == 1
    assert "cannot be set aside: Read-only file system" in tables.unreadable[0]
    assert not (store.root / ".rows.jsonl").exists()


def test_tables_that_cannot_be_written_are_reported(store: Store, tmp_path: Path):
    publish(store, LINES)
    (tmp_path / "tables").write_text("a file")
    with pytest.raises(StoreError, match=rf"The tables cannot be written to {tmp_path}/tables: File exists"):
        collect(store).write(tmp_path / "tables")


def test_a_run_that_cannot_be_read_now_stays_where_it_is_and_is_reported(store: Store, monkeypatch: pytest.MonkeyPatch):
    folder = publish(store, LINES)
    publish(store, LINES, keyed("b"))
    error = OSError(errno.EIO, os.strerror(errno.EIO))
    contents = store.contents

    def fail_once(entries: Any) -> Any:
        return (Content(c.entry, error=error) if c.entry.name.endswith(RECORD.key) else c for c in contents(entries))

    with monkeypatch.context() as patch:
        patch.setattr(store, "contents", fail_once)
        tables = collect(store)

    assert tables.runs["key"].to_list() == ["b" * 64]
    assert "left where it is, it cannot be read now: Input/output error" in tables.unreadable[0]
    assert folder.exists()
    assert len(collect(store).runs) == 2


def test_a_run_that_is_gone_by_the_time_it_is_read_is_no_error(store: Store, monkeypatch: pytest.MonkeyPatch):
    folder = publish(store, LINES)
    entries = store.entries()
    shutil.rmtree(folder)
    monkeypatch.setattr(store, "entries", lambda: entries)
    tables = collect(store)
    assert (len(tables.runs), tables.unreadable) == (0, [])


def test_a_last_line_that_was_cut_off_is_not_dropped_silently(store: Store):
    folder = publish(store, LINES)
    content = (folder / "records.jsonl").read_bytes()
    (folder / "records.jsonl").write_bytes(content[:-20])
    assert len(collect(store).unreadable) == 1


def test_lines_that_are_missing_are_not_dropped_silently(store: Store):
    size = sum(len(json.dumps(line)) + 1 for line in LINES)
    folder = publish(store, LINES, replace(RECORD, files={"records.jsonl": size}))
    assert len(collect(store).claims) == 2

    (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES[:3]))
    tables = collect(store)

    assert (len(tables.claims), len(tables.unreadable)) == (0, 1)
    assert f"must have {size} bytes, it has" in tables.unreadable[0]


def test_a_line_may_hold_what_only_unicode_takes_for_a_line_break(store: Store):
    folder = publish(store, [])
    line = json.dumps({"kind": "metric", "name": "a\u2028b", "value": 1.0, "unit": ""}, ensure_ascii=False)
    (folder / "records.jsonl").write_text(line + "\n")
    assert collect(store).measurements["name"].to_list() == ["a\u2028b"]


VALUES: dict[str, list[Any]] = {
    "agree": [1, 2, 3],
    "missing": [1, None, 3],
    "floats": [1, 2.5, 3],
    "nan": [0.5, float("nan"), 1.5],
    "flags": [True, None, False],
    "differ": [1, "1", True],
    "lists": [[1, 2], None, []],
    "huge": [1, 2**70, 3],
    "inexact": [2**53 + 1, 0.5, 1.0],
}
TYPES = {
    "agree": ("Int64", [1, 2, 3]),
    "missing": ("Int64", [1, pd.NA, 3]),
    "floats": ("float64", [1.0, 2.5, 3.0]),
    "nan": ("float64", [0.5, float("nan"), 1.5]),
    "flags": ("boolean", [True, pd.NA, False]),
    "differ": ("string", ["1", "1", "True"]),
    "lists": ("string", ["[1, 2]", pd.NA, "[]"]),
    "huge": ("string", ["1", str(2**70), "3"]),
    "inexact": ("string", [str(2**53 + 1), "0.5", "1.0"]),
}


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_column_has_one_type_that_holds_its_values_in_whatever_order_they_came(
    store: Store, order: list[int], one_by_one: bool
):
    for index in order:
        given = {name: values[index] for name, values in VALUES.items() if values[index] is not None}
        publish(store, LINES[:1], keyed("abc"[index], **given))
        if one_by_one:
            collect(store)
    tables = collect(store)

    for table in (tables.runs, tables.measurements):
        for name, (dtype, values) in TYPES.items():
            pd.testing.assert_series_equal(table[f"param_{name}"], pd.Series(values, dtype=dtype), check_names=False)


def test_a_measurement_says_on_what_it_was_made(store: Store):
    publish(store, LINES)
    table = collect(store).measurements
    parameters = ["param_cell", "param_lengths", "param_rate", "param_seed"]
    circumstances = {"keras": "3.15.1", "backend": "tensorflow", "device": "cpu", "started": RECORD.started}

    assert list(table) == ["key", "notebook", "name", "value", "unit", *parameters, *circumstances]
    assert table.loc[0, list(circumstances)].to_dict() == circumstances


KILLED = """
import os, sys
from pathlib import Path
from masklib.engine import files
os.fsync = lambda descriptor: os.kill(os.getpid(), 9)
files.write_atomically(Path(sys.argv[1]), b"half")
"""


@pytest.mark.parametrize("name", ["tables/runs.parquet", "tables/claims.csv", CACHE])
def test_what_a_writer_left_that_was_killed_is_removed_by_the_next(store: Store, name: str):
    publish(store, LINES)
    tables = store.root / "tables"
    tables.mkdir()
    subprocess.run([sys.executable, "-c", KILLED, str(store.root / name)], check=False)
    folder = (store.root / name).parent
    assert len(list(folder.glob(".*.part"))) == 1

    collect(store).write(tables)

    assert sorted(path.name for path in tables.iterdir()) == sorted(
        f"{table}.{suffix}" for table in ("runs", "claims", "measurements") for suffix in ("csv", "parquet")
    )
    assert list(store.root.glob(".*")) == [store.root / CACHE]


def test_two_that_write_the_tables_at_once_both_write_them_whole(store: Store):
    publish(store, LINES)
    code = "import sys\nfrom masklib.engine.collect import collect\nfrom masklib.engine.store import Store\n"
    code += "store = Store(sys.argv[1])\nfor _ in range(20): collect(store).write(store.root / 'tables')"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(store.root)], stderr=subprocess.PIPE) for _ in range(2)]
    assert [writer.communicate()[1] for writer in writers] == [b"", b""]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(pd.read_parquet(store.root / "tables" / "runs.parquet")) == 1
    assert list((store.root / "tables").glob(".*")) == []
