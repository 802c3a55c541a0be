"""Whether padding changes the gradients by which a model is trained.

The gradients are those of the compiled loss if it does not count padding, else those of the mean square of the outputs at valid
steps: then the model is tested, and not its loss once more. Dropout is switched off.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.methods import Step
from masklib.auditing.borrowing.running import CallError, Runner, as_tensors, explained, quietly
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.inputs import making, variants
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.changes import Change, Entry, Quantity
from masklib.auditing.invariance.comparing import Distance, crop, distance, valid_elements
from masklib.auditing.invariance.noise import Noise, noise_of, rounded_otherwise
from masklib.auditing.invariance.predictions import Prediction
from masklib.auditing.invariance.reports import Reports
from masklib.auditing.invariance.results import Leak, Passed, Untested, Verdict
from masklib.auditing.invariance.situations import Situation
from masklib.auditing.invariance.subject import Subject

Array = NDArray[Any]
Objective = Callable[[Any], Any]  # from what the model returns to one number


class Source(Protocol):
    """A way to compute gradients."""

    def base(self) -> list[Array | None]:
        """Return the same as `of(None)`, which may have been stored."""

    def of(self, situation: Situation | None) -> list[Array | None]:
        """Return the gradient of each trainable weight in a situation, None where there is none; None: the batch as given.

        Raises:
            CallError: it cannot be computed.
        """

    def magnitudes(self) -> list[float]:
        """Return for each trainable weight an estimate of the largest sum of the absolute terms of an element of its gradient."""


@dataclass(frozen=True)
class Gradients:
    """The gradients of a model in every situation.

    Attributes:
        subject: the model, with its batch.
        alternatives: the situations in which it is compared with itself.
        source: computes the gradients.
        entry: how padding gets into the gradients, if it does.
    """

    subject: Subject
    alternatives: Alternatives
    source: Source
    entry: Entry = Entry.OUTPUTS

    def verdicts(self) -> list[Verdict]:
        """Return the verdicts for each trainable weight that has a gradient."""
        weights = self.subject.model.trainable_variables
        if not weights:
            return []
        try:
            base = self.source.base()
        except CallError as error:
            return [Untested(Change.LONGER_PADDING, Quantity.GRADIENT, "all weights", f"no gradient can be computed: {error}")]
        if not all(np.isfinite(one).all() for one in base if one is not None):
            return self._not_finite(base)
        noise = self._measure_noise(base)
        return [verdict for situation in self.alternatives.for_training for verdict in self._of_situation(situation, base, noise)]

    def _measure_noise(self, base: Sequence[Array | None]) -> list[Noise]:
        """Return the noise of each gradient: from rounding of the weights, and from rounding of the terms of the sum.

        A gradient is a sum over steps. Its terms may be much larger than the sum, and each of them is rounded.
        """
        with rounded_otherwise(self.subject.model, self.subject.unit, self.subject.seed):
            rounded = self.source.of(None)
        found = [noise_of(_apart(first, other), self.subject.unit) for first, other in zip(base, rounded, strict=True)]
        largest = max(one.scale for one in found)
        both = zip(found, self.source.magnitudes(), strict=True)
        return [
            Noise(max(one.size, one.unit * max(largest, terms)), max(one.scale, 1e-3 * largest), one.unit) for one, terms in both
        ]

    def _of_situation(self, situation: Situation, base: Sequence[Array | None], noise: Sequence[Noise]) -> list[Verdict]:
        """Return the verdicts on all weights in one situation."""
        try:
            with situation.changed():
                others = self.source.of(situation)
        except CallError as error:
            return [Untested(situation.change, Quantity.GRADIENT, "all weights", str(error))]
        weights = self.subject.model.trainable_variables
        rows = zip(weights, base, others, noise, strict=True)
        return [_judge(situation, str(w.path), _apart(a, b), one, self.entry) for w, a, b, one in rows if a is not None]

    def _not_finite(self, base: Sequence[Array | None]) -> list[Verdict]:
        """Return the verdicts on gradients that are not finite: leaks if they are finite without padding."""
        weights = self.subject.model.trainable_variables
        bad = [str(w.path) for w, one in zip(weights, base, strict=True) if one is not None and not np.isfinite(one).all()]
        plain = self._without_padding()
        if plain is None or not all(np.isfinite(one).all() for one in plain if one is not None):
            why = "it is not finite, with padding or without"
            return [Untested(Change.NO_PADDING, Quantity.GRADIENT, path, why) for path in bad]
        unit = self.subject.unit
        example = "nan or inf as given, a finite number without padding"
        inf = float("inf")
        leak = partial(Leak, change=Change.NO_PADDING, kind=Quantity.GRADIENT, size=inf, relative=inf, tolerance=unit)
        return [leak(of=path, example=example) for path in bad]

    def _without_padding(self) -> list[Array | None] | None:
        """Return the gradients of the squared outputs for samples without padding; None if the model does not take such."""
        squares = Squares(self.subject)
        for situation in reversed(self.alternatives.unpadded):
            try:
                return squares.of(situation)
            except CallError:
                continue
        return None


class OfFit:
    """The gradients that a step of `fit` passes to the optimizer, with random layers switched off.

    Args:
        reports: calls `fit`.
        base: what the losses get for the batch as given.
        signless: as `slopes.signless` returns it, for the loss.
    """

    def __init__(self, reports: Reports, base: Sequence[Prediction], signless: Objective) -> None:
        self._reports = reports
        self._base = base
        self._signless = signless

    def of(self, situation: Situation | None) -> list[Array | None]:
        """Return the gradients in a situation."""
        predictions = self._base if situation is None else self._reports.moved(self._base, situation)
        return _passed_to_optimizer(self._reports.fitted(predictions, situation))

    def base(self) -> list[Array | None]:
        """Return the gradients for the batch as given."""
        return _passed_to_optimizer(self.first)

    def why_not(self) -> str:
        """Return why `fit` fails; "" if it works."""
        try:
            _passed_to_optimizer(self.first)
        except CallError as error:
            return str(error)
        return ""

    @cached_property
    def first(self) -> Step:
        """What a step of `fit` reports for the batch as given, and its gradients."""
        return self._reports.fitted(self._base)

    def magnitudes(self) -> list[float]:
        """Return an estimate of the sum of the absolute terms of the gradients."""
        subject = self._reports.packing.subject
        return magnitudes_of(subject.runner, subject.batch, self._signless)


def _passed_to_optimizer(step: Step) -> list[Array | None]:
    """Return the gradients that a step passed to the optimizer.

    Raises:
        CallError: it passed none.
    """
    if not any(one.any() for one in step.gradients):
        msg = "no step of `fit` passes a gradient to the optimizer"
        raise CallError(msg)
    return list(step.gradients)


class Squares:
    """The gradients of the mean square of outputs at valid steps; for a large model, of two samples only.

    Args:
        subject: the model, with its batch.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._known: dict[tuple[Any, ...], Objective] = {}  # so that each is compiled once
        lengths = variants.own_lengths(subject.batch).sum(axis=1)
        n_steps = subject.batch.samples * max(group.steps for group in subject.batch.groups)
        is_heavy = making.is_heavy(subject.model.count_params(), n_steps)
        self._rows = sorted({int(lengths.argmin()), int(lengths.argmax())}) if is_heavy else None

    def of(self, situation: Situation | None) -> list[Array | None]:
        """Return the gradients in a situation."""
        batch = self._batch(situation)
        return gradients_of(self._subject.runner, batch.inputs, self.objective(situation))

    def _batch(self, situation: Situation | None) -> Batch:
        """Return the samples for which gradients are computed, in a situation; None is the batch as given."""
        batch = self._subject.batch if situation is None else situation.batch
        return batch if self._rows is None or batch.samples < self._subject.batch.samples else variants.select(batch, self._rows)

    def base(self) -> list[Array | None]:
        """Return the gradients for the batch as given."""
        return self.of(None)

    def magnitudes(self) -> list[float]:
        """Return an estimate of the sum of the absolute terms of the gradients."""
        batch = self._batch(None)
        return magnitudes_of(self._subject.runner, batch, self._objective(batch, is_signless=True))

    def objective(self, situation: Situation | None) -> Objective:
        """Return the mean square as a function of what the model returns in a situation; None is the batch as given."""
        batch = self._batch(situation)
        key = (batch.samples, *(group.steps for group in batch.groups))
        if key not in self._known:
            self._known[key] = self._objective(batch)
        return self._known[key]

    def _objective(self, batch: Batch, *, is_signless: bool = False) -> Objective:
        """Return a new function for a batch; with `is_signless`, the terms of its gradient do not cancel."""

        def mean(structure: Any) -> Any:
            total = 0.0
            for tensor, axes in zip(flatten(structure)[1], self._subject.axes.of, strict=True):
                if not str(keras.backend.standardize_dtype(tensor.dtype)).startswith(("float", "bfloat")):
                    continue
                shape = tuple(int(size) for size in tensor.shape)
                valid = np.broadcast_to(valid_elements(shape, axes, batch), shape)
                kept = keras.ops.where(valid, keras.ops.cast(tensor, "float32"), 0.0)
                slope = 2.0 * keras.ops.stop_gradient(keras.ops.absolute(kept)) if is_signless else kept
                total = total + keras.ops.sum(slope * kept) / max(int(valid.sum()), 1)
            return total

        return mean


def magnitudes_of(runner: Runner, batch: Batch, signless: Objective) -> list[float]:
    """Return for each trainable weight the largest element of its gradient of an objective; 0 where there is none."""
    try:
        found = gradients_of(runner, batch.inputs, signless)
    except CallError:
        found = [None for _ in runner.model.trainable_variables]
    return [0.0 if one is None or not one.size else float(np.abs(np.nan_to_num(one)).max()) for one in found]


def gradients_of(runner: Any, inputs: Any, objective: Objective) -> list[Array | None]:
    """Return the gradient of an objective with respect to each trainable weight, as arrays; None where there is none.

    Args:
        runner: of the model.
        inputs: of one batch, as the model takes them.
        objective: from what the model returns to one number.

    Raises:
        CallError: the backend cannot differentiate it.
    """
    runner.put_back()
    backend = keras.backend.backend()
    compute = {"tensorflow": _by_tensorflow, "jax": _by_jax, "torch": _by_torch}.get(backend)
    if compute is None:
        msg = f"the backend {backend} has no gradients"
        raise CallError(msg)
    with explained(), quietly():
        found = compute(runner, inputs, objective)
        return [None if one is None else to_array(one) for one in found]


def _by_tensorflow(runner: Any, inputs: Any, objective: Objective) -> list[Any]:
    """Return the gradients by TensorFlow's GradientTape."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = objective(runner.model(as_tensors(inputs), training=False))
    found = tape.gradient(value, [variable.value for variable in runner.model.trainable_variables])
    return [None if one is None else tf.convert_to_tensor(one) for one in found]


def _by_torch(runner: Any, inputs: Any, objective: Objective) -> list[Any]:
    """Return the gradients by PyTorch's autograd; the `grad` attributes of weights are not changed."""
    torch = sys.modules["torch"]
    values = [variable.value for variable in runner.model.trainable_variables]
    outputs = runner.model(as_tensors(inputs), training=False)
    found = torch.autograd.grad(objective(outputs), values, allow_unused=True)
    return [None if one is None else one.detach() for one in found]


def _by_jax(runner: Any, inputs: Any, objective: Objective) -> list[Any]:
    """Return the gradients by JAX, of a compiled function of the weights."""

    def value(weights: Any, states: Any, x: Any) -> Any:
        return objective(runner.model.stateless_call(weights, states, x, training=False)[0])

    return list(runner.compiled(objective, lambda: sys.modules["jax"].grad(value), inputs))


def _apart(first: Array | None, second: Array | None) -> list[Distance]:
    """Return how much two gradients differ; a missing one counts as 0."""
    if first is None:
        return []
    return [distance(first, np.zeros_like(first) if second is None else crop(second, first.shape, {}, _NO_BATCH))]


_NO_BATCH: Any = None  # no axis of a weight is a time axis


def _judge(situation: Situation, path: str, apart: Sequence[Distance], noise: Noise, entry: Entry) -> Verdict:
    """Return the verdict on the gradient of one weight."""
    (one,) = apart
    relative = one.size / (noise.scale or 1.0)
    if relative <= noise.tolerance:
        return Passed(situation.change, Quantity.GRADIENT, path, relative, noise.tolerance)
    at = ", ".join(map(str, one.at))
    example = f"element ({at}): {one.first:.4g} {situation.labels[0]}, {one.second:.4g} {situation.labels[1]}"
    return Leak(
        change=situation.change,
        kind=Quantity.GRADIENT,
        of=path,
        size=one.size,
        relative=relative,
        tolerance=noise.tolerance,
        example=example,
        entry=entry,
    )
