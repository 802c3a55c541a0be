"""What the notebooks ask of a Keras model: predictions, inner outputs and masks, reported losses, gradients, times.

Nothing here reads a private attribute of Keras: masks are seen by a layer that takes them by the public contract.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklib.layers import NO_MASK, MaskProbe

Array = NDArray[Any]


class Inside(NamedTuple):
    """What stands behind a layer of a model.

    Attributes:
        output: array (B, T, ...) or (B, U); the layer's output.
        mask: bool array (B, T), True = valid; the mask that the next layer gets, None if it gets none.
    """

    output: Array
    mask: Array | None


class Attempt(NamedTuple):
    """How a call ended that may end in an error.

    Attributes:
        value: what it returned; NaN after an error.
        error: the name of the error's class; "" if there was none.
    """

    value: float
    error: str


class Step(NamedTuple):
    """One step of training without a change: what its loss is, and where it would go.

    Attributes:
        loss: of the batch.
        gradient: array of the weight's shape.
    """

    loss: float
    gradient: Array


def start_keras(seed: int) -> None:
    """Seed Keras, its backend and NumPy; keep TensorFlow's hints about tracing, which concern speed, out of the output."""
    keras.utils.set_random_seed(seed)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def largest(values: ArrayLike) -> float:
    """Return the largest absolute value of an array of any shape; 0.0 if it is empty, NaN if it holds one."""
    return float(np.abs(np.asarray(values, dtype=np.float64)).max(initial=0.0))


def predict(model: Any, x: Any) -> Any:
    """Return the outputs for the whole of `x` as one batch, as arrays; a call, since `predict` compiles each model anew."""
    return keras.tree.map_structure(keras.ops.convert_to_numpy, model(x, training=False))


def look_inside(model: Any, x: Any, *names: str) -> dict[str, Inside]:
    """Return what stands behind some layers of a functional model, all from one prediction.

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
    """Return a model's single output (B, T, ...) for one batch, and the mask that a loss behind it gets."""
    output, seen = predict(keras.Model(model.input, [model.output, MaskProbe()(model.output)]), x)
    return Inside(np.asarray(output), _mask(seen))


def computed_masks(layer: Any, x: Any, mask: Any) -> Any:
    """Return what `layer.compute_mask` returns for inputs `x` that bring a mask, masks as nested lists."""

    def plain(found: Any) -> Any:
        if isinstance(found, list | tuple):
            return [plain(one) for one in found]
        return None if found is None else np.asarray(found).tolist()

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
    model.compile(loss=loss, optimizer="sgd", **options)
    return report(model, x, y, batch_size=batch_size, sample_weight=sample_weight)


def report(model: Any, x: Any, y: Any, *, batch_size: int | None = None, sample_weight: Any = None) -> dict[str, float]:
    """Return what `evaluate` of a compiled model reports, by name; arguments as for `evaluate` here."""
    size = batch_size or _samples(x)
    reported = model.evaluate(x, y, batch_size=size, sample_weight=sample_weight, verbose=0, return_dict=True)
    return {name: float(value) for name, value in reported.items()}


def report_loss(model: Any, x: Any, y: Any, *, batch_size: int | None = None, sample_weight: Any = None) -> float:
    """Return the loss that `evaluate` of a compiled model reports; arguments as for `evaluate` here."""
    return report(model, x, y, batch_size=batch_size, sample_weight=sample_weight)["loss"]


def fit_loss(model: Any, x: Any, y: Any, *, batch_size: int | None = None, shuffle: bool = True) -> float:
    """Return the loss that `fit` of a compiled model reports for one epoch; the weights are put back afterwards.

    Compile with a learning rate of 0 to see the loss of the model as it is.
    """
    before = model.get_weights()
    size = batch_size or _samples(x)
    history = model.fit(x, y, batch_size=size, shuffle=shuffle, epochs=1, verbose=0).history
    model.set_weights(before)
    return float(history["loss"][0])


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
    model.compile(loss=loss, optimizer=keras.optimizers.SGD(learning_rate=1.0), run_eagerly=True)
    reported = model.train_on_batch(x, y)
    after = model.get_weights()
    model.set_weights(before)
    return Step(float(np.ravel(reported)[0]), np.asarray(before[weight] - after[weight]))


def time_in_turn(calls: Mapping[Any, Callable[[], object]], repeats: int) -> dict[Any, float]:
    """Return the median seconds of each call, the calls made in turn so that a slow moment of the machine meets them all.

    The first two rounds are not counted: compilation falls into them.
    """
    seconds: dict[Any, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values[2:])) for name, values in seconds.items()}


def _mask(seen: Any) -> Array | None:
    """Return the mask that a probe saw, or None if it saw none."""
    seen = np.asarray(seen)
    return None if (seen == NO_MASK).all() else seen.astype(bool)


def _samples(x: Any) -> int:
    """Return B of an array or of a list of arrays."""
    return len(x[0]) if isinstance(x, list | tuple) else len(x)
