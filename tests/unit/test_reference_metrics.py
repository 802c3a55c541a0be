"""masklib.reference.metrics: values by hand, edges, messages."""

import numpy as np
import pytest

from masklib.errors import MaskShapeError
from masklib.reference import metrics
from tests.helpers import assert_matches

# Valid: three labels 1 with scores .9 .6 .2, three labels 0 with .7 .2 .1; two more steps would change everything.
LABELS = np.array([[[1], [0], [1], [1]], [[0], [1], [0], [0]]])
SCORES = np.array([[[0.9], [0.7], [0.1], [0.6]], [[0.2], [0.2], [0.9], [0.1]]])
MASK = np.array([[True, True, False, True], [True, True, False, True]])
BINARY_METRICS = [metrics.binary_accuracy, metrics.precision, metrics.recall, metrics.auc]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (metrics.binary_accuracy, 4 / 6),  # right: .9 .6 | .2 .1
        (metrics.precision, 2 / 3),  # .9 .6 of .9 .6 .7
        (metrics.recall, 2 / 3),  # .9 .6 of .9 .6 .2
        (metrics.auc, 6.5 / 9),  # .9 beats 3, .6 beats 2, .2 beats 1 and ties with 1
    ],
)
def test_binary_metrics_count_valid_steps_only(metric, expected):
    assert_matches(metric(LABELS, SCORES, MASK), expected)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (metrics.binary_accuracy, 3 / 6),  # right: .9 | .2 .1
        (metrics.precision, 1 / 2),  # .9 of .9 .7
        (metrics.recall, 1 / 3),
    ],
)
def test_threshold_itself_is_not_positive(metric, expected):
    assert_matches(metric(LABELS, SCORES, MASK, threshold=0.6), expected)


@pytest.mark.parametrize(("metric", "expected"), [(metrics.binary_accuracy, 0.5), (metrics.precision, 1.0)])
def test_default_threshold_is_one_half(metric, expected):
    assert_matches(metric([[[1], [1]]], [[[0.5], [0.51]]]), expected)
    assert_matches(metrics.recall([[[1], [1]]], [[[0.5], [0.51]]]), 0.5)


def test_every_feature_of_a_valid_step_counts():
    # right: both of the first step, one of the second
    assert_matches(metrics.binary_accuracy([[[1, 0], [1, 0]]], [[[0.9, 0.1], [0.9, 0.9]]]), 3 / 4)


def test_mean_metric_divides_by_the_weights_of_valid_steps():
    values, mask = [[3.0, 6.0, np.nan]], [[True, True, False]]
    assert_matches(metrics.mean_metric(values, mask), 4.5)
    assert_matches(metrics.mean_metric(values, mask, [[1.0, 0.5, 9.0]]), 6 / 1.5)


def test_categorical_accuracies_compare_the_largest():
    y_pred = np.array([[[0.2, 0.7, 0.1], [0.4, 0.3, 0.3], [0.1, 0.1, 0.8]]])
    mask = [[True, True, False]]
    assert_matches(metrics.sparse_categorical_accuracy([[1, 2, 2]], y_pred, mask), 1 / 2)
    assert_matches(metrics.categorical_accuracy(np.eye(3)[[[1, 2, 2]]], y_pred, mask), 1 / 2)
    assert_matches(metrics.categorical_accuracy(np.eye(3)[[[1, 2, 2]]], y_pred), 2 / 3)


def test_first_of_equal_predictions_counts():
    assert_matches(metrics.sparse_categorical_accuracy([[0, 1]], [[[0.5, 0.5], [0.5, 0.5]]]), 1 / 2)


def test_auc_depends_on_order_only():
    assert_matches(metrics.auc(LABELS, np.exp(9 * SCORES), MASK), 6.5 / 9)


@pytest.mark.parametrize("metric", BINARY_METRICS)
def test_binary_metrics_are_zero_without_a_valid_step(metric):
    assert metric(LABELS, SCORES, np.zeros((2, 4), dtype=bool)) == 0.0


