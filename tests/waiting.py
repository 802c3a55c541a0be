"""Waiting for what another process does: long enough for a busy machine, and no longer than it takes."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 120.0  # until something is there
GONE_S = 30.0  # until processes are gone: none of them waits for anything


def until(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> bool:
    """Wait until the condition is true; whether it came."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())
