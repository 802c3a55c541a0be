"""The interval for paired differences is that of the exact sign-flip test, and says nothing where it cannot."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from masklib.errors import ArgumentError
from masklib.experiments.pairs import Gain, in_words, paired_gain, paired_ratio


def flip_test(differences: np.ndarray) -> float:
    """The p-value of the exact two-sided sign-flip test, sign by sign."""
    signs = itertools.product([1, -1], repeat=len(differences))
    means = [abs(np.mean(differences * sign)) for sign in signs]
    return float(np.mean([one >= abs(differences.mean()) - 1e-12 for one in means]))


@pytest.mark.parametrize("pairs", [6, 8, 10])
@pytest.mark.parametrize("seed", range(4))
def test_the_interval_holds_the_shifts_that_the_sign_flip_test_does_not_reject(pairs: int, seed: int):
    differences = np.random.default_rng(seed).normal(0.3, 1.0, pairs)
    gain = paired_gain(differences, np.zeros(pairs))
    width = 1e-6
    assert flip_test(differences - gain.low - width) > 0.05 >= flip_test(differences - gain.low + width)
    assert flip_test(differences - gain.high + width) > 0.05 >= flip_test(differences - gain.high - width)


def test_the_interval_of_six_pairs_goes_from_the_least_to_the_largest():
    assert paired_gain([1, 2, 3, 4, 5, 6], np.zeros(6)) == Gain(3.5, 1.0, 6.0)


def test_the_interval_covers_the_true_difference_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        gain = paired_gain(rng.laplace(0.5, 1.0, 8), np.zeros(8))
        hits += gain.low <= 0.5 <= gain.high
    assert hits / 400 > 0.92  # 0.953 on average, standard deviation 0.011


def test_equal_measurements_have_no_effect_and_a_known_one_is_found():
    masked = np.random.default_rng(1).random(10)
    assert paired_gain(masked, masked).decided == "undecided"
    assert paired_gain(masked, masked - 0.01).decided == "more"
    assert paired_gain(masked - 0.01, masked).decided == "less"


TIED = [0.1 + 0.2, 0.9, 0.8, 0.7, 0.6, 0.5]  # the first is 0.3, and 4e-17 more


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (TIED, [0.3, 0.5, 0.5, 0.5, 0.5, 0.1]),  # the least difference is 0
        ([0.3, 0.4, 0.5, 0.55, 0.59, 0.9, 0.9, 0.9], [0.6, 0.3, 0.3, 0.3, 0.3, 0.1, 0.1, 0.1]),  # the end is -0.3 + 0.1 + 0.2
    ],
)
def test_a_tie_is_undecided_whatever_side_of_0_it_is_rounded_to(first: list[float], second: list[float]):
    for scale in (1e-9, 1.0, 7.0, 1e9):
        for one, other in ((first, second), (second, first)):
            assert paired_gain(np.multiply(scale, one), np.multiply(scale, other)).decided == "undecided"


def test_a_difference_that_is_small_and_no_rounding_is_decided():
    assert paired_gain([1e-30] * 6, np.zeros(6)).decided == "more"
    assert paired_gain(np.full(6, 1 + 1e-12), np.ones(6)).decided == "more"


def test_a_ratio_has_the_interval_of_its_logarithm():
    ratio = paired_ratio([2.0, 4.0, 8.0, 2.0, 4.0, 8.0], np.ones(6))
    np.testing.assert_allclose(ratio, (4.0, 2.0, 8.0))
    assert paired_ratio(np.full(6, 3.0), np.full(6, 3.0)) == Gain(1.0, 1.0, 1.0)
    assert paired_ratio([3.0], [2.0])[1:] == (0.0, math.inf)


@pytest.mark.parametrize("number", [0.0, -1.0, math.nan])
def test_a_ratio_of_what_is_not_above_0_is_refused(number: float):
    with pytest.raises(ArgumentError, match="Pairs must be finite numbers"):
        paired_ratio([1.0, number], [1.0, 1.0])


@pytest.mark.parametrize("pairs", [1, 3, 5])
def test_fewer_than_six_pairs_decide_nothing(pairs: int):
    gain = paired_gain(np.full(pairs, 0.9), np.zeros(pairs))
    assert (gain.low, gain.high, gain.decided) == (-math.inf, math.inf, "undecided")


def test_pairs_are_matched_by_place_not_by_the_labels_of_a_series():
    first, second = pd.Series([0.9] * 6), pd.Series([0.4] * 6, index=range(6, 12))
    assert paired_gain(first, second).decided == "more"


def test_nan_and_too_many_pairs_are_refused():
    with pytest.raises(ArgumentError, match="Pairs must be finite numbers"):
        paired_gain([0.1, math.nan], [0.0, 0.0])
    with pytest.raises(ArgumentError, match="the number of pairs must be from 1 to 16, got 17"):
        paired_gain(np.zeros(17), np.zeros(17))


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (Gain(0.123, 0.1, 0.2), "costs 12.3 points of accuracy"),
        (Gain(-0.05, -0.1, -0.01), "adds 5.0 points of accuracy"),
        (Gain(0.4, -math.inf, math.inf), "makes no difference that is decided"),
        (Gain(0.01, -0.01, 0.02), "makes no difference that is decided"),
    ],
)
def test_a_sentence_can_come_out_each_way(gain: Gain, words: str):
    assert in_words(gain) == words
