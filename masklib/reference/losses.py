"""Losses of single steps, and the ways to reduce them to one number, distinguished by what they divide by.

A loss is a per-step loss (B, T) reduced to a number. Here l is the loss of a step, m its mask (1 = valid, 0 = masked),
w its sample weight, which is 1 when none is given. Masked steps are left out by selection, never by multiplying with
0: 0 * NaN is NaN, and a masked step may hold NaN. Where no step is valid, every reduction is 0.0, not NaN.

`sample_weight` is a float array (B,), one weight a sample, or (B, T), one a step; None means 1.

Probabilities are clipped to [EPSILON, 1 - EPSILON] before the logarithm, as Keras does; in float32, in which Keras
computes, 1 - 1e-7 rounds to 1 - 1.2e-7, so a saturated prediction costs 15.94 there and 16.12 here.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklib.checks import check_mask, check_rank, check_shape
from masklib.errors import ArgumentError

Array = NDArray[np.float64]

EPSILON = 1e-7  # keras.config.epsilon()


def mse(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Return each step's mean squared error, `mean_f (y_pred - y_true)^2`.

    Args:
        y_true: float array (B, T, F).
        y_pred: float array (B, T, F).

    Returns:
        float64 array (B, T), at least 0.

    Raises:
        MaskShapeError: the arrays are not both (B, T, F).

    Example:
        >>> mse([[[1.0, 2.0]]], [[[1.0, 5.0]]]).tolist()
        [[4.5]]

    Source: `keras.losses.MeanSquaredError`.
    """
    y_true, y_pred = _check_pair(y_true, y_pred)
    per_step: Array = np.mean((y_pred - y_true) ** 2, axis=-1)
    return per_step


