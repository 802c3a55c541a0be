"""What the notebooks ask of a Keras model: predictions, inner outputs and masks, reported losses, gradients, times.

Nothing here reads a private attribute of Keras: masks are read by a layer that gets them by Keras's public contract.
"""

import contextlib
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklib import compat
from masklib.errors import ArgumentError
from masklib.layers import NO_MASK, MaskProbe

Array = NDArray[Any]


class Inside(NamedTuple):
    """What comes out of a layer of a model.

    Attributes:
        output: array (B, T, ...) or (B, U); the layer's output.
        mask: bool array (B, T), True = valid; the mask that the next layer gets, None if it gets none.
    """

    output: Array
    mask: Array | None


class Passage(NamedTuple):
    """What became of a mask after a layer or an operation.

    Attributes:
        mask: bool array (B, T'), True = valid; None if none goes on.
        said: by Keras: "nothing", "warning", or the name of the error's class.
    """

    mask: Array | None
    said: str


class Attempt(NamedTuple):
    """How a call ended that may end in an error.

    Attributes:
        value: what it returned; NaN after an error.
        error: the name of the error's class; "" if there was none.
    """

    value: float
    error: str


class Reports(NamedTuple):
    """What Keras reports of the same data in several ways, by name each.

    Attributes:
        whole: of one batch, for each padded length.
        several: of several batches; {} after an error.
        error: the name of the error's class; "" if there was none.
    """

    whole: list[dict[str, float]]
    several: dict[str, float]
    error: str

    def of(self, name: str) -> tuple[list[float], float]:
        """Return the numbers of one name: of one batch, and of several, which is NaN after an error."""
        return [reported[name] for reported in self.whole], self.several.get(name, math.nan)


class Step(NamedTuple):
    """One step of training without a change: what its loss is, and where it would go.

    Attributes:
        loss: of the batch.
        gradient: array of the weight's shape.
    """

    loss: float
    gradient: Array


def start_keras(seed: int, backend: str) -> None:
    """Seed Keras, its backend and NumPy; keep TensorFlow's hints about tracing, which concern speed, out of the output.

    Raises:
        ArgumentError: Keras runs on another backend than this one; it is chosen before Keras is imported.
    """
    if keras.backend.backend() != backend:
        found = keras.backend.backend()
        msg = f"Keras must run on {backend}, it is on {found}. Start the kernel with KERAS_BACKEND={backend}."
        raise ArgumentError(msg)
    compat.set_random_seed(seed)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def largest(values: ArrayLike) -> float:
    """Return the largest absolute value of an array of any shape; 0.0 if it is empty, NaN if it holds one."""
    return float(np.abs(np.asarray(values, dtype=np.float64)).max(initial=0.0))


def distance(tensor: Any, expected: ArrayLike) -> float:
    """Return the largest absolute difference between a tensor of the backend and an array of its shape."""
    found = np.asarray(compat.to_numpy(tensor))
    if found.shape != np.shape(expected):
        return math.inf
    return largest(found - expected)


def predict(model: Any, x: Any) -> Any:
    """Return the outputs for the whole of `x` as one batch, as arrays."""
    return compat.map_structure(compat.to_numpy, compat.predict(model, x))


def look_inside(model: Any, x: Any, *names: str) -> dict[str, Inside]:
    """Return what comes out of some layers of a functional model, all from one prediction.

    Args:
        model: a functional model whose named layers put out one tensor each.
        x: inputs of one batch.
        *names: of the layers.
    """
    outputs = [model.get_layer(name).output for name in names]
    found = predict(keras.Model(model.input, [*outputs, *(MaskProbe()(output) for output in outputs)]), x)
    pairs = zip(names, found[: len(names)], found[len(names) :], strict=True)
    return {name: Inside(np.asarray(output), _mask(seen)) for name, output, seen in pairs}


def predict_with_mask(model: Any, x: Any) -> Inside:
    """Return a model's single output (B, T, ...) for one batch, and the mask that a loss after it gets."""
    output, seen = predict(keras.Model(model.input, [model.output, MaskProbe()(model.output)]), x)
    return Inside(np.asarray(output), _mask(seen))


@contextlib.contextmanager
def warned() -> Iterator[list[warnings.WarningMessage]]:
    """Collect every warning that is given within this context, in place of showing it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def about_masks(said: Sequence[warnings.WarningMessage]) -> int:
    """Return how many warnings speak of a mask."""
    return sum("mask" in str(warning.message) for warning in said)


def pass_mask(block: Callable[[Any], Any], x: Any, mask_value: float = 0.0) -> Passage:
    """Return what becomes of the mask of x (B, T, F), made by Masking, after `block`, and what Keras says about it to the user.

    Args:
        block: a layer, or a function from one Keras tensor to another.
        x: array; a step is masked where all its features equal `mask_value`.
        mask_value: of the Masking layer.
    """
    inputs = keras.Input(x.shape[1:])
    with warned() as caught:
        try:
            seen = predict(keras.Model(inputs, MaskProbe()(block(keras.layers.Masking(mask_value)(inputs)))), x)
        except Exception as error:  # whatever Keras raises is the finding
            return Passage(None, type(error).__name__)
    return Passage(_mask(seen), "warning" if about_masks(caught) else "nothing")


def computed_masks(layer: Any, x: Any, mask: Any) -> Any:
    """Return what `layer.compute_mask` returns for inputs `x` that bring a mask, masks as nested lists."""

    def plain(found: Any) -> Any:
        if isinstance(found, list | tuple):
            return [plain(one) for one in found]
        return None if found is None else np.asarray(compat.to_numpy(found)).tolist()

    return plain(layer.compute_mask(x, mask))


def evaluate(model: Any, x: Any, y: Any, loss: Any, *, batch_size: int | None = None, **options: Any) -> dict[str, float]:
    """Compile a model with `loss` and return what Keras's own `evaluate` reports, by name.

    Args:
        model: any Keras model.
        x: inputs.
        y: targets.
        loss: as `compile` takes it.
        batch_size: samples a batch; None puts all into one.
        **options: `sample_weight` goes to `evaluate`, the rest to `compile`.
    """
    sample_weight = options.pop("sample_weight", None)
    compat.compile_model(model, loss, **options)
    return report(model, x, y, batch_size=batch_size, sample_weight=sample_weight)


def report(model: Any, x: Any, y: Any, *, batch_size: int | None = None, sample_weight: Any = None) -> dict[str, float]:
    """Return what `evaluate` of a compiled model reports, by name; arguments as for `evaluate` here."""
    size = batch_size or _samples(x)
    reported = compat.evaluate(model, x, y, batch_size=size, sample_weight=sample_weight)
    return {name: float(value) for name, value in reported.items()}


def report_three_ways(model: Any, batches: Sequence[tuple[Any, Any, Any]], loss: Any, batch_size: int, **options: Any) -> Reports:
    """Return what a model, run eagerly, reports of the same data with less and with more padding, and in several batches.

    Args:
        model: takes any number of steps.
        batches: inputs, targets and sample weights, one for each padded length; the first is cut into batches, too.
        loss: as `compile` takes it.
        batch_size: of those batches.
        **options: of `compile`, such as `metrics`, which have seen no other model.
    """
    compat.compile_model(model, loss, run_eagerly=True, **options)
    whole: list[dict[str, float]] = []
    try:
        for x, y, weights in batches:
            model.reset_metrics()  # Keras 3.3 goes on from the batch before
            reported = model.test_on_batch(x, y, sample_weight=weights, return_dict=True)
            whole.append({name: float(value) for name, value in reported.items()})
        if keras.backend.backend() == "jax":  # whose `evaluate` takes the weights out of the model, and loses them in an error
            compat.compile_model(model, loss, run_eagerly=True, **options)  # but is built anew first, where an error does no harm
        several = compat.evaluate_by_steps(model, *batches[0], batch_size)
        return Reports(whole, {name: float(value) for name, value in several.items()}, "")
    except Exception as error:  # whatever the backend raises is the finding
        return Reports(whole, {}, type(error).__name__)


def report_loss(model: Any, x: Any, y: Any, *, batch_size: int | None = None, sample_weight: Any = None) -> float:
    """Return the loss that `evaluate` of a compiled model reports; arguments as for `evaluate` here."""
    return report(model, x, y, batch_size=batch_size, sample_weight=sample_weight)["loss"]


def report_step(model: Any, x: Any, y: Any) -> float:
    """Return the loss that `evaluate` reports of one batch, of a model compiled to run eagerly, by its step alone."""
    return float(compat.evaluate_by_steps(model, x, y, None, _samples(x))["loss"])


def fit_loss(model: Any, x: Any, y: Any, *, batch_size: int | None = None, shuffle: bool = True) -> float:
    """Return the loss that `fit` of a compiled model reports for one epoch; the weights are put back afterwards.

    Compile with a learning rate of 0 to see the loss of the model as it is.
    """
    before = model.get_weights()
    size = batch_size or _samples(x)
    history = model.fit(x, y, batch_size=size, shuffle=shuffle, epochs=1, verbose=0).history
    model.set_weights(before)
    return float(history["loss"][0])


def fit_report(model: Any, x: Any, y: Any, loss: Any, *, batch_size: int, **options: Any) -> dict[str, float]:
    """Return what one epoch of `fit` reports, by name, of a model whose weights stay: its learning rate is 0.

    Args:
        model: any Keras model; it is compiled here.
        x: inputs.
        y: targets.
        loss: as `compile` takes it.
        batch_size: samples a batch; they keep their order.
        **options: of `compile`, such as `metrics`, which have seen no other model.
    """
    compat.compile_model(model, loss, compat.gradient_descent(0.0), **options)
    history = model.fit(x, y, batch_size=batch_size, shuffle=False, epochs=1, verbose=0).history
    return {name: float(values[-1]) for name, values in history.items()}


def attempt(call: Callable[..., float], *args: Any, **options: Any) -> Attempt:
    """Return what a call returns, or the name of the error that it raises: a document's snippet may do either."""
    try:
        return Attempt(call(*args, **options), "")
    except Exception as error:  # whatever the backend raises is the finding
        return Attempt(float("nan"), type(error).__name__)


