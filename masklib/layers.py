"""Keras layers of this project: one that shows a mask, and the guide's layers put right."""

from typing import Any

import keras

from masklib import compat
from masklib.compat import ops

__all__ = [
    "GivenMask",
    "MaskProbe",
    "MaskedEmbedding",
    "TemporalSoftmax",
]

NO_MASK = -1.0
LOWEST = -3e4  # below every logit, and a number in float16 too


@compat.register_serializable
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


@compat.register_serializable
class GivenMask(keras.layers.Layer):  # type: ignore[misc] # Keras publishes no types
    """Takes [x (B, T, F), mask (B, T)] and returns x, which carries that mask from now on."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Return x; a tensor of its own, for a mask is attached to it."""
        return inputs[0] + 0.0

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask that is given."""
        return ops.cast(inputs[1], "bool")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of x."""
        return input_shape[0]


@compat.register_serializable
class TemporalSoftmax(keras.layers.Layer):  # type: ignore[misc]
    """A softmax over the valid steps of (B, T, F): over time the valid steps of each feature sum to 1, masked steps are 0.

    A sample without a valid step is 0 everywhere. Without a mask every step is valid. Output: as the input, and its mask.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the shares, as the input's dtype."""
        if mask is None:
            return ops.softmax(inputs, axis=1)
        valid = ops.expand_dims(mask, -1)
        logits = ops.where(valid, inputs, ops.cast(LOWEST, inputs.dtype))
        exps = ops.exp(logits - ops.max(logits, axis=1, keepdims=True)) * ops.cast(valid, inputs.dtype)
        total = ops.sum(exps, axis=1, keepdims=True)
        return exps / ops.where(total > 0, total, ops.ones_like(total))


@compat.register_serializable
class MaskedEmbedding(keras.layers.Layer):  # type: ignore[misc]
    """An embedding whose rows are looked up along its first axis: ids (B, T) -> (B, T, F), with the mask `ids != 0`.

    Args:
        input_dim: rows of the matrix.
        output_dim: F.
    """

    def __init__(self, input_dim: int, output_dim: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.input_dim, self.output_dim = input_dim, output_dim

    def build(self, input_shape: Any) -> None:
        """Make the matrix (input_dim, F)."""
        self.embeddings = self.add_weight(shape=(self.input_dim, self.output_dim), initializer="random_normal", name="embeddings")

    def call(self, inputs: Any) -> Any:
        """Return the rows of the ids."""
        return ops.take(self.embeddings, ops.cast(inputs, "int32"), axis=0)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return which ids are not 0, bool (B, T)."""
        return ops.not_equal(inputs, 0)

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made of."""
        return {**super().get_config(), "input_dim": self.input_dim, "output_dim": self.output_dim}
