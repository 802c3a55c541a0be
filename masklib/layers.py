"""Keras layers of this project."""

from typing import Any

import keras
from keras import ops

NO_MASK = -1.0


@keras.saving.register_keras_serializable(package="masklib")
class MaskProbe(keras.layers.Layer):  # type: ignore[misc] # Keras publishes no types
    """Returns the mask that arrives at it, by Keras's public contract for `call(..., mask=None)`.

    Input: (B, T, ...). Output: float32 (B, T): 1 valid, 0 masked, `NO_MASK` everywhere if no mask arrives.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True  # it uses the mask: no warning that it would be lost

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask as numbers."""
        if mask is None:
            return ops.full(ops.shape(inputs)[:2], NO_MASK, dtype="float32")
        return ops.cast(mask, "float32")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (B, T)."""
        return tuple(input_shape[:2])
