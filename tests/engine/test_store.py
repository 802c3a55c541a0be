"""A folder of a run is complete, or not there; evidence is never lost."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest

from masklib.engine import files
from masklib.engine.collect import collect
from masklib.engine.dependencies import Uses
from masklib.engine.record import SCHEMA, Failure, read_whole, sizes_of
from masklib.engine.store import FAILED, INTERRUPTED, OK, Record, Store, read_record, write_atomically
from masklib.engine.stores import open_store
from masklib.errors import StoreError
from masklib.site.single import to_html
from tests.stores import attempts_in, runs_in

INPUTS = {"parameters": {"seed": ["int", 0]}, "versions": {"keras": "3"}, "settings": {"KERAS_BACKEND": "tensorflow"}}
RECORD = Record("nb", "f" * 64, OK, INPUTS, launch="spawn", started="2026-01-01T00:00:00+00:00")

WHOLE = replace(RECORD, inputs={**INPUTS, "python": "CPython 3.11.7", "device": "cpu"})


def visible(store: Store) -> list[Path]:
    return [*runs_in(store), *attempts_in(store)]


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


def test_a_run_that_does_not_count_any_more_goes_to_the_earlier_ones(store: Store):
    for who in ("first", "second", "third"):
        work = store.begin(RECORD)
        (work / "who").write_text(who)
        store.finish(work, RECORD, again=True)

    assert (store.folder("nb", RECORD.key) / "who").read_text() == "third"
    earlier = store.root / "nb" / "earlier"
    assert {f.name: (f / "who").read_text() for f in earlier.iterdir()} == {
        f"{RECORD.key}-1": "first",
        f"{RECORD.key}-2": "second",
    }
    assert visible(store) == [store.folder("nb", RECORD.key)]


def test_failed_attempts_are_kept_apart_and_numbered(store: Store):
    failed = replace(RECORD, status=FAILED, error=Failure(FAILED, "ValueError", "x"))
    folders = [store.finish(store.begin(failed), failed) for _ in range(2)]

    assert [f.name for f in folders] == [f"{RECORD.key}-1", f"{RECORD.key}-2"]
    assert store.find("nb", RECORD.key) is None
    assert attempts_in(store) == folders


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o002, 0o775), (0o077, 0o700)])
def test_the_files_of_a_store_follow_the_umask(store: Store, umask: int, mode: int):
    before = os.umask(umask)
    try:
        lock = store.lock("nb", RECORD.key)
        assert lock is not None
        files = [store.root / "nb" / f".lock-{RECORD.key}"]
        modes = [path.stat().st_mode & 0o777 for path in files]
        with lock:
            folder = store.finish(store.begin(WHOLE), WHOLE)
        collect(store).write(store.root / "tables")
    finally:
        os.umask(before)
    files = [folder / "record.json", store.root / "tables" / "runs.csv"]
    modes += [path.stat().st_mode & 0o777 for path in files]
    assert modes == [0o666 & ~umask] * 3
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [mode, mode]


def test_runs_of_another_user_that_cannot_be_read_are_reported_and_the_rest_is_shown(store: Store):
    store.finish(store.begin(WHOLE), WHOLE)
    for name in ("closed", "half"):
        store.finish(store.begin(replace(WHOLE, notebook=name)), replace(WHOLE, notebook=name))
    (store.root / "closed").chmod(0)
    (store.root / "half" / RECORD.key).chmod(0)
    told = "from masklib.cli import main; main()"
    command = [sys.executable, "-c", told, "list", "--claims", "--runs", str(store.root)]
    as_another = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    ended = subprocess.run([*(as_another if os.getuid() == 0 else []), *command], capture_output=True, text=True, check=False)
    for path in (store.root / "closed", store.root / "half" / RECORD.key):
        path.chmod(0o755)

    assert ended.returncode == 1, ended.stderr
    assert "open" in ended.stdout
    assert ended.stderr.count("Permission denied") == 2
    assert len(collect(store).runs) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"notebook": "nb"}'])
def test_a_corrupt_record_is_set_aside_and_the_run_counts_as_missing(store: Store, content: str):
    folder = store.finish(store.begin(RECORD), RECORD)
    (folder / "record.json").write_text(content)

    assert store.find("nb", RECORD.key) is None
    assert not folder.exists()
    assert [f.name for f in (store.root / "nb" / "corrupt").iterdir()] == [f"{RECORD.key}-1"]


@pytest.mark.parametrize(
    "damage", [lambda path: path.unlink(), lambda path: path.write_text("{"), lambda path: path.write_text("")]
)
def test_a_run_whose_files_are_not_as_they_were_is_not_whole(store: Store, damage: Callable[[Path], object]):
    work = store.begin(RECORD)
    (work / "tables").mkdir()
    for name in ("notebook.ipynb", "tables/t.parquet", "kernel.log"):
        (work / name).write_text("{}")
    record = replace(RECORD, files=sizes_of(work), uses=Uses("/a", {"helper.py": "0"}, {"numpy": "2.4.6"}))
    folder = store.finish(work, record)
    (folder / "kernel.log").write_text("grown since")
    (folder / "report.html").write_text("made since")

    assert record.files == {"notebook.ipynb": 2, "tables/t.parquet": 2}
    assert store.damage("nb", [RECORD.key]) == {}
    assert store.find("nb", RECORD.key) == record
    damage(folder / "notebook.ipynb")
    (error,) = store.damage("nb", [RECORD.key]).values()
    assert "notebook.ipynb must have 2 bytes, it" in str(error)
    assert store.find("nb", RECORD.key) is None
    assert not folder.exists()


KILLED = """
import json, os, sys
from masklib.engine.store import Record, Store
store, record = Store(sys.argv[1]), Record(**json.loads(sys.argv[2]))
lock = store.lock(record.notebook, record.key)
(store.begin(record) / "records.jsonl").write_text("kept")
os.kill(os.getpid(), 9)
"""


def test_work_of_a_process_that_was_killed_is_recovered_as_interrupted(store: Store):
    gone = replace(RECORD, key="e" * 64)
    killed = subprocess.run([sys.executable, "-c", KILLED, store.root, json.dumps(asdict(gone))], check=False)
    assert killed.returncode == -signal.SIGKILL
    lock = store.lock("nb", RECORD.key)
    alive = store.begin(RECORD)

    (folder,) = store.recover()

    assert (folder.parent.name, folder.name) == ("failed", f"{gone.key}-1")
    assert (read_record(folder).status, (folder / "records.jsonl").read_text()) == (INTERRUPTED, "kept")
    assert alive.exists()
    assert lock
    lock.release()
    assert sorted(f.name for f in (store.root / "nb").iterdir()) == [alive.name, "failed"]


def test_work_that_cannot_be_moved_is_kept_and_reported(store: Store, monkeypatch: pytest.MonkeyPatch):
    work = store.begin(RECORD)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(StoreError, match=r"cannot be moved, it is kept in .*/nb: No space left on device"):
            store.recover()
    assert work.exists()
    assert [folder.name for folder in store.recover()] == [f"{RECORD.key}-1"]


def test_work_in_progress_is_never_recovered_however_it_looks(store: Store):
    lock = store.lock("nb", RECORD.key)
    work = store.begin(replace(RECORD, pid=999_999_999, host="elsewhere", started="2099-01-01T00:00:00+00:00"))
    (work / "record.json").unlink()

    assert store.recover() == []
    assert work.exists()
    assert lock
    lock.release()


def test_work_without_a_record_is_set_aside_and_dropped_if_nothing_was_done(store: Store):
    works = [store.begin(replace(RECORD, key=letter * 64)) for letter in "ab"]
    for work in works:
        (work / "record.json").rename(work / ".record.json-half")
    (works[1] / "kernel.log").write_text("evidence")

    (folder,) = store.recover()

    assert (folder.parent.name, (folder / "kernel.log").read_text()) == ("corrupt", "evidence")
    assert sorted(f.name for f in (store.root / "nb").iterdir()) == ["corrupt"]


def test_a_lock_is_one_of_a_run(store: Store):
    first = store.lock("nb", RECORD.key)

    assert first
    assert store.lock("nb", RECORD.key) is None
    assert store.lock("nb", "e" * 64)
    assert store.lock("other", RECORD.key)
    assert visible(store) == []


def test_a_folder_that_cannot_be_written_is_named_by_the_lock(tmp_path: Path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "nb").write_text("a file")
    with pytest.raises(StoreError, match=rf"A run needs a writable folder {tmp_path}/runs/nb"):
        Store(tmp_path / "runs").lock("nb", RECORD.key)


def test_what_is_there_is_listed_for_a_whole_plan(store: Store):
    failed = replace(RECORD, status=FAILED, key="e" * 64)
    attempts = [store.finish(store.begin(failed), failed) for _ in range(11)]
    store.finish(store.begin(RECORD), RECORD)
    store.begin(RECORD)

    assert store.keys("nb") == {RECORD.key}
    assert store.attempts_of("nb") == {failed.key: attempts[10]}
    assert attempts_in(store) == attempts
    assert (store.keys("other"), store.attempts_of("other")) == (set(), {})


def test_a_failed_attempt_that_cannot_be_read_is_set_aside_with_the_others(store: Store):
    failed = replace(RECORD, status=FAILED)
    folder = store.finish(store.begin(failed), failed)
    aside = store.set_aside(folder)

    assert aside == store.root / "nb" / "corrupt" / f"{folder.name}-1"
    assert visible(store) == []
    assert store.set_aside(folder) is None


def test_a_record_of_an_earlier_version_has_the_defaults(store: Store):
    folder = store.finish(store.begin(RECORD), replace(RECORD, steps={"cells": 1.5}, memory_bytes=3))
    assert (read_record(folder).steps, read_record(folder).memory_bytes) == ({"cells": 1.5}, 3)
    content = json.loads((folder / "record.json").read_text())
    for name in ("steps", "memory_bytes", "error", "host"):
        del content[name]
    (folder / "record.json").write_text(json.dumps(content))

    record = read_record(folder)

    assert (record.steps, record.memory_bytes, record.error, record.host) == ({}, None, None, "")


CANNOT_OPEN = """
import resource, sys
from masklib.engine.store import Store
from masklib.errors import StoreError

