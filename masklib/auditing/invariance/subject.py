"""A model under test with its batch, and what is known about its outputs before anything is judged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.methods import BorrowedModel
from masklib.auditing.borrowing.running import CallError
from masklib.auditing.inputs import variants
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.invariance.causality import claims_of
from masklib.auditing.invariance.comparing import Axes, Distance, ShapeError, valid_elements
from masklib.auditing.invariance.lengthening import Lengthened, Lengthening
from masklib.auditing.invariance.noise import unit_of
from masklib.auditing.invariance.observations import Observations
from masklib.auditing.invariance.output_axes import OutputAxes, find_axes
from masklib.auditing.invariance.output_noise import NoiseMeter, OutputNoise, much
from masklib.auditing.invariance.situations import Situation
from masklib.auditing.tracing.watch import CallRecord

Array = NDArray[Any]


@dataclass(frozen=True)
class Subject:
    """A model under test, with one batch.

    Attributes:
        runner: of the model.
        given: the batch as given, with its own groups of steps, even if some of them are joined in `lengthened`.
        records: of the calls with the batch as given, with their inputs and outputs.
        seed: of all random numbers.
        unit: relative spacing of the numbers that the model computes with.
        observations: of the outputs.
        lengthened: the batch, and the situations in which its padding is longer.
        axes: the time axes of the outputs.
        noise: of the outputs.
        causal: the ids of the layers that are declared to be causal.
    """

    runner: BorrowedModel
    given: Batch
    records: Sequence[CallRecord]
    seed: int
    unit: float
    observations: Observations
    lengthened: Lengthened
    axes: OutputAxes
    noise: OutputNoise
    causal: frozenset[int]

    @property
    def model(self) -> Any:
        """The model."""
        return self.runner.model

    @property
    def batch(self) -> Batch:
        """The batch with which situations are compared."""
        return self.lengthened.batch

    @property
    def much(self) -> float:
        """The relative difference above which results are not equal up to noise."""
        return much(self.unit)

    @property
    def is_padding_a_guess(self) -> bool:
        """Whether ids may not be sequences at all: inputs are made, lengths are fixed, and no layer makes a mask."""
        has_mask = any(mask is not None for call in self.records for mask in call.masks_out)
        return self.batch.is_made and not self.lengthened.taken and not has_mask

    def axes_of(self, index: int) -> Axes:
        """Return the time axes of an output."""
        return self.axes.of[index]

    def valid_elements(self, index: int) -> NDArray[np.bool_]:
        """Return which elements of an output are of valid steps, broadcastable to it."""
        return valid_elements(self.observations.base[index].shape, self.axes_of(index), self.batch)

    def valid_steps(self, index: int) -> NDArray[np.bool_]:
        """Return which steps of axis 1 of an output are valid, (B, T)."""
        shape = self.observations.base[index].shape[:2]
        return np.broadcast_to(valid_elements(shape, {1: self.axes_of(index)[1]}, self.batch), shape)

    def apart(self, index: int, situation: Situation) -> Distance:
        """Return how much an output differs in a situation from that of the batch as given, relative to the whole output's scale.

        Raises:
            CallError: the model does not take the situation.
            ShapeError: the outputs cannot be compared.
        """
        first, second = self.observations.beside(situation)[index], self.observations.of(situation)[index]
        found = situation.compare(first, second, self.axes_of(index), self.batch)
        return replace(found, scale=self.noise.of[index].scale)

    def differs(self, situation: Situation) -> bool:
        """Return whether some output differs in a situation by more than the noise."""
        return any(self._differs(index, situation) for index in range(len(self.noise.of)))

    def of_empty_sample(self) -> dict[str, float]:
        """Return, by name, for each output that is not finite for a sample of only padding, its first such value."""
        try:
            outputs = self.observations.anew(variants.with_an_empty_sample(self.batch))
        except CallError:
            return {}
        found = zip(self.observations.names, (array[0][~np.isfinite(array[0])] for array in outputs), strict=True)
        return {name: float(bad[0]) for name, bad in found if bad.size}

    def _differs(self, index: int, situation: Situation) -> bool:
        """Return whether one output differs in a situation by more than the noise."""
        try:
            return self.apart(index, situation).relative > self.noise.of[index].tolerance
        except (CallError, ShapeError):
            return False


def examine(runner: BorrowedModel, batch: Batch, records: Sequence[CallRecord], seed: int) -> Subject:
    """Return a model under test: its outputs, their time axes and their noise.

    Args:
        runner: of the model.
        batch: as given.
        records: of the calls with it, with their inputs and outputs.
        seed: of all random numbers.

    Raises:
        UntestableError: an output is random.
    """
    with claims_of(runner.model) as causal:
        observations, unit = Observations(runner.outputs, batch, runner.predict), unit_of(runner.model)
    with runner.other_seeds():
        again = observations.anew(batch)
    NoiseMeter(runner.model, observations, batch, unit, seed).check_repeats(again)
    lengthened = Lengthening(runner.model, observations, records).of(batch)
    axes = find_axes(observations, lengthened)
    noise = NoiseMeter(runner.model, observations, lengthened.batch, unit, seed).measure(again, axes)
    return Subject(runner, batch, list(records), seed, unit, observations, lengthened, axes, noise, frozenset(causal))
