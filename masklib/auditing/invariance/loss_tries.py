"""The compiled loss and metrics in every situation: by themselves, and of what the model puts out there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from masklib.auditing.invariance.changes import Change, Quantity
from masklib.auditing.invariance.controls import changed
from masklib.auditing.invariance.loss_values import LossValues
from masklib.auditing.invariance.noise import FACTOR, FLOOR
from masklib.auditing.invariance.predictions import Prediction
from masklib.auditing.invariance.results import LOSS
from masklib.auditing.invariance.situations import Situation, in_another_order
from masklib.auditing.invariance.subject import Subject
from masklib.auditing.invariance.target_padding import replaced
from masklib.auditing.invariance.tries import Try, alone


@dataclass(frozen=True)
class Whole:
    """The loss and the metrics of a model for the batch as given.

    Attributes:
        base: what the loss gets for each output.
        loss: the value of the loss, without what layers add to it.
        metrics: the values of the metrics, by name.
    """

    base: tuple[Prediction, ...]
    loss: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class LossTries:
    """Tries the loss and the metrics of a model.

    Attributes:
        values: of the losses and metrics.
        subject: the model, with its batch.
        whole: the values for the batch as given.
    """

    values: LossValues
    subject: Subject
    whole: Whole

    def of_metrics(self) -> list[Try]:
        """Return the metrics by themselves, with other padding of one output after another."""
        found = []
        for index, one in enumerate(self.whole.base):
            others = alone(one, self.subject.lengthened.steps, self.subject.seed)
            for other in others if self.whole.metrics and one.valid is not None else ():
                values = self.values.metrics(replaced(self.whole.base, index, other.prediction))
                found += self._metrics_beside(values, other.change, other.situation, alone=True)
        return found

    def of_zeros(self, situations: Sequence[Situation]) -> list[Try]:
        """Return the metrics that are 0 as given, such as an accuracy before training, with predictions of which some are right.

        Whether a metric counts padding does not depend on the predictions.
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
                found += tries._metrics_beside(values, situation.change, situation.labels[1], alone=False)
        return found

    def in_model(self, situations: Sequence[Situation]) -> list[Try]:
        """Return the loss and metrics of what the model puts out in each situation, with what its layers add to the loss."""
        penalty = self.values.penalty(None) if self.values.adds_penalties else None
        return [one for situation in situations for one in self._in_model(situation, penalty)]

    def moved(self, situation: Situation) -> list[Prediction]:
        """Return what the losses get in a situation."""
        observations = self.subject.observations
        both = zip(self.whole.base, observations.of(situation), observations.masks_of(situation), strict=True)
        return [one.made_longer(array, mask) for one, array, mask in both]

    def noise(self, *, is_square: bool) -> "LossNoise":
        """Return the noise of the loss and of each metric: of other orders of samples, and of weights rounded otherwise.

        Args:
            is_square: whether samples pass for steps, so that their order changes the loss.
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

    def _in_model(self, situation: Situation, penalty: float | None) -> list[Try]:
        """Return the loss and metrics in one situation; `penalty` is what layers add to the loss for the batch as given."""
        predictions, (_, label) = self.moved(situation), situation.labels
        first, second = self.whole.loss, self.values.loss(predictions)
        if penalty is not None:
            first, second = first + penalty, second + self.values.penalty(situation)
        loss = Try(change=situation.change, kind=Quantity.LOSS, of=LOSS, first=first, second=second, situation=label, alone=False)
        values = self.values.metrics(predictions) if self.whole.metrics else {}
        return [loss, *self._metrics_beside(values, situation.change, label, alone=False)]

    def _metrics_beside(self, values: Mapping[str, float], change: Change, situation: str, *, alone: bool) -> list[Try]:
        """Return metrics in a situation beside those for the batch as given."""
        both = [(name, first, values[name]) for name, first in self.whole.metrics.items() if name in values]
        return [
            Try(change=change, kind=Quantity.METRIC, of=name, first=first, second=second, situation=situation, alone=alone)
            for name, first, second in both
        ]


@dataclass(frozen=True)
class LossNoise:
    """What differences of the loss and of the metrics are noise.

    Attributes:
        sizes: absolute, by name.
        unit: relative spacing of the numbers that the model computes with.
    """

    sizes: Mapping[str, float]
    unit: float

    def tolerance(self, name: str, value: float) -> float:
        """Return the relative difference of a value that is noise; the loss of an output has the noise of the whole."""
        size = self.sizes.get(name, self.sizes[LOSS])
        return max(FLOOR * self.unit, FACTOR * size / (abs(value) or 1.0))

    def exceeds(self, one: Try) -> bool:
        """Return whether a loss or metric differs beyond the noise."""
        return one.relative > self.tolerance(one.of, one.first)
