"""Metrics over valid steps only: what each would be if the masked steps were not there.

Where no step is valid, every metric is 0.0, not NaN; so is precision without a positive prediction, recall without a
positive label, and AUC without both kinds of label, as in Keras. `threshold` is exclusive, also as in Keras: a
prediction is positive when it is greater. `sample_weight` is a float array (B,) or (B, T); None means 1.

Source of all: the metrics of Keras of the same names, applied to the valid steps.
"""

from typing import NamedTuple, SupportsFloat

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


def binary_accuracy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    threshold: float = 0.5,
) -> float:
    """Return the share of valid steps' labels that the prediction, greater than `threshold` or not, has right.

    Args:
        y_true: array (B, T, F); labels 0 or 1.
        y_pred: float array (B, T, F); probabilities of label 1.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        sample_weight: float array (B,) or (B, T); None means 1.
        threshold: a prediction greater than this means label 1.

    Returns:
        The share, 0 to 1; 0.0 when no step is valid.

    Raises:
        MaskShapeError: an array's shape does not fit `y_pred`.

    Example:
        >>> binary_accuracy([[[1], [1], [0]]], [[[0.9], [0.2], [0.9]]], [[True, True, False]])
        0.5
    """
    labels, scores, weights = _valid_labels(y_true, y_pred, mask, sample_weight)
    return _ratio(weights[labels == (scores > threshold)].sum(), weights.sum())


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


def precision(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    threshold: float = 0.5,
) -> float:
    """Return the share of label 1 among the valid steps' positive predictions.

    Args:
        y_true: array (B, T, F); labels 0 or 1.
        y_pred: float array (B, T, F); probabilities of label 1.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        sample_weight: float array (B,) or (B, T); None means 1.
        threshold: a prediction greater than this is positive.

    Returns:
        The share, 0 to 1; 0.0 when no valid step has a positive prediction.

    Raises:
        MaskShapeError: an array's shape does not fit `y_pred`.

    Example:
        >>> precision([[[1], [0], [0]]], [[[0.9], [0.8], [0.9]]], [[True, True, False]])
        0.5
    """
    counts = confusion(y_true, y_pred, mask, sample_weight, threshold=threshold)
    return _ratio(counts.true_positives, counts.true_positives + counts.false_positives)


def recall(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    threshold: float = 0.5,
) -> float:
    """Return the share of positive predictions among the valid steps' labels 1.

    Args:
        y_true: array (B, T, F); labels 0 or 1.
        y_pred: float array (B, T, F); probabilities of label 1.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        sample_weight: float array (B,) or (B, T); None means 1.
        threshold: a prediction greater than this is positive.

    Returns:
        The share, 0 to 1; 0.0 when no valid step has the label 1.

    Raises:
        MaskShapeError: an array's shape does not fit `y_pred`.

    Example:
        >>> recall([[[1], [1], [1]]], [[[0.9], [0.2], [0.2]]], [[True, True, False]])
        0.5
    """
    counts = confusion(y_true, y_pred, mask, sample_weight, threshold=threshold)
    return _ratio(counts.true_positives, counts.true_positives + counts.false_negatives)


