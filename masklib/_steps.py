"""The steps of a batch: which of them are valid, and what they weigh. Shared by the masked losses and metrics.

`shape` is everywhere the static shape of the steps, `y_pred.shape[:-1]`: mostly (B, T), also (B,); a size is None where
a graph does not know it. A mask is bool, True = valid; None means that every step is valid.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from masklib import compat
from masklib.compat import ops
from masklib.compat.attached import keras_mask
from masklib.errors import ArgumentError, MaskShapeError

Shape = Sequence[int | None]


def check_mask_value(mask_value: Any, *, is_sparse: bool) -> Any:
    """Return `mask_value` as a plain number or list of numbers, or None.

    Raises:
        ArgumentError: it is neither; or it is a vector or a fraction, and the targets are classes.
    """
    if mask_value is None:
        return None
    array = np.asarray(mask_value)
    if array.ndim > 1 or array.size == 0 or not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        msg = f"mask_value must be None, a number or a vector of numbers, got {mask_value!r}. Name what padding holds."
        raise ArgumentError(msg)
    if is_sparse and (array.ndim or array != np.floor(array)):
        msg = f"mask_value must be one class, such as 0 or -1, when targets are classes, got {mask_value!r}. Name one."
        raise ArgumentError(msg)
    return array.tolist()


def align_targets(y_true: Any, y_pred: Any, *, is_sparse: bool) -> Any:
    """Return `y_true` with the shape that goes with `y_pred`, dense (B, T, F) or sparse (B, T); only a 1 may differ.

    Raises:
        MaskShapeError: the shapes do not go together, where Keras might broadcast.
    """
    predicted, given = compat.static_shape(y_pred), compat.static_shape(y_true)
    wanted = predicted[:-1] if is_sparse else predicted
    if is_sparse and len(given) == len(wanted) + 1 and given[-1] == 1:
        y_true = ops.squeeze(y_true, axis=-1)
    elif not is_sparse and len(given) == len(wanted) - 1 and wanted[-1] == 1:
        y_true = ops.expand_dims(y_true, axis=-1)
    given = compat.static_shape(y_true)
    if len(wanted) + is_sparse < 2 or not _is_compatible(given, wanted):
        axes = "(..., T) of y_pred (..., T, C)" if is_sparse else "(..., T, F) of y_pred"
        msg = f"y_true must have the shape {axes} = {predicted}, got {given}. Nothing is broadcast: reshape one of them."
        raise MaskShapeError(msg)
    return y_true


def find_valid_steps(y_true: Any, y_pred: Any, mask_value: Any, *, is_sparse: bool) -> Any:
    """Return the mask of the steps that are neither padding in `y_true` nor masked by Keras in `y_pred`; or None."""
    mask = keras_mask(y_pred)
    if mask is not None:
        mask = fit_to_steps("the mask of y_pred", ops.cast(mask, "bool"), compat.static_shape(y_pred)[:-1])
        mask = ops.broadcast_to(mask, ops.shape(y_pred)[:-1])
    if mask_value is None:
        return mask
    is_valid = ops.logical_not(_is_padding(y_true, mask_value, is_sparse=is_sparse))
    return is_valid if mask is None else ops.logical_and(mask, is_valid)


def is_no_target(mask_value: Any, low: float, high: float) -> bool:
    """Return whether `mask_value` is a number that no target from `low` to `high` can be: an entry that holds it is missing."""
    return mask_value is not None and np.ndim(mask_value) == 0 and not low <= float(mask_value) <= high


def find_known_entries(y_true: Any, mask: Any, mask_value: float) -> Any:
    """Return which entries of `y_true` (B, T, F) are known: they do not hold `mask_value`, and their step is not masked."""
    value = np.asarray(mask_value)
    is_missing = ops.isnan(y_true) if np.isnan(value) else ops.equal(y_true, _as_dtype_of(value, y_true))
    known = ops.logical_not(is_missing)
    return known if mask is None else ops.logical_and(known, ops.expand_dims(mask, axis=-1))


def replace_masked(tensor: Any, mask: Any, value: float) -> Any:
    """Return `tensor` (B, T) or (B, T, F) with `value` at masked steps, whatever they held."""
    if mask is None:
        return tensor
    while len(tensor.shape) > len(mask.shape):
        mask = ops.expand_dims(mask, axis=-1)
    return ops.where(mask, tensor, ops.cast(value, tensor.dtype))


def block_gradient(tensor: Any, mask: Any) -> Any:
    """Return `tensor` (B, T, F) itself, through which no gradient passes at masked steps, be it NaN.

    This is the cheap half of the "double where": an operation that multiplies by 0 what comes from a masked step gives
    NaN where it holds NaN, so the gradient must be selected *after* it; the values need no copy.
    """
    if mask is None:
        return tensor
    if not hasattr(ops, "custom_gradient"):  # the same, with a copy of the values
        return ops.where(ops.expand_dims(mask, axis=-1), tensor, ops.stop_gradient(tensor))

    def identity(x: Any) -> Any:
        def select(*args: Any, upstream: Any = None) -> Any:
            return replace_masked(args[0] if upstream is None else upstream, mask, 0)

        return x, select

    return ops.custom_gradient(identity)(tensor)


def fit_to_steps(name: str, tensor: Any, shape: Shape) -> Any:
    """Return `tensor` with one axis for each of `shape`: (B,) becomes (B, 1), and (B, T, 1) becomes (B, T).

    Raises:
        MaskShapeError: an axis fits neither the steps nor 1.
    """
    given = compat.static_shape(tensor)
    if len(given) == len(shape) + 1 and given[-1] == 1:
        tensor = ops.squeeze(tensor, axis=-1)
    while len(tensor.shape) < len(shape):
        tensor = ops.expand_dims(tensor, axis=-1)
    if not _is_compatible([None if size == 1 else size for size in compat.static_shape(tensor)], shape):
        msg = (
            f"{name} must have the shape of the steps {tuple(shape)}, or one entry a sample, got {given}. "
            "Nothing else is broadcast: reshape it."
        )
        raise MaskShapeError(msg)
    return tensor


def check_weights_of_samples(given: Shape, shape: Shape) -> None:
    """Refuse weights (B,) of steps (B, T): are they one a sample, or what Keras makes of `class_weight`?

    Keras looks `class_weight` up by the *step* with the largest label (keras-team/keras#16311), and hands over (B,) all the same.
    Its own losses refuse (B,) too, unless there are as many samples as steps.

    Raises:
        MaskShapeError: weights have one axis, and steps have more.
    """
    if len(given) == 1 < len(shape):
        wanted = f"the shape of the steps {tuple(shape)}, or (B, 1) for one number a sample"
        remedy = (
            "Add an axis, sample_weight[:, None]; class_weight has no meaning where each step has a label: give the weight of "
        )
        remedy += "each step's class as sample_weight, np.vectorize(class_weight.get)(y)."
        msg = f"sample_weight must have {wanted}, got {tuple(given)}. {remedy}"
        raise MaskShapeError(msg)


def weigh_steps(per_step: Any, mask: Any, sample_weight: Any) -> tuple[Any, Any]:
    """Return the weighted losses (B, T), 0 at masked steps, and the weights (B, T), 0 at masked steps, or None.

    Raises:
        MaskShapeError: `sample_weight` is neither one per step, (B, T), nor one per sample, (B, 1).
    """
    if sample_weight is None:
        return replace_masked(per_step, mask, 0), None
    weights = ops.convert_to_tensor(sample_weight, dtype=per_step.dtype)
    check_weights_of_samples(compat.static_shape(weights), compat.static_shape(per_step))
    weights = fit_to_steps("sample_weight", weights, compat.static_shape(per_step))
    weights = replace_masked(ops.broadcast_to(weights, ops.shape(per_step)), mask, 0)
    return replace_masked(per_step, mask, 0) * weights, weights


def count_valid(per_step: Any, mask: Any) -> Any:
    """Return the number of valid steps, in the dtype of `per_step`; counted in integers, so exact up to 2**24."""
    if mask is None:
        return ops.cast(ops.size(per_step), per_step.dtype)
    return ops.cast(ops.sum(ops.cast(mask, "int32")), per_step.dtype)


def _is_padding(y_true: Any, mask_value: Any, *, is_sparse: bool) -> Any:
    """Return True where all features of a step equal `mask_value`, compared in the dtype of `y_true`."""
    value = np.asarray(mask_value)
    n_features = 1 if is_sparse else compat.static_shape(y_true)[-1]
    if value.ndim and n_features not in (None, value.size):
        msg = f"mask_value must be a number or have length {n_features}, as y_true, got length {value.size}."
        raise ArgumentError(msg + " Give one entry for each feature or class.")
    is_same = ops.equal(y_true, _as_dtype_of(value, y_true))
    if np.isnan(value).any():
        is_same = ops.logical_or(is_same, ops.logical_and(ops.isnan(y_true), np.isnan(value)))
    return is_same if is_sparse else ops.all(is_same, axis=-1)


def _as_dtype_of(value: Any, y_true: Any) -> Any:
    """Return `value` as a tensor of the dtype of `y_true`, which rounds a float as the targets were rounded."""
    name = compat.dtype_name(y_true.dtype)
    with np.errstate(invalid="ignore"):  # NaN has no integer
        is_kept = compat.is_float(name) or np.array_equal(value.astype(name), value)
    if not is_kept:
        msg = f"mask_value must be a value of the targets' dtype {name}, got {value.tolist()!r}, which never occurs."
        raise ArgumentError(msg + " Change it, or cast y_true.")
    return ops.convert_to_tensor(value, dtype=name)


def _is_compatible(given: Shape, wanted: Shape) -> bool:
    """Return whether two static shapes can be the same; None stands for any size."""
    return len(given) == len(wanted) and all(a is None or b is None or a == b for a, b in zip(given, wanted, strict=True))
