"""Losses that leave padding out: the mean over valid steps, whatever padded steps hold.

They are `keras.losses.Loss` objects, for `model.compile(loss=...)`. Keras's own losses lose the padding where a layer
drops the mask, divide by other counts, and let a NaN under the mask through. These share the following.

**Shapes.** Predictions are (B, T, F), or (B, F) without time; then a sample is a step. Targets have the same shape, or
(B, T) where they are classes, or where F is 1. Nothing is broadcast.

**Valid steps.** A step counts (mask m = 1) unless it is masked by the Keras mask of the predictions, where they have
one, or it is padding in the targets: *all* features of `y_true` equal `mask_value`. The targets are compared in their
own dtype, before any cast to float32. A `mask_value` of NaN is found as well.

**Reduction**, with per-step loss l, and sample weight w, 1 when none is given:

- "sum_over_batch_size", the default, or "mean": `sum(w m l) / sum(m)`, the mean over valid steps;
- "mean_with_sample_weight": `sum(w m l) / sum(w m)`, the weighted mean;
- "sum": `sum(w m l)`;
- None or "none": `w m l` for each step, shape (B, T).

`sample_weight` is one for each step, (B, T) or (B, T, 1), or one for each sample, (B, 1). `class_weight` is refused where targets
are (B, T): Keras looks it up by the step with the largest label. Give `sample_weight=np.vectorize(weights.get)(y)` instead.

**Missing entries.** Where `mask_value` is a number that no target can be (NaN; for binary crossentropy anything outside 0 to 1),
each entry of `y_true` (B, T, F) that holds it is left out by itself. With k = 1 at known entries the loss of a step is
`sum_f k l / F`, and it counts `sum_f k / F`: the mean is over known entries.

**Padding reaches nothing.** Masked steps are left out by selection, not by multiplication with 0, and before the loss is
computed: NaN and inf in their targets, predictions or weights reach neither the value nor the gradient of the loss. If
no step is valid the loss is exactly 0, and so is its gradient.

**One replica.** The mean is over the batch that the loss is given; `tf.distribute` with several replicas is not served.
"""

import math
from typing import Any

import keras

from masklib import _steps, compat
from masklib.checks import check_one_of
from masklib.compat import ops
from masklib.compat.attached import keras_logits

__all__ = [
    "MaskedBinaryCrossentropy",
    "MaskedCategoricalCrossentropy",
    "MaskedMeanAbsoluteError",
    "MaskedMeanSquaredError",
    "MaskedSparseCategoricalCrossentropy",
]

REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


