"""Metrics over valid steps only: what each would be if the masked steps were not there.

Where no step is valid, every metric is 0.0, not NaN; so is precision without a positive prediction, recall without a
positive label, and AUC without both kinds of label, as in Keras. `threshold` is exclusive, also as in Keras: a
prediction is positive when it is greater. `sample_weight` is a float array (B,) or (B, T); None means 1.

Source of all: the metrics of Keras of the same names, applied to the valid steps.
"""

from typing import SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklib.checks import check_mask, check_rank, check_shape
from masklib.reference.losses import mean_over_weights

Array = NDArray[np.float64]


def mean_metric(values: ArrayLike, mask: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
    """Return the weighted mean of the valid steps' values, `sum(w m v) / sum(w m)`.

    Args:
        values: float array (B, T).
        mask: bool array (B, T), True = valid; None means that every step is valid.
        sample_weight: float array (B,) or (B, T); None means 1.

    Returns:
        The mean; 0.0 when no step is valid.

    Raises:
        MaskShapeError: an array's shape does not fit `values`.

    Example:
        >>> mean_metric([[3.0, 6.0, 100.0]], [[True, True, False]])
        4.5

    Source: `keras.metrics.Mean`, where a mask counts as weights of 0 and 1.
    """
    return mean_over_weights(values, mask, sample_weight)


def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, mask: ArrayLike | None = None, *, threshold: float = 0.5) -> float:
    """Return the share of valid steps' labels that the prediction, greater than `threshold` or not, has right.

    Args:
        y_true: array (B, T, F); labels 0 or 1.
        y_pred: float array (B, T, F); probabilities of label 1.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        threshold: a prediction greater than this means label 1.

    Returns:
        The share, 0 to 1; 0.0 when no step is valid.

    Raises:
        MaskShapeError: an array's shape does not fit `y_pred`.

    Example:
        >>> binary_accuracy([[[1], [1], [0]]], [[[0.9], [0.2], [0.9]]], [[True, True, False]])
        0.5
    """
    labels, scores = _valid_labels(y_true, y_pred, mask)
    return _ratio(np.count_nonzero(labels == (scores > threshold)), labels.size)


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Return the share of valid steps whose largest prediction is at the largest label; the first of equals counts.

    Args:
        y_true: array (B, T, C); one-hot labels.
        y_pred: float array (B, T, C); probabilities or logits.
        mask: bool array (B, T), True = valid; None means that every step is valid.

    Returns:
        The share, 0 to 1; 0.0 when no step is valid.

    Raises:
        MaskShapeError: an array's shape does not fit `y_pred`.

    Example:
        >>> categorical_accuracy([[[0, 1], [0, 1]]], [[[0.3, 0.7], [0.6, 0.4]]])
        0.5
    """
    y_pred = check_rank("y_pred", y_pred, ("B", "T", "C"))
    y_true = check_shape("y_true", y_true, y_pred.shape, ("B", "T", "C"))
    return sparse_categorical_accuracy(np.argmax(y_true, axis=-1), y_pred, mask)


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Return the share of valid steps whose largest prediction is at the label; the first of equals counts.

    Args:
        y_true: int array (B, T); labels.
        y_pred: float array (B, T, C); probabilities or logits.
        mask: bool array (B, T), True = valid; None means that every step is valid.

    Returns:
        The share, 0 to 1; 0.0 when no step is valid.

    Raises:
        MaskShapeError: an array's shape does not fit `y_pred`.

    Example:
        >>> sparse_categorical_accuracy([[1, 1]], [[[0.3, 0.7], [0.6, 0.4]]])
        0.5
    """
    y_pred = check_rank("y_pred", y_pred, ("B", "T", "C"))
    y_true = check_shape("y_true", y_true, y_pred.shape[:2], ("B", "T"))
    return mean_metric(np.argmax(y_pred, axis=-1) == y_true, mask)


def precision(y_true: ArrayLike, y_pred: ArrayLike, mask: ArrayLike | None = None, *, threshold: float = 0.5) -> float:
    """Return the share of label 1 among the valid steps' positive predictions.

    Args:
        y_true: array (B, T, F); labels 0 or 1.
        y_pred: float array (B, T, F); probabilities of label 1.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        threshold: a prediction greater than this is positive.

    Returns:
        The share, 0 to 1; 0.0 when no valid step has a positive prediction.

    Raises:
        MaskShapeError: an array's shape does not fit `y_pred`.

    Example:
        >>> precision([[[1], [0], [0]]], [[[0.9], [0.8], [0.9]]], [[True, True, False]])
        0.5
    """
    labels, scores = _valid_labels(y_true, y_pred, mask)
    positive = scores > threshold
    return _ratio(np.count_nonzero(labels[positive] == 1), np.count_nonzero(positive))


def recall(y_true: ArrayLike, y_pred: ArrayLike, mask: ArrayLike | None = None, *, threshold: float = 0.5) -> float:
    """Return the share of positive predictions among the valid steps' labels 1.

    Args:
        y_true: array (B, T, F); labels 0 or 1.
        y_pred: float array (B, T, F); probabilities of label 1.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        threshold: a prediction greater than this is positive.

    Returns:
        The share, 0 to 1; 0.0 when no valid step has the label 1.

    Raises:
        MaskShapeError: an array's shape does not fit `y_pred`.

    Example:
        >>> recall([[[1], [1], [1]]], [[[0.9], [0.2], [0.2]]], [[True, True, False]])
        0.5
    """
    labels, scores = _valid_labels(y_true, y_pred, mask)
    return _ratio(np.count_nonzero(scores[labels == 1] > threshold), np.count_nonzero(labels == 1))


def auc(y_true: ArrayLike, y_pred: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Return the area under the ROC curve, exactly: how often a label 1 scores higher than a label 0; ties count half.

    Args:
        y_true: array (B, T, F); labels 0 or 1.
        y_pred: float array (B, T, F); scores, of which only the order matters.
        mask: bool array (B, T), True = valid; None means that every step is valid.

    Returns:
        The share of pairs of valid steps, 0 to 1; 0.0 when the valid steps do not have both labels.

    Raises:
        MaskShapeError: an array's shape does not fit `y_pred`.

    Example:
        >>> auc([[[1], [0], [0]]], [[[0.7], [0.7], [0.2]]])
        0.75

    Source: Mann-Whitney; `keras.metrics.AUC` comes near it, by 200 thresholds.
    """
    labels, scores = _valid_labels(y_true, y_pred, mask)
    ones, zeros = scores[labels == 1, np.newaxis], scores[labels == 0]
    return _ratio(np.count_nonzero(ones > zeros) + 0.5 * np.count_nonzero(ones == zeros), ones.size * zeros.size)


def _valid_labels(y_true: ArrayLike, y_pred: ArrayLike, mask: ArrayLike | None) -> tuple[Array, Array]:
    """Return the labels and predictions of the valid steps, all features in one row."""
    y_pred = check_rank("y_pred", y_pred, ("B", "T", "F"))
    y_true = check_shape("y_true", y_true, y_pred.shape, ("B", "T", "F"))
    valid = check_mask(mask, y_pred.shape[:2])
    return y_true[valid].ravel(), y_pred[valid].ravel()


def _ratio(part: SupportsFloat, whole: SupportsFloat) -> float:
    """Return `part / whole`; 0.0 when there is no whole."""
    return float(part) / float(whole) if whole else 0.0
