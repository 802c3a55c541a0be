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


@pytest.mark.parametrize("report", [uneven.evaluate_batches, uneven.fit_batches])
def test_metrics_see_every_step_of_batches_of_different_lengths_once_and_weights_stay(report):
    model = models.embed_then(5, 2, None, keras.layers.Dense(1, activation="sigmoid"), mask_zero=False)
    batches = [(ids, np.ones((*ids.shape, 1))) for ids in uneven.pad_unevenly(IDS, 2, 0)]
    before = [weight.copy() for weight in model.get_weights()]
    found = report(model, batches, "mse", metrics=[keras.metrics.TruePositives(thresholds=0.0, name="counted")])
    assert found["counted"] == 2 * 3 + 2 * 4 + 1 * 5
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