def test_other_metrics_are_zero_without_a_valid_step():
    masked = np.zeros((1, 1), dtype=bool)
    assert metrics.mean_metric([[np.nan]], masked) == 0.0
    assert metrics.categorical_accuracy([[[0, 1]]], [[[0.0, 1.0]]], masked) == 0.0
    assert metrics.sparse_categorical_accuracy([[1]], [[[0.0, 1.0]]], masked) == 0.0


@pytest.mark.parametrize(("metric", "label"), [(metrics.precision, 1), (metrics.recall, 0), (metrics.auc, 0)])
def test_metrics_without_anything_to_count_are_zero(metric, label):
    assert metric([[[label]]], [[[0.1]]]) == 0.0


@pytest.mark.parametrize("metric", [*BINARY_METRICS, metrics.categorical_accuracy])
def test_metrics_return_a_python_float(metric):
    assert type(metric(LABELS, SCORES, MASK)) is float


@pytest.mark.parametrize("metric", [*BINARY_METRICS, metrics.categorical_accuracy])
def test_metrics_refuse_arrays_that_do_not_fit(metric):
    with pytest.raises(MaskShapeError, match=r"y_true must have shape \(B, T, [FC]\) = \(2, 4, 1\), got \(2, 4\)"):
        metric(LABELS[..., 0], SCORES)
    with pytest.raises(MaskShapeError, match=r"y_pred must have shape \(B, T, [FC]\), got \(2, 4\)"):
        metric(LABELS[..., 0], SCORES[..., 0])
    with pytest.raises(MaskShapeError, match=r"mask must have shape \(B, T\) = \(2, 4\), got \(2, 4, 1\)"):
        metric(LABELS, SCORES, MASK[..., np.newaxis])


def test_sparse_categorical_accuracy_refuses_one_hot_labels():
    with pytest.raises(MaskShapeError, match=r"y_true must have shape \(B, T\) = \(2, 4\), got \(2, 4, 1\)"):
        metrics.sparse_categorical_accuracy(LABELS, SCORES)


WEIGHTS = np.array([[2.0, 1.0, 9.0, 1.0], [1.0, 3.0, 9.0, 1.0]])  # valid: labels 1 weigh 2 1 3, labels 0 weigh 1 1 1


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (metrics.binary_accuracy, 5 / 9),  # right: .9 .6 | .2 .1
        (metrics.precision, 3 / 4),  # .9 .6 of .9 .6 .7
        (metrics.recall, 3 / 6),  # .9 .6 of .9 .6 .2
        (metrics.auc, (2 * 3 + 1 * 2 + 3 * 1.5) / 18),
        (metrics.f1_score, 2 * 3 / (2 * 3 + 1 + 3)),
        (metrics.binary_iou, (3 / 7 + 2 / 6) / 2),
    ],
)
def test_binary_metrics_weigh_the_steps_that_count(metric, expected):
    assert_matches(metric(LABELS, SCORES, MASK, WEIGHTS), expected)
    assert_matches(metric(LABELS, SCORES, MASK, 2 * WEIGHTS), expected)
    assert abs(metric(LABELS, SCORES, None, WEIGHTS) - expected) > 0.01, "padding must matter"
    assert abs(metric(LABELS, SCORES, MASK) - expected) > 0.01, "and so must the weights"


def test_a_label_is_among_the_top_k_or_not():
    scores = np.array([[[0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]])
    labels, mask = np.array([[2, 2, 0]]), np.array([[True, True, False]])
    shares = [metrics.sparse_top_k_accuracy(labels, scores, mask, k=k) for k in (1, 2, 3)]
    assert shares == [0.0, 0.5, 1.0]
    assert metrics.sparse_top_k_accuracy(labels, scores, mask, np.array([[3.0, 1.0, 5.0]]), k=2) == 0.75
