"""How results are compared, and what counts as noise."""

import keras
import numpy as np
import pytest
from keras import layers

from masklib.auditing.borrowing.methods import borrowed
from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.inputs.describing import describe
from masklib.auditing.invariance import comparing, noise
from masklib.auditing.invariance.denominators import named
from tests.auditing import models as small

IDS = np.array([[3, 1, 2, 4], [5, 9, 0, 0], [0, 0, 0, 0]])


def test_only_elements_of_valid_steps_are_compared():
    batch = describe(IDS)
    valid = comparing.valid_elements((3, 4, 2), {1: 0}, batch)
    assert valid[..., 0].tolist() == (IDS != 0).tolist()
    assert comparing.valid_elements((3, 5), {}, batch)[:, 0].tolist() == [True, True, False]


def test_an_output_that_is_shorter_than_its_input_loses_valid_steps():
    batch = describe(IDS)
    assert comparing.valid_elements((3, 3, 1), {1: 0}, batch)[..., 0].sum(axis=1).tolist() == [3, 1, 0]
    before = describe(IDS[:, ::-1])
    assert comparing.valid_elements((3, 3, 1), {1: 0}, before)[1, :, 0].tolist() == [False, False, True]


def test_both_time_axes_of_scores_must_be_valid():
    valid = comparing.valid_elements((3, 4, 4), {1: 0, 2: 0}, describe(IDS))
    assert valid.sum(axis=(1, 2)).tolist() == [16, 4, 0]


def test_a_size_that_padding_does_not_explain_cannot_be_compared():
    assert comparing.grown_axes((3, 4, 2), (3, 9, 2), 5) == [1]
    for longer in ((3, 6, 2), (4, 4, 2), (3, 4)):
        with pytest.raises(comparing.ShapeError):
            comparing.grown_axes((3, 4, 2), longer, 5)
    with pytest.raises(comparing.ShapeError):
        comparing.crop(np.ones((3, 4)), (3, 3), {}, describe(IDS))


def test_what_is_cut_off_is_at_the_side_of_the_padding():
    array = np.arange(12).reshape(3, 4)
    assert comparing.crop(array, (3, 3), {1: 0}, describe(IDS)).tolist() == array[:, :3].tolist()
    assert comparing.crop(array, (3, 3), {1: 0}, describe(IDS[:, ::-1])).tolist() == array[:, 1:].tolist()


def test_a_number_that_becomes_nan_is_infinitely_far():
    first = np.array([[1.0, -4.0], [2.0, np.nan]])
    assert comparing.distance(first, np.array([[1.0, -3.5], [2.0, np.nan]])).relative == pytest.approx(0.125)
    assert comparing.distance(first, np.array([[np.nan, -4.0], [2.0, np.nan]])).size == np.inf
    assert comparing.distance(first, np.array([[1.0, -4.0], [2.0, 7.0]])).size == np.inf
    far = comparing.distance(first, np.array([[1.0, 4.0], [2.0, 0.0]]), np.array([[True, False], [True, False]]))
    assert far.size == 0.0


def test_each_weight_is_changed_by_one_unit_and_restored():
    model = small.recurrent()
    before = [to_array(weight.value) for weight in model.weights]
    with borrowed(model), noise.rounded_otherwise(model, 2.0**-23, 0):
        changed = [to_array(weight.value) for weight in model.weights]
    for old, new, now in zip(before, changed, model.weights, strict=True):
        assert (old != new).sum() == np.count_nonzero(old)
        assert np.abs(new - old).max() <= 2.0**-22 * np.abs(old).max()
        assert (to_array(now.value) == old).all()


def test_the_unit_is_that_of_the_coarsest_floats():
    fine, coarse = layers.Dense(2), layers.Dense(2, dtype="mixed_bfloat16")
    assert noise.unit_of(keras.Sequential([keras.Input((2,)), fine])) == 2.0**-23
    assert noise.unit_of(keras.Sequential([keras.Input((2,)), fine, coarse])) == 2.0**-7


def test_the_tolerance_is_ten_times_the_noise_but_at_least_some_units():
    assert noise.Noise(0.0, 2.0, 2.0**-23).tolerance == 4 * 2.0**-23
    assert noise.Noise(0.01, 2.0, 2.0**-23).tolerance == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("total", "count"),
    [
        (10.0 / 4, "valid steps"),
        (10.0 / 6, "all steps"),
        (31.0 / 6, "all steps"),
        (10.0 / 2, "samples"),
        (10.0, "nothing"),
        (3.3, "unknown"),
    ],
)
def test_the_count_by_which_a_loss_divides_is_found(total: float, count: str):
    each = np.array([[1.0, 2.0, 3.0], [4.0, 10.0, 11.0]])
    valid = np.array([[True, True, True], [True, False, False]])
    assert named(total, each, valid) == count


def test_a_loss_of_samples_divides_by_samples():
    assert named(2.0, np.array([1.0, 3.0]), None) == "samples"


def test_results_of_other_shapes_are_infinitely_far_apart():
    assert comparing.apart(np.ones((2, 3)), np.ones((2, 4))).size == np.inf
    assert comparing.apart(np.ones((2, 3)), np.ones((2, 3))).size == 0.0
