"""Where the runs of a sweep are executed: an interface, and its implementation on this machine."""

import itertools
import os
import queue
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from masklib.engine.kernels import servers
from masklib.engine.worker import Answer, Job, OnEvent, Worker


class Executor(Protocol):
    """What executes jobs; those of `masklib.engine.worker`, answered as it says."""

    def submit(self, job: Job, on_event: OnEvent) -> "Future[Answer]":
        """Return the future of a job's answer; `cancel` works until it starts. Events may come in any thread."""

    def interrupt(self) -> None:
        """End the runs that are executed; their futures then say that they were interrupted."""

    def close(self) -> None:
        """End everything that was started."""


class LocalPool:
    """Worker processes on this machine, each driven by a thread.

    Their kernels come from fork servers of this process, which import while the workers start.

    Args:
        jobs: how many workers.
        settings: the numeric settings of the runs, see `masklib.engine.settings`; each of the first few has a fork server, for
            the others the workers start their own.
        keep_s: how long a fork server without a kernel stays for the next command; 0.0 for one that ends with this process.

    Raises:
        ServerError: a server cannot be kept.
    """

    def __init__(self, jobs: int, settings: Iterable[Mapping[str, str]] = (), keep_s: float = 0.0):
        for one in itertools.islice(settings, servers.MOST):
            servers.start(one, spares=jobs, keep_s=keep_s)
        self._workers = [Worker(servers.shared()) for _ in range(jobs)]
        self._free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._workers:
            worker.start()
            self._free.put(worker)
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="masklib-worker")

    def submit(self, job: Job, on_event: OnEvent) -> "Future[Answer]":
        """Return the future of a job's answer; `on_event` is called in the worker's thread."""
        return self._threads.submit(self._execute, job, on_event)

    def interrupt(self) -> None:
        """End the runs that are executed."""
        for worker in self._workers:
            worker.interrupt()

    def close(self) -> None:
        """End the workers and their threads."""
        with ThreadPoolExecutor(len(self._workers)) as together:
            list(together.map(Worker.close, self._workers))
        self._threads.shutdown(cancel_futures=True)

    def _execute(self, job: Job, on_event: OnEvent) -> Answer:
        """Let a free worker execute a job; there is one for each thread."""
        worker = self._free.get()
        try:
            return worker.execute(job, on_event)
        finally:
            self._free.put(worker)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
