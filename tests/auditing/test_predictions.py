"""What a loss gets with other padding: the valid steps are not changed."""

from dataclasses import replace

import numpy as np
import pytest

from masklib.auditing.inputs.batch import Group, valid_of
from masklib.auditing.inputs.targets import Kind
from masklib.auditing.invariance.predictions import WAYS, Prediction

LENGTHS = np.array([4, 2, 3])


def prediction(side: str = "post", *, classes: int = 0, is_sparse: bool = False, **options: object) -> Prediction:
    """Three samples of four steps with two numbers each, or with one of C classes."""
    rng = np.random.default_rng(0)
    valid = valid_of(LENGTHS, 4, side)
    array = rng.uniform(0.1, 0.9, (3, 4, classes or 2))
    target = rng.integers(0, classes, (3, 4)) if is_sparse else rng.normal(size=array.shape)
    group = Group("x", 1, side, valid)
    known = {"mask": valid, "target": target, "weight": np.ones((3, 4)), "group": group, "valid": valid}
    return Prediction("out", "mse", Kind(is_sparse, classes), array, **{**known, **options})


@pytest.mark.parametrize("side", ["post", "pre"])
@pytest.mark.parametrize("way", WAYS)
def test_more_steps_are_padded_ones_at_the_side_of_padding(side: str, way: str):
    one = replace(prediction(side), padding=-7.0)
    longer = one.longer(3, way, 0)
    own = slice(0, 4) if side == "post" else slice(3, 7)
    new = slice(4, 7) if side == "post" else slice(0, 3)

    assert longer.array.shape == (3, 7, 2)
    for name in ("array", "target", "weight", "mask"):
        assert np.array_equal(getattr(one, name), getattr(longer, name)[:, own])
    assert (longer.target[:, new] == -7.0).all()
    assert not longer.weight[:, new].any()
    assert not longer.mask[:, new].any()
    assert longer.valid.sum(axis=1).tolist() == LENGTHS.tolist()


def test_predictions_without_a_mask_get_none():
    assert replace(prediction(), mask=None).longer(2, WAYS[0], 0).mask is None


@pytest.mark.parametrize("way", WAYS)
def test_other_predictions_are_put_at_padded_steps_only(way: str):
    one = prediction()
    other = one.with_garbage(way, 0)

    assert np.array_equal(one.array[one.valid], other.array[one.valid])
    assert not np.isclose(one.array[~one.valid], other.array[~one.valid]).any()


def test_what_is_predicted_as_at_valid_steps_is_taken_from_there():
    one = prediction()
    found = {tuple(row) for row in one.with_garbage(WAYS[0], 0).array[~one.valid]}

    assert found <= {tuple(row) for row in one.array[one.valid]}


def test_classes_predicted_as_the_targets_say_are_the_class_of_padding():
    one = replace(prediction(classes=5, is_sparse=True), padding=3.0)
    garbage = one.with_garbage(WAYS[1], 0).array[~one.valid]

    assert (garbage.argmax(axis=-1) == 3).all()


def test_another_value_is_put_at_padded_steps_of_the_target_only():
    one = prediction()
    other = one.padded_with(-1.0)

    assert np.array_equal(one.target[one.valid], other.target[one.valid])
    assert (other.target[~one.valid] == -1.0).all()
    assert other.padding == -1.0


def test_a_target_without_steps_is_not_padded():
    one = prediction(target=np.ones((3, 1)))
    assert one.padded_with(-1.0) is one
    assert one.longer(2, WAYS[0], 0).target.shape == (3, 1)


def test_some_samples_are_taken_of_everything():
    part = prediction().select([2, 0])
    whole = prediction()

    for name in ("array", "mask", "target", "weight", "valid"):
        assert np.array_equal(getattr(part, name), getattr(whole, name)[[2, 0]])


def test_longer_outputs_of_a_model_get_longer_targets():
    one = prediction()
    longer = one.made_longer(np.zeros((3, 6, 2)), None)

    assert (longer.target.shape, longer.weight.shape, longer.mask) == ((3, 6, 2), (3, 6), None)
    assert one.made_longer(one.array, None).target is one.target


def test_weights_are_one_at_valid_steps():
    assert np.array_equal(prediction().valid_weight(), valid_of(LENGTHS, 4, "post"))
    assert prediction(valid=None).valid_weight().tolist() == [1, 1, 1]
