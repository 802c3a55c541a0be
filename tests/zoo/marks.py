"""Which animals `make test`, `make check` and `make check-full` look at."""

from typing import Any

import pytest

from tests.zoo.animals import herd

HERD = [one.name for one in herd()]
QUICK = set(HERD[::4])


def marks_of(name: str) -> list[Any]:
    """Return the marks of the tests of an animal: a quarter of the herd is quick, the herd slow, and all of them take minutes."""
    if name in QUICK:
        return []
    return [pytest.mark.slow if name in HERD else pytest.mark.full]
