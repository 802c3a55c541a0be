"""What padded steps of targets hold: unless the user says it, the first value for which a loss ignores padding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from masklib.auditing.borrowing.running import CallError
from masklib.auditing.inputs import targets
from masklib.auditing.invariance.changes import Change, Entry, Quantity
from masklib.auditing.invariance.loss_values import LossValues
from masklib.auditing.invariance.noise import FACTOR, FLOOR
from masklib.auditing.invariance.packing import Teaching
from masklib.auditing.invariance.predictions import WAYS, Prediction
from masklib.auditing.invariance.results import LOSS
from masklib.auditing.invariance.subject import Subject
from masklib.auditing.invariance.tries import Alone, Try, alone, largest


@dataclass(frozen=True)
class Settled:
    """What the losses get, with the values at padded steps of targets chosen.

    Attributes:
        base: for each output, for the batch as given.
        alone: the loss of each output by itself, with other padding.
        is_square: whether the loss can be computed only with as many samples as steps.
    """

    base: tuple[Prediction, ...]
    alone: tuple[Try, ...]
    is_square: bool = False


@dataclass(frozen=True)
class TargetPadding:
    """Chooses what padded steps of targets hold.

    Attributes:
        values: computes the losses.
        subject: the model, with its batch.
        teaching: what the user gives.
    """

    values: LossValues
    subject: Subject
    teaching: Teaching

    def settle(self, predictions: Sequence[Prediction]) -> Settled:
        """Return what the losses get; the value is chosen for one output after another."""
        base, found = list(predictions), []
        for index in range(len(base)):
            base[index], tries = self._settle(base, index)
            found += tries
        if not found and len(base) == 1:
            square = self._tried_twice_as_long(base[0])
            return Settled(tuple(base), tuple(square), is_square=bool(square))
        return Settled(tuple(base), tuple(found))

    def _tried_twice_as_long(self, one: Prediction) -> list[Try]:
        """Return the tries of a loss that can be computed only with as many samples as steps."""
        doubled = [one.twice_as_long(way, self.subject.seed) for way in WAYS]
        steps = len(one.array)
        label = f"with each sample twice and {steps} more padded steps, because it takes only as many samples as steps"
        try:
            first = self.values.loss([one])
            others = [self.values.loss([two]) for two in doubled if two is not None]
        except CallError:
            return []
        change = Change.LONGER_PADDING
        return [
            Try(change=change, kind=Quantity.LOSS, of=LOSS, first=first, second=second, situation=label, entry=Entry.SQUARE)
            for second in others
        ]

    def _settle(self, base: Sequence[Prediction], index: int) -> tuple[Prediction, list[Try]]:
        """Return one output with the first value for which its loss ignores padding, else with the first value; and its tries."""
        chosen = base[index]
        kept: list[Try] = []
        for padded in self._possible(base[index]):
            tries = self._tried(base, index, padded)
            is_silent = bool(tries) and largest(tries) <= FACTOR * FLOOR * self.subject.unit
            if tries and (is_silent or not kept):
                chosen, kept = padded, tries
            if is_silent:
                break
        return chosen, kept

    def _possible(self, one: Prediction) -> Iterator[Prediction]:
        """Yield one output with each value that padded steps of its target may hold; nothing if it has no steps or no loss."""
        if one.valid is None or one.loss is None:
            return
        if self.teaching.is_settled:
            yield one
            return
        yield from (one.padded_with(value) for value in targets.paddings(one.loss, one.kind, self.teaching.target_pad))

    def _tried(self, base: Sequence[Prediction], index: int, padded: Prediction) -> list[Try]:
        """Return the tries of the loss of one output by itself with other padding; nothing if it cannot be computed."""
        try:
            first = self.values.loss(replaced(base, index, padded))
            if not np.isfinite(first):
                return []
            others = alone(padded, self.subject.lengthened.steps, self.subject.seed)
            return [self._compared(base, index, first, other) for other in others]
        except CallError:
            return []

    def _compared(self, base: Sequence[Prediction], index: int, first: float, other: Alone) -> Try:
        """Return the loss with other padding of one output, with the loss as given."""
        return Try(
            change=other.change,
            kind=Quantity.LOSS,
            of=loss_name(base, index),
            first=first,
            second=self.values.loss(replaced(base, index, other.prediction)),
            situation=other.situation,
            entry=Entry.ITSELF,
        )


def replaced(base: Sequence[Prediction], index: int, other: Prediction) -> list[Prediction]:
    """Return the predictions with that of one output replaced."""
    return [other if i == index else one for i, one in enumerate(base)]


def loss_name(base: Sequence[Prediction], index: int) -> str:
    """Return the name of the loss of an output."""
    return LOSS if len(base) == 1 else base[index].name
