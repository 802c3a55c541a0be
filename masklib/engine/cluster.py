"""Where the runs of a sweep are executed: the workers of a Dask cluster.

A Dask worker executes one run at a time, however many threads it has, in a process of its own; see `masklib.engine.worker`.
That process forks its kernels from a server. It is kept from run to run, and ends with the sweep, or with the Dask worker,
however that ends.

Each run is a task: if a Dask worker is lost, Dask gives its current run to another one. The locks of a folder go
with the process that held them, so that the run can be begun again; one that was published already is found in the store.

A Dask worker that would make another run of it gives the task back: it has another masklib, other libraries, or does not see the
store. The task then goes to the workers of which that is not known, for as long as there are any.
"""

import asyncio
import contextlib
import json
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from masklib.engine import worker
from masklib.engine.files import make_folder, store_error
from masklib.engine.worker import Answer, Job, OnEvent, Worker
from masklib.errors import ArgumentError, printable

TOPIC = "masklib"  # of the events by which workers report how far they are
CONNECT_S = 10.0
FETCH_S = 10.0  # so long an answer is waited for, before it is looked whether it is still wanted
LOOK_AGAIN_S = 0.5  # at whether a run that waits for its worker is still wanted
EVENT_S = 0.5  # between two cells of a run that are reported: all pass through the scheduler
NO_CONNECTION = "the connection to the Dask scheduler was lost"
# What a task does, as text for `eval`: a Dask worker that is sent a function which it cannot import ends, whoever else uses it.
TASK = "(lambda space: exec(code, space) or space['answer'])({'sweep': sweep, 'packed': packed})"
CODE = """
try:
    from masklib.engine.cluster import perform_on_worker
    answer = perform_on_worker(sweep, packed)
except Exception as error:
    import json
    from distributed import get_worker
    address = get_worker().address
    told = f"{type(error).__name__}: {error}. Each Dask worker must have this masklib (Dask worker {address})"
    answer = json.dumps({"outcome": "error", "reason": told, "differs": True, "worker": address, "record": None})
"""


@dataclass(eq=False)
class _Run:
    """A run on its way through the cluster.

    Attributes:
        job: what is executed.
        on_event: told how far it is.
        future: of the answer.
        workers: the addresses of the Dask workers that may execute it; () for all.
        key: of the Dask task, another one each time that it is given to workers.
        task: the Dask task.
    """

    job: Job
    on_event: OnEvent
    future: "Future[Answer]" = field(default_factory=Future)
    workers: tuple[str, ...] = ()
    key: str = ""
    task: Any = None


