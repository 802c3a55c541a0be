"""Layers, losses and functions that users write themselves, wrong and right; all are registered, so models can be saved."""

from typing import Any

import keras
from keras import layers, ops

register = keras.saving.register_keras_serializable(package="zoo")
LOWEST = -1e9


@register
def double(x: Any) -> Any:
    """Return twice x."""
    return 2.0 * x


@register
def keep_mask(inputs: Any, mask: Any = None) -> Any:
    """Return the mask as it came."""
    return mask


@register
class KeepsShape(layers.Layer):  # type: ignore[misc] # Keras publishes no types
    """Returns what is as large as its first input."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the first input."""
        return tuple(input_shape[0]) if isinstance(input_shape[0], (tuple, list)) else tuple(input_shape)


@register
class KeepsMask(KeepsShape):
    """Returns what is as large as its input, with its mask."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True


@register
class MeanOverTime(layers.Layer):  # type: ignore[misc]
    """(B, T, F) -> (B, F): the mean over all steps; it asks for no mask."""

    def call(self, x: Any) -> Any:
        """Return the mean."""
        return ops.mean(x, axis=1)


@register
class MeanOverValid(layers.Layer):  # type: ignore[misc]
    """(B, T, F) -> (B, F): the mean over valid steps."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x: Any, mask: Any = None) -> Any:
        """Return the mean."""
        weights = ops.cast(mask, x.dtype)[:, :, None]
        return ops.sum(x * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1.0)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """No step is left to mask."""
        return None


@register
class Scale(KeepsShape):
    """Multiplies by a weight; it does not say that it supports masking."""

    def build(self, input_shape: Any) -> None:
        """Make the weight."""
        self.scale = self.add_weight(shape=(input_shape[-1],), name="scale")

    def call(self, x: Any) -> Any:
        """Return the product."""
        return x * self.scale


@register
class ScaleKeepingMask(Scale):
    """Multiplies by a weight and keeps the mask."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True


@register
class CentreOnBatch(KeepsMask):
    """Subtracts the mean of the batch's first steps."""

    def call(self, x: Any) -> Any:
        """Return the difference."""
        return x - ops.mean(x[:, :1], axis=0, keepdims=True)


@register
class AlwaysTraining(KeepsMask):
    """BatchNormalization by the statistics of the batch, in prediction too."""

    def build(self, input_shape: Any) -> None:
        """Make the layer within."""
        self.norm = layers.BatchNormalization()
        self.norm.build(input_shape)

    def call(self, x: Any, mask: Any = None) -> Any:
        """Return the normalized steps."""
        return self.norm(x, training=True, mask=mask)


@register
class ShareOfLongest(KeepsShape):
    """Adds to x (B, T, F) its position as a share of the largest of the lengths (B,)."""

    def call(self, inputs: Any) -> Any:
        """Return the sum."""
        x, lengths = inputs
        longest = ops.cast(ops.max(lengths), x.dtype)
        position = ops.cast(ops.arange(ops.shape(x)[1]), x.dtype) / longest
        return x + position[None, :, None]


@register
class ShareOfLength(KeepsShape):
    """Adds to x (B, T, F) its position as a share of the sample's own length (B,)."""

    def call(self, inputs: Any) -> Any:
        """Return the sum."""
        x, lengths = inputs
        position = ops.cast(ops.arange(ops.shape(x)[1]), x.dtype)[None, :] / ops.cast(lengths, x.dtype)[:, None]
        return x + position[:, :, None]


