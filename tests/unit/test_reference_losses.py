"""masklib.reference.losses: values by hand, edges, messages."""

from math import log

import numpy as np
import pytest

from masklib.errors import ArgumentError, MaskShapeError
from masklib.reference import losses
from tests.helpers import assert_matches

ONE_STEP_LOSSES = [losses.mse, losses.mae, losses.categorical_crossentropy, losses.binary_crossentropy]
REDUCTIONS = [
    losses.mean_over_valid,
    losses.mean_over_all,
    losses.mean_over_weights,
    losses.weighted_masked_objective,
    losses.mean_of_sample_means,
    lambda per_step, mask: losses.mean_of_batch_means(per_step, mask, batch_size=2),
]


def test_mse_is_the_mean_over_features():
    # ((3 - 1)^2 + (2 - 2)^2 + (7 - 3)^2 + (1 - 1)^2) / 4 = 20 / 4
    assert_matches(losses.mse([[[1.0, 2.0, 3.0, 1.0]]], [[[3.0, 2.0, 7.0, 1.0]]]), [[5.0]])


def test_mae_is_the_mean_over_features():
    # (|3 - 1| + |2 - 2| + |-1 - 3| + |1 - 1|) / 4 = 6 / 4
    assert_matches(losses.mae([[[1.0, 2.0, 3.0, 1.0]]], [[[3.0, 2.0, -1.0, 1.0]]]), [[1.5]])


def test_categorical_crossentropy_is_the_sum_over_classes():
    # -(1/4 log(1/2) + 3/4 log(1/4)) = (1/4 + 3/2) log 2
    loss = losses.categorical_crossentropy([[[0.25, 0.75, 0.0]]], [[[0.5, 0.25, 0.25]]])
    assert_matches(loss, [[1.75 * log(2)]])


@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_crossentropies_divide_predictions_by_their_sum(scale):
    y_pred = np.array([[[0.5, 0.25, 0.25]]]) * scale
    assert_matches(losses.categorical_crossentropy([[[0.0, 1.0, 0.0]]], y_pred), [[log(4)]])
    assert_matches(losses.sparse_categorical_crossentropy([[1]], y_pred), [[log(4)]])


def test_sparse_categorical_crossentropy_picks_the_label_of_each_step():
    y_pred = [[[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]], [[0.125, 0.75, 0.125], [0.25, 0.5, 0.25]]]
    loss = losses.sparse_categorical_crossentropy([[0, 2], [2, 0]], y_pred)
    assert_matches(loss, [[log(2), log(2)], [log(8), log(4)]])


def test_sparse_categorical_crossentropy_of_no_class_is_nan():
    loss = losses.sparse_categorical_crossentropy([[-1, 0, 1, 2]], [[[0.5, 0.5]] * 4])
    assert np.isnan(loss).tolist() == [[True, False, False, True]]


def test_binary_crossentropy_is_the_mean_over_features():
    # (-log(1/4) - log(1 - 1/2)) / 2 = (2 + 1) log 2 / 2
    assert_matches(losses.binary_crossentropy([[[1.0, 0.0]]], [[[0.25, 0.5]]]), [[1.5 * log(2)]])


def test_predictions_are_clipped_to_epsilon():
    assert_matches(losses.binary_crossentropy([[[1.0], [0.0]]], [[[0.0], [1.0]]]), [[-log(1e-7)] * 2], atol=1e-8)
    assert_matches(losses.binary_crossentropy([[[1.0], [0.0]]], [[[1.0], [0.0]]]), [[-log(1 - 1e-7)] * 2])
    assert_matches(losses.sparse_categorical_crossentropy([[0, 1]], [[[0.0, 1.0]] * 2]), [[-log(1e-7), -log(1 - 1e-7)]])
    assert_matches(losses.categorical_crossentropy([[[1.0, 0.0]]], [[[0.0, 1.0]]]), [[-log(1e-7)]])


def test_crossentropy_of_a_step_of_zeros_is_nan_without_a_warning():
    assert np.isnan(losses.categorical_crossentropy([[[0.0, 0.0]]], [[[0.0, 0.0]]])).all()
    assert np.isnan(losses.sparse_categorical_crossentropy([[0]], [[[0.0, 0.0]]])).all()


