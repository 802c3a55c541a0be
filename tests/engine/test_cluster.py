"""Sweeps on a real Dask cluster: the runs of this machine, whatever its workers have for environment, threads and fate."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import distributed
import nbformat
import pandas as pd
import pytest

from masklib.engine import cluster
from masklib.engine.cluster import DaskCluster
from masklib.engine.collect import collect
from masklib.engine.grid import plan_sweep
from masklib.engine.kernels import servers
from masklib.engine.run import plan_run
from masklib.engine.store import Store, read_record
from masklib.engine.stores import open_store
from masklib.engine.sweep import run_sweep, sweep
from masklib.engine.worker import Answer
from masklib.errors import ArgumentError
from tests.cli import test_sweep as sweep_tests
from tests.cli.test_cli import call
from tests.cli.test_sweep import finish, masklib, notes, published, start
from tests.engine import test_objects, test_sweep
from tests.engine.conftest import START, Write, notebook
from tests.engine.test_execute import processes_with
from tests.engine.test_pool import SLEEP, job_of, status_of
from tests.engine.test_sweep import Diary, Kept, executions, statuses
from tests.stores import attempts_in
from tests.waiting import GONE_S, until

count, house = test_sweep.count, sweep_tests.house  # fixtures of theirs
endpoint, log, s3 = test_objects.endpoint, test_objects.log, test_objects.s3
ROOT = Path(__file__).parents[2]
PRELOAD = ("numpy", "pandas", "ipykernel.kernelapp")  # of the fork servers, so that they start at once
OF_ONE_SWEEP = ["started", "duration_s"]  # columns in which two equal sweeps differ
KILL_DASK_WORKER = (
    "import os, psutil, signal, time\n"
    "above = psutil.Process().parents()\n"
    "place = next(i for i, process in enumerate(above) if 'masklib.engine.worker' in process.cmdline())\n"
    "above[place + 1].send_signal(signal.SIGKILL)\ntime.sleep(60)"
)


class Dask:
    """A scheduler and its workers, as processes that a user starts.

    Args:
        folder: where they write, also in their environment, which identifies them and all that they start.
        **environment: of all of them.
    """

    def __init__(self, folder: Path, **environment: str):
        self.folder = folder
        self.log = folder / "log"
        (folder / "sitecustomize.py").write_text(
            f"from masklib.engine.kernels import servers\nservers.PRELOAD = {PRELOAD}\n"  # in the workers' processes
        )
        self.environment = {"MASKLIB_DASK": str(folder), "PYTHONPATH": str(folder), "TMPDIR": str(folder), **environment}
        self.scheduler = self._start("scheduler", "--port", 0, "--scheduler-file", folder / "scheduler.json")
        self.workers: list[subprocess.Popen[bytes]] = []
        assert until(lambda: re.search(r"Scheduler at:\s+(tcp://\S+)", self.log.read_text())), self.log.read_text()
        self.address = re.findall(r"Scheduler at:\s+(tcp://\S+)", self.log.read_text())[0]

    def start_worker(self, *, threads: int = 2, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a worker; it comes while the caller goes on."""
        options = ("--nthreads", threads, "--no-nanny", "--local-directory", self.folder)
        self.workers.append(self._start("worker", self.address, *options, **environment))
        return self.workers[-1]

    @property
    def started(self) -> list[str]:
        """The command lines of what runs besides the scheduler and the workers."""
        found = processes_with(f"MASKLIB_DASK={self.folder}\0")
        return [line for line in found if "distributed.cli" not in line]

    def close(self) -> None:
        """End the workers and the scheduler by kill -9, after which nothing may be left."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        assert until(lambda: processes_with(f"MASKLIB_DASK={self.folder}\0") == [], GONE_S)

    def _start(self, what: str, *arguments: object, **environment: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *map(str, arguments), "--host", "127.0.0.1"]
        variables = {**os.environ, **self.environment, **environment}
        with self.log.open("ab") as file:
            return subprocess.Popen([*command, "--no-dashboard"], env=variables, cwd=self.folder, stdout=file, stderr=file)


@pytest.fixture(autouse=True, scope="module")
def _quick_server() -> Iterator[None]:
    """The fork server of local sweeps imports what their notebooks need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "PRELOAD", PRELOAD)
        yield
    servers.stop_servers()