class DaskCluster:
    """An `Executor` of `masklib.engine.pool` on a Dask cluster; the cluster itself stays when it is closed.

    Args:
        cluster: the address of a scheduler, a scheduler file, a cluster object such as `dask_jobqueue.SLURMCluster`, or "" for
            the scheduler that Dask's own configuration names.

    Raises:
        ArgumentError: `distributed` is not installed, or no scheduler answers.
    """

    def __init__(self, cluster: Any):
        self._client = _connect(cluster)
        self._sweep = uuid4().hex
        self._runs: dict[str, _Run] = {}  # by key of the Dask task
        self._differing: set[str] = set()  # addresses of workers that gave a task back
        self._placing = ThreadPoolExecutor(1, thread_name_prefix="masklib-placing")
        self._lock = threading.RLock()
        self._fetching = threading.Lock()
        self._marks: set[Path] = set()
        self._client.subscribe_topic(TOPIC, self._pass_on)
        self._client.subscribe_topic("all", self._on_change)

    @property
    def n_workers(self) -> int:
        """How many Dask workers there are now."""
        return len(self._client.nthreads())

    def submit(self, job: Job, on_event: OnEvent) -> "Future[Answer]":
        """Return the future of a job's answer; `on_event` is called in a thread of Dask.

        Raises:
            StoreError: the store is a folder that cannot be written.
        """
        self._mark(job.store)
        run = _Run(job, on_event)
        self._give(run, self._fitting() if self._differing else ())
        run.future.add_done_callback(lambda _: self._forget(run))
        return run.future

    def interrupt(self) -> None:
        """End the runs that are executed; the workers take no more of this sweep."""
        self._ask_workers(_interrupt)

    def close(self) -> None:
        """End what was started for this sweep on the Dask workers, and the connection; a second call does nothing."""
        for run in list(self._runs.values()):
            run.future.cancel()
        self._placing.shutdown(cancel_futures=True)
        self._ask_workers(_end)
        wait([run.future for run in list(self._runs.values())], CONNECT_S)
        is_quiet = self._fetching.acquire(timeout=FETCH_S)  # an answer that is being fetched would be lost
        try:
            with self._lock:
                self._client.close()
                for run in list(self._runs.values()):
                    self._answer(run, Answer(worker.ERROR, reason=NO_CONNECTION))
        finally:
            if is_quiet:
                self._fetching.release()
        with contextlib.suppress(OSError):  # a disk that became read-only; a mark is an empty hidden file
            for mark in self._marks:
                mark.unlink(missing_ok=True)

    def _give(self, run: _Run, workers: tuple[str, ...]) -> None:
        """Give a run to some workers, or to all."""
        with self._lock:
            # Dask takes equal keys for equal tasks; those of another sweep may have another store or other limits.
            run.key, run.workers = f"masklib-{run.job.key}-{uuid4().hex[:8]}", workers
            self._runs[run.key] = run
            values = {"sweep": self._sweep, "packed": _pack(run.job), "code": CODE}
            run.task = self._client.submit(eval, TASK, values, key=run.key, workers=workers or None)
            run.task.add_done_callback(partial(self._take, run, run.key))

    def _take(self, run: _Run, key: str, task: Any) -> None:
        """Give a run its answer, or to other workers if this one gave it back; called when a task has ended."""
        answer = self._fetch(run, key, task)
        with self._lock:
            if answer is None or run.future.done() or run.key != key:
                return
            if answer.differs:
                self._differing.add(answer.worker)
                others = self._fitting()
                if others:
                    self._runs.pop(key, None)
                    self._give(run, others)
                    return
        self._answer(run, answer)

    def _fetch(self, run: _Run, key: str, task: Any) -> Answer | None:
        """Return the answer of a task that has ended; None if the run was given away meanwhile, or is not wanted any more.

        If the worker that has the answer is lost now, Dask executes the task again; one that it may give to no other worker
        waits for ever, and with it whoever waits for its answer. `_place_again` needs the lock then.
        """
        while not run.future.done() and run.key == key:
            with self._fetching, contextlib.suppress(TimeoutError):
                return _answer_of(task)
        return None

    @staticmethod
    def _answer(run: _Run, answer: Answer) -> None:
        """Give a run its answer, unless it was cancelled meanwhile."""
        with contextlib.suppress(InvalidStateError):
            run.future.set_result(answer)

    def _fitting(self) -> tuple[str, ...]:
        """Return the addresses of the workers that have given nothing back; () where the scheduler went away."""
        if self._client.status == "running":
            with contextlib.suppress(OSError):
                return tuple(sorted(set(self._client.nthreads()) - self._differing))
        return ()

    def _on_change(self, event: tuple[float, dict[str, Any]]) -> None:
        """Take note that a worker came or went: what waits for certain workers may have to go to others."""
        if self._differing and event[1].get("action") in ("add-worker", "remove-worker"):
            with contextlib.suppress(RuntimeError):  # it is being closed
                self._placing.submit(self._place_again)

    def _place_again(self) -> None:
        """Give the runs that wait for certain workers, or were executed by one that was lost, to those that there are now."""
        with self._lock:
            fitting = self._fitting()
            for run in list(self._runs.values()) if fitting else ():
                if run.workers and not run.future.done() and self._needs_others(run, set(fitting)):
                    self._runs.pop(run.key, None)
                    run.task.release()
                    self._give(run, fitting)

    @staticmethod
    def _needs_others(run: _Run, fitting: set[str]) -> bool:
        """Return whether a run that was given to certain workers has none of them left, or waits though there are others."""
        is_lost = not fitting & set(run.workers)
        return is_lost or (not run.future.running() and bool(fitting - set(run.workers)))

    def _ask_workers(self, act: Callable[[str], Any]) -> None:
        """Call a function with the sweep on every Dask worker, those that are there."""
        if self._client.status == "running":
            with contextlib.suppress(OSError):  # the scheduler went away
                self._client.run(act, self._sweep, on_error="ignore")

    def _mark(self, store: str) -> None:
        """Put a mark into a store that is a folder, by which the workers see that it is theirs too."""
        mark = _mark_of(store, self._sweep)
        if mark is not None and mark not in self._marks:
            try:
                make_folder(mark.parent)
                mark.touch()
            except OSError as error:
                msg = f"A sweep needs a writable store, {mark.parent} is not"
                raise store_error(msg, error) from None
            self._marks.add(mark)

    def _pass_on(self, event: tuple[float, dict[str, Any]]) -> None:
        """Take note of an event of any sweep on the cluster; a run that has started cannot be cancelled any more."""
        told = event[1]
        run = self._runs.get(told["key"])
        if run is None:
            return
        if told["event"]["event"] == "start" and not run.future.running():  # it starts again where its worker was lost
            run.future.set_running_or_notify_cancel()
        run.on_event(told["event"])

    def _forget(self, run: _Run) -> None:
        """Let go of a run: a task that has not ended is then cancelled, the answer of one that has is dropped."""
        self._runs.pop(run.key, None)
        run.task.release()