@pytest.mark.parametrize("loss", ONE_STEP_LOSSES)
def test_losses_refuse_arrays_that_do_not_fit(loss):
    with pytest.raises(MaskShapeError, match=r"y_pred must have shape \(B, T, [FC]\), got \(2, 3\)"):
        loss(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(MaskShapeError, match=r"y_true must have shape \(B, T, [FC]\) = \(2, 3, 5\), got \(2, 3, 1\)"):
        loss(np.ones((2, 3, 1)), np.ones((2, 3, 5)))


def test_sparse_categorical_crossentropy_says_which_axis_to_drop():
    with pytest.raises(MaskShapeError, match=r"\(B, T\) = \(2, 3\), got \(2, 3, 1\) int64. Drop the last axis: y_true"):
        losses.sparse_categorical_crossentropy(np.ones((2, 3, 1), dtype=int), np.ones((2, 3, 5)))


# Valid losses 1, 2 | 4 | none | 8, 16, 32; masked ones 100. Sum of valid ones 63, 6 of 12 steps valid.
PER_STEP = np.array([[1.0, 2.0, 100.0], [4.0, 100.0, 100.0], [100.0, 100.0, 100.0], [8.0, 16.0, 32.0]])
MASK = PER_STEP < 100
SAMPLE_WEIGHT = np.array([1.0, 3.0, 5.0, 0.5])  # sum of w l = 3 + 12 + 28 = 43; of w over valid steps 2 + 3 + 1.5 = 6.5
STEP_WEIGHT = np.array([[2.0, 0.0, 9.0], [1.0, 9.0, 9.0], [9.0, 9.0, 9.0], [0.5, 0.25, 0.0]])  # 2 + 4 + 4 + 4; 3.75


@pytest.mark.parametrize(
    ("reduction", "plain", "by_sample", "by_step"),
    [
        (losses.mean_over_valid, 63 / 6, 43 / 6, 14 / 6),
        (losses.mean_over_all, 63 / 12, 43 / 12, 14 / 12),
        (losses.mean_over_weights, 63 / 6, 43 / 6.5, 14 / 3.75),
        (losses.weighted_masked_objective, 63 / 6, 43 / 6, 14 / 6 / (10 / 12)),  # 10 of 12 weights are not 0
        # means of samples: 3/2, 4/1, 56/3 | 3/2, 12, 28/3 | 2/2, 4/1, 8/3; of the three samples with a valid step
        (losses.mean_of_sample_means, (3 / 2 + 4 + 56 / 3) / 3, (3 / 2 + 12 + 28 / 3) / 3, (1 + 4 + 8 / 3) / 3),
    ],
)
def test_reductions_divide_by_what_they_name(reduction, plain, by_sample, by_step):
    assert_matches(reduction(PER_STEP, MASK), plain)
    assert_matches(reduction(PER_STEP, MASK, SAMPLE_WEIGHT), by_sample)
    assert_matches(reduction(PER_STEP, MASK, STEP_WEIGHT), by_step)


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("weights", [None, SAMPLE_WEIGHT, SAMPLE_WEIGHT * [1, 0, 1, 1], STEP_WEIGHT])
def test_weighted_masked_objective_is_what_keras_2_computed_step_by_step(mask, weights):
    score = PER_STEP.copy()
    if mask is not None:
        score *= mask
        score /= np.mean(mask)
    if weights is not None:
        score = score.mean(axis=tuple(range(np.ndim(weights), 2)))
        score *= weights
        score /= np.mean(weights != 0)
    assert_matches(losses.weighted_masked_objective(PER_STEP, mask, weights), score.mean())


def test_weighted_masked_objective_of_weights_that_are_all_0_is_0():
    assert losses.weighted_masked_objective(PER_STEP, MASK, np.zeros(4)) == 0.0


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [
        (1, (3 / 2 + 4 + 0 + 56 / 3) / 4),
        (2, (2 * 7 / 3 + 2 * 56 / 3) / 4),
        (3, (3 * 7 / 3 + 1 * 56 / 3) / 4),  # the last batch is smaller
        (4, 63 / 6),
        (9, 63 / 6),
    ],
)
def test_mean_of_batch_means_weights_batches_by_their_samples(batch_size, expected):
    assert_matches(losses.mean_of_batch_means(PER_STEP, MASK, batch_size), expected)


def test_mean_of_batch_means_refuses_empty_batches():
    with pytest.raises(ArgumentError, match="batch_size must be at least 1, got 0"):
        losses.mean_of_batch_means(PER_STEP, MASK, 0)


def test_weights_of_a_square_batch_belong_to_samples():
    square, weights = np.array([[1.0, 2.0], [4.0, 8.0]]), [1.0, 0.5]  # (1 + 2) + (4 + 8) / 2 = 9
    assert_matches(losses.mean_over_valid(square, None, weights), 9 / 4)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_are_zero_without_a_valid_step(reduction):
    assert reduction(np.full((3, 5), np.nan), np.zeros((3, 5), dtype=bool)) == 0.0
    assert reduction(np.zeros((0, 5)), None) == 0.0


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_return_a_python_float(reduction):
    assert type(reduction(PER_STEP, MASK)) is float


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_do_not_hide_nan_of_a_valid_step(reduction):
    assert np.isnan(reduction([[np.nan, 1.0]], [[True, True]]))


@pytest.mark.parametrize("reduction", REDUCTIONS[:4])
def test_reductions_ignore_the_weights_of_masked_steps(reduction):
    poisoned = np.where(MASK, STEP_WEIGHT, np.nan)
    assert_matches(reduction(PER_STEP, MASK, poisoned), reduction(PER_STEP, MASK, STEP_WEIGHT))


def test_mean_over_weights_is_zero_where_the_weights_are():
    assert losses.mean_over_weights([[1.0, 2.0]], None, [0.0]) == 0.0


@pytest.mark.parametrize("reduction", REDUCTIONS[:4])
@pytest.mark.parametrize(
    ("mask", "weights", "message"),
    [
        (MASK[:, :2], None, r"mask must have shape \(B, T\) = \(4, 3\), got \(4, 2\)"),
        (MASK.astype(int), None, "mask must be bool"),
        (MASK, np.ones(3), r"sample_weight must have shape \(B\) = \(4,\), got \(3,\)"),
        (MASK, np.ones((4, 1)), r"sample_weight must have shape \(B, T\) = \(4, 3\), got \(4, 1\)"),
    ],
)
def test_reductions_refuse_masks_and_weights_that_do_not_fit(reduction, mask, weights, message):
    with pytest.raises(MaskShapeError, match=message):
        reduction(PER_STEP, mask, weights)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_refuse_losses_without_time(reduction):
    with pytest.raises(MaskShapeError, match=r"per_step must have shape \(B, T\), got \(4,\)"):
        reduction(PER_STEP[:, 0], None)


@pytest.mark.parametrize(("batch_size", "expected"), [(2, (7 / 3 + 56 / 3) / 2), (3, (7 / 3 + 56 / 3) / 2), (9, 63 / 6)])
def test_batches_may_count_alike_whatever_their_samples(batch_size, expected):
    assert_matches(losses.mean_of_batch_means(PER_STEP, MASK, batch_size, by_samples=False), expected)
