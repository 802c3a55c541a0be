"""Losses and metrics that users write themselves, wrong and right; padded targets are marked by their class, or by NaN."""

from typing import Any

import keras
from keras import ops

from tests.zoo.custom import register

PAD_CLASS = 0  # a target that says "padding"; the other classes are 1 and up


@register
def mean_of_all_steps(y_true: Any, y_pred: Any) -> Any:
    """Crossentropy with zeros for padded targets, divided by the number of all steps."""
    steps = keras.losses.sparse_categorical_crossentropy(y_true, y_pred)
    return ops.mean(steps * ops.cast(ops.not_equal(y_true, PAD_CLASS), steps.dtype))


@register
def mean_of_valid_steps(y_true: Any, y_pred: Any) -> Any:
    """Crossentropy of the steps whose target is no padding, divided by their number."""
    steps = keras.losses.sparse_categorical_crossentropy(y_true, y_pred)
    valid = ops.cast(ops.not_equal(y_true, PAD_CLASS), steps.dtype)
    return ops.sum(steps * valid) / ops.maximum(ops.sum(valid), 1.0)


@register
def mean_of_sample_means(y_true: Any, y_pred: Any) -> Any:
    """Crossentropy averaged over the time axis before anything can mask it, (B,)."""
    return ops.mean(keras.losses.sparse_categorical_crossentropy(y_true, y_pred), axis=1)


@register
class ShareCorrect(keras.metrics.Metric):  # type: ignore[misc] # Keras publishes no types
    """The share of correct steps, of all steps: the weights, and so the mask, are not looked at."""

    def __init__(self, name: str = "share_correct", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.correct = self.add_weight(shape=(), initializer="zeros", name="correct")
        self.steps = self.add_weight(shape=(), initializer="zeros", name="steps")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        hits = correct(y_true, y_pred)
        self.correct.assign_add(ops.sum(hits))
        self.steps.assign_add(ops.sum(ops.ones_like(hits)))

    def result(self) -> Any:
        """Return the share."""
        return ops.divide_no_nan(self.correct, self.steps)


@register
def correct(y_true: Any, y_pred: Any) -> Any:
    """Whether each step is correct, (B, T): Keras weighs it with the mask."""
    return ops.cast(ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), ops.cast(y_true, "int32")), "float32")
