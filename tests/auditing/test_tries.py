"""A loss or metric compared with its value as given: how much it differs, also if one of the two is not finite."""

import math

import pytest

from masklib.auditing.invariance.changes import Change, Entry, Quantity
from masklib.auditing.invariance.loss_tries import LossNoise
from masklib.auditing.invariance.noise import FACTOR, FLOOR
from masklib.auditing.invariance.tries import Try, alone, largest
from tests.auditing.test_predictions import prediction

NAN, INF = math.nan, math.inf


def tried(first: float, second: float, of: str = "loss") -> Try:
    """A loss by itself with more padding."""
    return Try(
        change=Change.LONGER_PADDING,
        kind=Quantity.LOSS,
        of=of,
        first=first,
        second=second,
        situation="longer",
        entry=Entry.ITSELF,
    )


@pytest.mark.parametrize(
    ("first", "second", "size", "relative"),
    [(2.0, 3.0, 1.0, 0.5), (2.0, 1.0, 1.0, 0.5), (-2.0, -3.0, 1.0, 0.5), (0.0, 3.0, 3.0, 3.0), (2.0, 2.0, 0.0, 0.0)],
)
def test_a_difference_is_relative_to_the_value_as_given(first: float, second: float, size: float, relative: float):
    assert (tried(first, second).size, tried(first, second).relative) == (size, relative)


@pytest.mark.parametrize("second", [NAN, INF, -INF])
def test_a_number_that_becomes_nan_is_the_largest_change(second: float):
    assert tried(2.0, second).relative == INF
    assert largest([tried(2.0, 4.0), tried(2.0, second)]) == INF


def test_a_value_that_was_not_finite_as_given_says_nothing():
    assert tried(NAN, 2.0).size == 0.0


def test_an_output_is_tried_with_other_predictions_and_with_more_steps_in_each_way():
    one = prediction()
    found = list(alone(one, 3, 0))

    assert [(other.change, other.prediction.array.shape[1]) for other in found] == [
        (Change.PADDED_CONTENT, 4),
        (Change.LONGER_PADDING, 7),
    ] * 2
    assert (found[0].prediction.array != found[2].prediction.array).any()


def test_the_tolerance_is_a_multiple_of_the_measured_noise_and_never_less_than_that_of_the_numbers():
    noise = LossNoise({"loss": 1e-3, "mae": 0.0}, unit=1e-7)

    assert noise.tolerance("loss", 2.0) == pytest.approx(FACTOR * 1e-3 / 2.0)
    assert noise.tolerance("mae", 2.0) == pytest.approx(FLOOR * 1e-7)
    assert noise.tolerance("of an output", 2.0) == noise.tolerance("loss", 2.0)
    assert noise.tolerance("loss", 0.0) == pytest.approx(FACTOR * 1e-3)


def test_only_what_is_beyond_the_noise_exceeds_it():
    noise = LossNoise({"loss": 1e-3}, unit=1e-7)

    assert noise.exceeds(tried(1.0, 1.02))
    assert not noise.exceeds(tried(1.0, 1.005))