@pytest.fixture(scope="module")
def two_workers(endpoint: str) -> Iterator[Dask]:
    """A cluster of two workers, each with more threads than runs, and with settings of its own."""
    with TemporaryDirectory(prefix="dask-") as folder:
        found = Dask(
            Path(folder),
            AWS_ENDPOINT_URL=endpoint,
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",
            AWS_DEFAULT_REGION="us-east-1",
            OMP_NUM_THREADS="3",
            TF_NUM_INTRAOP_THREADS="5",
        )
        try:
            for _ in range(2):
                found.start_worker()
            yield found
        finally:
            found.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Dask]:
    """A cluster without workers, that gives up a task whose worker is lost."""
    with TemporaryDirectory(prefix="dask-") as folder:
        found = Dask(Path(folder), DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
        try:
            yield found
        finally:
            found.close()


@pytest.fixture
def forgiving() -> Iterator[Dask]:
    """A cluster without workers, that gives a task whose worker is lost to another one, as is usual."""
    with TemporaryDirectory(prefix="dask-") as folder:
        found = Dask(Path(folder))
        try:
            yield found
        finally:
            found.close()


@pytest.fixture(scope="module")
def kept(two_workers: Dask) -> Iterator[Any]:
    """An executor that is not closed at the end of a sweep, so that the next finds its workers at work."""
    executor = DaskCluster(two_workers.address)
    yield Kept(executor)  # type: ignore[arg-type] # any executor will do
    executor.close()


def tables(store: Store) -> dict[str, pd.DataFrame]:
    """The tables of a store, without what differs from sweep to sweep."""
    found = collect(store)
    runs = found.runs[found.runs["status"] == "ok"].reset_index(drop=True)
    every = {"runs": runs, "claims": found.claims, "measurements": found.measurements}
    return {name: table.drop(columns=OF_ONE_SWEEP, errors="ignore") for name, table in every.items()}


def assert_same_tables(store: Store, expected: Store) -> None:
    """Two stores hold the same results."""
    found = tables(store)
    assert len(found["measurements"])
    for name, table in tables(expected).items():
        pd.testing.assert_frame_equal(found[name], table)


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code that one of the runs executes if it is there, which is no part of its identity."""
    return tmp_path_factory.mktemp("trouble") / "trouble.py"


@pytest.fixture(scope="module")
def plans(trouble: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Six runs that measure what a worker could change."""
    path = tmp_path_factory.mktemp("measures") / "measures.ipynb"
    once = f"import pathlib\ntrouble = pathlib.Path({str(trouble)!r})\nif seed == 1 and width == 2 and trouble.exists():\n"
    once += "    code = trouble.read_text()\n    trouble.unlink()\n    exec(code)"
    threads = "import os\nfor name in os.environ:\n    if 'THREADS' in name:\n        run.metric(name, int(os.environ[name]))"
    measure = "import random\nrun.metric('m', random.random() + width)\nrun.claim('emb-1', seed, seed)"
    nbformat.write(notebook(START, once, threads, measure), path)
    return plan_sweep(path, {"seed": "0:3", "width": "0.5,2"}).plans


@pytest.fixture(scope="module")
def local(plans: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store in which this machine has executed them."""
    store = Store(tmp_path_factory.mktemp("local") / "runs")
    assert run_sweep(plans, store, jobs=2).ok
    return store


@pytest.mark.slow
def test_a_cluster_makes_the_tables_of_this_machine(plans: list[Any], local: Store, store: Store, two_workers: Dask):
    diary = Diary()
    result = run_sweep(plans, store, executor=DaskCluster(two_workers.address), listener=diary)

    assert statuses(result) == ["ok"] * 6
    assert_same_tables(store, local)
    assert set(tables(store)["runs"]["launch"]) == {"fork"}
    measured = tables(store)["measurements"]
    assert set(measured["value"][measured["name"].str.contains("THREADS")]) == {1.0}
    assert [line for line in diary.lines if line == "0 start"] == ["0 start"] * 2
    assert len({read_record(Path(str(outcome.folder))).pid for outcome in result.outcomes}) == 2
    assert until(lambda: two_workers.started == [], GONE_S), two_workers.started
    assert [path.name for path in store.root.iterdir() if path.name.startswith(".cluster")] == []


@pytest.mark.slow
def test_a_store_on_s3_has_the_same_tables(plans: list[Any], local: Store, kept: Any, s3: Any):
    store = open_store("s3://runs-of-masklib/some/where")
    assert statuses(run_sweep(plans, store, executor=kept)) == ["ok"] * 6
    assert_same_tables(store, local)
    assert statuses(run_sweep(plans, store, executor=kept)) == ["already there"] * 6


def test_a_worker_that_is_killed_costs_only_its_run(
    plans: list[Any], local: Store, store: Store, two_workers: Dask, kept: Any, trouble: Path
):
    two_workers.start_worker()
    trouble.write_text(KILL_DASK_WORKER)
    result = run_sweep(plans, store, executor=kept)

    assert set(statuses(result)) <= {"ok", "already there"}  # a run may be published in the instant before its worker dies
    assert len(statuses(result)) == 6
    assert_same_tables(store, local)
    assert [worker.poll() for worker in two_workers.workers].count(-signal.SIGKILL) == 1
    assert [read_record(attempt).status for attempt in attempts_in(store)] == ["interrupted"]


@pytest.mark.slow
def test_a_worker_executes_one_run_at_a_time_whatever_its_threads(write: Write, store: Store, kept: Any, tmp_path: Path):
    alone = f"import os, time\nplace = f'{tmp_path}/{{os.getppid()}}'\nos.mkdir(place)\ntime.sleep(0.3)\nos.rmdir(place)"
    assert statuses(sweep(write(START, alone), {"seed": "0:6"}, runs=store.root, executor=kept)) == ["ok"] * 6


def test_points_that_another_process_is_at_are_put_back(write: Write, store: Store, kept: Any, tmp_path: Path, count: str):
    plans = plan_sweep(write(START, count), {"seed": "0:2"}).plans
    lock = store.lock("tiny", plans[0].key)
    assert lock is not None
    diary = Diary(lambda outcome: lock.release() if outcome.plan is plans[1] else None)
    assert statuses(run_sweep(plans, store, executor=kept, listener=diary)) == ["ok"] * 2
    assert executions(tmp_path) == [0, 1]


def test_a_folder_that_a_worker_does_not_see_is_reported_before_the_work(
    write: Write, store: Store, kept: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(DaskCluster, "_mark", lambda self, store: None)
    (reason,) = sweep(write(START), runs=store.root, executor=kept).to_frame()["reason"]
    assert re.match(rf"The store must be a folder that every worker sees, {store.root} is not.* \(Dask worker tcp://", reason)
    assert not store.root.exists()


@pytest.mark.slow
def test_a_notebook_of_the_suite_runs_on_a_cluster(store: Store, kept: Any):
    result = sweep("02_rnn_carry_over", fixed={"cell": "lstm"}, runs=store.root, executor=kept)
    assert statuses(result) == ["ok"]
    assert "holds" in set(tables(store)["claims"]["verdict"])


def test_what_has_not_started_can_be_cancelled_and_what_has_cannot(
    write: Write, store: Store, two_workers: Dask, tmp_path: Path, count: str
):
    plans = plan_sweep(write(START, count, "import time\ntime.sleep(2)"), {"seed": "0:9"}).plans
    executor = DaskCluster(two_workers.address)
    try:
        futures = [executor.submit(job_of(plan, store), lambda event: None) for plan in plans]
        assert until(lambda: sum(future.running() for future in futures) == 2)
        running = [future for future in futures if future.running()]
        assert [future.cancel() for future in futures].count(True) == 7
        assert [status_of(future.result(timeout=60)) for future in running] == ["ok"] * 2
        time.sleep(1)
    finally:
        executor.close()
    assert len(executions(tmp_path)) == 2
    executor.close()


def test_runs_are_interrupted_and_those_of_another_sweep_are_not(write: Write, store: Store, two_workers: Dask, kept: Any):
    wait = "import os, pathlib, time\nwhile not pathlib.Path(os.environ['MASKLIB_RUN_DIR'], 'go').exists():\n    time.sleep(0.05)"
    plan, other = plan_run(write(START, SLEEP)), plan_run(write(START, wait, name="other"))
    executor = DaskCluster(two_workers.address)
    try:
        started = threading.Event()
        kept_one = kept.submit(job_of(other, store), lambda event: started.set())
        assert started.wait(60)
        two = (plan, plan_run(plan.notebook, {"seed": 2}))
        futures = [executor.submit(job_of(each, store), lambda event: None) for each in two]
        assert until(lambda: list(store.root.glob("tiny/.work-*/sleeping")))
        executor.interrupt()
        answers = [future.result(timeout=60) for future in futures]
        late = executor.submit(job_of(plan, store), lambda event: None).result(timeout=60)
    finally:
        executor.close()
    assert {answer.record.status if answer.record else answer.outcome for answer in answers} == {"interrupted"}
    assert late == Answer("interrupted")
    (work,) = store.root.glob("other/.work-*")
    (work / "go").touch()
    assert status_of(kept_one.result(timeout=60)) == "ok"
    assert {read_record(attempt).status for attempt in attempts_in(store)} == {"interrupted"}


def test_closing_ends_what_runs(write: Write, store: Store, two_workers: Dask):
    executor = DaskCluster(two_workers.address)
    future = executor.submit(job_of(plan_run(write(START, SLEEP)), store), lambda event: None)
    assert until(lambda: list(store.root.glob("tiny/.work-*/sleeping")))
    executor.close()

    assert future.result(timeout=60).outcome in ("interrupted", "error")
    assert [read_record(folder).status for folder in store.recover()] == ["interrupted"]


def test_closing_waits_for_an_answer_that_is_fetched(
    write: Write, store: Store, two_workers: Dask, monkeypatch: pytest.MonkeyPatch
):
    """Dask itself would wait for it for ever, in the one thread in which the answers of all clients are taken."""
    fetching, fetch = threading.Event(), distributed.Client._gather

    async def fetch_slowly(*arguments: Any, **options: Any) -> Any:
        fetching.set()
        await asyncio.sleep(1)
        return await fetch(*arguments, **options)

    monkeypatch.setattr(distributed.Client, "_gather", fetch_slowly)
    monkeypatch.setattr(cluster, "CONNECT_S", 0.1)  # so long it waits for what is not being fetched yet
    executor = DaskCluster(two_workers.address)
    future = executor.submit(job_of(plan_run(write(START)), store), lambda event: None)
    assert fetching.wait(60)
    executor.close()
    assert future.result(timeout=10).outcome == "run"


@pytest.mark.slow
def test_workers_with_another_masklib_or_none_are_refused(write: Write, store: Store, small: Dask, tmp_path: Path):
    other, none = tmp_path / "other", tmp_path / "none"
    shutil.copytree(ROOT / "masklib", other / "masklib", ignore=shutil.ignore_patterns("__pycache__"))
    (other / "masklib" / "data.py").write_text("")
    none.mkdir()
    (none / "sitecustomize.py").write_text("import sys\nsys.modules['masklib'] = None")
    reasons = []
    for folder in (other, none):
        worker = small.start_worker(PYTHONPATH=str(folder))
        reasons += sweep(write(START), runs=store.root, executor=DaskCluster(small.address)).to_frame()["reason"].to_list()
        assert worker.poll() is None
        worker.kill()
        worker.wait()

    assert re.fullmatch(r".* this worker differs in masklib\. Give it the same, .*\. \(Dask worker tcp://.*\)", reasons[0])
    assert re.fullmatch(r"ModuleNotFoundError: .*\. Each Dask worker must have this masklib \(Dask worker tcp://.*\)", reasons[1])
    assert store.entries() == []


@pytest.mark.slow
def test_a_worker_that_differs_gives_its_tasks_back_and_the_others_execute_them(
    write: Write, store: Store, forgiving: Dask, tmp_path: Path
):
    """One without masklib, one with another masklib, and a good one, which is lost when another good one has come."""
    other, none = tmp_path / "other", tmp_path / "none"
    shutil.copytree(ROOT / "masklib", other / "masklib", ignore=shutil.ignore_patterns("__pycache__"))
    (other / "masklib" / "data.py").write_text("")
    none.mkdir()
    (none / "sitecustomize.py").write_text("import sys\nsys.modules['masklib'] = None")
    for folder in (other, none):
        forgiving.start_worker(PYTHONPATH=str(folder))
    good = forgiving.start_worker()
    executor = DaskCluster(forgiving.address)
    assert until(lambda: executor.n_workers == 3)
    plans = plan_sweep(write(START, "run.metric('m', seed)"), {"seed": "0:20"}).plans
    ended: list[Any] = []

    def change_workers(outcome: Any) -> None:
        ended.append(outcome)
        if len(ended) == 3:
            forgiving.start_worker()
            assert until(lambda: executor.n_workers == 4)
            good.kill()

    result = run_sweep(plans, store, executor=executor, listener=Diary(change_workers))
    assert set(statuses(result)) <= {"ok", "already there"}, result.to_frame()["reason"].to_list()
    assert len({read_record(Path(str(outcome.folder))).pid for outcome in result.outcomes}) == 2
    assert [worker.poll() for worker in forgiving.workers].count(None) == 3


def with_one_that_fits(dask: Dask, write: Write, store: Store, folder: Path) -> tuple[DaskCluster, Any]:
    """An executor that knows of its two workers that one differs, and the process of the other, which gets all runs."""
    other = folder / "other"
    shutil.copytree(ROOT / "masklib", other / "masklib", ignore=shutil.ignore_patterns("__pycache__"))
    (other / "masklib" / "data.py").write_text("")
    dask.start_worker(PYTHONPATH=str(other))
    good = dask.start_worker()
    executor = DaskCluster(dask.address)
    assert until(lambda: executor.n_workers == 2)
    quick = write(START, name="quick")
    first = [executor.submit(job_of(plan_run(quick, {"seed": seed}), store), lambda event: None) for seed in range(4)]
    assert [future.result(timeout=60).outcome for future in first] == ["run"] * 4
    assert len(executor._differing) == 1
    return executor, good


@pytest.mark.slow
def test_a_run_whose_only_worker_is_lost_goes_to_one_that_came_since(write: Write, store: Store, forgiving: Dask, tmp_path: Path):
    """The run was given to one worker, for the other differs; Dask alone would let it wait for that one for ever."""
    executor, good = with_one_that_fits(forgiving, write, store, tmp_path)

    begun = tmp_path / "begun"
    once = (
        f"import pathlib, time\nif not (begun := pathlib.Path({str(begun)!r})).exists():\n    begun.touch()\n    time.sleep(120)"
    )
    future = executor.submit(job_of(plan_run(write(START, once)), store), lambda event: None)
    assert until(begun.exists)
    forgiving.start_worker()
    assert until(lambda: executor.n_workers == 3)
    good.kill()
    assert future.result(timeout=60).outcome == "run"
    executor.close()


@pytest.mark.slow
def test_an_answer_that_is_lost_with_its_worker_while_it_is_fetched_is_made_by_another(
    write: Write, store: Store, forgiving: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The task may run on that worker alone, for the other differs: Dask would wait for it for ever, and close would, too."""
    executor, good = with_one_that_fits(forgiving, write, store, tmp_path)
    fetch, lost = distributed.Client._gather, threading.Event()

    def lose() -> None:
        good.kill()
        forgiving.start_worker()
        assert until(lambda: good.poll() is not None and executor.n_workers == 2)

    async def fetch_after_the_loss(*arguments: Any, **options: Any) -> Any:
        if not lost.is_set():
            lost.set()
            await asyncio.to_thread(lose)
        return await fetch(*arguments, **options)

    monkeypatch.setattr(cluster, "FETCH_S", 1.0)
    monkeypatch.setattr(distributed.Client, "_gather", fetch_after_the_loss)
    future = executor.submit(job_of(plan_run(write(START, name="quick"), {"seed": 9}), store), lambda event: None)
    assert future.result(timeout=60).outcome in ("run", "already there")
    assert lost.is_set()
    executor.close()


@pytest.mark.slow
def test_lost_workers_and_a_lost_scheduler_are_reported(write: Write, store: Store, small: Dask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 2.0)  # so long it also tries to reconnect
    small.start_worker(threads=1)
    (died,) = sweep(write(START, KILL_DASK_WORKER), runs=store.root, executor=DaskCluster(small.address)).outcomes
    assert died.status == "died"
    assert died.reason.startswith("all 1 Dask workers that had it were lost, the last tcp://127.0.0.1:")
    assert until(lambda: store.recover() or attempts_in(store))

    small.start_worker(threads=1)
    executor = DaskCluster(small.address)
    future = executor.submit(job_of(plan_run(write(START, SLEEP)), store), lambda event: None)
    assert until(lambda: list(store.root.glob("tiny/.work-*/sleeping")))
    small.scheduler.kill()
    assert future.result(timeout=60) == Answer("error", reason="the connection to the Dask scheduler was lost")
    after = executor.submit(job_of(plan_run(write(START)), store), lambda event: None)
    assert after.result(timeout=60).outcome == "error"
    executor.close()


@pytest.mark.slow
def test_the_command_waits_for_workers_and_goes_on_after_its_driver_was_killed(house: Path, small: Dask):
    file = small.folder / "scheduler.json"
    command = ("fine", "-g", "seed=0:3", "-p", "width", 0.5, "--json", "--dask")
    killed = start(*command, file)
    assert killed.stderr is not None
    assert killed.stderr.readline() == f"Dask workers at {file}: 0, the sweep waits for the first.\n"
    small.start_worker(EXECUTIONS=str(house / "executions"))
    assert until(lambda: notes(house, "begin"))
    killed.kill()
    finish(killed)
    assert until(lambda: notes(house, "end"))
    assert until(lambda: small.started == [], GONE_S), small.started
    begun = notes(house, "begin")
    result = masklib(*command, small.address)

    assert result.code == 0, result.err
    assert f"Dask workers at {small.address}: 1.\n" in result.err
    assert json.loads(result.out)["states"] == {"already there": len(begun), "ok": 3 - len(begun)}
    assert notes(house, "begin") == published(house) == [0, 1, 2]


@pytest.mark.slow
def test_a_scheduler_that_dies_is_reported_in_a_sentence_for_each_run(house: Path, small: Dask):
    nbformat.write(notebook(START, "import time\ntime.sleep(60)"), house / "notebooks" / "long.ipynb")
    small.start_worker()
    driver = start("long", "-g", "seed=0:2", "--dask", small.address)
    assert until(lambda: list((house / "runs").glob("long/.work-*")))
    small.scheduler.kill()
    result = finish(driver)
    assert result.code == 1
    assert result.out.count("the connection to the Dask scheduler was lost") == 2
    assert [line for line in result.err.splitlines() if "Error" in line or "Traceback" in line] == []


@pytest.mark.parametrize(
    "address",
    [
        *("tcp://127.0.0.1:9", "nothing://there", "no such file", "localhost", "tcp://host:port", "tcp://127.0.0.1", ":", "8786"),
        *("tls://127.0.0.1:9", "http://127.0.0.1:8787", "inproc://1", "tcp://[::1", "tcp://a\nb:1"),
    ],
)
def test_a_scheduler_that_does_not_answer_is_reported(house: Path, address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    result = call("sweep", "fine", "-g", "seed=0:3", "--dask", address)
    assert result.exit_code == 2
    assert "must be a Dask scheduler that answers, such as tcp://host:8786, " in result.stderr
    assert result.stderr.count("\n") == 1
    assert [folder.name for folder in (house / "runs").iterdir()] == ["specs"]


@pytest.mark.parametrize("content", ["junk", "{}", "[1]", '"text"', '{"address": "tcp://127.0.0.1:9"}', '{"address": null}'])
def test_a_scheduler_file_that_names_no_scheduler_is_reported(house: Path, content: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    (house / "scheduler.json").write_text(content)
    result = call("sweep", "fine", "-g", "seed=0:3", "--dask", "scheduler.json")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "must be" in result.stderr


def test_what_is_not_a_scheduler_is_reported(house: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = call("sweep", "fine", "-g", "seed=0:3", "--dask", f"tcp://127.0.0.1:{other.getsockname()[1]}")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_a_failed_connection_leaves_nothing_that_ends_badly(house: Path):
    """A client of Dask that did not connect waits for 20 seconds at the end of its process, and then shows a traceback."""
    result = masklib("fine", "-g", "seed=0:3", "--dask", "localhost")
    assert (result.code, result.err.count("\n"), result.out) == (2, 1, "")


@pytest.mark.slow
def test_the_scheduler_may_be_that_of_dasks_own_configuration(house: Path, two_workers: Dask, monkeypatch: pytest.MonkeyPatch):
    none = call("sweep", "fine", "-g", "seed=0:2", "-p", "width", 0, "--dask")
    assert (none.exit_code, none.stderr.count("\n")) == (2, 1)
    assert "Set DASK_SCHEDULER_ADDRESS" in none.stderr
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", two_workers.address)
    nbformat.write(notebook(START, "run.metric('m', seed)"), house / "notebooks" / "plain.ipynb")
    found = masklib("plain", "-g", "seed=0:2", "--dask")
    assert found.code == 0, found.err
    assert "Dask workers at the scheduler of the configuration: " in found.err
    assert published(house) == [0, 1]


def test_jobs_are_for_this_machine(house: Path):
    result = call("sweep", "fine", "--jobs", 2, "--dask", "tcp://127.0.0.1:9")
    assert (result.exit_code, "Give --jobs or --dask, not both" in result.stderr) == (2, True)


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ArgumentError, match=re.escape('pip install "masklib[dask]"')):
        DaskCluster("tcp://127.0.0.1:9")


def test_dask_is_not_loaded_before_it_is_asked_for():
    code = "import sys, masklib.cli, masklib.cli.sweep_view, masklib.engine.cluster; print('distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
