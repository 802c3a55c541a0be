"""A folder of a run is complete, or not there; evidence is never lost."""

import errno
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from masklib.engine import store as module
from masklib.engine.store import FAILED, INTERRUPTED, OK, Record, Store, read_record, write_atomically
from masklib.errors import StoreError

INPUTS = {"parameters": {"seed": ["int", 0]}, "versions": {"keras": "3"}, "settings": {"KERAS_BACKEND": "tensorflow"}}
RECORD = Record("nb", "f" * 64, OK, INPUTS, launch="spawn", started="2026-01-01T00:00:00+00:00")


def visible(store: Store) -> list[Path]:
    return [*store.runs(), *store.attempts()]


def test_a_run_is_visible_only_when_it_is_complete(store: Store):
    work = store.begin(RECORD)
    (work / "tables").mkdir()
    (work / "tables" / "t.parquet").write_bytes(b"1")
    assert visible(store) == []
    assert store.find("nb", RECORD.key) is None

    folder = store.finish(work, RECORD)

    assert folder == store.folder("nb", RECORD.key)
    assert (folder / "tables" / "t.parquet").read_bytes() == b"1"
    assert store.find("nb", RECORD.key) == RECORD
    assert not work.exists()


def test_the_first_of_two_equal_runs_stays(store: Store):
    first, second = store.begin(RECORD), store.begin(RECORD)
    (first / "who").write_text("first")
    (second / "who").write_text("second")
    store.finish(first, RECORD)

    folder = store.finish(second, RECORD)

    assert (folder / "who").read_text() == "first"
    assert list((store.root / "nb").iterdir()) == [folder]


def test_failed_attempts_are_kept_apart_and_numbered(store: Store):
    failed = replace(RECORD, status=FAILED, error={"ename": "ValueError", "evalue": "x"})
    folders = [store.finish(store.begin(failed), failed) for _ in range(2)]

    assert [f.name for f in folders] == [f"{RECORD.key}-1", f"{RECORD.key}-2"]
    assert store.find("nb", RECORD.key) is None
    assert list(store.attempts()) == folders


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"notebook": "nb"}'])
def test_a_corrupt_record_is_set_aside_and_the_run_counts_as_missing(store: Store, content: str):
    folder = store.finish(store.begin(RECORD), RECORD)
    (folder / "record.json").write_text(content)

    assert store.find("nb", RECORD.key) is None
    assert not folder.exists()
    assert [f.name for f in (store.root / "nb" / "corrupt").iterdir()] == [f"{RECORD.key}-1"]


def test_work_of_a_driver_that_is_gone_is_recovered_as_interrupted(store: Store):
    ended = subprocess.Popen(["true"])
    ended.wait()
    gone = replace(RECORD, pid=ended.pid)
    (store.begin(gone) / "records.jsonl").write_text("kept")
    alive = store.begin(RECORD)

    (folder,) = store.recover()

    assert (read_record(folder).status, (folder / "records.jsonl").read_text()) == (INTERRUPTED, "kept")
    assert alive.exists()


def test_a_store_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match="must be a folder"):
        Store(tmp_path / "runs")


def test_a_failing_disk_leaves_the_old_content_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_publishes_nothing_and_keeps_the_work(small_disk: Path):
    store = Store(small_disk / "runs")
    work = store.begin(RECORD)
    (work / "big").write_bytes(b"0" * 100_000)
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(b"0" * (free - free % 4096))

    with pytest.raises(StoreError, match=r"could not be published, its work is kept in .*: No space left on device"):
        store.finish(work, replace(RECORD, inputs={**INPUTS, "cells": ["x" * 9000]}))

    assert visible(store) == []
    assert (work / "big").stat().st_size == 100_000
    (small_disk / "filler").unlink()
    assert read_record(store.finish(work, RECORD)) == RECORD
