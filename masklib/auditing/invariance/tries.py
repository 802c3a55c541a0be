"""One loss or metric in one situation, and the situations in which it is tried by itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from masklib.auditing.invariance.outputs import Outputs
from masklib.auditing.invariance.predictions import WAYS, Prediction

LONGER, CONTENT = "longer padding", "padded content"


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


def alone(one: Prediction, outputs: Outputs) -> list[tuple[str, str, Prediction]]:
    """Return one output with other predictions at padded steps, and with more padded steps: change, what is told, prediction."""
    found = []
    for way in WAYS:
        found.append((CONTENT, "with other predictions at padded steps", one.with_garbage(way, outputs.seed)))
        longer = one.longer(outputs.steps, way, outputs.seed)
        found.append((LONGER, f"with {outputs.steps} more padded steps of predictions and targets", longer))
    return found


def worst(tries: Sequence[Try]) -> float:
    """Return the largest relative difference."""
    return max(one.relative for one in tries)
