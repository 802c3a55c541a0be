"""Sweeps with real workers and kernels: what is there stays, what is missing is executed once, and every failure is reported."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import masklib
from masklib.claims import recording
from masklib.engine.grid import plan_sweep
from masklib.engine.kernels import servers
from masklib.engine.limits import Limits
from masklib.engine.pool import LocalPool
from masklib.engine.run import execute_plan
from masklib.engine.settings import numeric_settings
from masklib.engine.store import INTERRUPTED, OK, CorruptError, Record, Store
from masklib.engine.sweep import Listener, Outcome, SweepResult, look_up, run_sweep, sweep
from masklib.engine.worker import Answer, Job
from masklib.errors import ArgumentError
from tests.engine.conftest import START, Write
from tests.engine.test_pool import KILL_WORKER


@pytest.fixture(autouse=True, scope="module")
def _one_quick_server() -> Iterator[None]:
    """One server for these tests, that imports what their notebooks need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "PRELOAD", ("numpy", "pandas", "ipykernel.kernelapp"))
        yield
    servers.stop_servers()


class Kept:
    """A pool that is not closed at the end of a sweep: starting one takes longer than most sweeps of these tests."""

    def __init__(self, pool: LocalPool):
        self.submit, self.interrupt = pool.submit, pool.interrupt

    def close(self) -> None:
        """Leave it open."""


@pytest.fixture(scope="module")
def pool(_one_quick_server: None) -> Iterator[Kept]:
    """Two workers shared by these tests."""
    found = LocalPool(2, [numeric_settings()])
    yield Kept(found)
    found.close()


class Diary(Listener):
    """Records what it is told, and passes each outcome on."""

    def __init__(self, on_outcome: Callable[[Outcome], None] = lambda outcome: None):
        self.lines: list[str] = []
        self._tell = on_outcome

    def on_set_aside(self, folder: Path, error: Exception) -> None:
        """Note what was set aside, and the file that was not whole."""
        self.lines.append(f"set aside {folder.name}: {str(error).partition(' ')[0]}")

    def on_begin(self, known: Any, todo: Any) -> None:
        """Note how much there is."""
        self.lines.append(f"{len(known)} known, {len(todo)} to run")

    def on_event(self, plan: Any, event: dict[str, Any]) -> None:
        """Note an event."""
        self.lines.append(f"{plan.parameters['seed']} {event['event']}")

    def on_outcome(self, outcome: Outcome) -> None:
        """Note an outcome, and pass it on."""
        self.lines.append(f"{outcome.plan.parameters['seed']} {outcome.state}")
        self._tell(outcome)

    def on_stop(self, *, now: bool) -> None:
        """Note a stop."""
        self.lines.append("stop now" if now else "stop")


class Inline:
    """An executor that answers by a function when asked for the result."""

    def __init__(self, answer: Callable[[Job], Any]):
        self.answer = answer
        self.closed = False

    def submit(self, job: Any, on_event: Any) -> "Future[Any]":
        """Return a future that has its answer."""
        future: Future[Any] = Future()
        try:
            future.set_result(self.answer(job))
        except ZeroDivisionError as error:
            future.set_exception(error)
        return future

    def interrupt(self) -> None:
        """Not asked for in these tests."""
        raise AssertionError

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True


@pytest.fixture
def count(tmp_path: Path) -> str:
    """A cell that notes its seed, so that executions can be counted."""
    return (
        f"import os\nfile = os.open({str(tmp_path / 'executions')!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "os.write(file, f'{seed}\\n'.encode())\nos.close(file)"
    )


def executions(folder: Path) -> list[int]:
    """The seeds of all executions, sorted."""
    path = folder / "executions"
    return sorted(int(line) for line in path.read_text().split()) if path.exists() else []


def statuses(result: SweepResult) -> list[str]:
    return [outcome.state for outcome in result.outcomes]


