"""What `evaluate` reports for a model that overrides `test_step`: only this can be tested.

The compiled loss says nothing here, because `test_step` need not use it. Padded steps of made targets hold the first value for
which no reported number changes with more padding, as for Keras's losses.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.methods import Data
from masklib.auditing.borrowing.running import CallError
from masklib.auditing.inputs import targets
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.changes import Entry, Quantity
from masklib.auditing.invariance.gradients import OfFit
from masklib.auditing.invariance.loss_inputs import LossInputs
from masklib.auditing.invariance.loss_tries import LossNoise, judged
from masklib.auditing.invariance.noise import rounded_otherwise
from masklib.auditing.invariance.packing import Packing, Teaching
from masklib.auditing.invariance.predictions import Prediction
from masklib.auditing.invariance.reports import Reports
from masklib.auditing.invariance.results import LOSS, Leak, Verdict
from masklib.auditing.invariance.situations import Situation, in_another_order
from masklib.auditing.invariance.subject import Subject
from masklib.auditing.invariance.tries import Try

Array = NDArray[Any]


class OwnSteps:
    """Judges what a model's own `test_step` reports.

    Args:
        subject: the model, with its batch.
        alternatives: the situations in which it is compared with itself.
        teaching: targets and weights that the user gives.

    Raises:
        ArgumentError: targets or weights do not fit the outputs.
        CallError: `evaluate` fails.
    """

    entry = Entry.OWN_STEP  # of leaks in the gradients, if `train_step` is Keras's own
    notes = ("what `evaluate` reports is computed by the model's own test_step",)

    def __init__(self, subject: Subject, alternatives: Alternatives, teaching: Teaching) -> None:
        self._subject = subject
        self._alternatives = alternatives
        self._teaching = teaching
        self._packing = Packing(subject, teaching)
        self._reports = Reports(self._packing)
        self._base, self._first, self._tries = self._settle(LossInputs(self._packing, self._takes).predictions())
        self._noise = self._measure_noise()

    @property
    def is_silent(self) -> bool:
        """Whether padding does not count in what is reported."""
        return not any(self._noise.exceeds(one) for one in self._tries)

    @property
    def assumptions(self) -> list[str]:
        """What was assumed, one sentence each: which targets were made."""
        if self._teaching.targets is not None:
            return []
        return [f"made targets for {one.name!r}: {one.kind.phrase} (give targets)" for one in self._base]

    def verdicts(self, of_outputs: Sequence[Verdict]) -> list[Verdict]:
        """Return the verdicts, for each reported number and each change.

        Args:
            of_outputs: the verdicts on the outputs.
        """
        leaks = {one.change: one.layer for one in of_outputs if isinstance(one, Leak) and one.change.is_of_padding}
        names = dict.fromkeys((one.change, one.of) for one in self._tries)
        return [self._judge([one for one in self._tries if (one.change, one.of) == name], leaks) for name in names]

    def denominators(self) -> dict[str, str]:
        """Return nothing: it is not known by what the model's own step divides."""
        return {}

    def by_batch_size(self) -> dict[str, tuple[float, float]]:
        """Return nothing: what the step reports over several batches is not compared."""
        return {}

    def in_fit(self) -> dict[str, tuple[float, float]]:
        """Return nothing: a `train_step` may report other numbers than a `test_step`."""
        return {}

    @cached_property
    def gradients(self) -> OfFit:
        """The gradients by which the model is trained; nothing is known about their terms."""
        return OfFit(self._reports, self._base, lambda structure: 0.0)

    def _takes(self, loss: Any, array: Array, target: Array) -> bool:
        """Return whether `evaluate` takes these targets and reports finite numbers."""
        if len(self._packing.names) > 1:
            return True
        try:
            found = self._subject.runner.evaluate(Data(self._subject.batch.inputs, self._packing.targets([target])))
        except CallError:
            return False
        return bool(found) and bool(np.isfinite(list(found.values())).all())

    def _settle(self, predictions: list[Prediction]) -> tuple[list[Prediction], Mapping[str, float], list[Try]]:
        """Return what the losses get, with padded steps of targets chosen; what is reported for it; and its tries."""
        chosen: tuple[list[Prediction], Mapping[str, float], list[Try]] | None = None
        for base in self._possible(predictions):
            first = self._reports.evaluated(base)
            tries = [one for situation in self._alternatives.for_training for one in self._tried(base, first, situation)]
            is_silent = max((one.relative for one in tries), default=0.0) <= 100 * self._subject.unit
            if chosen is None or is_silent:
                chosen = base, first, tries
            if is_silent:
                break
        assert chosen is not None
        return chosen

    def _possible(self, predictions: list[Prediction]) -> list[list[Prediction]]:
        """Return what the losses may get, for each value that padded steps of the targets may hold."""
        if self._teaching.is_settled:
            return [predictions]
        first = next((one for one in predictions if one.has_target_steps), predictions[0])
        values = targets.paddings(first.loss or "mse", first.kind, self._teaching.target_pad)
        return [[one.padded_with(value) for one in predictions] for value in values]

    def _tried(self, base: list[Prediction], first: Mapping[str, float], situation: Situation) -> list[Try]:
        """Return each reported number in a situation, with its value for the batch as given."""
        second = self._reports.evaluated(self._reports.moved(base, situation), situation)
        return [
            Try(
                change=situation.change,
                kind=Quantity.LOSS if name == LOSS else Quantity.METRIC,
                of=name,
                first=value,
                second=second[name],
                situation=situation.labels[1],
                entry=Entry.OWN_STEP,
            )
            for name, value in first.items()
            if name in second
        ]

    def _measure_noise(self) -> LossNoise:
        """Return the noise of what is reported: from another order of the samples, and from weights rounded differently."""
        turned = in_another_order(self._subject.batch)
        others = [
            self._reports.of_batches([turned.batch.inputs], [[one.select(turned.other_rows) for one in self._base]]),
        ]
        with rounded_otherwise(self._subject.model, self._subject.unit, self._subject.seed):
            others.append(self._reports.evaluated(self._base))
        sizes = {name: max(abs(one.get(name, value) - value) for one in others) for name, value in self._first.items()}
        return LossNoise({LOSS: 0.0, **sizes}, self._subject.unit)

    def _judge(self, tries: Sequence[Try], leaks: Mapping[Any, str | None]) -> Verdict:
        """Return the verdict on one reported number and one change."""
        worst = max(tries, key=lambda one: one.relative)
        entry = Entry.OUTPUTS if leaks else Entry.OWN_STEP
        return judged(worst, self._noise, layer=leaks.get(worst.change), entry=entry)
