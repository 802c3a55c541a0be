"""Whether padded steps count in the losses and metrics that a model was compiled with, and by what their means divide.

A loss is tried in two ways. In the model: with what the model puts out in every situation. By itself: with the model's outputs
at valid steps, other predictions at padded steps, and more of these, which carry the mask that the outputs carry. So a loss that
counts padding is told from one that only shows what leaks into the outputs. What targets hold at padded steps matters to losses
that find padding there: unless the user says it, a loss is accused only if no value makes it ignore padding.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.running import CallError, as_tensors, explained, quietly
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.inputs import targets
from masklib.auditing.inputs.batch import Group
from masklib.auditing.invariance.controls import blind_metrics, moved
from masklib.auditing.invariance.denominators import denominator
from masklib.auditing.invariance.noise import FACTOR, FLOOR
from masklib.auditing.invariance.outputs import Outputs, Verdict
from masklib.auditing.invariance.predictions import Prediction
from masklib.auditing.invariance.results import Leak, Passed, Untested
from masklib.auditing.invariance.situations import Situation, in_another_order
from masklib.auditing.invariance.tries import CONTENT, LONGER, Try, alone, worst
from masklib.errors import ArgumentError

Array = NDArray[Any]
LOSS = "loss"


class Losses:
    """The compiled loss and metrics of a model, on its outputs.

    Args:
        outputs: of the model.
        given: targets as the loss takes them, for the samples tested; None: made.
        sample_weight: likewise; None for none.
        target_pad: what padded steps of the targets hold; None: found out.

    Raises:
        ArgumentError: targets or weights do not fit the outputs.
        CallError: the loss cannot be computed.
    """

    def __init__(self, outputs: Outputs, given: Any, sample_weight: Any, target_pad: float | None) -> None:
        self.outputs = outputs
        self.model = outputs.runner.model
        self._has_weights = sample_weight is not None
        self._is_given = given is not None and target_pad is None
        self.base = self._predictions(given, sample_weight, target_pad)
        self.alone: list[Try] = []
        for index in range(len(self.base)):
            self._settle(index, target_pad)
        self.value = self.of(self.base)
        self.metrics = self.metrics_of(self.base)
        self._noise = self._measure_noise()

    def of(self, predictions: Sequence[Prediction]) -> float:
        """Return the loss that the model computes for these predictions, without what its layers add to it.

        Raises:
            CallError: it cannot be computed.
        """
        y, y_pred = self._pack([one.target for one in predictions]), self._pack([one.tensor() for one in predictions])
        weight = self._pack([one.weight for one in predictions]) if self._has_weights else None
        with explained(), quietly():
            loss = self.model.compute_loss(x=None, y=y, y_pred=y_pred, sample_weight=weight, training=False)
            return float(keras.ops.convert_to_numpy(loss)) - self._added()

    def metrics_of(self, *batches: Sequence[Prediction]) -> dict[str, float]:
        """Return the metrics that the model computes over batches, by name, without those that average losses.

        Without weights of the user's, those metrics that take some get 1 at valid steps and 0 at others.
        """
        found: dict[str, float] = {}
        with explained(), quietly():
            compiled.reset_metrics(self.model)
            for predictions in batches:
                y, y_pred = self._pack([one.target for one in predictions]), self._pack([one.tensor() for one in predictions])
                weight = self._pack([one.weight if self._has_weights else one.valid_weight() for one in predictions])
                found = compiled.numbers(self.model.compute_metrics(None, y, y_pred, weight))
        losses = {LOSS, *(f"{one.name}_loss" for one in self.base)}
        return {name: value for name, value in found.items() if name not in losses}

    def verdicts(self, of_outputs: Sequence[Verdict]) -> list[Verdict]:
        """Return what was found, for each loss and metric and each change.

        Args:
            of_outputs: what was found of the outputs: where a leak enters that the loss only shows.
        """
        if not np.isfinite(self.value):
            return self._of_nan()
        tries = [*self.alone, *self._tries_of_metrics(self.base, self.metrics), *self._tries_in_model(), *self._tries_of_zeros()]
        layers = {one.change: one.layer for one in of_outputs if isinstance(one, Leak)}
        names = dict.fromkeys((one.change, one.kind, one.of) for one in tries)
        self._blind = blind_metrics(self.metrics, self.metrics_of, self.base, self.outputs.seed)
        found = [self._judge([one for one in tries if (one.change, one.kind, one.of) == name], layers) for name in names]
        return found + self._unknown_steps()

    def _of_nan(self) -> list[Verdict]:
        """Return what to say of a loss that is no number: a leak if it is one once other targets stand at padded steps."""
        other = self.of([one.padded_with(0) for one in self.base])
        if not np.isfinite(other):
            return [Untested(change, LOSS, LOSS, "it is no finite number as given") for change in (LONGER, CONTENT)]
        told = f"{self.value:.6g} as given, {other:.6g} with 0 at the padded steps of the targets"
        return [Leak(CONTENT, LOSS, LOSS, float("inf"), float("inf"), self.outputs.unit, None, told, alone=True)]

    @property
    def is_silent(self) -> bool:
        """Return whether padding does not count in the loss by itself."""
        return not any(one.kind == LOSS and one.relative > self._tolerance(one.of, one.first) for one in self.alone)

    def objective(self, situation: Situation | None) -> Any:
        """Return the compiled loss as a function of what the model puts out in a situation; None is the batch as given."""
        groups = () if situation is None else situation.groups
        return self.outputs.objectives.setdefault((LOSS, groups), self._objective(situation))

    def _objective(self, situation: Situation | None) -> Any:
        """Return the compiled loss as a new function."""
        predictions = self.base if situation is None else self._of_situation(situation)
        y = self._pack([one.target for one in predictions])
        weight = self._pack([one.weight for one in predictions]) if self._has_weights else None

        def loss(y_pred: Any) -> Any:
            return self.model.compute_loss(x=None, y=y, y_pred=y_pred, sample_weight=weight, training=False)

        return loss

    def denominators(self) -> dict[str, str]:
        """Return for each loss by which count its mean divides."""
        found = {self._name(i): denominator(one) for i, one in enumerate(self.base) if one.loss is not None}
        return {name: "all steps" if self._only_divides(name) else value for name, value in found.items()}

    def by_batch_size(self) -> dict[str, tuple[float, float]]:
        """Return what `evaluate` reports of one batch, and of two, where that differs, by name of the loss or metric.

        The loss is left out where a metric beside it is the same number over one batch, and over any.
        """
        samples = self.outputs.batch.samples
        halves = [range(samples // 2), range(samples // 2, samples)]
        if samples < 2 or not np.isfinite(self.value):
            return {}
        try:
            parts = [[one.select(half) for one in self.base] for half in halves]
            losses = [self.of(part) for part in parts]
            metrics = self.metrics_of(*parts) if self.metrics else {}
        except CallError:
            return {}
        both = {name: (first, metrics[name]) for name, first in self.metrics.items() if name in metrics}
        exact = [first for name, (first, second) in both.items() if not self._is_other(name, first, second)]
        if not any(np.isclose(one, self.value, rtol=1e-4) for one in exact):
            both[LOSS] = (self.value, float(np.average(losses, weights=[len(half) for half in halves])))
        return {name: values for name, values in both.items() if self._is_other(name, *values)}

    def _is_other(self, name: str, first: float, second: float) -> bool:
        """Return whether a loss or metric differs beyond the noise."""
        return abs(second - first) > self._tolerance(name, first) * abs(first)

    def _name(self, index: int) -> str:
        """Return what the loss of an output is called."""
        return LOSS if len(self.base) == 1 else self.base[index].name

    def _pack(self, leaves: Sequence[Any]) -> Any:
        """Return something for each output in the structure of the outputs."""
        return self.outputs.pack(list(leaves))

    def _predictions(self, given: Any, sample_weight: Any, target_pad: float | None) -> list[Prediction]:
        """Return what the loss gets for the batch as given."""
        outputs = self.outputs
        ys = _in_order("targets", given, outputs.names, outputs.base) if given is not None else [None] * len(outputs.base)
        ws = _in_order("sample_weight", sample_weight, outputs.names, outputs.base) if self._has_weights else [None] * len(ys)
        found = []
        for index, (y, weight) in enumerate(zip(ys, ws, strict=True)):
            loss = compiled.loss_of(self.model, index, outputs.names[index], len(ys))
            found.append(self._prediction(index, loss, y, weight, target_pad))
        return found

    def _prediction(self, index: int, loss: Any, y: Any, weight: Any, target_pad: float | None) -> Prediction:
        """Return what the loss gets for one output."""
        outputs = self.outputs
        array, axes = outputs.base[index], outputs.axes[index]
        kind = targets.kind_of(loss, array)
        group = outputs.batch.groups[axes[1]] if 1 in axes and outputs.batch.groups[axes[1]].axis == 1 else None
        valid = outputs.valid_steps(index) if group is not None else None
        target = targets.make(loss, array, kind, outputs.seed) if y is None else np.asarray(y)
        if group is None and y is not None:
            group, valid = self._steps_of_targets(array, target)
        made = Prediction(outputs.names[index], loss, kind, array, outputs.masks[index], target, weight, group, valid)
        if y is not None and group is not None and target_pad is None and made.has_target_steps and valid is not None:
            held = targets.found_padding(target, valid)
            return replace(made, padding=0.0 if held is None else held)
        return made if y is not None and target_pad is None else made.padded_with(target_pad or 0.0)

    def _steps_of_targets(self, array: Array, target: Array) -> tuple[Group | None, Array | None]:
        """Return the group whose steps a given target has, if the same ones are padding, and which of them are valid.

        So the steps of an output are known that a RepeatVector made, whatever the length of the inputs.
        """
        for group in self.outputs.batch.groups:
            shape = group.valid.shape
            if shape == array.shape[:2] == target.shape[:2] and targets.found_padding(target, group.valid) is not None:
                return group, group.valid
        return None, None

    def _unknown_steps(self) -> list[Verdict]:
        """Return which outputs have as many steps as the inputs, which may be theirs or others: made targets do not tell."""
        why = "whether its steps are those of the inputs is not known: give targets, padded as the inputs are"
        sizes = {group.steps for group in self.outputs.batch.groups}
        found = [(i, one) for i, one in enumerate(self.base) if one.valid is None and one.loss is not None]
        unknown = [i for i, one in found if one.array.ndim > 2 and one.array.shape[1] in sizes]
        return [Untested(CONTENT, LOSS, self._name(i), why) for i in unknown if not self._is_given]

    def _settle(self, index: int, target_pad: float | None) -> None:
        """Choose what padded steps of one target hold: the first value with which the loss ignores padding; else the first."""
        one = self.base[index]
        values = [one.padding] if self._is_given else targets.paddings(one.loss, one.kind, None, target_pad)
        kept: list[Try] = []
        for value in values if one.valid is not None and one.loss is not None else []:
            padded = one if self._is_given else one.padded_with(value)
            tries = self._tried_alone(index, padded)
            is_silent = bool(tries) and worst(tries) <= FACTOR * FLOOR * self.outputs.unit
            if tries and (is_silent or not kept):
                kept, self.base[index] = tries, padded
            if is_silent:
                break
        self.alone += kept

    def _tried_alone(self, index: int, padded: Prediction) -> list[Try]:
        """Return the loss of one output by itself in each way of padding; nothing if it cannot be computed."""
        try:
            first = self._with(index, padded)
            if not np.isfinite(first):
                return []
            return [
                Try(change, LOSS, self._name(index), first, self._with(index, other), told, True)
                for change, told, other in alone(padded, self.outputs)
            ]
        except CallError:
            return []

    def _with(self, index: int, other: Prediction) -> float:
        """Return the loss with something else for one output."""
        return self.of([other if i == index else one for i, one in enumerate(self.base)])

    def _tries_of_metrics(self, base: Sequence[Prediction], metrics: Mapping[str, float]) -> list[Try]:
        """Return metrics by themselves in each way of padding."""
        found = []
        for index, one in enumerate(base):
            for change, told, other in alone(one, self.outputs) if metrics and one.valid is not None else []:
                values = self.metrics_of([other if i == index else own for i, own in enumerate(base)])
                found += [Try(change, "metric", n, first, values[n], told, True) for n, first in metrics.items() if n in values]
        return found

    def _tries_of_zeros(self) -> list[Try]:
        """Return the metrics that are 0 as given, such as an accuracy before training, with predictions of which some are right.

        Whether a metric counts padding does not depend on the predictions.
        """
        zeros = [name for name, value in self.metrics.items() if value == 0]
        if not zeros:
            return []
        agree = [one.agreeing(self.outputs.seed) for one in self.base]
        base = moved(self.base, agree)
        values = self.metrics_of(base)
        firsts = {name: values[name] for name in zeros if values[name]}
        found = self._tries_of_metrics(base, firsts)
        for situation in self.outputs.for_training if firsts else []:
            predictions = self._of_situation(situation)
            if [one.array.shape for one in predictions] == [one.array.shape for one in base]:
                values = self.metrics_of(moved(predictions, agree))
                told = situation.labels[1]
                found += [Try(situation.change, "metric", n, first, values[n], told, False) for n, first in firsts.items()]
        return found

    def _tries_in_model(self) -> list[Try]:
        """Return the loss and metrics of what the model puts out in each situation."""
        found = []
        penalty = self._penalty(None) if self.model.losses else None
        for situation in self.outputs.for_training:
            predictions = self._of_situation(situation)
            pair = (self.value, self.of(predictions))
            if penalty is not None:
                pair = (pair[0] + penalty, pair[1] + self._penalty(situation))
            found.append(Try(situation.change, LOSS, LOSS, *pair, situation.labels[1], False))
            values = self.metrics_of(predictions) if self.metrics else {}
            for name, first in self.metrics.items():
                found.append(Try(situation.change, "metric", name, first, values[name], situation.labels[1], False))
        return found

    def _penalty(self, situation: Situation | None) -> float:
        """Return what layers add to the loss, such as regularizers of activity, in a situation; None is the batch as given."""
        runner, batch = self.outputs.runner, self.outputs.batch if situation is None else situation.batch
        with nullcontext() if situation is None else situation.changed(), explained(), quietly():
            runner.put_back()
            runner.model(as_tensors(batch.inputs), training=False)
            return self._added()

    def _added(self) -> float:
        """Return what layers added to the loss when the model was last called."""
        return float(sum(float(keras.ops.convert_to_numpy(one)) for one in self.model.losses))

    def _of_situation(self, situation: Situation) -> list[Prediction]:
        """Return what the loss gets in a situation."""
        both = zip(self.base, self.outputs.of(situation), self.outputs.masks_of(situation), strict=True)
        return [one.made_longer(array, mask) for one, array, mask in both]

    def _measure_noise(self) -> dict[str, float]:
        """Return the noise of the loss and of each metric, absolute."""
        order = in_another_order(self.outputs.batch).other_rows
        turned = [one.select(order) for one in self.base]
        rounded = [replace(one, array=array) for one, array in zip(self.base, self.outputs.rounded, strict=True)]
        noise = {LOSS: max(abs(self.of(other) - self.value) for other in (turned, rounded))}
        for other in (turned, rounded) if self.metrics else []:
            values = self.metrics_of(other)
            noise |= {name: max(noise.get(name, 0.0), abs(values[name] - first)) for name, first in self.metrics.items()}
        return noise

    def _tolerance(self, name: str, value: float) -> float:
        """Return the relative difference that is noise."""
        noise = self._noise.get(name, self._noise[LOSS])
        return max(FLOOR * self.outputs.unit, FACTOR * noise / (abs(value) or 1.0))

    def _judge(self, tries: Sequence[Try], layers: dict[str, str | None]) -> Verdict:
        """Return the verdict on one loss or metric and one change."""
        largest = max(tries, key=lambda one: (one.relative > self._tolerance(one.of, one.first) and one.alone, one.relative))
        tolerance = self._tolerance(largest.of, largest.first)
        name = (largest.change, largest.kind, largest.of)
        if not np.isfinite(largest.first):
            return Untested(*name, "it is no finite number as given")
        if largest.kind == "metric" and not any(one.first or one.second for one in tries):
            return Untested(*name, "it is 0 in every situation")
        if largest.relative <= tolerance:
            if largest.kind == "metric" and largest.of in self._blind:
                return Untested(*name, "it is the same whatever the model predicts")
            return Passed(*name, largest.relative, tolerance)
        layer = None if largest.alone else layers.get(largest.change)
        divisor = largest.kind == LOSS and largest.alone and self._only_divides(largest.of)
        example = f"{largest.first:.6g} as given, {largest.second:.6g} {largest.told}"
        return Leak(*name, largest.size, largest.relative, tolerance, layer, example, largest.alone, divisor)

    def _only_divides(self, name: str) -> bool:
        """Return whether more padded steps change a loss, and what is predicted there does not."""
        changed = {one.change for one in self.alone if one.of == name and one.relative > self._tolerance(name, one.first)}
        return changed == {LONGER}


def _in_order(what: str, structure: Any, names: Sequence[str], outputs: Sequence[Array]) -> list[Array]:
    """Return arrays in the order of the outputs.

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
