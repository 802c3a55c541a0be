"""Where the runs of a sweep are executed: the workers of a Dask cluster.

A Dask worker executes one run at a time, however many threads it has, in a process of its own; see `masklib.engine.worker`.
That process forks its kernels from a server. It is kept from run to run, and ends with the sweep, or with the Dask worker,
however that ends.

Each run is a task: a Dask worker that is lost costs what it was at, which Dask gives to another one. The locks of a folder go
with the process that held them, so that the run can be begun again; one that was published already is found in the store.
"""

import asyncio
import contextlib
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from masklib.engine import worker
from masklib.engine.files import make_folder, store_error
from masklib.engine.worker import Answer, Job, OnEvent, Worker
from masklib.errors import ArgumentError

TOPIC = "masklib"  # of the events by which workers report how far they are
CONNECT_S = 10.0
LOOK_AGAIN_S = 0.5  # at whether a run that waits for its worker is still wanted
EVENT_S = 0.5  # between two cells of a run that are told: all pass through the scheduler
# What a task does, as text for `eval`: a Dask worker that is sent a function which it cannot import ends, whoever else uses it.
TASK = "__import__('importlib').import_module('masklib.engine.cluster').perform_on_worker(sweep, packed)"


class DaskCluster:
    """An `Executor` of `masklib.engine.pool` on a Dask cluster; the cluster itself stays when it is closed.

    Args:
        cluster: the address of a scheduler, a scheduler file, or a cluster object such as `dask_jobqueue.SLURMCluster`.

    Raises:
        ArgumentError: `distributed` is not installed, or no scheduler answers.
    """

    def __init__(self, cluster: Any):
        self._client = _connect(cluster)
        self._sweep = uuid4().hex
        self._runs: dict[str, tuple[Future[Answer], OnEvent]] = {}  # by key of the Dask task
        self._marks: set[Path] = set()
        self._client.subscribe_topic(TOPIC, self._pass_on)

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
        # Dask takes equal keys for equal tasks; those of another sweep may have another store or other limits.
        key = f"masklib-{job.key}-{uuid4().hex[:8]}"
        future: Future[Answer] = Future()
        self._runs[key] = future, on_event
        task = self._client.submit(eval, TASK, {"sweep": self._sweep, "packed": _pack(job)}, key=key)
        future.add_done_callback(lambda _: self._forget(key, task))
        task.add_done_callback(partial(_settle, future))
        return future

    def interrupt(self) -> None:
        """End the runs that are executed; the workers take no more of this sweep."""
        self._ask_workers(_interrupt)

    def close(self) -> None:
        """End what was started for this sweep on the Dask workers, and the connection; a second call does nothing."""
        for future, _ in list(self._runs.values()):
            future.cancel()
        self._ask_workers(_end)
        self._client.close()
        with contextlib.suppress(OSError):  # a disk that became read-only; a mark is an empty hidden file
            for mark in self._marks:
                mark.unlink(missing_ok=True)

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
        future, on_event = self._runs.get(told["key"], (None, None))
        if future is None or on_event is None:
            return
        if told["event"]["event"] == "start" and not future.running():  # it starts again where its worker was lost
            future.set_running_or_notify_cancel()
        on_event(told["event"])

    def _forget(self, key: str, task: Any) -> None:
        """Let go of a task: one that has not ended is then cancelled, the answer of one that has is dropped."""
        del self._runs[key]
        task.release()


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
        answer = Answer(worker.ERROR, reason=told)
    else:
        answer = _slot.execute(job, sweep, lambda: _is_wanted(here, key), _teller(here, key))
    if answer.reason:
        answer = replace(answer, reason=f"{answer.reason} (Dask worker {here.address})")
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
    is_file = isinstance(cluster, str | Path) and Path(cluster).is_file()
    where = {"scheduler_file": str(cluster)} if is_file else {"address": cluster}
    try:
        return Client(**where, timeout=CONNECT_S, set_as_default=False, name="masklib")
    except (OSError, ValueError) as error:
        msg = f"A cluster must be a Dask scheduler that answers, such as tcp://host:8786, {cluster} does not: {error}."
        raise ArgumentError(msg) from None


def _settle(future: "Future[Answer]", task: Any) -> None:
    """Give a future the answer of its task, unless it was cancelled."""
    if not future.done():
        answer = _answer_of(task)
        with contextlib.suppress(InvalidStateError):
            future.set_result(answer)


def _answer_of(task: Any) -> Answer:
    """Return the answer of a task that has ended; what Dask raises is one too."""
    from distributed import KilledWorker

    try:
        return Answer.from_json(task.result())
    except KilledWorker as error:
        lost = f"all {error.allowed_failures + 1} Dask workers that had it were lost, the last {error.last_worker.address}"
        return Answer(worker.LOST, reason=lost)
    except (Exception, asyncio.CancelledError) as error:
        if task.status == "error":
            told = f"{type(error).__name__}: {error}. Each Dask worker must have this masklib"
        else:
            told = "the connection to the Dask scheduler was lost"
        return Answer(worker.ERROR, reason=told)


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
