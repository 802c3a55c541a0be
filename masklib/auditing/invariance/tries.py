"""A loss or metric in one situation, and the situations in which it is tried by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from masklib.auditing.invariance.changes import Change, Entry, Quantity
from masklib.auditing.invariance.predictions import WAYS, Prediction


@dataclass(frozen=True, kw_only=True)
class Try:
    """A loss or metric in one situation: its value as given, and its value there.

    Attributes:
        change: what kind of change the situation is.
        kind: of quantity: the loss or a metric.
        of: its name.
        first: value as given.
        second: value in the situation.
        situation: description of the situation, for the report.
        entry: how padding gets in, if it does: `Entry.ITSELF` if the outputs at valid steps are unchanged.
        layer: the name of the layer where it gets in, if that is known.
    """

    change: Change
    kind: Quantity
    of: str
    first: float
    second: float
    situation: str
    entry: Entry = Entry.OUTPUTS
    layer: str | None = None

    @property
    def size(self) -> float:
        """Return the absolute difference; inf if the second value is not finite."""
        if not np.isfinite(self.first):
            return 0.0
        return abs(self.second - self.first) if np.isfinite(self.second) else float("inf")

    @property
    def relative(self) -> float:
        """Return the size relative to the value as given."""
        return self.size / (abs(self.first) or 1.0)


@dataclass(frozen=True)
class Alone:
    """One output with other padding and unchanged valid steps.

    Attributes:
        change: what kind of change it is.
        situation: what is changed, for the report.
        prediction: what the loss gets.
    """

    change: Change
    situation: str
    prediction: Prediction


def alone(one: Prediction, steps: int, seed: int) -> Iterator[Alone]:
    """Yield one output with other predictions at padded steps, and with more padded steps, each filled in two ways."""
    for way in WAYS:
        yield Alone(Change.PADDED_CONTENT, "with other predictions at padded steps", one.with_garbage(way, seed))
        longer = f"with {steps} more padded steps of predictions and targets"
        yield Alone(Change.LONGER_PADDING, longer, one.longer(steps, way, seed))


def largest(tries: Sequence[Try]) -> float:
    """Return the largest relative difference."""
    return max(one.relative for one in tries)