class _MaskedLoss(compat.Loss):  # type: ignore[misc] # Keras publishes no types
    """What the masked losses share; a subclass gives the losses of single steps in `call`."""

    is_sparse = False
    targets = (-math.inf, math.inf)  # the least and the largest number that a target can be

    def __init__(
        self,
        mask_value: Any = None,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_one_of("reduction", reduction, REDUCTIONS)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.mask_value = _steps.check_mask_value(mask_value, is_sparse=self.is_sparse)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the reduced loss, shape (), or (B, T) where `reduction` is None."""
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        y_true = _steps.align_targets(y_true, y_pred, is_sparse=self.is_sparse)
        mask = _steps.find_valid_steps(y_true, y_pred, self.mask_value, is_sparse=self.is_sparse)
        if self.misses_entries:
            return self._of_entries(y_true, y_pred, mask, sample_weight)
        # Classes stay integers, and TensorFlow refuses one such as -1 even where it does not count.
        y_true = _steps.replace_masked(y_true, mask, 0) if self.is_sparse else ops.cast(y_true, self.dtype)
        per_step = self._losses_of_steps(y_true, y_pred, mask)
        return self._reduce(per_step, mask, sample_weight)

    @property
    def misses_entries(self) -> bool:
        """Whether single entries of targets can be missing: `mask_value` is a number that no target can be."""
        return not self.is_sparse and _steps.is_no_target(self.mask_value, *self.targets)

    def _of_entries(self, y_true: Any, y_pred: Any, mask: Any, sample_weight: Any) -> Any:
        """Return the reduced loss over known entries."""
        known = _steps.find_known_entries(y_true, mask, self.mask_value)
        y_true = _steps.replace_masked(ops.cast(y_true, self.dtype), known, 0)
        each = self._losses_of_steps(ops.expand_dims(y_true, axis=-1), y_pred, known)  # (B, T, F)
        per_step = ops.mean(_steps.replace_masked(each, known, 0), axis=-1)
        return self._reduce(per_step, ops.any(known, axis=-1), sample_weight, ops.mean(ops.cast(known, self.dtype), axis=-1))

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to build the same loss."""
        return {"mask_value": self.mask_value, **super().get_config(), "dtype": self.dtype}

    def _losses_of_steps(self, y_true: Any, y_pred: Any, mask: Any) -> Any:
        """Return the loss of each step (B, T); anything at masked steps."""
        if mask is None:
            return self.call(y_true, ops.convert_to_tensor(y_pred, dtype=self.dtype))
        return self.call(y_true, _with_axes_of(y_true, _steps.block_gradient(ops.cast(y_pred, self.dtype), mask)))

    def _reduce(self, per_step: Any, mask: Any, sample_weight: Any, share: Any = None) -> Any:
        """Return the losses of steps (B, T) reduced as the module says; `share` (B, T) is how much of each step is known."""
        per_step, weights = _steps.weigh_steps(per_step, mask, sample_weight)
        if self.reduction in ("none", None):
            return per_step
        if self.reduction == "sum":
            return ops.sum(per_step)
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            return ops.divide_no_nan(ops.sum(per_step), ops.sum(weights if share is None else weights * share))
        return ops.divide_no_nan(ops.sum(per_step), _steps.count_valid(per_step, mask) if share is None else ops.sum(share))


def _with_axes_of(y_true: Any, y_pred: Any) -> Any:
    """Return predictions (B, T, F) as (B, T, F, 1) where the targets are: then each entry has a loss of its own."""
    return ops.expand_dims(y_pred, axis=-1) if len(y_true.shape) > len(y_pred.shape) else y_pred


class _MaskedCrossentropy(_MaskedLoss):
    """What the masked crossentropies share: predictions that may be logits, or come from logits."""

    def __init__(self, mask_value: Any = None, *, from_logits: bool = False, **kwargs: Any) -> None:
        super().__init__(mask_value, **kwargs)
        self.from_logits = from_logits

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to build the same loss."""
        return {**super().get_config(), "from_logits": self.from_logits}

    def call(self, y_true: Any, y_pred: Any, from_logits: bool | None = None) -> Any:
        """Return the loss of each step (B, T); `from_logits=None` is the one of the object."""
        from_logits = self.from_logits if from_logits is None else from_logits
        return self.crossentropy(y_true, y_pred, from_logits=from_logits)

    def _losses_of_steps(self, y_true: Any, y_pred: Any, mask: Any) -> Any:
        """Return the loss of each step (B, T), from the logits before the activation where Keras would use them."""
        logits = keras_logits(y_pred)
        if mask is None or logits is None:
            return super()._losses_of_steps(y_true, y_pred, mask)
        logits = _with_axes_of(y_true, _steps.block_gradient(ops.cast(logits, self.dtype), mask))
        return self.call(y_true, logits, from_logits=True)


@compat.register_serializable
class MaskedMeanSquaredError(_MaskedLoss):
    """Mean squared error over valid steps; the loss of a step is `mean_f (y_true - y_pred)^2`.

    Args:
        mask_value: what padded steps of `y_true` (B, T, F) hold: a number, or one for each of F features. Default None:
            only the mask of the predictions counts.
        reduction: one of `REDUCTIONS`, see the module; default the mean over valid steps.
        name: name of the loss; default made by Keras.
        dtype: dtype of the computation; default `keras.config.floatx()`.

    Returns:
        Called with `(y_true, y_pred, sample_weight=None)`: float tensor, shape (), or (B, T) where `reduction` is None;
        exactly 0 when no step is valid.

    Raises:
        ArgumentError: `reduction` is unknown, or `mask_value` fits neither the features nor the dtype of `y_true`.
        MaskShapeError: shapes of `y_true`, `y_pred` and `sample_weight` do not go together.

    Example:
        >>> loss = MaskedMeanSquaredError(mask_value=-1)
        >>> float(loss([[[3.0], [5.0], [-1.0]]], [[[1.0], [5.0], [9.0]]]))
        2.0
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each step, shape (B, T)."""
        return keras.losses.mean_squared_error(y_true, y_pred)


@compat.register_serializable
class MaskedMeanAbsoluteError(_MaskedLoss):
    """Mean absolute error over valid steps; the loss of a step is `mean_f |y_true - y_pred|`.

    Arguments, result, empty case and errors are those of `MaskedMeanSquaredError`.

    Example:
        >>> loss = MaskedMeanAbsoluteError(mask_value=-1)
        >>> float(loss([[[3.0], [4.0], [-1.0]]], [[[1.0], [5.0], [9.0]]]))
        1.5
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each step, shape (B, T)."""
        return keras.losses.mean_absolute_error(y_true, y_pred)


@compat.register_serializable
class MaskedCategoricalCrossentropy(_MaskedCrossentropy):
    """Crossentropy with one-hot targets over valid steps; the loss of a step is `-sum_c y_true log(p)`.

    Probabilities p are scaled to the sum 1 and clipped, as in `keras.losses.CategoricalCrossentropy`.

    Args:
        mask_value: what padded steps of `y_true` (B, T, C) hold: a number such as 0, or a vector such as [0, 0, 1] for
            a padding class. Default None: only the mask of the predictions counts.
        from_logits: whether `y_pred` holds logits; default False, probabilities.
        **kwargs: `reduction`, `name` and `dtype` of `MaskedMeanSquaredError`.

    Returns:
        As `MaskedMeanSquaredError`, in nats; exactly 0 when no step is valid.

    Raises:
        ArgumentError: `reduction` is unknown, or `mask_value` fits neither the C classes nor the dtype of `y_true`.
        MaskShapeError: shapes of `y_true`, `y_pred` and `sample_weight` do not go together.

    Example:
        >>> loss = MaskedCategoricalCrossentropy(mask_value=[0, 0, 1])
        >>> y_true = [[[0, 1, 0], [0, 0, 1]]]
        >>> print(round(float(loss(y_true, [[[0.25, 0.5, 0.25], [0.8, 0.1, 0.1]]])), 4))
        0.6931
    """

    crossentropy = staticmethod(compat.crossentropy("categorical_crossentropy"))


@compat.register_serializable
class MaskedSparseCategoricalCrossentropy(_MaskedCrossentropy):
    """Crossentropy with classes as targets over valid steps; the loss of a step is `-log(p[y_true])`.

    A class outside 0 to C-1, such as -1, is allowed where it is masked.

    Args:
        mask_value: the class that stands for padding in `y_true` (B, T) or (B, T, 1), such as 0 or -1. Default None:
            only the mask of the predictions (B, T, C) counts.
        from_logits: whether `y_pred` holds logits; default False, probabilities.
        **kwargs: `reduction`, `name` and `dtype` of `MaskedMeanSquaredError`.

    Returns:
        As `MaskedMeanSquaredError`, in nats; exactly 0 when no step is valid.

    Raises:
        ArgumentError: `reduction` is unknown, or `mask_value` is not one class in the dtype of `y_true`.
        MaskShapeError: shapes of `y_true`, `y_pred` and `sample_weight` do not go together.

    Example:
        >>> loss = MaskedSparseCategoricalCrossentropy(mask_value=-1)
        >>> print(round(float(loss([[1, -1]], [[[0.25, 0.5, 0.25], [0.8, 0.1, 0.1]]])), 4))
        0.6931
    """

    is_sparse = True
    crossentropy = staticmethod(compat.crossentropy("sparse_categorical_crossentropy"))


@compat.register_serializable
class MaskedBinaryCrossentropy(_MaskedCrossentropy):
    """Binary crossentropy over valid steps; of a step it is `-mean_f (y_true log(p) + (1 - y_true) log(1 - p))`.

    Args:
        mask_value: what padded steps of `y_true` (B, T, F) hold: a number such as -1, or one for each of F labels. A single
            number outside 0 to 1 also marks missing labels, entry by entry. Default None: only the mask of the predictions
            counts.
        from_logits: whether `y_pred` holds logits; default False, probabilities.
        **kwargs: `reduction`, `name` and `dtype` of `MaskedMeanSquaredError`.

    Returns:
        As `MaskedMeanSquaredError`, in nats; exactly 0 when no step is valid.

    Raises:
        ArgumentError: `reduction` is unknown, or `mask_value` fits neither the F labels nor the dtype of `y_true`.
        MaskShapeError: shapes of `y_true`, `y_pred` and `sample_weight` do not go together.

    Example:
        >>> loss = MaskedBinaryCrossentropy(mask_value=-1)
        >>> print(round(float(loss([[[1], [0], [-1]]], [[[0.5], [0.5], [0.9]]])), 4))
        0.6931
    """

    targets = (0.0, 1.0)
    crossentropy = staticmethod(compat.crossentropy("binary_crossentropy"))
