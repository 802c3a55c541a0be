"""The documents' own losses, layers and models: they are what the notebooks measure, with the faults that they have.

The losses are written line by line in `keras.ops` for `keras.backend`; the layers are as the Keras guide prints them. One
thing is added to the code: the last axis that the masked loss answer says its mask "maybe" needs; `times_mask` can leave it out.
What to use instead is in `masklib.losses` and `masklib.layers`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from masklib import compat
from masklib.compat import ops
from masklib.errors import ArgumentError

Loss = Callable[[Any, Any], Any]


def masked_categorical_crossentropy(mask_value: Sequence[float]) -> Loss:
    """Return the first answer's crossentropy: over the steps whose target is not `mask_value`, divided by their number."""

    def loss(y_true: Any, y_pred: Any) -> Any:
        mask = 1.0 - is_padding(y_true, mask_value)
        return ops.sum(ops.categorical_crossentropy(y_true, y_pred) * mask) / ops.sum(mask)

    return loss


def divided_by_all(mask_value: Sequence[float]) -> Loss:
    """Return the same crossentropy divided by the number of all steps, which the first answer warns of."""

    def loss(y_true: Any, y_pred: Any) -> Any:
        mask = 1.0 - is_padding(y_true, mask_value)
        return ops.mean(ops.categorical_crossentropy(y_true, y_pred) * mask)

    return loss


def multiplied(name: str, mask_value: Sequence[float]) -> Loss:
    """Return the second answer's loss: targets and predictions times the mask (B, T, 1), inside any loss."""
    some_loss = keras.losses.get(name)

    def loss(y_true: Any, y_pred: Any) -> Any:
        return some_loss(times_mask(y_true, y_true, mask_value), times_mask(y_pred, y_true, mask_value))

    return loss


def times_mask(values: Any, y_true: Any, mask_value: Sequence[float], *, last_axis: bool = True) -> Any:
    """Return the second answer's product of values (B, T, F) and mask.

    Args:
        values: targets or predictions.
        y_true: targets (B, T, F), from which the mask is made.
        mask_value: the target of a masked step, (F,).
        last_axis: whether the mask gets the axis that the answer says it may need; False leaves it (B, T), as the code has it.
    """
    mask = 1.0 - is_padding(y_true, mask_value)
    return values * (ops.expand_dims(mask, -1) if last_axis else mask)


def masks_from_inputs(x: Any, mask_value: float) -> Any:
    """Return what the second answer's line makes of inputs (N, T, F), which is meant to be the masks, (N, T)."""
    return 1 - np.array((x == mask_value).all(), dtype="float64")


def constant_mask(name: str, mask: Any) -> Loss:
    """Return the second answer's loss with a mask array (N, T), True = valid, closed over by the function."""
    some_loss = keras.losses.get(name)
    array = np.asarray(mask, dtype="float32")[..., None]

    def loss(y_true: Any, y_pred: Any) -> Any:
        weights = ops.convert_to_tensor(array)
        return some_loss(y_true * weights, y_pred * weights)

    return loss


def is_padding(y_true: Any, mask_value: Sequence[float]) -> Any:
    """Return 1.0 where all features of a target (B, T, F) equal `mask_value` (F,), else 0.0, shape (B, T)."""
    return ops.cast(ops.all(ops.equal(y_true, np.asarray(mask_value, dtype="float32")), axis=-1), "float32")


class MyLayer(keras.layers.Layer):  # type: ignore[misc] # Keras publishes no types
    """Ids (B, T) -> (B, 32); hands the mask that an Embedding computes to an LSTM."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.embedding = keras.layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True)
        self.lstm = keras.layers.LSTM(32)

    def call(self, inputs: Any) -> Any:
        """Return the LSTM's last output."""
        x = self.embedding(inputs)
        mask = self.embedding.compute_mask(inputs)
        return self.lstm(x, mask=mask)


class TemporalSplit(keras.layers.Layer):  # type: ignore[misc]
    """Splits (B, T, F), and its mask, into two along time."""

    def call(self, inputs: Any) -> Any:
        """Return the two halves."""
        return ops.split(inputs, 2, axis=1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the two halves of the mask."""
        if mask is None:
            return None
        return ops.split(mask, 2, axis=1)


class CustomEmbedding(keras.layers.Layer):  # type: ignore[misc]
    """An embedding that makes a mask of ids (B, T)."""

    def __init__(self, input_dim: int, output_dim: int, mask_zero: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.mask_zero = mask_zero

    def build(self, input_shape: Any) -> None:
        """Make the matrix."""
        self.embeddings = self.add_weight(shape=(self.input_dim, self.output_dim), initializer="random_normal", dtype="float32")

    def call(self, inputs: Any) -> Any:
        """Return what the guide takes for the embedded ids."""
        inputs = ops.cast(inputs, "int32")
        return ops.take(self.embeddings, inputs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return which ids are not 0."""
        if not self.mask_zero:
            return None
        return ops.not_equal(inputs, 0)


class MyActivation(keras.layers.Layer):  # type: ignore[misc]
    """An activation that opts in to passing the mask on."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Return relu(x)."""
        return ops.relu(inputs)


class NotOptedIn(keras.layers.Layer):  # type: ignore[misc]
    """The same layer without the opt-in, which the guide says destroys the mask."""

    def call(self, inputs: Any) -> Any:
        """Return relu(x)."""
        return ops.relu(inputs)


class TemporalSoftmax(keras.layers.Layer):  # type: ignore[misc]
    """What the guide prints as a softmax over the time dimension (axis 1) that discards masked steps."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the guide's result, (B, T, F)."""
        assert mask is not None
        broadcast_float_mask = ops.expand_dims(ops.cast(mask, "float32"), -1)
        inputs_exp = ops.exp(inputs) * broadcast_float_mask
        inputs_sum = ops.sum(inputs_exp * broadcast_float_mask, axis=-1, keepdims=True)
        return inputs_exp / inputs_sum


def three_inputs_as_printed() -> Any:
    """Return the model of the Concatenate experiments as they print it, compiled, for inputs (B, 5, 3), (B, 5, 1), (B, 5, 1).

    Raises:
        ArgumentError: the installed Keras lacks an argument of it; see `masklib.compat.lacks("decay of Adam")`.
    """
    reason = compat.lacks("decay of Adam")
    if reason:
        raise ArgumentError(reason)
    layers = keras.layers
    num, version, missing = inputs = [keras.Input((5, 3)), keras.Input((5, 1)), keras.Input((5, 1))]
    words = {"input_length": 5, "mask_zero": True}
    merged = layers.concatenate(
        [
            layers.Masking(mask_value=0, name="M_num")(num),
            layers.Embedding(180, 2, name="M_version", **words)(layers.Reshape(target_shape=(-1,))(version)),
            layers.Embedding(4, 1, name="M_missing", **words)(layers.Reshape(target_shape=(-1,))(missing)),
        ],
        axis=-1,
        name="concate",
    )
    gru_1 = layers.GRU(3, return_sequences=True, name="gru_1")(merged)
    gru_2 = layers.GRU(3, return_sequences=True, name="gru_2")(gru_1)
    dense_ft = layers.Dense(2, name="dense_ft")(layers.GRU(3, name="gru_3")(gru_2))
    model = keras.Model(inputs, layers.Lambda(lambda x: keras.backend.tf.nn.softmax(x), name="outputs")(dense_ft))
    adam = keras.optimizers.Adam(lr=0.0001, beta_1=0.9, beta_2=0.999, epsilon=1e-08, decay=1e-6)
    model.compile(loss="categorical_crossentropy", optimizer=adam)
    return model
