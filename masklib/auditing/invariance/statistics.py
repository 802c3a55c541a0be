"""Whether padding changes the moving statistics of BatchNormalization.

A model is called with training=True and without dropout, and the statistics after the call are compared. Then it is restored.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.running import CallError
from masklib.auditing.borrowing.unchanged import layers_of
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.changes import Change, Quantity
from masklib.auditing.invariance.comparing import Distance, distance
from masklib.auditing.invariance.noise import noise_of, rounded_otherwise
from masklib.auditing.invariance.results import Leak, Passed, Untested, Verdict
from masklib.auditing.invariance.situations import Situation
from masklib.auditing.invariance.subject import Subject

Array = NDArray[Any]
RATES = ("rate", "dropout", "recurrent_dropout", "_dropout", "stddev")  # of layers that are random in training


class Statistics:
    """The moving statistics of a model's BatchNormalization layers after a batch.

    Args:
        subject: the model, with its batch.
        alternatives: the situations in which it is compared with itself.
    """

    def __init__(self, subject: Subject, alternatives: Alternatives) -> None:
        self._subject = subject
        self._alternatives = alternatives
        self._runner = subject.runner
        kinds = keras.layers.BatchNormalization
        self.layers = [layer for layer in layers_of(subject.model) if isinstance(layer, kinds) and layer.trainable]

    def verdicts(self) -> list[Verdict]:
        """Return the verdicts for each layer and change; nothing if there is no such layer."""
        if not self.layers:
            return []
        with without_randomness(self._runner.model):
            try:
                base = self._of(self._subject.batch)
                with self._runner.other_seeds():
                    again = self._of(self._subject.batch)
                if any(distance(a, b).relative > self._subject.much for a, b in zip(base, again, strict=True)):
                    msg = "the model is random in training, even with its dropout switched off"
                    raise CallError(msg)
                with rounded_otherwise(self._runner.model, self._subject.unit, self._subject.seed):
                    rounded = self._of(self._subject.batch)
            except CallError as error:
                return [
                    Untested(Change.LONGER_PADDING, Quantity.STATISTICS, self._path(layer), str(error)) for layer in self.layers
                ]
            noise = [[distance(a, b), distance(a, c)] for a, b, c in zip(base, again, rounded, strict=True)]
            return [
                verdict for situation in self._alternatives.for_training for verdict in self._of_situation(situation, base, noise)
            ]

    def _untested(self, change: Change, error: Exception) -> list[Verdict]:
        """Return for each layer that it cannot be tested, and why."""
        return [Untested(change, Quantity.STATISTICS, self._path(layer), str(error)) for layer in self.layers]

    def _path(self, layer: Any) -> str:
        """Return the path of a layer in the record."""
        return next((call.path for call in self._subject.records if call.operation is layer), str(layer.name))

    def _of(self, batch: Batch) -> list[Array]:
        """Return the moving mean and variance of each layer, concatenated, after one call in training."""
        after = self._runner.states_after_training(batch.inputs)
        at = {id(variable): value for variable, value in zip(self._runner.model.non_trainable_variables, after, strict=True)}
        return [np.concatenate([at[id(one)] for one in (layer.moving_mean, layer.moving_variance)]) for layer in self.layers]

    def _of_situation(self, situation: Situation, base: Sequence[Array], noise: Sequence[Sequence[Distance]]) -> list[Verdict]:
        """Return the verdicts on all layers in one situation."""
        try:
            with situation.changed():
                others = self._of(situation.batch)
        except CallError as error:
            return self._untested(situation.change, error)
        rows = zip(self.layers, base, others, noise, strict=True)
        return [self._judge(situation, layer, distance(a, b), known) for layer, a, b, known in rows]

    def _judge(self, situation: Situation, layer: Any, apart: Distance, known: Sequence[Distance]) -> Verdict:
        """Return the verdict on one layer."""
        noise = noise_of(known, self._subject.unit)
        if apart.relative <= noise.tolerance:
            return Passed(situation.change, Quantity.STATISTICS, self._path(layer), apart.relative, noise.tolerance)
        half = int(layer.moving_mean.shape[0])
        kept = f"mean of feature {apart.at[0]}" if apart.at[0] < half else f"variance of feature {apart.at[0] - half}"
        example = f"{kept}: {apart.first:.4g} {situation.labels[0]}, {apart.second:.4g} {situation.labels[1]}"
        return Leak(
            change=situation.change,
            kind=Quantity.STATISTICS,
            of=self._path(layer),
            size=apart.size,
            relative=apart.relative,
            tolerance=noise.tolerance,
            layer=self._path(layer),
            example=example,
        )


@contextmanager
def without_randomness(model: Any) -> Iterator[None]:
    """Within this context layers that are random in training, such as Dropout, are not random."""
    with ExitStack() as stack:
        for layer in layers_of(model):
            for name in RATES:
                value = vars(layer).get(name)
                if isinstance(value, float | int) and not isinstance(value, bool) and value:
                    object.__setattr__(layer, name, 0.0)
                    stack.callback(object.__setattr__, layer, name, value)
        yield
