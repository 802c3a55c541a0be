"""The compiled loss and metrics in every situation: by themselves, and for the outputs of the model in that situation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.running import CallError
from masklib.auditing.inputs import variants
from masklib.auditing.invariance.changes import Change, Entry, Quantity
from masklib.auditing.invariance.controls import changed
from masklib.auditing.invariance.loss_values import LossValues
from masklib.auditing.invariance.noise import FACTOR, FLOOR
from masklib.auditing.invariance.predictions import Prediction
from masklib.auditing.invariance.reports import Reports
from masklib.auditing.invariance.results import LOSS, Leak, Passed, Untested, Verdict
from masklib.auditing.invariance.situations import Situation, in_another_order
from masklib.auditing.invariance.subject import Subject
from masklib.auditing.invariance.target_padding import replaced
from masklib.auditing.invariance.tries import Try, alone

NO_NUMBER = "it is not a finite number for the batch as given"


@dataclass(frozen=True)
class Whole:
    """The loss and the metrics of a model for the batch as given.

    Attributes:
        base: what the loss gets for each output.
        loss: the value of the loss, without what layers add to it.
        metrics: the values of the metrics, by name.
        reported: what `evaluate` reports, by name; empty if it fails.
        why_not: why `evaluate` fails or the metrics cannot be computed; "" if both work.
    """

    base: tuple[Prediction, ...]
    loss: float
    metrics: Mapping[str, float]
    reported: Mapping[str, float] = field(default_factory=dict)
    why_not: str = ""


def measured(base: Sequence[Prediction], values: LossValues, reports: Reports) -> Whole:
    """Return the loss and the metrics for the batch as given.

    Raises:
        CallError: the loss cannot be computed.
    """
    loss, why_not = values.loss(base), ""
    metrics: Mapping[str, float] = {}
    reported: Mapping[str, float] = {}
    try:
        metrics = values.metrics(base)
        reported = reports.evaluated(base)
    except CallError as error:
        why_not = str(error)
    return Whole(tuple(base), loss, metrics, reported, why_not)


@dataclass(frozen=True)
class LossTries:
    """Tries the loss and the metrics of a model.

    Attributes:
        values: computes the losses and metrics.
        reports: calls `evaluate`.
        subject: the model, with its batch.
        whole: the losses and metrics of the batch as given.
    """

    values: LossValues
    reports: Reports
    subject: Subject
    whole: Whole

    def of_metrics(self) -> list[Try]:
        """Return the metrics by themselves, with other padding in one output after another."""
        found = []
        for index, one in enumerate(self.whole.base):
            others = alone(one, self.subject.lengthened.steps, self.subject.seed)
            for other in others if self.whole.metrics and one.valid is not None else ():
                values = self.values.metrics(replaced(self.whole.base, index, other.prediction))
                found += self._metrics_beside(values, other.change, other.situation, entry=Entry.ITSELF)
        return found

    def of_zeros(self, situations: Sequence[Situation]) -> list[Try]:
        """Return the metrics that are 0 as given, such as an accuracy before training, for predictions of which some are right.

        This is possible because whether a metric counts padding does not depend on the predictions.
        """
        zeros = [name for name, value in self.whole.metrics.items() if value == 0]
        if not zeros:
            return []
        agree = [one.agreeing(self.subject.seed) for one in self.whole.base]
        base = changed(self.whole.base, agree)
        values = self.values.metrics(base)
        firsts = {name: values[name] for name in zeros if values[name]}
        tries = replace(self, whole=replace(self.whole, base=tuple(base), metrics=firsts))
        found = tries.of_metrics()
        for situation in situations if firsts else ():
            predictions = self.moved(situation)
            if [one.array.shape for one in predictions] == [one.array.shape for one in base]:
                values = self.values.metrics(changed(predictions, agree))
                found += tries._metrics_beside(values, situation.change, situation.labels[1])
        return found

    def in_model(self, situations: Sequence[Situation]) -> list[Try]:
        """Return what `evaluate` reports in each situation; if it fails, the loss and metrics of the outputs there."""
        return [one for situation in situations for one in self._in_model(situation)]

    def in_two_batches(self, situation: Situation) -> list[Try]:
        """Return what `evaluate` reports for two batches, one of which has longer padding; nothing if it fails."""
        samples, batch = self.subject.batch.samples, self.subject.batch
        if samples < 2 or not self.whole.reported:
            return []
        halves = [tuple(range(samples // 2)), tuple(range(samples // 2, samples))]
        inputs = [variants.select(batch, half).inputs for half in halves]
        longer = variants.select(situation.batch, halves[0]).inputs
        own, moved = self.whole.base, self.moved(situation)
        given, further = ([one.select(halves[0]) for one in several] for several in (own, moved))
        rest = [one.select(halves[1]) for one in own]
        try:
            first = self.reports.of_batches(inputs, [given, rest])
            second = self.reports.of_batches([longer, inputs[1]], [further, rest])
        except CallError:
            return []
        label = f"{situation.labels[1]} in one of two batches"
        names = [name for name in first if name in second and name not in self.weighted]
        return [self._try(situation.change, name, first[name], second[name], label, Entry.BATCHES) for name in names]

    @property
    def weighted(self) -> set[str]:
        """The names of weighted metrics for which the user gives no weights: they are tested with weights of 1 at valid steps."""
        if self.reports.packing.teaching.sample_weight is not None:
            return set()
        names = compiled.weighted_metrics(self.subject.model)
        return {name for name in self.whole.metrics if any(name == one or name.endswith(f"_{one}") for one in names)}

    def moved(self, situation: Situation) -> list[Prediction]:
        """Return what the losses get in a situation."""
        return self.reports.moved(self.whole.base, situation)

    def noise(self, *, is_square: bool) -> "LossNoise":
        """Return the noise of the loss and of each metric: from samples in another order, and from weights rounded differently.

        Args:
            is_square: whether samples are taken for steps, so that their order changes the loss.
        """
        order = in_another_order(self.subject.batch).other_rows
        turned = [one.select(order) for one in self.whole.base]
        both = zip(self.whole.base, self.subject.noise.rounded, strict=True)
        rounded = [replace(one, array=array) for one, array in both]
        others = [rounded] if is_square else [turned, rounded]
        sizes = {LOSS: max(abs(self.values.loss(other) - self.whole.loss) for other in others)}
        for other in others if self.whole.metrics else []:
            values = self.values.metrics(other)
            sizes |= {name: max(sizes.get(name, 0.0), abs(values[name] - first)) for name, first in self.whole.metrics.items()}
        return LossNoise(sizes, self.subject.unit)

    def _in_model(self, situation: Situation) -> list[Try]:
        """Return the loss and metrics in one situation."""
        predictions, (_, label), change = self.moved(situation), situation.labels, situation.change
        weighted = self.weighted
        if not self.whole.reported:
            penalties = [self.values.penalty(one) if self.values.adds_penalties else 0.0 for one in (None, situation)]
            second = self.values.loss(predictions) + penalties[1]
            loss = self._try(change, LOSS, self.whole.loss + penalties[0], second, label)
            values = self.values.metrics(predictions) if self.whole.metrics else {}
            return [loss, *self._metrics_beside(values, change, label)]
        reported = self.reports.evaluated(predictions, situation)
        names = [name for name in self.whole.reported if name in reported and name not in weighted]
        found = [self._try(change, name, self.whole.reported[name], reported[name], label) for name in names]
        values = self.values.metrics(predictions) if weighted else {}
        return [*found, *self._metrics_beside({name: values[name] for name in weighted if name in values}, change, label)]

    @staticmethod
    def _try(change: Change, name: str, first: float, second: float, label: str, entry: Entry = Entry.OUTPUTS) -> Try:
        """Return the loss or a metric in a situation, with its value for the batch as given."""
        kind = Quantity.LOSS if name == LOSS else Quantity.METRIC
        return Try(change=change, kind=kind, of=name, first=first, second=second, situation=label, entry=entry)

    def _metrics_beside(
        self, values: Mapping[str, float], change: Change, situation: str, entry: Entry = Entry.OUTPUTS
    ) -> list[Try]:
        """Return metrics in a situation, with their values for the batch as given."""
        both = [(name, first, values[name]) for name, first in self.whole.metrics.items() if name in values]
        return [self._try(change, name, first, second, situation, entry) for name, first, second in both]


@dataclass(frozen=True)
class LossNoise:
    """Which differences of the loss and of the metrics are noise.

    Attributes:
        sizes: absolute, by name.
        unit: relative spacing of the numbers that the model computes with.
    """

    sizes: Mapping[str, float]
    unit: float

    def tolerance(self, name: str, value: float) -> float:
        """Return the relative difference up to which values count as equal; the loss of an output has the noise of the whole."""
        size = self.sizes.get(name, self.sizes[LOSS])
        return max(FLOOR * self.unit, FACTOR * size / (abs(value) or 1.0))

    def exceeds(self, one: Try) -> bool:
        """Return whether a loss or metric differs by more than the noise."""
        return one.relative > self.tolerance(one.of, one.first)


def judged(worst: Try, noise: LossNoise, *, layer: str | None, entry: Entry, unmoved: str = "") -> Verdict:
    """Return the verdict on a loss or metric and one change.

    Args:
        worst: the try with the largest difference.
        noise: of the loss and metrics.
        layer: where padding gets in, if it does.
        entry: how padding gets in, if it does.
        unmoved: why an unchanged value says nothing; "" if an unchanged value means that padding does not count.
    """
    if not np.isfinite(worst.first):
        return Untested(worst.change, worst.kind, worst.of, NO_NUMBER)
    tolerance = noise.tolerance(worst.of, worst.first)
    if not noise.exceeds(worst):
        if unmoved:
            return Untested(worst.change, worst.kind, worst.of, unmoved)
        return Passed(worst.change, worst.kind, worst.of, worst.relative, tolerance)
    return Leak(
        change=worst.change,
        kind=worst.kind,
        of=worst.of,
        size=worst.size,
        relative=worst.relative,
        tolerance=tolerance,
        layer=layer,
        example=f"{worst.first:.6g} as given, {worst.second:.6g} {worst.situation}",
        entry=entry,
    )