def auc(y_true: ArrayLike, y_pred: ArrayLike, mask: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
    """Return the area under the ROC curve, exactly: how often a label 1 scores higher than a label 0; ties count half.

    Args:
        y_true: array (B, T, F); labels 0 or 1.
        y_pred: float array (B, T, F); scores, of which only the order matters.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        sample_weight: float array (B,) or (B, T); None means 1.

    Returns:
        The share of pairs of valid steps, 0 to 1; 0.0 when the valid steps do not have both labels.

    Raises:
        MaskShapeError: an array's shape does not fit `y_pred`.

    Example:
        >>> auc([[[1], [0], [0]]], [[[0.7], [0.7], [0.2]]])
        0.75

    Source: Mann-Whitney; `keras.metrics.AUC` comes near it, by 200 thresholds.
    """
    labels, scores, weights = _valid_labels(y_true, y_pred, mask, sample_weight)
    ones, zeros = scores[labels == 1, np.newaxis], scores[labels == 0]
    pairs = np.outer(weights[labels == 1], weights[labels == 0])  # a pair weighs the product of its two weights
    return _ratio(np.sum(pairs * ((ones > zeros) + 0.5 * (ones == zeros))), pairs.sum())


class Confusion(NamedTuple):
    """Sums of weights, or counts where there are none.

    Attributes:
        true_positives: label 1, predicted 1.
        false_positives: label 0, predicted 1.
        false_negatives: label 1, predicted 0.
        true_negatives: label 0, predicted 0.
    """

    true_positives: float
    false_positives: float
    false_negatives: float
    true_negatives: float


def confusion(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    threshold: float = 0.5,
) -> Confusion:
    """Return how many valid steps' labels are which, and predicted as which.

    Args:
        y_true: array (B, T, F); labels 0 or 1.
        y_pred: float array (B, T, F); probabilities of label 1.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        sample_weight: float array (B,) or (B, T); None means 1.
        threshold: a prediction greater than this means label 1.

    Returns:
        Confusion; all 0.0 when no step is valid.

    Raises:
        MaskShapeError: an array's shape does not fit `y_pred`.

    Example:
        >>> confusion([[[1], [0], [1]]], [[[0.9], [0.8], [0.9]]], [[True, True, False]])[:2]
        (1.0, 1.0)

    Source: `keras.metrics.TruePositives` and its three like.
    """
    labels, scores, weights = _valid_labels(y_true, y_pred, mask, sample_weight)
    positive = scores > threshold
    cases = (labels == 1) & positive, (labels == 0) & positive, (labels == 1) & ~positive, (labels == 0) & ~positive
    return Confusion(*(float(weights[case].sum()) for case in cases))


def f1_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    threshold: float = 0.5,
) -> float:
    """Return the harmonic mean of precision and recall of the valid steps, `2 tp / (2 tp + fp + fn)`.

    Arguments and errors are those of `confusion`.

    Returns:
        0 to 1; 0.0 when no valid step has the label 1 or a positive prediction.

    Example:
        >>> f1_score([[[1], [0], [1]]], [[[0.9], [0.8], [0.9]]], [[True, True, False]]) == 2 / 3
        True

    Source: `keras.metrics.F1Score`, which takes no time axis.
    """
    tp, fp, fn, _ = confusion(y_true, y_pred, mask, sample_weight, threshold=threshold)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def binary_iou(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    mask: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    threshold: float = 0.5,
) -> float:
    """Return the mean over labels 0 and 1 of intersection over union, `tp / (tp + fp + fn)` for label 1.

    Arguments and errors are those of `confusion`.

    Returns:
        The mean over the labels that occur, as label or as prediction, in the valid steps; 0.0 when none does.

    Example:
        >>> binary_iou([[[1], [0], [1]]], [[[0.9], [0.8], [0.9]]], [[True, True, False]])
        0.25

    Source: `keras.metrics.BinaryIoU(target_class_ids=(0, 1))`; a prediction at the threshold is positive there.
    """
    tp, fp, fn, tn = confusion(y_true, y_pred, mask, sample_weight, threshold=threshold)
    unions = {"1": (tp, tp + fp + fn), "0": (tn, tn + fp + fn)}
    shares = [_ratio(part, whole) for part, whole in unions.values() if whole]
    return _ratio(sum(shares), len(shares))


def sparse_top_k_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, mask: ArrayLike | None = None, sample_weight: ArrayLike | None = None, *, k: int = 2
) -> float:
    """Return the share of valid steps whose label is among the k largest predictions; ties count as in.

    Args:
        y_true: int array (B, T); labels.
        y_pred: float array (B, T, C); probabilities or logits.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        sample_weight: float array (B,) or (B, T); None means 1.
        k: how many predictions count.

    Returns:
        The share, 0 to 1; 0.0 when no step is valid.

    Raises:
        MaskShapeError: an array's shape does not fit `y_pred`.

    Example:
        >>> sparse_top_k_accuracy([[1, 0]], [[[0.3, 0.6, 0.1], [0.1, 0.6, 0.3]]], k=2)
        0.5

    Source: `keras.metrics.SparseTopKCategoricalAccuracy`.
    """
    y_pred = check_rank("y_pred", y_pred, ("B", "T", "C"))
    labels = check_shape("y_true", y_true, y_pred.shape[:2], ("B", "T"))
    at_label = np.take_along_axis(y_pred, labels[..., np.newaxis], axis=-1)
    return mean_metric((y_pred > at_label).sum(axis=-1) < k, mask, sample_weight)


def _valid_labels(
    y_true: ArrayLike, y_pred: ArrayLike, mask: ArrayLike | None, sample_weight: ArrayLike | None = None
) -> tuple[Array, Array, Array]:
    """Return the labels, predictions and weights of the valid steps, all features in one row."""
    y_pred = check_rank("y_pred", y_pred, ("B", "T", "F"))
    y_true = check_shape("y_true", y_true, y_pred.shape, ("B", "T", "F"))
    valid = check_mask(mask, y_pred.shape[:2])
    weights = np.ones(()) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim == 1:
        weights = check_shape("sample_weight", weights, valid.shape[:1], ("B",))[:, np.newaxis]
    elif weights.ndim > 1:
        check_shape("sample_weight", weights, valid.shape, ("B", "T"))
    weights = np.broadcast_to(weights, valid.shape)[valid]
    return y_true[valid].ravel(), y_pred[valid].ravel(), np.repeat(weights, y_pred.shape[2])


def _ratio(part: SupportsFloat, whole: SupportsFloat) -> float:
    """Return `part / whole`; 0.0 when there is no whole."""
    return float(part) / float(whole) if whole else 0.0
