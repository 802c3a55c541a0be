"""The documents' own code: what it gives where it is right, and where it is not."""

import keras
import numpy as np
import pytest

from masklib.errors import ArgumentError
from masklib.experiments import data, documents, measure, models

PADDING = (0, 0, 1)


def product(targets: np.ndarray, **options: bool) -> np.ndarray:
    tensor = keras.ops.convert_to_tensor(targets)
    return keras.ops.convert_to_numpy(documents.times_mask(tensor, tensor, PADDING, **options))


def test_a_mask_with_its_last_axis_zeroes_the_padding_alone():
    expected = data.TARGETS_SEQ * (1 - data.TARGETS_SEQ[..., 2:])
    np.testing.assert_array_equal(product(data.TARGETS_SEQ), expected)


def test_a_mask_without_its_last_axis_fits_by_accident_only():
    assert measure.attempt(product, data.TARGETS_SEQ, last_axis=False).error
    square = np.eye(3, dtype="float32")[np.array([[2, 2, 0], [2, 0, 1], [0, 1, 1]])]  # B = T = F: no error
    assert not np.array_equal(product(square, last_axis=False), product(square))


def test_the_line_that_makes_masks_of_inputs_gives_one_number():
    assert np.shape(documents.masks_from_inputs(data.INPUTS_SEQ, 0)) == ()
    assert documents.masks_from_inputs(np.zeros((1, 2, 3)), 0) == 0


def test_the_printed_model_is_refused_where_its_arguments_are_gone():
    with pytest.raises(ArgumentError, match="lr, decay, input_length"):
        documents.three_inputs_as_printed()


def test_only_the_inputs_with_a_mask_are_masked():
    x, y = np.ones((1, 2, 1), "float32"), np.zeros((1, 3, 1), "float32")
    masks = np.ones((1, 2), bool), None
    merged = models.merge_masked(keras.layers.Concatenate(axis=1), masks, (2, 3), 1)
    np.testing.assert_array_equal(measure.predict_with_mask(merged, [x, y]).mask, [[True] * 5])
    masks = masks[0], np.zeros((1, 3), bool)
    merged = models.merge_masked(keras.layers.Concatenate(axis=1), masks, (2, 3), 1)
    np.testing.assert_array_equal(measure.predict_with_mask(merged, [x, y]).mask, [[True] * 2 + [False] * 3])
