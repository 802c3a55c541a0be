"""The memory limit of a run: what a kernel and the processes that it started hold, looked at while it runs."""

import threading
from types import TracebackType

import psutil

LOOK_EVERY_S = 0.2


class MemoryLimit:
    """Kills a kernel that holds more than its limit, while the `with` block runs.

    Args:
        pid: of the kernel.
        limit_bytes: of the resident memory of the kernel and its descendants together; None for no limit.

    Attributes:
        exceeded_bytes: what the kernel held when it was killed for it; None if it was not.
    """

    def __init__(self, pid: int | None, limit_bytes: int | None):
        self.exceeded_bytes: int | None = None
        self._limit = limit_bytes
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(pid,), daemon=True) if pid and limit_bytes else None

    def __enter__(self) -> "MemoryLimit":
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()

    def _watch(self, pid: int) -> None:
        """Look at the kernel now and then; kill it, and what it started, when it holds too much."""
        try:
            kernel = psutil.Process(pid)
            while not self._ended.wait(LOOK_EVERY_S):
                family = [kernel, *kernel.children(recursive=True)]
                held = sum(map(_resident_bytes, family))
                if self._limit is not None and held > self._limit:
                    self.exceeded_bytes = held
                    for process in family:
                        process.kill()
                    return
        except psutil.NoSuchProcess:
            return


def _resident_bytes(process: psutil.Process) -> int:
    """Return the resident memory of a process; 0 if it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
