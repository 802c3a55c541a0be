"""A loss or metric as given, and in another situation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Try:
    """A loss or metric in one situation: its value as given, and its value there.

    Attributes:
        change: one of `results.CHANGES`.
        kind: "loss" or "metric".
        of: its name.
        first: value as given.
        second: value in the situation.
        told: what the situation is.
        alone: whether only the loss or metric was in it, with the outputs at valid steps as they are.
    """

    change: str
    kind: str
    of: str
    first: float
    second: float
    told: str
    alone: bool

    @property
    def size(self) -> float:
        """Return the absolute difference; inf where a number became none."""
        if not np.isfinite(self.first):
            return 0.0
        return abs(self.second - self.first) if np.isfinite(self.second) else float("inf")

    @property
    def relative(self) -> float:
        """Return the size relative to the value as given."""
        return self.size / (abs(self.first) or 1.0)


def worst_of(tries: Sequence[Try]) -> float:
    """Return the largest relative difference."""
    return max(one.relative for one in tries)
