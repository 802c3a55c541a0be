"""Whether a change at calls removes a leak: the model is called with it, as given and in the situation in which it leaks."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from masklib.auditing.borrowing.running import CallError, Runner
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.invariance.comparing import ShapeError
from masklib.auditing.invariance.results import Place
from masklib.auditing.invariance.situations import Some
from masklib.auditing.tracing.hooks import hooked
from masklib.auditing.tracing.intervening import Intervening, Intervention


class Trial:
    """Calls a model with interventions, on samples as given and in the situation in which an output leaks.

    Two samples are tried first, one of which is the sample that leaks most. If these do not leak, the whole batch is tried, so
    that no cause is proved by two samples alone.
    """

    def __init__(self, runner: Runner, place: Place, tolerance: float) -> None:
        self._runner = runner
        self.place = place
        self._tolerance = tolerance
        self._two = place.situation.of_two(place.at, place.batch)
        self._whole = Some((), place.batch, place.situation)
        self._known: dict[tuple[Intervention, ...], float] = {}

    def off(self, interventions: Sequence[Intervention]) -> float:
        """Return how much the output differs with these interventions, relative to its scale; inf if one cannot be applied."""
        key = tuple(interventions)
        if key not in self._known:
            of_two = self._measure(key, self._two) if self._two else 0.0
            self._known[key] = of_two if of_two > self._tolerance else self._measure(key, self._whole)
        return self._known[key]

    def _measure(self, interventions: tuple[Intervention, ...], some: Some) -> float:
        """Return how much the output of some samples differs."""
        _, batch, situation = some
        try:
            first = self._output(batch, interventions)
            with situation.changed():
                second = self._output(situation.batch, interventions)
            apart = situation.compare(first, second, self.place.axes, batch)
        except (CallError, ShapeError, _NothingDoneError):
            return float("inf")
        return float(apart.size / (self.place.scale or 1.0))

    def _output(self, batch: Batch, interventions: tuple[Intervention, ...]) -> Any:
        """Return the output for a batch."""
        hook = Intervening(interventions, [group.valid for group in batch.groups])
        with hooked(hook):
            outputs = self._runner.call(batch.inputs)
        if hook.done != set(interventions):
            raise _NothingDoneError
        return np.asarray(keras.ops.convert_to_numpy(flatten(outputs, "output")[1][self.place.index]))


class _NothingDoneError(Exception):
    """An intervention could not be applied, because it found nothing to change."""
