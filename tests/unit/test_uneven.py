"""masklib.experiments.uneven: batches of different padded lengths, and that Keras sees all of them."""

import keras
import numpy as np
import pytest

from masklib.errors import ArgumentError
from masklib.experiments import models, uneven

IDS = np.array([[1, 2, 0], [3, 0, 0], [4, 1, 2], [2, 2, 0], [1, 0, 0]])


def test_each_batch_is_a_step_longer_than_the_one_before():
    first, second, third = uneven.pad_unevenly(IDS, 2, 9)
    np.testing.assert_array_equal(first, [[1, 2, 0], [3, 0, 0]])
    np.testing.assert_array_equal(second, [[4, 1, 2, 9], [2, 2, 0, 9]])
    np.testing.assert_array_equal(third, [[1, 0, 0, 9, 9]])


def test_steps_are_added_at_the_side_of_the_padding_and_features_stay():
    _, second = uneven.pad_unevenly(IDS[..., None], 3, 9, "pre")
    np.testing.assert_array_equal(second[..., 0], [[9, 2, 2, 0], [9, 1, 0, 0]])
    with pytest.raises(ArgumentError, match="padding must be"):
        uneven.pad_unevenly(IDS, 2, 9, "middle")


def test_one_row_holds_every_step_of_every_batch_in_order():
    row = uneven.one_row([np.array([[[1], [2]], [[3], [4]]]), np.array([[[5], [6], [7]]])])
    np.testing.assert_array_equal(row[..., 0], [[1, 2, 3, 4, 5, 6, 7]])


def test_scored_batches_know_of_all_steps_what_numpy_needs():
    valid, scores = IDS != 0, np.where(IDS == 0, 0.9, 0.2)[..., None]
    labels = (scores > 0.5).astype(int)
    cut = uneven.pad_scored(IDS, labels, scores, valid, 2, "post", 1)
    assert [x.shape for x, _ in cut.batches] == [(2, 3), (2, 4), (1, 5)]
    np.testing.assert_array_equal(uneven.one_row([x for x, _ in cut.batches]) != 0, cut.valid)
    np.testing.assert_array_equal(uneven.one_row([y for _, y in cut.batches]), cut.labels)
    np.testing.assert_array_equal(cut.labels[..., 0] == 1, ~cut.valid)
    np.testing.assert_array_equal(cut.scores[..., 0] == 0.9, ~cut.valid)
    np.testing.assert_allclose(cut.shares, [[1 / 3] * 6 + [1 / 4] * 8 + [1 / 5] * 5])


@pytest.mark.parametrize(("growth", "steps"), [(0, 2 * 3 + 2 * 3 + 1 * 3), (1, 2 * 3 + 2 * 4 + 1 * 5)])
@pytest.mark.parametrize("given_as", ["metrics", "weighted_metrics"])
def test_metrics_see_every_step_of_every_batch_once_and_weights_stay(growth, steps, given_as):
    """All predictions are positive and all labels 0 in the first batch, 1 elsewhere, so precision counts the steps."""
    model = models.embed_then(5, 2, None, keras.layers.Dense(1, activation="softplus"), mask_zero=False)
    cut = uneven.pad_unevenly(IDS, 2, 0, growth=growth)
    batches = [(ids, np.full((*ids.shape, 1), min(k, 1))) for k, ids in enumerate(cut)]
    model.set_weights([np.ones((5, 2)), np.ones((2, 1)), np.zeros(1)])
    before = [weight.copy() for weight in model.get_weights()]
    found, error = uneven.report_metrics(model, batches, "mse", given_as, ["Precision", "Recall"])
    assert error == ""
    assert found["fit"] == pytest.approx({"Precision": 1 - 6 / steps, "Recall": 1.0})
    assert found["evaluate"] == pytest.approx(found["fit"])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_an_error_of_keras_is_named_and_its_numbers_are_nan():
    model = models.embed_then(5, 2, None, keras.layers.Dense(1))
    batches = [(IDS, np.ones((5, 4, 1)))]  # targets of another length
    found, error = uneven.report_metrics(model, batches, "mse", "metrics", ["Precision"])
    assert error
    assert np.isnan([found["evaluate"]["Precision"], found["fit"]["Precision"]]).all()
