"""What the compiled losses get for the batch as given: each output with its mask, targets and weights, and its valid steps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.inputs import targets
from masklib.auditing.inputs.batch import Group
from masklib.auditing.invariance.predictions import Prediction
from masklib.auditing.invariance.subject import Subject
from masklib.errors import ArgumentError

Array = NDArray[Any]


@dataclass(frozen=True)
class Teaching:
    """What a user gives a loss beside inputs, for the samples tested.

    Attributes:
        targets: as the loss takes them; None: to be made.
        sample_weight: as `fit` takes it; None: none.
        target_pad: what padded steps of the targets hold; None: to be found out.
    """

    targets: Any = None
    sample_weight: Any = None
    target_pad: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the user gave targets and did not say what their padded steps hold: they are taken as they are."""
        return self.targets is not None and self.target_pad is None


@dataclass(frozen=True)
class LossInputs:
    """Puts together what the losses get.

    Attributes:
        subject: the model, with its batch.
        teaching: what the user gives.
    """

    subject: Subject
    teaching: Teaching

    def predictions(self) -> list[Prediction]:
        """Return what the loss gets for each output.

        Raises:
            ArgumentError: targets or weights do not fit the outputs.
        """
        names, base = self.subject.observations.names, self.subject.observations.base
        nothing: list[Array | None] = [None] * len(base)
        given, weight = self.teaching.targets, self.teaching.sample_weight
        ys = nothing if given is None else in_order("targets", given, names, base)
        weights = nothing if weight is None else in_order("sample_weight", weight, names, base)
        return [self._prediction(index, y, weight) for index, (y, weight) in enumerate(zip(ys, weights, strict=True))]

    def _prediction(self, index: int, y: Array | None, weight: Array | None) -> Prediction:
        """Return what the loss gets for one output."""
        observations, target_pad = self.subject.observations, self.teaching.target_pad
        name, array = observations.names[index], observations.base[index]
        loss = compiled.loss_of(self.subject.model, index, name, len(observations.names))
        kind = targets.kind_of(loss, array)
        target = targets.make(loss, array, kind, self.subject.seed) if y is None else np.asarray(y)
        group, valid = self._steps(index)
        if group is None and y is not None:
            group, valid = self._steps_of_targets(array, target)
        made = Prediction(name, loss, kind, array, observations.masks[index], target, weight, group, valid)
        if y is not None and group is not None and target_pad is None and made.has_target_steps and valid is not None:
            held = targets.found_padding(target, valid)
            return replace(made, padding=0.0 if held is None else held)
        return made if y is not None and target_pad is None else made.padded_with(target_pad or 0.0)

    def _steps(self, index: int) -> tuple[Group | None, Array | None]:
        """Return the group whose steps axis 1 of an output has, and which of them are valid; None if it is no time."""
        axes, groups = self.subject.axes_of(index), self.subject.batch.groups
        if 1 not in axes or groups[axes[1]].axis != 1:
            return None, None
        return groups[axes[1]], self.subject.valid_steps(index)

    def _steps_of_targets(self, array: Array, target: Array) -> tuple[Group | None, Array | None]:
        """Return the group whose steps a given target has, if the same ones are padding, and which of them are valid.

        So the steps of an output are known that a RepeatVector made, whatever the length of the inputs.
        """
        for group in self.subject.batch.groups:
            shape = group.valid.shape
            if shape == array.shape[:2] == target.shape[:2] and targets.found_padding(target, group.valid) is not None:
                return group, group.valid
        return None, None


def in_order(what: str, structure: Any, names: Sequence[str], outputs: Sequence[Array]) -> list[Array | None]:
    """Return arrays in the order of the outputs.

    Args:
        what: they are, for the message: "targets" or "sample_weight".
        structure: an array, or a list or dict of arrays.
        names: of the outputs.
        outputs: for the batch as given.

    Raises:
        ArgumentError: there are not as many, their names are others, or they have another number of samples.
    """
    found, arrays, _ = flatten(structure)
    if isinstance(structure, dict):
        if set(structure) != set(names):
            msg = f"{what} must have the outputs' names {list(names)}, got {list(structure)}. Rename the arrays."
            raise ArgumentError(msg)
        arrays = [structure[name] for name in names]
    if len(arrays) != len(names):
        msg = f"{what} must be one array for each of the outputs {list(names)}, got {len(arrays)} ({', '.join(found)})."
        raise ArgumentError(msg)
    for name, array, output in zip(names, arrays, outputs, strict=True):
        if np.shape(array)[:1] != output.shape[:1]:
            msg = f"{what} of {name!r} must have {len(output)} samples as the inputs, got shape {np.shape(array)}."
            raise ArgumentError(msg)
    return [np.asarray(array) for array in arrays]
