"""A store on an object store keeps the promises of one in a folder, over the real protocol of S3."""

import pickle
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest
import s3fs
from fsspec.implementations.memory import MemoryFileSystem

from masklib.engine import objects
from masklib.engine.collect import collect
from masklib.engine.objects import ObjectStore
from masklib.engine.record import Failure
from masklib.engine.reproduce import copy_figures
from masklib.engine.run import Result
from masklib.engine.store import FAILED, Store, read_record
from masklib.engine.stores import open_store
from masklib.engine.summaries import load_results
from masklib.errors import StoreError
from tests.engine.test_collect import LINES, RECORD, assert_equal, publish
from tests.stores import attempts_in, read_by, runs_in

BUCKET = "runs-of-masklib"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server logs its requests, a line each."""
    return tmp_path_factory.mktemp("s3") / "log"


@pytest.fixture(scope="module")
def endpoint(log: Path) -> Iterator[str]:
    """The address of a server that speaks S3, in a process of its own."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as server:
        try:
            yield address(log)
        finally:
            server.kill()


def address(log: Path) -> str:
    """The address that the server logs once it listens."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found.group()
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the server, with an empty bucket; what opens `s3://` finds the server too."""
    variables = {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}
    for name, value in variables.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    empty(client)
    client.delete_bucket(Bucket=BUCKET)
    client.close()


@pytest.fixture
def store(s3: Any) -> Store:
    return open_store(f"s3://{BUCKET}/some/where")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where work folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(objects.tempfile, "tempdir", str(folder))
    return folder


def names(client: Any) -> list[str]:
    return [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def empty(client: Any) -> None:
    for name in names(client):
        client.delete_object(Bucket=BUCKET, Key=name)


def visible(store: Store) -> list[Any]:
    return [*runs_in(store), *attempts_in(store), *store.keys("nb"), *store.attempts_of("nb"), *collect(store).runs["key"]]


def test_a_run_is_published_under_its_key_and_found_there(store: Store, s3: Any, temporary: Path):
    work = store.begin(RECORD)
    (work / "tables").mkdir()
    (work / "tables" / "t.parquet").write_bytes(b"1")
    assert store.find("nb", RECORD.key) is None

    folder = store.finish(work, RECORD)

    assert isinstance(store, ObjectStore)
    assert str(folder) == f"s3://{BUCKET}/some/where/nb/{RECORD.key}"
    assert folder == store.folder("nb", RECORD.key)
    assert (folder / "tables" / "t.parquet").read_bytes() == b"1"
    assert store.find("nb", RECORD.key) == read_record(folder) == RECORD
    assert (runs_in(store), attempts_in(store)) == ([folder], [])
    assert (store.keys("nb"), store.keys("n"), store.recover()) == ({RECORD.key}, set(), [])
    assert f"some/where/nb/{RECORD.key}/record.json" in names(s3)
    assert list(temporary.iterdir()) == []


def test_what_others_write_is_seen(store: Store, s3: Any):
    publish(store, LINES)
    assert [entry.name for entry in store.entries()] == [f"nb/{RECORD.key}"]
    for name in ("nb/another", "other/new"):
        s3.put_object(Bucket=BUCKET, Key=f"some/where/{name}/record.json", Body=b"{}")
    assert [entry.name for entry in store.entries()] == [f"nb/{RECORD.key}", "nb/another", "other/new"]
    assert store.keys("nb") == {RECORD.key, "another"}


def test_a_reader_in_the_middle_of_an_upload_sees_nothing(store: Store, s3: Any, monkeypatch: pytest.MonkeyPatch):
    reader = open_store(f"s3://{BUCKET}/some/where")
    write = type(store._fs).pipe_file
    uploaded: list[str] = []

    def look_first(fs: Any, path: str, content: bytes) -> None:
        uploaded.extend(names(s3))
        assert visible(reader) == []
        assert reader.find("nb", RECORD.key) is None
        write(fs, path, content)

    work = store.begin(RECORD)
    (work / "records.jsonl").write_text("")
    monkeypatch.setattr(store._fs, "pipe_file", look_first.__get__(store._fs))
    store.finish(work, RECORD)

    assert f"some/where/nb/{RECORD.key}/records.jsonl" in uploaded
    assert len(visible(reader)) == 3


@pytest.mark.parametrize("status", ["ok", "failed"])
def test_a_failing_upload_keeps_the_work_and_publishes_nothing(store: Store, s3: Any, temporary: Path, status: str):
    record = replace(RECORD, status=status)
    work = store.begin(record)
    (work / "records.jsonl").write_text("kept")
    empty(s3)
    s3.delete_bucket(Bucket=BUCKET)
    with pytest.raises(StoreError, match=rf"could not be published, its work is kept in {temporary}/masklib-"):
        store.finish(work, record)
    assert ((work / "records.jsonl").read_text(), read_record(work)) == ("kept", record)

    s3.create_bucket(Bucket=BUCKET)
    assert visible(store) == []
    assert read_record(store.finish(work, record)) == record


def test_a_store_that_cannot_be_written_is_reported_before_the_work(s3: Any, temporary: Path):
    with pytest.raises(StoreError, match=r"A run needs a writable store, s3://no-such-bucket/ is not: .*bucket"):
        open_store("s3://no-such-bucket").begin(RECORD)
    assert list(temporary.iterdir()) == []


def test_of_two_equal_runs_the_first_stays(store: Store, temporary: Path):
    works = [store.begin(RECORD) for _ in range(2)]
    for work, name in zip(works, ["first", "second"], strict=True):
        (work / "who").write_text(name)
        folder = store.finish(work, RECORD)
    assert (folder / "who").read_text() == "first"
    assert list(temporary.iterdir()) == []


def test_failed_attempts_are_kept_apart_and_the_newest_is_known(store: Store):
    times = ["2026-01-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"]
    attempts = [replace(RECORD, status=FAILED, started=time, error=Failure(FAILED, "E", "x")) for time in times]
    folders = [store.finish(store.begin(record), record) for record in attempts]

    assert store.find("nb", RECORD.key) is None
    assert store.keys("nb") == set()
    assert store.attempts_of("nb") == {RECORD.key: folders[1]}
    assert attempts_in(store) == [folders[0], folders[2], folders[1]]
    assert read_record(folders[1]) == attempts[1]


def test_a_corrupt_record_is_set_aside_and_the_run_counts_as_missing(store: Store, s3: Any):
    folder = publish(store, LINES)
    (folder / "record.json").write_bytes(b"{")

    assert store.find("nb", RECORD.key) is None
    assert visible(store) == []
    aside = [name for name in names(s3) if "/corrupt/" in name]
    assert sorted(name.rpartition("/")[2] for name in aside) == ["record.json", "records.jsonl"]
    assert not folder.exists()
    assert store.set_aside(folder) is None


def test_the_tables_are_those_of_the_same_runs_in_a_folder(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: Any
):
    monkeypatch.setattr(objects, "BATCH", 2)
    local = Store(tmp_path / "runs")
    for each in (store, local):
        for letter in "edabc":
            publish(each, LINES, replace(RECORD, key=letter * 64))
        publish(each, LINES, replace(RECORD, notebook="other", status=FAILED, error=Failure(FAILED, "E", "x")))
        (publish(each, LINES, replace(RECORD, key="f" * 64)) / "records.jsonl").write_bytes(b"{")
    remote, expected = collect(store), collect(local)

    assert len(expected.runs) == 6
    assert_equal(remote, expected)
    assert [len(tables.unreadable) for tables in (remote, expected)] == [1, 1]
    assert "/nb/corrupt/ffff" in remote.unreadable[0]
    assert_equal(collect(store), expected)
    assert collect(store).unreadable == []


def test_only_new_runs_are_read_again(store: Store, monkeypatch: pytest.MonkeyPatch):
    publish(store, LINES)
    collect(store)
    publish(store, LINES, replace(RECORD, key="b" * 64))
    tables, n_read = read_by(store)

    assert (len(tables.runs), n_read) == (2, 1)


@pytest.mark.parametrize("file", ["record.json", "records.jsonl"])
def test_a_run_that_was_damaged_later_is_set_aside(store: Store, file: str):
    folder = publish(store, LINES)
    collect(store)
    (folder / file).write_bytes(b"{")
    tables = collect(store)
    assert (len(tables.runs), len(tables.unreadable)) == (0, 1)


def test_a_store_is_listed_and_each_file_read_once(store: Store, log: Path):
    for letter in "abcdef":
        publish(store, LINES, replace(RECORD, key=letter * 64))
    before = len(log.read_text())
    assert len(collect(store).runs) == 6
    requests = re.findall(r'"(HEAD|GET) /\S*', log.read_text()[before:])
    n_listings, n_files, n_caches = 2, 12, 1
    assert requests == ["GET"] * (n_listings + n_files + n_caches)


def test_the_tables_are_written_beside_the_runs(store: Store):
    publish(store, LINES)
    tables = collect(store)
    tables.write(store.root / "tables")
    pd.testing.assert_frame_equal(pd.read_parquet(f"{store.root}/tables/claims.parquet"), tables.claims)
    assert len(collect(store).runs) == 1


def test_figures_are_copied(store: Store):
    record = replace(RECORD, files={"figures/a.svg": 6})
    work = store.begin(record)
    (work / "figures").mkdir()
    (work / "figures" / "a.svg").write_text("<svg/>")
    result = Result(record, store.finish(work, record), cached=False)
    copy_figures([result], store.root / "figures")
    assert (store.root / "figures" / "nb" / "a.svg").read_text() == "<svg/>"


def test_results_are_loaded_from_a_url(store: Store):
    with pytest.raises(StoreError, match="is not there"):
        load_results(str(store.root))
    publish(store, LINES)
    assert load_results(str(store.root)).claims["verdict"].to_list() == ["holds", "refuted"]


def test_a_store_can_be_sent_to_another_process(store: Store):
    folder = publish(store, LINES)
    assert runs_in(pickle.loads(pickle.dumps(store))) == [folder]


def test_a_server_that_is_out_of_reach_is_reported(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    away = open_store(store.root)
    for call in (away.entries, away.exists, lambda: away.keys("nb"), lambda: away.find("nb", RECORD.key)):
        with pytest.raises(StoreError, match=rf"s3://{BUCKET}/some/where.* cannot be (read|listed): "):
            call()


def test_a_lock_keeps_nobody_out(store: Store):
    with store.lock("nb", RECORD.key) as first, store.lock("nb", RECORD.key) as second:
        assert first is not second


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(StoreError, match=re.escape('pip install "masklib[gs]"')):
        open_store("gs://bucket/prefix")


def test_an_unknown_protocol_is_refused():
    with pytest.raises(StoreError, match="a URL that fsspec knows, got 'nope://x'"):
        open_store("nope://x")


def test_any_protocol_of_fsspec_will_do():
    MemoryFileSystem.store.clear()
    for url in ("memory://", "memory://pre/fix"):
        store = open_store(url)
        assert visible(store) == []
        folder = publish(store, LINES)
        assert runs_in(store) == [folder]
        assert collect(store).claims["verdict"].to_list() == ["holds", "refuted"]
        assert store.set_aside(folder)
        assert visible(store) == []
    MemoryFileSystem.store.clear()


def test_opening_a_folder_loads_no_library_of_object_stores(tmp_path: Path):
    code = "import sys; from masklib.engine.stores import open_store; open_store(sys.argv[1]); print('fsspec' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True).stdout
    assert loaded == "False\n"
