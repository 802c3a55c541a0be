"""Processes that are stopped, or killed, hold nothing back: time limits, Ctrl-C, evidence and temporary folders."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from masklib.engine import worker as module
from masklib.engine.kernels import provisioner, servers
from masklib.engine.limits import Limits
from masklib.engine.private import PrivateFolder
from masklib.engine.run import execute_plan, plan_run
from masklib.engine.store import Store
from masklib.engine.worker import LOST, Worker
from tests.engine.conftest import START, Write
from tests.engine.test_execute import processes_with
from tests.engine.test_kernels import the_server, warm
from tests.engine.test_pool import job_of
from tests.stores import attempts_in, runs_in
from tests.waiting import GONE_S, until

pytestmark = pytest.mark.slow

STOP_SERVER = "import os, signal, time\nos.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep({})"
STOP_ITSELF = "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"
STOP_WORKER = """
import json, os, signal, time
with open(os.environ["MASKLIB_RUN_DIR"] + "/record.json") as record:
    os.kill(json.load(record)["pid"], signal.SIGSTOP)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _quick_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that imports what these notebooks need, and none left."""
    monkeypatch.setattr(servers, "PRELOAD", ("numpy", "ipykernel.kernelapp"))
    monkeypatch.setattr(servers, "STOP_S", 1.0)
    yield
    servers.stop_servers()


@pytest.mark.parametrize(("seconds", "status"), [(60, "timeout"), (0, "ok")])
def test_a_server_that_is_stopped_during_a_run_holds_it_up_for_seconds(write: Write, store: Store, seconds: int, status: str):
    warm(write(START, name="before"), store)
    first, began = the_server().process.pid, time.monotonic()

    result = warm(write(START, STOP_SERVER.format(seconds), name="stops"), store, limits=Limits(timeout=4))

    assert time.monotonic() - began < 4 + provisioner.END_S + 10
    assert (result.record.status, result.record.launch) == (status, "fork")
    assert warm(write(START, name="after"), store).record.launch == "fork"
    assert the_server().process.pid != first


@pytest.mark.parametrize(("limit", "status"), [(3.0, "timeout"), (60.0, "ok")])
def test_a_server_that_is_stopped_between_runs_holds_the_next_one_up_for_no_longer_than_its_limit(
    write: Write, store: Store, monkeypatch: pytest.MonkeyPatch, limit: float, status: str
):
    monkeypatch.setattr(provisioner, "START_S", 5.0)
    warm(write(START, name="before"), store)
    first, began = the_server().process.pid, time.monotonic()
    os.kill(first, signal.SIGSTOP)

    result = warm(write(START, name="next"), store, limits=Limits(timeout=limit))

    assert time.monotonic() - began < 20
    assert result.record.status == status
    if status == "ok":
        assert result.record.launch == "spawn"
        assert warm(write(START, name="after"), store).record.launch == "fork"


@pytest.mark.parametrize("forked", [True, False])
def test_a_kernel_that_is_stopped_is_ended_by_its_limit(write: Write, store: Store, forked: bool):
    began = time.monotonic()
    result = execute_plan(plan_run(write(START, STOP_ITSELF)), store, warm=forked, limits=Limits(cell_timeout=2))
    assert result is not None
    assert result.record.status == "timeout"
    assert time.monotonic() - began < 30


def test_a_worker_that_is_stopped_is_killed_after_the_limit_of_its_run(
    write: Write, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "GRACE_S", 2.0)
    worker = Worker({"MASKLIB_TEST": str(tmp_path)})
    job = job_of(plan_run(write(START, STOP_WORKER)), store)
    answer = worker.execute(module.Job(**{**vars(job), "limits": Limits(timeout=6)}))
    worker.close()

    assert (answer.outcome, "no answer 2 s after its time limit" in answer.reason) == (LOST, True)
    assert until(lambda: not processes_with(f"MASKLIB_TEST={tmp_path}"), GONE_S)
    assert len(store.recover()) == 1


def test_a_sweep_whose_worker_is_stopped_ends_at_the_third_interrupt(write: Write, store: Store, tmp_path: Path):
    path = write(START, STOP_WORKER.replace("time.sleep", f"open({str(tmp_path / 'stopped')!r}, 'w').close()\ntime.sleep"))
    command = [sys.executable, "-m", "masklib", "sweep", str(path), "-g", "seed=0,1", "--jobs", "1", "--runs", str(store.root)]
    environment = {**os.environ, "MASKLIB_TEST": str(tmp_path), "TMPDIR": str(tmp_path)}
    sweep = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert until((tmp_path / "stopped").exists)
        for _ in range(3):
            sweep.send_signal(signal.SIGINT)
            time.sleep(1)
        sweep.communicate(timeout=30)
    finally:
        sweep.kill()
    assert until(lambda: not processes_with(f"MASKLIB_TEST={tmp_path}"), GONE_S)
    assert list(tmp_path.glob("masklib-*")) == []


FOLDERS = ["\N{CYRILLIC SMALL LETTER ZHE}" * 44, "a b'c\"d%e*f$g", "line\nbreak", "x" * 200, os.fsdecode(b"\xff\xfe")]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_for_temporary_files_may_have_any_name_and_is_left_empty(write: Write, store: Store, tmp_path: Path, name: str):
    folder = tmp_path / name
    folder.mkdir()
    command = [sys.executable, "-m", "masklib", "sweep", str(write(START)), "-g", "seed=0,1", "--runs", str(store.root)]
    ended = subprocess.run(command, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert len(runs_in(store)) == 2
    assert list(folder.iterdir()) == []


def test_a_folder_for_temporary_files_may_be_removed_during_a_sweep(write: Write, store: Store, tmp_path: Path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    path = write(START, f"import shutil\nshutil.rmtree({str(folder)!r}, ignore_errors=True)")
    command = [sys.executable, "-m", "masklib", "sweep", str(path), "-g", "seed=0:4", "--jobs", "1", "--runs", str(store.root)]
    ended = subprocess.run(command, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(runs_in(store)) == 4


def test_a_run_that_is_killed_keeps_its_evidence_and_leaves_no_folder(write: Write, store: Store, tmp_path: Path):
    path = write(START, "run.metric('m', 1.0)", f"open({str(tmp_path / 'there')!r}, 'w').close()\nimport time\ntime.sleep(60)")
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = {**os.environ, "TMPDIR": str(folder), "MASKLIB_TEST": str(tmp_path)}
    command = [sys.executable, "-m", "masklib", "run", str(path), "--runs", str(store.root)]
    run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until((tmp_path / "there").exists)
    run.kill()
    run.wait()
    assert until(lambda: not processes_with(f"MASKLIB_TEST={tmp_path}"), GONE_S)
    for left in folder.glob("masklib-*"):
        os.utime(left, (0, 0))

    ended = subprocess.run(
        [*command[:4], str(write(START, name="other")), *command[5:]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert "1 interrupted runs were moved to the failed attempts" in ended.stderr
    (attempt,) = attempts_in(store)
    assert '"m"' in (attempt / "records.jsonl").read_text()
    assert (attempt / "notebook.ipynb").is_file()
    assert list(folder.iterdir()) == []


def test_a_folder_in_use_stays_however_old_it_is(tmp_path: Path):
    with PrivateFolder(str(tmp_path)) as used:
        os.utime(used, (0, 0))
        with PrivateFolder(str(tmp_path)) as other:
            assert Path(used).exists()
            assert Path(other).stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []
