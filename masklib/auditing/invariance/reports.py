"""What `evaluate` and `fit` report for a model in each situation; all reported numbers that are compared come from here."""

from collections.abc import Sequence
from dataclasses import dataclass

from masklib.auditing.borrowing.methods import Step
from masklib.auditing.invariance.packing import Packing
from masklib.auditing.invariance.predictions import Prediction
from masklib.auditing.invariance.situations import Situation
from masklib.auditing.invariance.statistics import without_randomness


@dataclass(frozen=True)
class Reports:
    """Calls `evaluate` and `fit`, to get what the user would see.

    Attributes:
        packing: builds what the model gets.
    """

    packing: Packing

    def moved(self, base: Sequence[Prediction], situation: Situation) -> list[Prediction]:
        """Return what the losses get in a situation, from an ordinary call, because a compiled `predict` may lose steps.

        Args:
            base: what they get for the batch as given.
            situation: the situation.

        Raises:
            CallError: the model does not take it.
        """
        observations = self.packing.subject.observations
        both = zip(base, observations.called_in(situation), observations.masks_of(situation), strict=True)
        return [one.made_longer(array, mask) for one, array, mask in both]

    def evaluated(self, predictions: Sequence[Prediction], situation: Situation | None = None) -> dict[str, float]:
        """Return what `evaluate` reports for one batch, by name, without the losses of single outputs.

        Args:
            predictions: what the losses get.
            situation: the situation; None is the batch as given.

        Raises:
            CallError: it cannot be computed.
        """
        if situation is None:
            return self.of_batches([self.packing.subject.batch.inputs], [predictions])
        with situation.changed():
            return self.of_batches([situation.batch.inputs], [predictions])

    def of_batches(self, inputs: Sequence[object], predictions: Sequence[Sequence[Prediction]]) -> dict[str, float]:
        """Return what `evaluate` reports for several batches, by name.

        Args:
            inputs: of each batch.
            predictions: what the losses get for each.

        Raises:
            CallError: it cannot be computed.
        """
        given = [self.packing.data(x, several) for x, several in zip(inputs, predictions, strict=True)]
        return self._of_the_whole(self.packing.subject.runner.evaluate(*given))

    def fitted(self, predictions: Sequence[Prediction], situation: Situation | None = None) -> Step:
        """Return what a step of `fit` reports, and its gradients; random layers are switched off.

        Args:
            predictions: what the losses get.
            situation: the situation; None is the batch as given.

        Raises:
            CallError: the model cannot be trained on it.
        """
        subject = self.packing.subject
        with without_randomness(subject.model):
            if situation is None:
                step = subject.runner.fit(self.packing.data(subject.batch.inputs, predictions))
            else:
                with situation.changed():
                    step = subject.runner.fit(self.packing.data(situation.batch.inputs, predictions))
        return Step(self._of_the_whole(step.reported), step.gradients)

    def _of_the_whole(self, reported: dict[str, float]) -> dict[str, float]:
        """Return what is reported without the losses of single outputs, which are part of the whole loss."""
        single = {f"{name}_loss" for name in self.packing.names}
        return {name: value for name, value in reported.items() if name not in single}
