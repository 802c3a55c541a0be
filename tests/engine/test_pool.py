"""Workers: real processes that execute runs, refuse what they would make another run of, and end with whoever started them."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from masklib.claims import recording
from masklib.engine.limits import Limits
from masklib.engine.pool import LocalPool
from masklib.engine.record import Failure, Record
from masklib.engine.run import Plan, execute_plan, plan_run
from masklib.engine.store import Store, read_record
from masklib.engine.worker import Answer, Job, Worker, differences, make_job
from tests.engine.conftest import START, Write
from tests.engine.test_execute import processes_with
from tests.stores import attempts_in, runs_in
from tests.waiting import GONE_S, until

KILL_WORKER = (
    "import json, os, signal\n"
    "os.kill(json.load(open(os.environ['MASKLIB_RUN_DIR'] + '/record.json'))['pid'], signal.SIGKILL)\n"
    "import time\ntime.sleep(60)"
)
SLEEP = "import os, pathlib, time\npathlib.Path(os.environ['MASKLIB_RUN_DIR'], 'sleeping').touch()\ntime.sleep(60)"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A worker whose process, and what it starts, can be identified by the test's folder in its environment."""
    worker = Worker({"MASKLIB_TEST": str(tmp_path)})
    yield worker
    worker.close()


def job_of(plan: Plan, store: Store) -> Job:
    return make_job(plan, nbformat.writes(plan.notebook.node), str(store.root))


def status_of(answer: Answer) -> str:
    """The status of the run that an answer brings."""
    assert answer.record is not None
    return answer.record.status


def test_a_worker_makes_the_run_that_this_process_would_make(write: Write, store: Store, tmp_path: Path, worker: Worker):
    plan = plan_run(write(START, "run.metric('m', width)"), {"seed": 3})
    events: list[dict[str, Any]] = []
    answer = worker.execute(job_of(plan, store), events.append)
    here = execute_plan(plan, Store(tmp_path / "here"))

    assert here is not None
    assert (answer.outcome, status_of(answer), answer.cached) == ("run", "ok", False)
    assert Path(answer.folder) == store.folder("tiny", plan.key)
    assert read_record(Path(answer.folder)).inputs == here.record.inputs
    assert recording.read(Path(answer.folder)) == recording.read(here.folder)
    assert events[0] == {"event": "start"}
    assert [event["done"] for event in events[1:]] == sorted(event["done"] for event in events[1:])
    assert {event["total"] for event in events[1:]} == {5}


def test_a_worker_takes_one_job_after_another_in_one_process(write: Write, store: Store, worker: Worker):
    plan = plan_run(write(START))
    first, again = worker.execute(job_of(plan, store)), worker.execute(job_of(plan, store))
    assert (first.cached, again.cached) == (False, True)
    assert len(processes_with(f"MASKLIB_TEST={store.root.parent}")) == 1


def test_a_run_that_another_process_is_at_is_busy(write: Write, store: Store, worker: Worker):
    plan = plan_run(write(START))
    lock = store.lock("tiny", plan.key)
    assert lock is not None
    with lock:
        assert worker.execute(job_of(plan, store)) == Answer("busy")


def test_a_job_of_another_identity_is_refused_with_what_differs(write: Write, store: Store, worker: Worker):
    job = job_of(plan_run(write(START)), store)
    inputs = job.inputs | {"masklib": "0", "versions": job.inputs["versions"] | {"numpy": "1.0"}}
    answer = worker.execute(replace(job, inputs=inputs, key="0" * 64))

    assert answer.outcome == "error"
    assert "this worker differs in masklib; versions: numpy (" in answer.reason
    assert "here, 1.0 in the plan)" in answer.reason
    assert not store.root.exists()


def test_a_job_that_cannot_be_read_is_an_error_and_the_worker_goes_on(write: Write, store: Store, worker: Worker):
    job = job_of(plan_run(write(START)), store)
    assert "NotJSONError" in worker.execute(replace(job, source="nonsense")).reason
    assert worker.execute(job).outcome == "run"


def test_jobs_and_answers_travel_as_json(write: Write, store: Store):
    plan = plan_run(write(START), {"seed": 3})
    job = make_job(plan, "the source", str(store.root), limits=Limits(cell_timeout=5, memory_bytes=10**9), warm=True)
    failure = Failure("died", "DeadKernelError", "it died", ("a line", "another"), cell=2, signal="SIGKILL")
    record = Record("tiny", plan.key, "died", plan.inputs, launch="fork", started="", error=failure)

    assert Job.from_json(job.to_json()) == job
    assert Answer.from_json(Answer("run", record, "folder").to_json()) == Answer("run", record, "folder")
    assert Answer.from_json(Answer("died", reason="of it").to_json()) == Answer("died", reason="of it")