def train_step(model: Any, x: Any, y: Any, loss: Any, *, weight: int = 0) -> Step:
    """Return the loss of one batch, and its gradient with respect to one weight, from one step of plain gradient descent.

    With a learning rate of 1 the weight moves by minus its gradient; the weights are put back. Needs nothing of a backend.

    Args:
        model: any Keras model.
        x: inputs of one batch.
        y: its targets.
        loss: as `compile` takes it.
        weight: its index in `model.get_weights()`; -1 is the last one, mostly a bias.
    """
    before = model.get_weights()
    compat.compile_model(model, loss, compat.gradient_descent(1.0), run_eagerly=True)
    reported = model.train_on_batch(x, y)
    after = model.get_weights()
    model.set_weights(before)
    return Step(float(np.ravel(reported)[0]), np.asarray(before[weight] - after[weight]))


def time_in_turn(
    calls: Mapping[Any, Callable[[], object]],
    rounds: int,
    *,
    uncounted: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Any, Array]:
    """Return the seconds (rounds,) of each call, the calls made in turn so that a slow moment of the machine meets them all.

    Args:
        calls: by name.
        rounds: that count; in each, every call is made once, in the order of `calls`.
        uncounted: rounds before those, into which compilation falls.
        clock: returns seconds.
    """
    seconds: dict[Any, list[float]] = {name: [] for name in calls}
    for _ in range(uncounted + rounds):
        for name, call in calls.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return {name: np.array(values[uncounted:]) for name, values in seconds.items()}


def _mask(seen: Any) -> Array | None:
    """Return the mask that a probe saw, or None if it saw none."""
    seen = np.asarray(seen)
    return None if (seen == NO_MASK).all() else seen.astype(bool)


def _samples(x: Any) -> int:
    """Return B of an array or of a list of arrays."""
    return len(x[0]) if isinstance(x, list | tuple) else len(x)
