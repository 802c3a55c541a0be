"""Whether padded steps count in the losses and metrics that a model was compiled with, and by what their means divide.

A loss is tried in two ways. In the model: with what the model puts out in every situation. By itself: with the model's outputs
at valid steps, other predictions at padded steps, and more of these, which carry the mask that the outputs carry. So a loss that
counts padding is told from one that only shows what leaks into the outputs. What targets hold at padded steps matters to losses
that find padding there: unless the user says it, a loss is accused only if no value makes it ignore padding.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.running import CallError, as_tensors, explained, quietly
from masklib.auditing.inputs import targets
from masklib.auditing.inputs.arranging import by_output
from masklib.auditing.inputs.batch import Group
from masklib.auditing.invariance.denominators import denominator
from masklib.auditing.invariance.noise import FACTOR, FLOOR
from masklib.auditing.invariance.outputs import Outputs, Verdict
from masklib.auditing.invariance.predictions import WAYS, Prediction
from masklib.auditing.invariance.results import Leak, Passed, Untested
from masklib.auditing.invariance.situations import Situation, in_another_order
from masklib.auditing.invariance.tries import Try, worst_of

Array = NDArray[Any]
LOSS = "loss"
LONGER, CONTENT = "longer padding", "padded content"


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
        self.assumptions: list[str] = []
        self.base = self._predictions(given, sample_weight, target_pad)
        self.alone: list[Try] = []
        self._is_square = False  # whether the loss takes only as many samples as steps
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
        tries = self.alone if self._is_square else [*self.alone, *self._tries_of_metrics(), *self._tries_in_model()]
        layers = {one.change: one.layer for one in of_outputs if isinstance(one, Leak)}
        names = dict.fromkeys((one.change, one.kind, one.of) for one in tries)
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
        losses = [compiled.loss_of(self.model, index, name, len(outputs.names)) for index, name in enumerate(outputs.names)]
        wanted = [name for name, loss in zip(outputs.names, losses, strict=True) if loss is not None]
        ys = by_output("targets", given, outputs.names, outputs.base, wanted)
        ws = by_output("sample_weight", sample_weight, outputs.names, outputs.base, wanted)
        return [self._prediction(index, *one, target_pad) for index, one in enumerate(zip(losses, ys, ws, strict=True))]

    def _prediction(self, index: int, loss: Any, y: Any, weight: Any, target_pad: float | None) -> Prediction:
        """Return what the loss gets for one output."""
        outputs = self.outputs
        array, axes = outputs.base[index], outputs.axes[index]
        takes = partial(self._takes, loss, index)
        kind, target = targets.made(loss, array, outputs.seed, takes) if y is None else targets.given(loss, array, y)
        if y is None and loss is not None:
            self.assumptions.append(f"made targets for {outputs.names[index]!r}: {kind.told} (give targets)")
        group = outputs.batch.groups[axes[1]] if 1 in axes and outputs.batch.groups[axes[1]].axis == 1 else None
        valid = outputs.valid_steps(index) if group is not None else None
        if group is None and y is not None:
            group, valid = self._steps_of_targets(array, target)
        made = Prediction(outputs.names[index], loss, kind, array, outputs.masks[index], target, weight, group, valid)
        if y is not None and group is not None and target_pad is None and made.has_target_steps and valid is not None:
            held = targets.found_padding(target, valid)
            return replace(made, padding=0.0 if held is None else held)
        return made if y is not None and target_pad is None else made.padded_with(target_pad or 0.0)

    def _takes(self, loss: Any, index: int, target: Array) -> bool:
        """Return whether the loss of one output can be computed with targets, and is a number."""
        outputs = self.outputs
        if loss is None and len(outputs.base) > 1:
            return True
        try:
            with explained(), quietly():
                return bool(np.isfinite(self._alone_with(loss, outputs.base[index], target)))
        except CallError:
            return False

    def _alone_with(self, loss: Any, array: Array, target: Array) -> float:
        """Return the loss of one output; of a model that computes it itself, what it computes."""
        y, y_pred = keras.ops.convert_to_tensor(target), keras.ops.convert_to_tensor(array)
        if loss is None:
            value = self.model.compute_loss(x=None, y=self._pack([y]), y_pred=self._pack([y_pred]), training=False)
        else:
            value = compiled.loss_object(loss, array.shape[-1], is_sparse=target.ndim < array.ndim)(y, y_pred)
        return float(np.mean(keras.ops.convert_to_numpy(value)))

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
            is_silent = bool(tries) and worst_of(tries) <= FACTOR * FLOOR * self.outputs.unit
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
                for change, told, other in _alone(padded, self.outputs)
            ]
        except CallError:
            return self._tried_twice_as_long(index, padded)

    def _tried_twice_as_long(self, index: int, padded: Prediction) -> list[Try]:
        """Return the loss where it can be computed only with as many samples as steps."""
        if len(self.base) > 1:
            return []
        doubled = [padded.twice_as_long(way, self.outputs.seed) for way in WAYS]
        told = f"with each sample twice and {len(padded.array)} more padded steps, since it takes only as many samples as steps"
        try:
            first = self.of([padded])
            tries = [Try(LONGER, LOSS, LOSS, first, self.of([one]), told, True) for one in doubled if one is not None]
        except CallError:
            return []
        self._is_square = bool(tries)
        return tries

    def _with(self, index: int, other: Prediction) -> float:
        """Return the loss with something else for one output."""
        return self.of([other if i == index else one for i, one in enumerate(self.base)])

    def _tries_of_metrics(self) -> list[Try]:
        """Return the metrics by themselves in each way of padding."""
        found = []
        for index, one in enumerate(self.base):
            for change, told, other in _alone(one, self.outputs) if self.metrics and one.valid is not None else []:
                values = self.metrics_of([other if i == index else own for i, own in enumerate(self.base)])
                found += [
                    Try(change, "metric", n, first, values[n], told, True) for n, first in self.metrics.items() if n in values
                ]
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
        others = [rounded] if self._is_square else [turned, rounded]  # a sample that passes for a step depends on its place
        noise = {LOSS: max(abs(self.of(other) - self.value) for other in others)}
        for other in others if self.metrics else []:
            values = self.metrics_of(other)
            noise |= {name: max(noise.get(name, 0.0), abs(values[name] - first)) for name, first in self.metrics.items()}
        return noise

    def _tolerance(self, name: str, value: float) -> float:
        """Return the relative difference that is noise."""
        noise = self._noise.get(name, self._noise[LOSS])
        return max(FLOOR * self.outputs.unit, FACTOR * noise / (abs(value) or 1.0))

    def _judge(self, tries: Sequence[Try], layers: dict[str, str | None]) -> Verdict:
        """Return the verdict on one loss or metric and one change."""
        worst = max(tries, key=lambda one: (one.relative > self._tolerance(one.of, one.first) and one.alone, one.relative))
        tolerance = self._tolerance(worst.of, worst.first)
        name = (worst.change, worst.kind, worst.of)
        if not np.isfinite(worst.first):
            return Untested(*name, "it is no finite number as given")
        if worst.relative <= tolerance:
            return Passed(*name, worst.relative, tolerance)
        layer = None if worst.alone else layers.get(worst.change)
        divisor = worst.kind == LOSS and worst.alone and self._only_divides(worst.of)
        example = f"{worst.first:.6g} as given, {worst.second:.6g} {worst.told}"
        return Leak(*name, worst.size, worst.relative, tolerance, layer, example, worst.alone, divisor)

    def _only_divides(self, name: str) -> bool:
        """Return whether more padded steps change a loss, and what is predicted there does not."""
        changed = {one.change for one in self.alone if one.of == name and one.relative > self._tolerance(name, one.first)}
        return changed == {LONGER}


def _alone(one: Prediction, outputs: Outputs) -> list[tuple[str, str, Prediction]]:
    """Return one output with other predictions at padded steps, and with more padded steps: change, what is told, prediction."""
    found = []
    for way in WAYS:
        found.append((CONTENT, "with other predictions at padded steps", one.with_garbage(way, outputs.seed)))
        longer = one.longer(outputs.steps, way, outputs.seed)
        found.append((LONGER, f"with {outputs.steps} more padded steps of predictions and targets", longer))
    return found
