"""The count by which a loss divides, found from its value and the losses of single steps."""

import numpy as np
import pytest

from masklib.auditing.invariance.denominators import UNKNOWN, named

EACH = np.array([[1.0, 2.0, 3.0, 40.0], [5.0, 60.0, 70.0, 80.0]])
VALID = np.array([[True, True, True, False], [True, False, False, False]])


@pytest.mark.parametrize(
    ("total", "count"),
    [
        (11 / 4, "valid steps"),
        (11 / 8, "all steps"),
        (11 / 2, "samples"),
        (11.0, "nothing"),
        (261 / 8, "all steps"),  # padded steps are in the sum, too
        (11 / 3, UNKNOWN),
        (11 / 4 * 1.001, UNKNOWN),
    ],
)
def test_the_count_is_the_one_by_which_the_sum_is_divided(total: float, count: str):
    assert named(total, EACH, VALID) == count


def test_without_steps_there_are_samples_only():
    assert named(2.0, np.array([1.0, 3.0]), None) == "samples"
    assert named(4.0, np.array([1.0, 3.0]), None) == "nothing"
    assert named(4.0, np.array(4.0), None) == UNKNOWN


def test_axes_beyond_the_steps_are_averaged():
    assert named(11 / 4, np.stack([EACH - 1, EACH + 1], axis=-1), VALID) == "valid steps"


def test_losses_that_are_nearly_the_same_fit_several_counts_and_say_nothing():
    each = np.full((2, 4), 1.0986) + np.arange(8).reshape(2, 4) * 1e-7
    assert named(1.0986, each, VALID) == UNKNOWN


@pytest.mark.parametrize(
    ("divisor", "count"), [(4.0, "valid steps"), (8.0, "all steps"), (10.0, "the sum of the weights"), (2.0, "samples")]
)
def test_with_weights_there_is_their_sum_too(divisor: float, count: str):
    weight = np.where(VALID, [[1.0, 2.0, 3.0, 0.0], [4.0, 0.0, 0.0, 0.0]], 0.0)
    assert named(float((EACH * weight).sum()) / divisor, EACH, VALID, weight) == count