def test_a_sweep_records_what_runs_one_after_another_do(write: Write, tmp_path: Path):
    path = write(START, "import random", "run.metric('m', seed * width)", "run.metric('r', random.random())")
    plans = plan_sweep(path, {"seed": "0:3", "width": "0.5,2"}).plans
    result = run_sweep(plans, Store(tmp_path / "together"), jobs=2)
    alone = [execute_plan(plan, Store(tmp_path / "alone"), warm=True) for plan in plans]

    assert result.ok
    assert [outcome.plan for outcome in result.outcomes] == plans
    folders = [Path(str(outcome.folder)) for outcome in result.outcomes]
    assert [recording.read(folder) for folder in folders] == [recording.read(one.folder) for one in alone if one]
    assert [outcome.record and outcome.record.launch for outcome in result.outcomes] == ["fork"] * 6


def test_the_same_sweep_again_executes_nothing_and_a_larger_one_only_what_is_missing(
    write: Write, store: Store, pool: Kept, tmp_path: Path, count: str
):
    path = write(START, count)
    first = sweep(path, {"seed": "0:2"}, runs=store.root, executor=pool)
    again = sweep(path, {"seed": "0:2"}, runs=store.root, executor=Inline(lambda job: 1 / 0))
    larger = sweep(path, {"seed": "0:3"}, runs=store.root, executor=pool)

    assert statuses(first) == ["ok", "ok"]
    assert statuses(again) == ["already there"] * 2
    assert statuses(larger) == ["already there", "already there", "ok"]
    assert executions(tmp_path) == [0, 1, 2]
    assert again.outcomes[0].folder == store.folder("tiny", again.outcomes[0].plan.key)


@pytest.mark.parametrize("file", ["record.json", "notebook.ipynb"])
def test_a_run_that_is_not_whole_is_reported_and_executed_again(
    write: Write, store: Store, pool: Kept, tmp_path: Path, count: str, file: str
):
    plans = plan_sweep(write(START, count), {"seed": "0:3"}).plans
    run_sweep(plans, store, executor=pool)
    damaged = store.folder("tiny", plans[1].key)
    (damaged / file).write_bytes((damaged / file).read_bytes()[:-9])
    diary = Diary()

    assert list(look_up(plans, store)) == [plans[0].key, plans[2].key]
    assert damaged.exists()
    assert statuses(run_sweep(plans, store, executor=pool, listener=diary)) == ["already there", "ok", "already there"]
    assert diary.lines[:2] == [f"set aside {plans[1].key}-1: {damaged / file}", "2 known, 1 to run"]
    assert executions(tmp_path) == [0, 1, 1, 2]
    assert statuses(run_sweep(plans, store, executor=pool)) == ["already there"] * 3


def test_a_run_that_another_process_has_executed_again_is_not_set_aside(
    write: Write, store: Store, pool: Kept, monkeypatch: pytest.MonkeyPatch
):
    plans = plan_sweep(write(START), {"seed": "0:1"}).plans
    run_sweep(plans, store, executor=pool)
    read, looks = store.read, []

    def damaged_at_first(notebook: str, keys: Any) -> Any:
        looks.append(list(keys))
        return read(notebook, keys) if len(looks) > 1 else [(plans[0].key, CorruptError("cut off"))]

    monkeypatch.setattr(store, "read", damaged_at_first)
    diary = Diary()

    assert statuses(run_sweep(plans, store, listener=diary, executor=pool)) == ["already there"]
    assert "set aside" not in "".join(diary.lines)


def test_a_failure_hides_no_other_and_is_executed_again_only_if_asked_for(
    write: Write, store: Store, pool: Kept, tmp_path: Path, count: str
):
    plans = plan_sweep(write(START, count, "1 / (seed % 2)"), {"seed": "0:4"}).plans
    first = run_sweep(plans, store, executor=pool)
    again = run_sweep(plans, store, executor=pool)
    retried = run_sweep(plans, store, retry=True, executor=pool)

    assert statuses(first) == ["failed", "ok", "failed", "ok"]
    assert (first.ok, again.ok, first.counts) == (False, False, {"failed": 2, "ok": 2})
    assert [o.reason for o in first.failures] == ["ZeroDivisionError in cell 5: division by zero"] * 2
    assert [o.state for o in again.failures] == ["failed before"] * 2
    assert [o.folder for o in again.failures] == [Path(str(o.folder)) for o in first.failures]
    assert statuses(retried) == ["failed", "already there", "failed", "already there"]
    assert executions(tmp_path) == [0, 0, 1, 2, 2, 3]


