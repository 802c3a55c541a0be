"""What masking promises, for every function of masklib.reference that takes a mask."""

import numpy as np
import pytest

from masklib.reference import losses, metrics, recurrent
from masklib.reference.masks import all_layouts, compact, right_padded
from tests.helpers import (
    assert_batch_mates_independent,
    assert_equals_compacted,
    assert_ignores_extra_padding,
    assert_ignores_masked_content,
    assert_matches,
    assert_none_means_all_valid,
    random_mask,
)

N_GATES = {"simple_rnn": 1, "gru": 3, "lstm": 4}
LAYERS = ["simple_rnn", "gru", "lstm"]


def run(name, rng, sizes, **arguments):
    """Return the layer of that name as a function of x and mask, with random weights."""
    width = N_GATES[name] * sizes.U
    bias = (2, width) if name == "gru" else (width,)
    weights = [rng.normal(scale=0.5, size=shape) for shape in ((sizes.F, width), (sizes.U, width), bias)]
    return lambda x, mask: getattr(recurrent, name)(x, weights, mask, **arguments)


@pytest.fixture(params=LAYERS)
def outputs(request, rng, sizes):
    layer = run(request.param, rng, sizes)
    return lambda x, mask: layer(x, mask).outputs


@pytest.fixture(params=LAYERS)
def states(request, rng, sizes):
    """A layer's final states, samples first: (B, number of states, U)."""
    layer = run(request.param, rng, sizes)
    return lambda x, mask: np.stack(layer(x, mask).states, axis=1)


@pytest.fixture
def x(rng, sizes):
    return rng.normal(size=(sizes.B, sizes.T, sizes.F))


@pytest.fixture
def mask(rng, sizes):
    return random_mask(rng, (sizes.B, sizes.T))


def test_recurrent_outputs_ignore_masked_content(outputs, x, mask):
    assert_ignores_masked_content(outputs, x, mask)


def test_recurrent_outputs_of_batch_mates_are_independent(outputs, x, mask):
    assert_batch_mates_independent(outputs, x, mask)


def test_recurrent_outputs_without_mask_are_those_of_an_all_valid_one(outputs, x):
    assert_none_means_all_valid(outputs, x)


@pytest.mark.parametrize("side", ["left", "right"])
def test_recurrent_states_ignore_extra_padding(states, x, mask, side):
    assert_ignores_extra_padding(states, x, mask, side)


def test_recurrent_states_are_those_of_the_compacted_sequence(states, x, mask):
    assert_equals_compacted(states, x, mask)


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_valid_outputs_are_those_of_the_compacted_sequence(name, go_backwards, rng, sizes):
    layer, layouts = run(name, rng, sizes, go_backwards=go_backwards), all_layouts(5)
    x = rng.normal(size=(*layouts.shape, sizes.F))
    read = layouts[:, ::-1] if go_backwards else layouts
    masked = compact(layer(x, layouts).outputs, read)
    for sample, outputs in zip(compact(x, layouts)[1:], masked[1:], strict=True):  # the first layout has no valid step
        assert_matches(outputs, layer(sample[np.newaxis], None).outputs[0])


# Reductions and metrics as functions of x (B, T, 2): the loss and the weight of a step, or its label and score.
REDUCTIONS = {
    "mean_over_valid": lambda x, mask: losses.mean_over_valid(x[..., 0], mask, x[..., 1]),
    "mean_over_all": lambda x, mask: losses.mean_over_all(x[..., 0], mask, x[..., 1]),
    "mean_over_weights": lambda x, mask: losses.mean_over_weights(x[..., 0], mask, x[..., 1]),
    "weighted_masked_objective": lambda x, mask: losses.weighted_masked_objective(x[..., 0], mask, range(len(x))),
    "mean_of_sample_means": lambda x, mask: losses.mean_of_sample_means(x[..., 0], mask, x[..., 1]),
    "mean_of_batch_means": lambda x, mask: losses.mean_of_batch_means(x[..., 0], mask, batch_size=2),
    "mean_metric": lambda x, mask: metrics.mean_metric(x[..., 0], mask, x[..., 1]),
    "binary_accuracy": lambda x, mask: metrics.binary_accuracy(x[..., :1], x[..., 1:], mask),
    "precision": lambda x, mask: metrics.precision(x[..., :1], x[..., 1:], mask),
    "recall": lambda x, mask: metrics.recall(x[..., :1], x[..., 1:], mask),
    "auc": lambda x, mask: metrics.auc(x[..., :1], x[..., 1:], mask),
    "categorical_accuracy": lambda x, mask: metrics.categorical_accuracy(x[..., ::-1], x, mask),
    "sparse_categorical_accuracy": lambda x, mask: metrics.sparse_categorical_accuracy(x[..., 0] > 0.5, x, mask),
}

# which a row of all valid steps does not have
OF_BATCHES = {"mean_over_all", "mean_of_sample_means", "mean_of_batch_means", "weighted_masked_objective"}


@pytest.fixture
def labels_and_scores(rng, sizes):
    """(B, T, 2): 0 or 1, and a number from 0 to 1; both labels in the first sample's first two steps."""
    labels = rng.integers(0, 2, size=(sizes.B, sizes.T))
    labels[0, :2] = 0, 1
    return np.stack([labels, rng.random(labels.shape)], axis=-1)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_ignore_masked_content(name, labels_and_scores, mask):
    assert_ignores_masked_content(REDUCTIONS[name], labels_and_scores, mask)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", sorted(set(REDUCTIONS) - {"mean_over_all"}))
def test_reductions_ignore_extra_padding(name, side, labels_and_scores, mask):
    assert_ignores_extra_padding(REDUCTIONS[name], labels_and_scores, mask, side)


def test_mean_over_all_is_diluted_by_extra_padding(labels_and_scores, mask, sizes):
    longer = np.pad(labels_and_scores, ((0, 0), (0, sizes.T), (0, 0)))
    diluted = REDUCTIONS["mean_over_all"](longer, np.pad(mask, ((0, 0), (0, sizes.T))))
    assert_matches(2 * diluted, REDUCTIONS["mean_over_all"](labels_and_scores, mask))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_without_mask_are_those_of_an_all_valid_one(name, labels_and_scores):
    assert_none_means_all_valid(REDUCTIONS[name], labels_and_scores)


@pytest.mark.parametrize("name", sorted(set(REDUCTIONS) - OF_BATCHES))
def test_reductions_are_those_of_all_valid_steps_in_one_row(name, labels_and_scores, mask):
    row = labels_and_scores[mask][np.newaxis]
    assert_matches(REDUCTIONS[name](row, None), REDUCTIONS[name](labels_and_scores, mask))


def test_means_over_valid_agree_where_all_lengths_are_equal(rng, sizes):
    per_step, mask = rng.random((sizes.B, sizes.T)), right_padded([4] * sizes.B, sizes.T)
    expected = losses.mean_over_valid(per_step, mask)
    assert_matches(losses.mean_of_sample_means(per_step, mask), expected)
    assert_matches(losses.mean_of_batch_means(per_step, mask, batch_size=2), expected)
    assert_matches(losses.mean_over_weights(per_step, mask, np.full(sizes.B, 3.0)), expected)


LOSSES = [losses.mse, losses.mae, losses.categorical_crossentropy, losses.binary_crossentropy]


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_steps_depend_on_their_own_step_only(loss, rng, sizes, mask):
    y_true, y_pred = rng.random((2, sizes.B, sizes.T, sizes.F))
    expected = loss(y_true, y_pred)
    y_pred[~mask] = np.nan
    assert_matches(loss(y_true, y_pred)[mask], expected[mask])