def mae(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Return each step's mean absolute error, `mean_f |y_pred - y_true|`.

    Args:
        y_true: float array (B, T, F).
        y_pred: float array (B, T, F).

    Returns:
        float64 array (B, T), at least 0.

    Raises:
        MaskShapeError: the arrays are not both (B, T, F).

    Example:
        >>> mae([[[1.0, 2.0]]], [[[1.0, 5.0]]]).tolist()
        [[1.5]]

    Source: `keras.losses.MeanAbsoluteError`.
    """
    y_true, y_pred = _check_pair(y_true, y_pred)
    per_step: Array = np.mean(np.abs(y_pred - y_true), axis=-1)
    return per_step


def categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Return each step's cross-entropy, `-sum_c y_true log(p)`, where `p = clip(y_pred / sum_c y_pred)`.

    Args:
        y_true: float array (B, T, C); one-hot, or a distribution over classes.
        y_pred: float array (B, T, C); probabilities, scaled to sum to 1 as Keras does.

    Returns:
        float64 array (B, T), in nats.

    Raises:
        MaskShapeError: the arrays are not both (B, T, C).

    Example:
        >>> categorical_crossentropy([[[0.0, 1.0]]], [[[0.5, 0.5]]]).round(4).tolist()
        [[0.6931]]

    Source: `keras.losses.CategoricalCrossentropy(from_logits=False)`.
    """
    y_true, y_pred = _check_pair(y_true, y_pred, "C")
    per_step: Array = -np.sum(y_true * np.log(_normalised(y_pred)), axis=-1)
    return per_step


def sparse_categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Return each step's cross-entropy with an integer label, `-log(p[y_true])`, with p as in the categorical one.

    Args:
        y_true: int array (B, T); labels 0 to C-1. Any other label, such as -1 for padding, has the loss NaN, which only
            a mask takes out of the result.
        y_pred: float array (B, T, C); probabilities, scaled to sum to 1.

    Returns:
        float64 array (B, T), in nats.

    Raises:
        MaskShapeError: `y_pred` is not (B, T, C), or `y_true` is not (B, T).

    Example:
        >>> sparse_categorical_crossentropy([[1, -1]], [[[0.5, 0.5], [0.5, 0.5]]]).round(4).tolist()
        [[0.6931, nan]]

    Source: `keras.losses.SparseCategoricalCrossentropy(from_logits=False)` on JAX, torch and NumPy. TensorFlow clips
    before it divides by the sum: the same for probabilities, up to C * EPSILON, but not for `y_pred` of another sum.
    """
    y_pred = _float(check_rank("y_pred", y_pred, ("B", "T", "C")))
    labels = check_shape("y_true", y_true, y_pred.shape[:2], ("B", "T"))
    log_p = np.log(_normalised(y_pred))
    per_step = np.full(labels.shape, np.nan)
    for b, t in np.ndindex(labels.shape):
        if 0 <= labels[b, t] < y_pred.shape[2]:
            per_step[b, t] = -log_p[b, t, int(labels[b, t])]
    return per_step


def binary_crossentropy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Return each step's binary cross-entropy, `-mean_f (y log(p) + (1 - y) log(1 - p))`, where `p = clip(y_pred)`.

    Args:
        y_true: float array (B, T, F); labels 0 or 1, or probabilities.
        y_pred: float array (B, T, F); probabilities of label 1.

    Returns:
        float64 array (B, T), in nats.

    Raises:
        MaskShapeError: the arrays are not both (B, T, F).

    Example:
        >>> binary_crossentropy([[[1.0]]], [[[0.5]]]).round(4).tolist()
        [[0.6931]]

    Source: `keras.losses.BinaryCrossentropy(from_logits=False)`.
    """
    y_true, y_pred = _check_pair(y_true, y_pred)
    p = _clipped(y_pred)
    per_step: Array = -np.mean(y_true * np.log(p) + (1 - y_true) * np.log(1 - p), axis=-1)
    return per_step


def mean_over_valid(per_step: ArrayLike, mask: ArrayLike | None, sample_weight: ArrayLike | None = None) -> float:
    """Return `sum(w m l) / sum(m)`: the mean over valid steps, whatever their weights.

    Args:
        per_step: float array (B, T); the loss of each step.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        sample_weight: float array (B,) or (B, T); None means 1.

    Returns:
        The mean; 0.0 when no step is valid.

    Raises:
        MaskShapeError: an array's shape does not fit `per_step`.

    Example:
        >>> mean_over_valid([[3.0, 6.0, 100.0]], [[True, True, False]], [[1.0, 0.5, 1.0]])
        3.0

    Source: the default reduction of Keras 3, "sum_over_batch_size", where a mask is present.
    """
    return _mean_over("valid", per_step, mask, sample_weight)


def mean_over_all(per_step: ArrayLike, mask: ArrayLike | None, sample_weight: ArrayLike | None = None) -> float:
    """Return `sum(w m l) / (B T)`: masked steps count as steps of loss 0, so padding dilutes the loss.

    Args:
        per_step: float array (B, T); the loss of each step.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        sample_weight: float array (B,) or (B, T); None means 1.

    Returns:
        The mean; 0.0 when no step is valid.

    Raises:
        MaskShapeError: an array's shape does not fit `per_step`.

    Example:
        >>> mean_over_all([[3.0, 6.0, 100.0]], [[True, True, False]])
        3.0

    Source: what becomes of "sum_over_batch_size" when the mask is given to Keras as sample weights of 0.
    """
    return _mean_over("all", per_step, mask, sample_weight)


def mean_over_weights(per_step: ArrayLike, mask: ArrayLike | None, sample_weight: ArrayLike | None = None) -> float:
    """Return `sum(w m l) / sum(w m)`: the weighted mean, so weights that are all doubled change nothing.

    Args:
        per_step: float array (B, T); the loss of each step.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        sample_weight: float array (B,) or (B, T); None means 1, which makes this `mean_over_valid`.

    Returns:
        The mean; 0.0 when no step is valid, or the valid steps' weights have the sum 0.

    Raises:
        MaskShapeError: an array's shape does not fit `per_step`.

    Example:
        >>> mean_over_weights([[3.0, 6.0, 100.0]], [[True, True, False]], [[1.0, 0.5, 1.0]])
        4.0

    Source: the reduction "mean_with_sample_weight", and the metrics, of Keras 3.
    """
    return _mean_over("weights", per_step, mask, sample_weight)


def weighted_masked_objective(per_step: ArrayLike, mask: ArrayLike | None, sample_weight: ArrayLike | None = None) -> float:
    """Return `sum(w m l) / (sum(m) mean(w != 0))`: what Keras 2 made of a loss, in the function of this name.

    It multiplied each step's loss by m and divided by the mean of m; it averaged over the axes that the weights lack,
    multiplied by w, divided by the share of weights that are not 0, and took the mean. Where no weight is 0 this is
    `mean_over_valid`; a weight of 0 leaves its step out of the count as well. Weights of masked steps belong to that share,
    so what they are matters, too. Two differences: the function multiplied by m, so that a NaN at a masked step was not
    left out; and it returned NaN where this returns 0.0.

    Args:
        per_step: float array (B, T); the loss of each step.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        sample_weight: float array (B,) or (B, T); None means 1.

    Returns:
        The mean; 0.0 when no step is valid, or all weights are 0.

    Raises:
        MaskShapeError: an array's shape does not fit `per_step`.

    Example:
        >>> weighted_masked_objective([[3.0, 6.0, 12.0, 100.0]], [[True, True, True, False]], [[1.0, 0.5, 0.0, 0.0]])
        4.0

    Source: `weighted_masked_objective` in `keras/engine/training_utils.py` of Keras 2.2.4, whose docstring the mask_zero
    answer prints.
    """
    loss, valid, weights = _check_weighted(per_step, mask, sample_weight)
    weighted_share = np.count_nonzero(weights) / max(weights.size, 1)
    return _mean(loss, valid, weights, valid.sum() * weighted_share)


def mean_of_sample_means(per_step: ArrayLike, mask: ArrayLike | None, sample_weight: ArrayLike | None = None) -> float:
    """Return the mean over samples of each sample's `mean_over_valid`: short sequences count as much as long ones.

    Args:
        per_step: float array (B, T); the loss of each step.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        sample_weight: float array (B,) or (B, T); None means 1.

    Returns:
        The mean over the samples that have a valid step, for the others have no mean; 0.0 when none has.

    Raises:
        MaskShapeError: an array's shape does not fit `per_step`.

    Example:
        >>> mean_of_sample_means([[3.0, 5.0], [10.0, 99.0]], [[True, True], [True, False]])
        7.0

    Source: definition of this project.
    """
    loss, valid, weights = _check_weighted(per_step, mask, sample_weight)
    means = [_mean(loss[b], valid[b], weights[b], valid[b].sum()) for b in range(len(loss)) if valid[b].any()]
    return sum(means) / len(means) if means else 0.0


def mean_of_batch_means(per_step: ArrayLike, mask: ArrayLike | None, batch_size: int, *, by_samples: bool = True) -> float:
    """Return what `evaluate` reports over several batches: each batch's `mean_over_valid`, weighted by its samples.

    Batches are cut in order, the last may be smaller. Batches count by their samples, not by their valid steps, so the
    result depends on the batch size and on the order of the samples, and equals `mean_over_valid` only where all
    batches have the same share of valid steps. A batch without a valid step counts with the loss 0.

    Args:
        per_step: float array (B, T); the loss of each step, over all samples.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        batch_size: samples a batch, at least 1.
        by_samples: whether batches count by their samples; False: each counts the same, as in the first releases of Keras 3.

    Returns:
        `sum_k n_k mean_k / sum_k n_k`, with n_k the samples of batch k, or 1; 0.0 when no step is valid.

    Raises:
        MaskShapeError: an array's shape does not fit `per_step`.
        ArgumentError: `batch_size` is less than 1.

    Example:
        >>> mean_of_batch_means([[3.0, 5.0], [10.0, 99.0]], [[True, True], [True, False]], batch_size=1)
        7.0

    Source: `keras.Model.evaluate`, which averages the batches' losses with the number of samples as weights.
    """
    if batch_size < 1:
        msg = f"batch_size must be at least 1, got {batch_size}. Give the batch_size of evaluate."
        raise ArgumentError(msg)
    loss, valid, _ = _check_weighted(per_step, mask, None)
    batches = [slice(start, start + batch_size) for start in range(0, len(loss), batch_size)]
    means = [mean_over_valid(loss[batch], valid[batch]) for batch in batches]
    weights = [len(loss[batch]) if by_samples else 1 for batch in batches]
    return float(np.average(means, weights=weights)) if batches else 0.0


def _mean_over(count: str, per_step: ArrayLike, mask: ArrayLike | None, sample_weight: ArrayLike | None) -> float:
    """Return the sum over valid steps divided by the named count."""
    loss, valid, weights = _check_weighted(per_step, mask, sample_weight)
    counts = {"valid": valid.sum(), "all": valid.size, "weights": weights[valid].sum()}
    return _mean(loss, valid, weights, counts[count])


def _mean(loss: Array, valid: NDArray[np.bool_], weights: Array, count: float) -> float:
    """Return the weighted sum over valid steps divided by `count`; 0.0 when that is 0."""
    return float(np.sum(weights[valid] * loss[valid]) / count) if count else 0.0


def _check_weighted(
    per_step: ArrayLike, mask: ArrayLike | None, sample_weight: ArrayLike | None
) -> tuple[Array, NDArray[np.bool_], Array]:
    """Return per-step losses, mask and weights, each (B, T)."""
    loss = _float(check_rank("per_step", per_step, ("B", "T")))
    weights = np.ones(()) if sample_weight is None else _float(sample_weight)
    if weights.ndim == 1:
        weights = check_shape("sample_weight", weights, loss.shape[:1], ("B",))[:, np.newaxis]
    elif weights.ndim > 1:
        check_shape("sample_weight", weights, loss.shape, ("B", "T"))
    return loss, check_mask(mask, loss.shape), np.broadcast_to(weights, loss.shape)


def _check_pair(y_true: ArrayLike, y_pred: ArrayLike, last: str = "F") -> tuple[Array, Array]:
    """Return labels and predictions in float64, both of the same shape (B, T, F)."""
    y_pred = check_rank("y_pred", y_pred, ("B", "T", last))
    return _float(check_shape("y_true", y_true, y_pred.shape, ("B", "T", last))), _float(y_pred)


def _normalised(y_pred: Array) -> Array:
    """Return `y_pred` (B, T, C) divided by its sum over classes, then clipped."""
    with np.errstate(invalid="ignore"):  # a padded step may be all 0; 0 / 0 is NaN, which its mask takes out
        return _clipped(y_pred / np.sum(y_pred, axis=-1, keepdims=True))


def _clipped(p: Array) -> Array:
    """Return probabilities kept away from 0 and 1, where the logarithm is infinite."""
    return np.clip(p, EPSILON, 1 - EPSILON)


def _float(array: ArrayLike) -> Array:
    """Return `array` in float64."""
    return np.asarray(array, dtype=np.float64)
