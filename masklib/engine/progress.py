"""What an execution tells while it runs and when it fails, and how it is interrupted."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from masklib.engine.identity import kernel_source_hash_now

OnCell = Callable[[int, int], None]
SERVER_GONE = "ServerGone"  # the name of the failure of a run whose fork server was killed


@dataclass(frozen=True)
class Failure:
    """Why a notebook did not run to its end.

    Attributes:
        status: "failed", "timeout", "died" or "interrupted".
        ename, evalue, traceback: as Jupyter gives them.
        cell: index of the cell in the executed notebook; None if it failed before the first.
        signal: the name of the signal that killed the kernel, such as "SIGKILL".
        exit_code: of the kernel, where it ended by itself.
    """

    status: str
    ename: str
    evalue: str
    traceback: tuple[str, ...] = ()
    cell: int | None = None
    signal: str | None = None
    exit_code: int | None = None

    @property
    def error(self) -> dict[str, Any]:
        """The failure as plain JSON, for a record."""
        return {name: value for name, value in asdict(self).items() if name != "status"}


class Progress:
    """What an execution tells its caller: the current cell, the failure if there was one, and how its kernel was launched.

    Args:
        on_cell: called with the number of cells started so far and their total.

    Attributes:
        failure: why it did not run to its end; None if it did.
        launch: "fork" or "spawn".
        steps: wall time by step, seconds.
        memory_bytes: the most memory that the kernel held; None where that is not known.
    """

    def __init__(self, on_cell: OnCell | None = None):
        self.on_cell = on_cell or (lambda done, total: None)
        self.failure: Failure | None = None
        self.launch = "spawn"
        self.steps: dict[str, float] = {}
        self.memory_bytes: int | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time that this context takes to a step."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.steps[name] = round(self.steps.get(name, 0.0) + time.monotonic() - started, 4)

    def check_source(self, planned: str) -> None:
        """Make the execution a failure if masklib is not what it was planned with: the kernel may have run either."""
        if self.failure is None and kernel_source_hash_now() != planned:
            told = "masklib's source changed since this run was planned; run it again"
            self.failure = Failure("failed", "SourceChanged", told)


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Within this context, SIGTERM ends a run as Ctrl-C does: its kernel is stopped and its evidence kept."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