def perform_on_worker(sweep: str, packed: bytes) -> str:
    """Execute a job on a Dask worker and return the answer, as JSON.

    Args:
        sweep: to which it belongs.
        packed: the job.
    """
    from distributed import get_worker

    here = get_worker()
    key, job = str(here.get_current_task()), _unpack(packed)
    mark = _mark_of(job.store, sweep)
    if mark is not None and not mark.exists():
        told = f"The store must be a folder that every worker sees, {job.store} is not. Use a shared one, or a URL."
        answer = Answer(worker.ERROR, reason=told, differs=True)
    else:
        answer = _slot.execute(job, sweep, lambda: _is_wanted(here, key), _teller(here, key))
    if answer.reason:
        answer = replace(answer, reason=f"{answer.reason} (Dask worker {here.address})", worker=here.address)
    return answer.to_json()


class _Slot:
    """The place for one run in the process of a Dask worker, with the worker that is kept from run to run."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # of what follows
        self._worker: Worker | None = None
        self._sweep: str | None = None  # whose run is executed
        self._ended: set[str] = set()  # sweeps of which nothing is executed any more

    def execute(self, job: Job, sweep: str, is_wanted: Callable[[], bool], on_event: OnEvent) -> Answer:
        """Execute a job once the slot is free, if it is still wanted then."""
        at_work = self._enter(sweep, is_wanted)
        if at_work is None:
            return Answer(worker.STOPPED)
        try:
            return at_work.execute(job, on_event)
        finally:
            self._leave(at_work, is_wanted)

    def interrupt(self, sweep: str) -> None:
        """Interrupt a run of a sweep, and take no more of it."""
        at_work = self._take(sweep)
        if at_work is not None:
            at_work.interrupt()

    def end(self, sweep: str) -> None:
        """End the worker unless it executes a run of another sweep, and take no more of this one."""
        at_work = self._take(sweep)
        if at_work is not None:
            at_work.close()

    def _enter(self, sweep: str, is_wanted: Callable[[], bool]) -> Worker | None:
        """Wait for the slot, and return its worker for a run of a sweep; None once that is not wanted any more."""
        with self._changed:
            while sweep not in self._ended and is_wanted():
                if self._sweep is None:
                    self._sweep, self._worker = sweep, self._worker or Worker()
                    return self._worker
                self._changed.wait(LOOK_AGAIN_S)
        return None

    def _leave(self, at_work: Worker, is_wanted: Callable[[], bool]) -> None:
        """Free the slot, and end its worker if that is not to be kept."""
        with self._changed:
            self._sweep = None
            if not is_wanted():  # the driver was killed, so that nobody else ends it
                self._worker = None
            is_kept = at_work is self._worker
            self._changed.notify_all()
        if not is_kept:
            at_work.close()

    def _take(self, sweep: str) -> Worker | None:
        """Return the worker, which is then the slot's no more; None if it is at a run of another sweep."""
        with self._changed:
            self._ended.add(sweep)
            self._changed.notify_all()
            if self._sweep not in (None, sweep):
                return None
            at_work, self._worker = self._worker, None
            return at_work


_slot = _Slot()


def _interrupt(sweep: str) -> None:
    """Interrupt the run of a sweep on this Dask worker."""
    _slot.interrupt(sweep)


async def _end(sweep: str) -> None:
    """End what was started for a sweep on this Dask worker, which itself stays."""
    await asyncio.to_thread(_slot.end, sweep)