def test_identities_that_are_the_same_do_not_differ():
    assert differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 2}}) == []
    assert differences({"a": 1}, {"a": 2, "b": 3}) == ["a (2 here, 1 in the plan)", "b (3 here, None in the plan)"]


def test_what_is_printed_in_a_worker_does_not_disturb_its_answers():
    code = (
        "import os, subprocess, masklib.engine.worker as worker\n"
        "def perform(job, on_event):\n"
        "    print('noise', flush=True)\n    os.write(1, b'noise')\n    subprocess.run(['echo', 'noise'])\n"
        "    return worker.Answer('run', reason=os.read(0, 9).decode())\n"
        "worker.perform = perform\nworker.main()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(Job("tiny", "", "", "", {}, {}, {}, "", "").to_json() + "\n")
        process.stdin.flush()
        assert Answer.from_json(process.stdout.readline()) == Answer("run")
        process.stdin.close()
        assert process.stdout.read() == ""


def test_a_worker_that_dies_costs_one_try(write: Write, store: Store, worker: Worker, tmp_path: Path):
    once = f"import pathlib\nfirst = not pathlib.Path({str(tmp_path / 'tried')!r}).exists()"
    mark = f"pathlib.Path({str(tmp_path / 'tried')!r}).touch()"
    plan = plan_run(write(START, once, mark, f"if first:\n    exec({KILL_WORKER!r})"))
    answer = worker.execute(job_of(plan, store))

    assert (answer.outcome, status_of(answer)) == ("run", "ok")
    (attempt,) = store.recover()
    assert read_record(attempt).status == "interrupted"


@pytest.mark.slow
def test_a_worker_that_dies_again_is_reported_with_what_killed_it(write: Write, store: Store, worker: Worker):
    plan = plan_run(write(START, KILL_WORKER))
    answer = worker.execute(job_of(plan, store))

    assert answer.outcome == "died"
    assert "was killed by SIGKILL" in answer.reason
    assert len(store.recover()) == 2
    assert worker.execute(job_of(plan_run(write(START, name="next")), store)).outcome == "run"


def test_a_worker_that_is_interrupted_records_its_run_as_interrupted_and_takes_no_more(
    write: Write, store: Store, worker: Worker, tmp_path: Path
):
    plan = plan_run(write(START, SLEEP))
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(worker.execute(job_of(plan, store))))
    thread.start()
    assert until(lambda: list(store.root.glob("tiny/.work-*/sleeping")))
    worker.interrupt()
    thread.join(timeout=30)

    assert status_of(answers[0]) == "interrupted"
    assert read_record(Path(answers[0].folder)).error is not None
    assert worker.execute(job_of(plan, store)) == Answer("interrupted")


def test_a_worker_that_loses_its_driver_ends_in_the_middle_of_a_run_and_its_kernel_with_it(
    write: Write, store: Store, worker: Worker, tmp_path: Path
):
    plan = plan_run(write(START, SLEEP))
    thread = threading.Thread(target=worker.execute, args=(job_of(plan, store),))
    thread.start()
    assert until(lambda: list(store.root.glob("tiny/.work-*/sleeping")))
    worker.close()
    thread.join(timeout=30)

    assert until(lambda: processes_with(f"MASKLIB_TEST={tmp_path}") == [], GONE_S)
    assert [*runs_in(store), *attempts_in(store)] == []
    assert [read_record(folder).status for folder in store.recover()] == ["interrupted"]


def test_a_pool_executes_as_many_jobs_at_once_as_it_has_workers(write: Write, store: Store, tmp_path: Path):
    meet = (
        f"import pathlib, time\npathlib.Path({str(tmp_path)!r}, f'here-{{seed}}').touch()\n"
        f"while len(list(pathlib.Path({str(tmp_path)!r}).glob('here-*'))) < 2:\n    time.sleep(0.05)"
    )
    path = write(START, meet)
    plans = [plan_run(path, {"seed": seed}) for seed in range(3)]
    pool = LocalPool(2)
    try:
        futures = [pool.submit(job_of(plan, store), lambda event: None) for plan in plans]
        assert [status_of(future.result(timeout=90)) for future in futures] == ["ok"] * 3
    finally:
        pool.close()