def test_a_run_that_was_interrupted_is_always_executed_again(write: Write, store: Store, pool: Kept):
    plans = plan_sweep(write(START)).plans
    record = Record("tiny", plans[0].key, INTERRUPTED, plans[0].inputs, launch="fork", started="")
    store.finish(store.begin(record), record)
    assert look_up(plans, store) == {}
    assert statuses(run_sweep(plans, store, executor=pool)) == ["ok"]


def test_fail_fast_starts_no_run_after_the_first_failure(write: Write, store: Store, tmp_path: Path, count: str):
    plans = plan_sweep(write(START, count, "1 / seed"), {"seed": "1,0,2:20"}).plans
    result = run_sweep(plans, store, jobs=1, fail_fast=True)

    assert statuses(result)[:2] == ["ok", "failed"]
    assert set(statuses(result)[4:]) == {"not run"}  # the next may have begun before the failure was reported
    assert len(executions(tmp_path)) <= 4
    assert [o.state for o in result.failures] == ["failed"]
    assert not result.ok


def test_points_that_another_process_is_at_are_put_back(write: Write, store: Store, tmp_path: Path, count: str):
    plans = plan_sweep(write(START, count), {"seed": "0:3"}).plans
    lock = store.lock("tiny", plans[0].key)
    assert lock is not None
    diary = Diary(lambda outcome: lock.release() if outcome.plan is plans[2] else None)
    result = run_sweep(plans, store, jobs=1, listener=diary)

    assert statuses(result) == ["ok"] * 3
    assert [line for line in diary.lines if line.endswith("ok")] == ["1 ok", "2 ok", "0 ok"]
    assert executions(tmp_path) == [0, 1, 2]


@pytest.mark.parametrize(("cell", "state"), [("x = 1", "already there"), ("1 / 0", "failed before")])
def test_what_another_process_makes_of_a_busy_point_is_taken(write: Write, store: Store, cell: str, state: str):
    plans = plan_sweep(write(START, cell), {"seed": "0:1"}).plans

    def publish_elsewhere(job: dict[str, Any]) -> dict[str, Any]:
        execute_plan(plans[0], store, warm=True)
        return Answer("busy")

    assert statuses(run_sweep(plans, store, executor=Inline(publish_elsewhere))) == [state]


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_only_its_run(write: Write, store: Store, pool: Kept, tmp_path: Path, count: str):
    plans = plan_sweep(write(START, count, f"if seed == 1:\n    exec({KILL_WORKER!r})"), {"seed": "0:4"}).plans
    result = run_sweep(plans, store, executor=pool)

    assert statuses(result) == ["ok", "died", "ok", "ok"]
    (died,) = result.failures
    assert "was killed by SIGKILL" in died.reason
    assert (Path(str(died.folder)) / "record.json").exists()
    assert executions(tmp_path) == [0, 1, 1, 2, 3]


@pytest.mark.slow
def test_time_limits_are_passed_on(write: Write, store: Store, pool: Kept):
    plans = plan_sweep(write(START, "import time\ntime.sleep(seed)"), {"seed": "0,60"}).plans
    assert statuses(run_sweep(plans, store, limits=Limits(cell_timeout=2), executor=pool)) == ["ok", "timeout"]


@pytest.mark.parametrize("wrong", [{"cell_timeouts": 1.0}, {"memory_byts": 10}, {"retries": True}, {"limit": None}])
def test_a_misspelt_option_is_refused_before_any_work(write: Write, tmp_path: Path, wrong: dict[str, Any]):
    with pytest.raises(TypeError, match=f"sweep.. got an unexpected keyword argument '{next(iter(wrong))}'"):
        masklib.sweep(write(START), {"seed": [0]}, runs=tmp_path / "runs", **wrong)
    with pytest.raises(TypeError, match=next(iter(wrong))):
        execute_plan(plan_sweep(write(START)).plans[0], Store(tmp_path / "runs"), **wrong)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("wrong", [{"cell_timeout": 0}, {"timeout": "60"}, {"memory_bytes": -1}, {"timeout": None}])