store, key = Store(sys.argv[1]), sys.argv[2]
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # no file can be opened any more
try:
    store.find("nb", key)
except StoreError as error:
    print(error)
"""


def test_a_record_that_cannot_be_read_now_is_not_taken_for_a_corrupt_one(store: Store):
    """In a process of its own: the limit would hold for the threads of other tests, too."""
    folder = store.finish(store.begin(RECORD), RECORD)

    command = [sys.executable, "-c", CANNOT_OPEN, str(store.root), RECORD.key]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "cannot be read: Too many open files" in done.stdout
    assert store.find("nb", RECORD.key) == RECORD
    assert folder.exists()


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_path_or_a_file_url_opens_a_folder(tmp_path: Path, prefix: str):
    opened = open_store(f"{prefix}{tmp_path}")
    assert (type(opened), opened.root) == (Store, tmp_path)


def test_a_store_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match="must be a folder"):
        Store(tmp_path / "runs")


def test_a_failing_disk_leaves_the_old_content_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
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


@pytest.mark.parametrize("schema", [1, 2])
def test_a_store_written_by_an_earlier_schema_is_read(tmp_path: Path, schema: int):
    """Each holds a run that ended well, and one that failed; `record.json` of the first had no schema yet."""
    shutil.copytree(Path(__file__).parent / "stores" / f"schema_{schema}", tmp_path / "runs")
    store = Store(tmp_path / "runs")
    (folder,), (attempt,) = runs_in(store), attempts_in(store)
    tables = collect(store)
    error = read_record(attempt).error

    assert store.find("small", folder.name) == read_whole(folder)
    assert (read_whole(folder).schema, read_whole(folder).uses) == (schema, None)
    assert tables.unreadable == []
    assert tables.runs[["notebook", "status", "error", "param_width"]].to_numpy().tolist() == [
        ["small", "ok", pd.NA, 1.5],
        ["broken", "failed", "ValueError: too wide", 1.5],
    ]
    assert tables.claims[["claim", "verdict", "keras", "backend"]].to_numpy().tolist() == [
        ["emb-1", "holds", "3.15.1", "tensorflow"]
    ]
    assert tables.measurements[["name", "value", "unit"]].to_numpy().tolist() == [["width", 1.5, "m"]]
    assert error is not None
    assert (error.status, error.told, error.traceback[-1]) == ("failed", "ValueError in cell 4: too wide", "ValueError: too wide")
    assert "too wide" in to_html(attempt)
    assert "emb-1" in to_html(folder)


def test_a_record_of_a_later_schema_is_left_where_it_is(store: Store):
    folder = store.finish(store.begin(RECORD), RECORD)
    content = json.loads((folder / "record.json").read_text())
    assert content["schema"] == SCHEMA
    (folder / "record.json").write_text(json.dumps({**content, "schema": SCHEMA + 1, "news": 1}))

    with pytest.raises(StoreError, match=f"schema {SCHEMA} or an earlier one, it has {SCHEMA + 1}. Use a later masklib"):
        store.find("nb", RECORD.key)
    assert "left where it is" in collect(store).unreadable[0]
    assert runs_in(store) == [folder]
