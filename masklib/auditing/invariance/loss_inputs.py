"""What the compiled losses get for the batch as given: each output with its mask, targets, weights and valid steps."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from masklib.auditing.inputs import targets
from masklib.auditing.inputs.arranging import by_output
from masklib.auditing.inputs.batch import Group
from masklib.auditing.invariance.packing import Packing, Teaching
from masklib.auditing.invariance.predictions import Prediction
from masklib.auditing.invariance.subject import Subject

Array = NDArray[Any]


@dataclass(frozen=True)
class LossInputs:
    """Collects what the losses get.

    Attributes:
        packing: the model with its batch, and what the user gives.
        takes: called as takes(loss, predictions, targets), returns whether this loss can be computed with these targets.
    """

    packing: Packing
    takes: Callable[[Any, Array, Array], bool]

    @property
    def subject(self) -> Subject:
        """The model, with its batch."""
        return self.packing.subject

    @property
    def teaching(self) -> Teaching:
        """What the user gives."""
        return self.packing.teaching

    def predictions(self) -> list[Prediction]:
        """Return what the loss gets for each output.

        Raises:
            ArgumentError: targets or weights do not fit the outputs.
        """
        names, base = self.subject.observations.names, self.subject.observations.base
        losses, with_loss = self.packing.losses, self.packing.with_loss
        ys = by_output("targets", self.teaching.targets, names, base, with_loss)
        weights = by_output("sample_weight", self.teaching.sample_weight, names, base, with_loss)
        return [self._prediction(index, *one) for index, one in enumerate(zip(losses, ys, weights, strict=True))]

    def _prediction(self, index: int, loss: Any, y: Array | None, weight: Array | None) -> Prediction:
        """Return what the loss gets for one output."""
        observations, target_pad = self.subject.observations, self.teaching.target_pad
        name, array = observations.names[index], observations.base[index]
        takes = partial(self.takes, loss, array)
        kind, target = targets.given(loss, array, y) if y is not None else targets.made(loss, array, self.subject.seed, takes)
        group, valid = self._steps(index)
        if group is None and y is not None:
            group, valid = self._steps_of_targets(array, target)
        made = Prediction(name, loss, kind, array, observations.masks[index], target, weight, group, valid)
        if y is not None and group is not None and target_pad is None and made.has_target_steps and valid is not None:
            held = targets.found_padding(target, valid)
            return replace(made, padding=0.0 if held is None else held)
        return made if y is not None and target_pad is None else made.padded_with(target_pad or 0.0)

    def _steps(self, index: int) -> tuple[Group | None, Array | None]:
        """Return the group whose steps axis 1 of an output has, and its valid steps; None for both if it is not a time axis."""
        axes, groups = self.subject.axes_of(index), self.subject.batch.groups
        if 1 not in axes or groups[axes[1]].axis != 1:
            return None, None
        return groups[axes[1]], self.subject.valid_steps(index)

    def _steps_of_targets(self, array: Array, target: Array) -> tuple[Group | None, Array | None]:
        """Return the group whose steps a given target has, if the same steps are padding, and which of them are valid.

        In this way the steps of an output are found that do not come from the steps of the inputs, as after a RepeatVector.
        """
        for group in self.subject.batch.groups:
            shape = group.valid.shape
            if shape == array.shape[:2] == target.shape[:2] and targets.found_padding(target, group.valid) is not None:
                return group, group.valid
        return None, None
