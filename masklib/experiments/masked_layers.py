"""Models in which one layer uses a mask, for every kind of layer that does; notebook 09 feeds them what masks are meant to hide.

Each has a mask from where the notebook wants it, a trainable offset at each step, whose gradient shows what the layer sends
back to each step, the layer itself, and nothing after it. What the layer ought to put out is in
`masklib.reference.masked_layers`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from masklib import compat
from masklib.checks import check_one_of
from masklib.compat import ops
from masklib.experiments import data
from masklib.layers import GivenMask
from masklib.losses import MaskedMeanSquaredError

Array = NDArray[Any]

SOURCES = ("given", "Masking", "none")
IS_JAX = compat.IS_KERAS_3 and keras.backend.backend() == "jax"  # it compiles the loop of an RNN again in each eager step


@compat.register_serializable
class Offset(layers.Layer):  # type: ignore[misc]
    """Adds a trainable offset (T, F) to x (B, T, F): its gradient is what comes back to each step."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the offset."""
        self.offset = self.add_weight(shape=tuple(input_shape[1:]), initializer="zeros", name="offset")

    def call(self, inputs: Any) -> Any:
        """Return the sum."""
        return inputs + self.offset


class Outcome(NamedTuple):
    """What came out of a model of this module, and what went back.

    Attributes:
        result: (B, U), (B, T, U), or the loss, ().
        offset: gradient of the offset (T, F).
        others: gradients of all other weights, in one row.
    """

    result: Array
    offset: Array
    others: Array


def build(name: str, steps: int, features: int, units: int, *, source: str = "given", mask_value: float = 0.0) -> Any:
    """Return a model that ends in the consumer `name`, compiled for `run`.

    Args:
        name: one of `CONSUMERS`.
        steps: T.
        features: F, even.
        units: U of the recurrent layers and of the losses' Dense.
        source: of the mask: an input beside x ("given"), a `Masking` layer, or "none".
        mask_value: of that `Masking` layer.

    Raises:
        ArgumentError: there is no such consumer, or source.
    """
    check_one_of("name", name, CONSUMERS)
    check_one_of("source", source, SOURCES)
    x, mask = keras.Input((steps, features)), keras.Input((steps,), dtype="bool")
    masked = x
    if source == "given":
        masked = GivenMask()([x, mask])
    elif source == "Masking":
        masked = layers.Masking(mask_value)(x)
    shifted = Offset(name="offset")(masked)
    consumer = _BY_NAME[name]
    output = consumer.apply(shifted, features, units)
    model = keras.Model([x, mask] if source == "given" else x, output)
    loss = consumer.loss or ("mse" if consumer.sums_up else MaskedMeanSquaredError())
    compat.compile_model(model, loss, compat.gradient_descent(1.0), run_eagerly=not (IS_JAX and consumer.recurrent))
    return model


def run(model: Any, name: str, x: Any, y: Any) -> Outcome:
    """Return what a model of `build` puts out for one batch in training, and its gradients.

    They are those of the squared error: over all of (B, U), or over the valid steps of (B, T, U) by a loss that lets nothing of
    a masked step through, so that only the consumer is tested. A consumer that is a loss is its own.

    Args:
        model: from `build`.
        name: of the consumer.
        x: inputs, or inputs and mask.
        y: targets of the shape of the output.
    """
    before = model.get_weights()
    output = None
    if name not in LOSSES:
        output = compat.to_numpy(model(x, training=True))
        model.set_weights(before)  # BatchNormalization has seen a batch
    reported = float(np.ravel(model.train_on_batch(x, y))[0])
    moved = [old - new for old, new in zip(before, model.get_weights(), strict=True)]
    trained = {id(weight) for weight in model.trainable_weights}
    gradients = [gradient for gradient, weight in zip(moved, model.weights, strict=True) if id(weight) in trained]
    model.set_weights(before)
    others = np.concatenate([np.zeros(1), *(gradient.ravel() for gradient in gradients[1:])])
    return Outcome(np.asarray(reported if output is None else output), gradients[0], others)


def draw_targets(name: str, model: Any, samples: int, seed: int) -> Array:
    """Return targets of the shape of a model's output: one-hot for the crossentropy, else normally distributed, float32."""
    shape = (samples, *model.output.shape[1:])
    if _BY_NAME[name].one_hot:
        return data.one_hot(np.random.default_rng([seed, 12]).integers(0, shape[-1], shape[:-1]), shape[-1])
    return data.draw_floats(seed, shape)


@compat.register_serializable
class SoftmaxOverTime(layers.Layer):  # type: ignore[misc]
    """Keras's `Softmax(axis=1)` with the mask (B, T, 1) that it needs for x (B, T, F); it takes none of shape (B, T)."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.softmax = layers.Softmax(axis=1)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the shares (B, T, F)."""
        return self.softmax(inputs, mask=None if mask is None else ops.expand_dims(mask, -1))


@dataclass(frozen=True)
class Consumer:
    """A layer, or layers, that use a mask.

    Attributes:
        name: as tables and figures show it.
        apply: returns the output for x (B, T, F), which carries its mask, with the features F, and the units U.
        sums_up: whether the output is (B, U); else it is (B, T, U).
        recurrent: whether it loops over the steps.
        loss: of Keras, where the loss is what uses the mask; "" elsewhere.
        one_hot: whether its targets are one-hot.
    """

    name: str
    apply: Callable[[Any, int, int], Any]
    sums_up: bool = False
    recurrent: bool = False
    loss: str = ""
    one_hot: bool = False


def _recurrent(name: str, make: Callable[[int], Any]) -> Consumer:
    """Return a layer that loops over the steps and puts out its last state."""
    return Consumer(name, lambda x, features, units: make(units)(x), sums_up=True, recurrent=True)


def _normalized(x: Any) -> Any:
    """Return x normalized by the statistics of the batch."""
    return layers.BatchNormalization()(x, training=True)


_ALL = (
    _recurrent("SimpleRNN", layers.SimpleRNN),
    _recurrent("GRU", layers.GRU),
    _recurrent("LSTM", layers.LSTM),
    _recurrent("Bidirectional LSTM", lambda units: layers.Bidirectional(layers.LSTM(units))),
    Consumer("GlobalAveragePooling1D", lambda x, features, units: layers.GlobalAveragePooling1D()(x), sums_up=True),
    Consumer("Softmax over time", lambda x, features, units: SoftmaxOverTime()(x)),
    Consumer("Attention", lambda x, features, units: layers.Attention()([x, x])),
    Consumer("MultiHeadAttention", lambda x, features, units: layers.MultiHeadAttention(2, features // 2)(x, x)),
    Consumer("BatchNormalization", lambda x, features, units: _normalized(x)),
    Consumer("BatchNormalization, LayerNormalization", lambda x, features, units: layers.LayerNormalization()(_normalized(x))),
    Consumer("loss: mse", lambda x, features, units: layers.Dense(units)(x), loss="mse"),
    Consumer(
        "loss: crossentropy",
        lambda x, features, units: layers.Dense(units, activation="softmax")(x),
        loss="categorical_crossentropy",
        one_hot=True,
    ),
)
_BY_NAME = {consumer.name: consumer for consumer in _ALL}
CONSUMERS = tuple(_BY_NAME)  # names
LOSSES = {consumer.name: consumer.loss for consumer in _ALL if consumer.loss}