def test_a_limit_that_is_none_is_refused_before_any_work(write: Write, tmp_path: Path, wrong: dict[str, Any]):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ArgumentError, match=f"{name} must be a number above 0, got {value!r}"):
        masklib.sweep(write(START), {"seed": [0]}, runs=tmp_path / "runs", **wrong)
    assert not (tmp_path / "runs").exists()


def test_an_executor_that_raises_is_an_error_of_its_point_only(write: Write, store: Store):
    plans = plan_sweep(write(START), {"seed": "0:3"}).plans
    executor = Inline(lambda job: Answer("error", reason="refused") if job.parameters["seed"] else 1 / 0)
    result = run_sweep(plans, store, executor=executor)

    assert [o.reason for o in result.outcomes] == ["ZeroDivisionError: division by zero", "refused", "refused"]
    assert {o.status for o in result.outcomes} == {"error"}
    assert executor.closed


def test_an_executor_is_closed_whatever_happens(write: Write, store: Store):
    executor = Inline(lambda job: Answer("died"))

    def raise_it(outcome: Outcome) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run_sweep(plan_sweep(write(START)).plans, store, executor=executor, listener=Diary(raise_it))
    assert executor.closed


def test_a_listener_is_told_of_every_step(write: Write, store: Store):
    diary = Diary()
    run_sweep(plan_sweep(write(START), {"seed": "7"}).plans, store, listener=diary)
    assert diary.lines == ["0 known, 1 to run", "7 start", *["7 cell"] * 4, "7 ok"]


def test_a_signal_stops_the_sweep_and_its_handlers_are_put_back(write: Write, store: Store, tmp_path: Path, count: str):
    plans = plan_sweep(write(START, count), {"seed": "0:20"}).plans
    before = signal.getsignal(signal.SIGINT)
    diary = Diary(lambda outcome: os.kill(os.getpid(), signal.SIGINT) if outcome.plan is plans[0] else None)
    result = run_sweep(plans, store, jobs=1, listener=diary)

    assert diary.lines.count("stop") == 1
    assert statuses(result)[0] == "ok"
    assert set(statuses(result)[3:]) == {"not run"}
    assert signal.getsignal(signal.SIGINT) is before


def test_a_sweep_may_run_in_another_thread(write: Write, store: Store, pool: Kept):
    results: list[SweepResult] = []
    path = write(START)
    thread = threading.Thread(target=lambda: results.append(sweep(path, {"seed": "0:2"}, runs=store.root, executor=pool)))
    thread.start()
    thread.join(timeout=60)
    assert [statuses(result) for result in results] == [["ok", "ok"]]


def test_the_result_is_a_table_with_the_parameters(write: Write, store: Store, pool: Kept):
    result = sweep(write(START, "1 / seed"), {"seed": "0:2"}, {"width": "2"}, runs=store.root, executor=pool)
    frame = result.to_frame()

    assert list(frame["status"]) == ["failed", OK]
    assert list(frame["param_seed"]) == [0, 1]
    assert list(frame["param_width"]) == [2.0, 2.0]
    assert frame["duration_s"].gt(0).all()
    assert list(frame["reason"]) == ["ZeroDivisionError in cell 4: division by zero", ""]
    assert list(frame["key"]) == [outcome.plan.key for outcome in result.outcomes]


def test_an_empty_plan_has_an_empty_result(store: Store):
    assert run_sweep([], store).outcomes == []


def test_no_worker_is_left_and_the_default_is_one_for_each_run(write: Write, store: Store):
    before = _workers()
    counts: list[int] = []
    sweep(write(START), {"seed": "0:1"}, runs=store.root, jobs=8, listener=Diary(lambda outcome: counts.append(_workers())))
    assert (counts, _workers()) == ([before + 1], before)


def _workers() -> int:
    """The number of worker processes that this thread has started."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    commands = [Path(f"/proc/{child}/cmdline").read_text() for child in children]
    return sum("masklib.engine.worker" in command for command in commands)
