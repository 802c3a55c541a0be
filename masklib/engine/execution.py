"""The outcome of an execution, noted while it runs, and how one is interrupted."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from masklib.engine.record import OK, Failure

OnCell = Callable[[int, int], None]
SERVER_GONE = "ServerGone"  # the name of the failure of a run whose fork server was killed
SET_TOO_LATE = "SetTooLate"  # and of one that sets a variable which a library of its forked kernel has read already


@dataclass
class Execution:
    """What came of an execution of a notebook.

    Attributes:
        failure: why it did not run to its end; None if it did.
        launch: how its kernel came to be, "fork" or "spawn".
        kernel: what it said that it is: its language and version.
        steps: wall time by step, seconds.
        memory_bytes: the most memory that the kernel held; None where that is not known.
        imports: what the kernel imported, see `masklib.engine.kernels.imports`; None where it could not tell.
    """

    failure: Failure | None = None
    launch: str = "spawn"
    kernel: str = ""
    steps: dict[str, float] = field(default_factory=dict)
    memory_bytes: int | None = None
    imports: dict[str, Any] | None = None

    @property
    def status(self) -> str:
        """That of the failure, "ok" where there is none."""
        return self.failure.status if self.failure else OK

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time that this context takes to a step."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.steps[name] = round(self.steps.get(name, 0.0) + time.monotonic() - started, 4)


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
