"""The documents' own loss functions, ported line by line from `keras.backend` to `keras.ops`, faults included.

They are what the notebooks measure. What to use instead is in `masklib.losses`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

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