def _connect(cluster: Any) -> Any:
    """Return a client of a cluster."""
    try:
        from distributed import Client
    except ImportError:
        msg = 'A Dask cluster needs a library that is not installed: pip install "masklib[dask]".'
        raise ArgumentError(msg) from None
    if isinstance(cluster, str | Path):
        cluster = _address(str(cluster))
        with ThreadPoolExecutor(1) as apart:  # the caller may be in a loop of asyncio, as a notebook is
            apart.submit(asyncio.run, _find_scheduler(cluster)).result()
    try:
        return Client(cluster, timeout=CONNECT_S, set_as_default=False, name="masklib")
    except (OSError, ValueError) as error:
        raise _no_scheduler(cluster, error) from None


def _address(given: str) -> str:
    """Return the address of a scheduler that is given by itself, by a scheduler file, or by Dask's configuration.

    Raises:
        ArgumentError: there is none.
    """
    import dask

    if not given:
        configured = dask.config.get("scheduler-address", None)
        if not configured:
            msg = "Dask's configuration must name a scheduler, it names none. Set DASK_SCHEDULER_ADDRESS, or give an address."
            raise ArgumentError(msg)
        return str(configured)
    if not Path(given).is_file():
        return given
    try:
        return str(json.loads(Path(given).read_bytes())["address"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        msg = f"A scheduler file must be JSON with an address, {given} is not: {type(error).__name__}."
        raise ArgumentError(msg) from None


async def _find_scheduler(address: str) -> None:
    """Ask what is at an address who it is: a client that finds no scheduler there would not end well.

    Raises:
        ArgumentError: no scheduler answers.
    """
    from distributed.comm.core import connect
    from distributed.security import Security

    try:
        async with asyncio.timeout(CONNECT_S + 1):
            arguments = Security().get_connection_args("client")
            connection = await connect(address, timeout=CONNECT_S, **arguments)
            try:
                await connection.write({"op": "identity", "reply": True})
                answer = await connection.read()
            finally:
                connection.abort()
    except Exception as error:  # each protocol has its own, for what is no address too
        raise _no_scheduler(address, error) from None
    if not isinstance(answer, dict) or answer.get("type") != "Scheduler":
        raise _no_scheduler(address, "something else is there")


def _no_scheduler(address: object, reason: object) -> ArgumentError:
    """Return the error that no scheduler answers at an address."""
    told = " ".join(str(reason).split()).rstrip(".") or type(reason).__name__
    where = f"such as tcp://host:8786, {printable(address)} does not"
    return ArgumentError(f"A cluster must be a Dask scheduler that answers, {where}: {printable(told)}.")


def _answer_of(task: Any) -> Answer:
    """Return the answer of a task that has ended; what Dask raises is one too.

    Raises:
        TimeoutError: the answer does not come; its worker may be lost.
    """
    from distributed import KilledWorker

    try:
        return Answer.from_json(task.result(timeout=FETCH_S))
    except KilledWorker as error:
        lost = f"all {error.allowed_failures + 1} Dask workers that had it were lost, the last {error.last_worker.address}"
        return Answer(worker.LOST, reason=lost)
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, TimeoutError) and task.status != "error":
            raise
        return Answer(worker.ERROR, reason=f"{type(error).__name__}: {error}" if task.status == "error" else NO_CONNECTION)


def _pack(job: Job) -> bytes:
    """Return a job in a few KB, as opaque to Dask, which would look for its own keys in it."""
    return zlib.compress(job.to_json().encode())


def _unpack(packed: bytes) -> Job:
    """Return the job."""
    return Job.from_json(zlib.decompress(packed))


def _mark_of(store: str, sweep: str) -> Path | None:
    """Return the mark of a sweep in a store that is a folder; None for a URL, which means the same everywhere."""
    return None if "://" in store else Path(store) / f".cluster-{sweep}"


def _is_wanted(here: Any, key: str) -> bool:
    """Return whether a task that a Dask worker has begun was not cancelled since."""
    task = here.state.tasks.get(key)
    return task is not None and task.state != "cancelled"


def _teller(here: Any, key: str) -> OnEvent:
    """Return what reports the events of a task."""
    told_at = float("-inf")

    def tell(event: dict[str, Any]) -> None:
        nonlocal told_at
        if event["event"] == "cell":
            if time.monotonic() - told_at < EVENT_S:
                return
            told_at = time.monotonic()
        here.log_event(TOPIC, {"key": key, "event": event})

    return tell