@register
class Positions(KeepsShape):
    """Looks up an embedding for each position of x (B, T, F); its output has no mask."""

    def __init__(self, n_positions: int = 16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n_positions = n_positions

    def build(self, input_shape: Any) -> None:
        """Make the matrix."""
        self.table = self.add_weight(shape=(self.n_positions, input_shape[-1]), name="position_table")

    def call(self, x: Any) -> Any:
        """Return the first T rows, for every sample."""
        return ops.zeros_like(x) + self.table[None, : ops.shape(x)[1]]

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made of."""
        return {**super().get_config(), "n_positions": self.n_positions}


@register
class AddPositions(Positions):
    """Adds an embedding for each position, and keeps the mask."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x: Any) -> Any:
        """Return the sum."""
        return x + super().call(x)


@register
class PadMask(layers.Layer):  # type: ignore[misc]
    """ids (B, T) -> bool (B, T), which are not the id of padding."""

    def __init__(self, pad_id: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pad_id = pad_id

    def call(self, ids: Any) -> Any:
        """Return the mask."""
        return ops.not_equal(ids, self.pad_id)

    def compute_output_spec(self, ids: Any) -> Any:
        """Return the shape and dtype of the mask."""
        return keras.KerasTensor(ids.shape, dtype="bool")

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made of."""
        return {**super().get_config(), "pad_id": self.pad_id}


@register
class LengthMask(layers.Layer):  # type: ignore[misc]
    """[x (B, T, ...), lengths (B,)] -> bool (B, T), True before each sample's length."""

    def call(self, inputs: Any) -> Any:
        """Return the mask."""
        x, lengths = inputs
        return ops.arange(ops.shape(x)[1])[None, :] < ops.cast(lengths, "int32")[:, None]

    def compute_output_spec(self, inputs: Any) -> Any:
        """Return the shape and dtype of the mask."""
        return keras.KerasTensor(tuple(inputs[0].shape[:2]), dtype="bool")


@register
class Attach(KeepsShape):
    """[x (B, T, F), mask (B, T)] -> x, which carries the mask from here on."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Return a tensor of its own."""
        return inputs[0] + 0.0

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask that is given."""
        return ops.cast(inputs[1], "bool")


@register
class Zeroed(KeepsMask):
    """[x (B, T, F), mask (B, T)] -> x with zeros at masked steps."""

    def call(self, inputs: Any) -> Any:
        """Return the product."""
        x, mask = inputs
        return x * ops.cast(mask, x.dtype)[:, :, None]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Keep no mask: the zeros are enough."""
        return None


@register
class PoolValid(layers.Layer):  # type: ignore[misc]
    """[x (B, T, F), mask (B, T)] -> (B, F): largest number or mean at valid steps, with `how`."""

    def __init__(self, how: str = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.how = how

    def call(self, inputs: Any) -> Any:
        """Return the pooled steps."""
        x, mask = inputs
        valid = ops.cast(mask, "bool")[:, :, None]
        if self.how == "max":
            return ops.max(ops.where(valid, x, LOWEST), axis=1)
        weights = ops.cast(valid, x.dtype)
        return ops.sum(ops.where(valid, x, 0.0), axis=1) / ops.maximum(ops.sum(weights, axis=1), 1.0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, F)."""
        return (input_shape[0][0], input_shape[0][2])

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made of."""
        return {**super().get_config(), "how": self.how}


@register
class TwoInputs(KeepsShape):
    """Two inputs and `mask`: Keras fills `x_mask` and `y_mask` only, so the mask never comes."""

    def call(self, x: Any, y: Any, mask: Any = None) -> Any:
        """Return x plus the mean of y over the steps it takes to be valid."""
        return x + _mean_of(y, mask)

    def compute_output_shape(self, x_shape: Any, y_shape: Any = None) -> Any:
        """Return the shape of x."""
        return tuple(x_shape)


@register
class TwoInputsNamed(TwoInputs):
    """The same with the name that Keras fills."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x: Any, y: Any, y_mask: Any = None) -> Any:
        """Return x plus the mean of y over valid steps."""
        return x + _mean_of(y, y_mask)

    def compute_mask(self, x: Any, y: Any, x_mask: Any = None, y_mask: Any = None, **masks: Any) -> Any:
        """Return the mask of x, under either name that Keras gives it."""
        previous = masks.get("previous_mask", x_mask)
        return previous[0] if isinstance(previous, (list, tuple)) else previous


def _mean_of(y: Any, mask: Any) -> Any:
    """Return the mean over steps, those of the mask where there is one, (B, 1, F)."""
    if mask is None:
        return ops.mean(y, axis=1, keepdims=True)
    weights = ops.cast(mask, y.dtype)[:, :, None]
    return ops.sum(y * weights, axis=1, keepdims=True) / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1.0)


@register
class PenaltyOnAllSteps(KeepsMask):
    """Adds the mean square of all steps to the loss."""

    def call(self, x: Any, mask: Any = None) -> Any:
        """Return x."""
        self.add_loss(ops.mean(ops.square(x)))
        return x


@register
class PenaltyOnValidSteps(KeepsMask):
    """Adds the mean square of the valid steps to the loss."""

    def call(self, x: Any, mask: Any = None) -> Any:
        """Return x."""
        weights = ops.cast(mask, x.dtype)
        self.add_loss(ops.sum(ops.mean(ops.square(x), axis=-1) * weights) / ops.maximum(ops.sum(weights), 1.0))
        return x


@register
def first_step(x: Any) -> Any:
    """Return the first step of x (B, T, F), as a sequence of one."""
    return x[:, :1]
