"""The documents' own losses and layers, faults included: they are what the notebooks measure.

The losses are ported line by line from `keras.backend` to `keras.ops`; those layers are as the guide (003) prints them. What to
use instead is in `masklib.losses` and `masklib.layers`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from masklib.compat import ops

Loss = Callable[[Any, Any], Any]


def masked_categorical_crossentropy(mask_value: Sequence[float]) -> Loss:
    """Return the crossentropy of 004, first answer: over the steps whose target is not `mask_value`, divided by their number."""

    def loss(y_true: Any, y_pred: Any) -> Any:
        mask = 1.0 - is_padding(y_true, mask_value)
        return ops.sum(ops.categorical_crossentropy(y_true, y_pred) * mask) / ops.sum(mask)

    return loss


def divided_by_all(mask_value: Sequence[float]) -> Loss:
    """Return the same crossentropy divided by the number of all steps, which 004 warns of."""

    def loss(y_true: Any, y_pred: Any) -> Any:
        mask = 1.0 - is_padding(y_true, mask_value)
        return ops.mean(ops.categorical_crossentropy(y_true, y_pred) * mask)

    return loss


def multiplied(name: str, mask_value: Sequence[float]) -> Loss:
    """Return the loss of 004, second answer: targets and predictions times the mask, inside any loss."""
    some_loss = keras.losses.get(name)

    def loss(y_true: Any, y_pred: Any) -> Any:
        mask = ops.expand_dims(1.0 - is_padding(y_true, mask_value), -1)
        return some_loss(y_true * mask, y_pred * mask)

    return loss


def constant_mask(name: str, mask: Any) -> Loss:
    """Return the loss of 004, second answer, with a mask array (N, T), True = valid, closed over by the function."""
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
    """003: ids (B, T) -> (B, 32); hands the mask that an Embedding computes to an LSTM."""

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
    """003: splits (B, T, F), and its mask, into two along time."""

    def call(self, inputs: Any) -> Any:
        """Return the two halves."""
        return ops.split(inputs, 2, axis=1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the two halves of the mask."""
        if mask is None:
            return None
        return ops.split(mask, 2, axis=1)


class CustomEmbedding(keras.layers.Layer):  # type: ignore[misc]
    """003: an embedding that makes a mask of ids (B, T)."""

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
    """003: an activation that opts in to passing the mask on."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Return relu(x)."""
        return ops.relu(inputs)


class NotOptedIn(keras.layers.Layer):  # type: ignore[misc]
    """003: the same layer without the opt-in, which its text says destroys the mask."""

    def call(self, inputs: Any) -> Any:
        """Return relu(x)."""
        return ops.relu(inputs)


class TemporalSoftmax(keras.layers.Layer):  # type: ignore[misc]
    """003: what the guide prints as a softmax over the time dimension (axis 1) that discards masked steps."""

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
