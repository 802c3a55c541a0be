"""masklib.reference.divisors: every divisor is distinguished from the others, and any other number from all of them."""

import numpy as np
import pytest

from masklib.errors import ArgumentError
from masklib.reference import divisors, metrics

LOSS = np.array([[3.0, 5.0, 7.0], [11.0, 13.0, 17.0]])  # (B, T) = (2, 3)
MASK = np.array([[True, True, False], [True, False, False]])
STEPS = {"valid": MASK, "all": None}
WEIGHTS = {"1": None, "as given": np.array([[2.0], [0.5]])}
SUM, WEIGHTED = 3 + 5 + 11, 2 * (3 + 5) + 0.5 * 11


def tried(loss=LOSS, weights=WEIGHTS):
    return divisors.of_mean(loss, STEPS, weights)


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (SUM / 3, ("valid", "1", "valid")),
        (SUM / 6, ("valid", "1", "all")),
        (SUM, ("valid", "1", "1")),
        (56 / 6, ("all", "1", "all")),
        (WEIGHTED / 3, ("valid", "as given", "valid")),
        (WEIGHTED / 4.5, ("valid", "as given", "weights")),  # 2 + 2 + 0.5
        (WEIGHTED / 2.5, ("valid", "as given", "entries")),  # 2 + 0.5, each weight once
        ((2 * 15 + 0.5 * 41) / 7.5, ("all", "as given", "weights")),
    ],
)
def test_each_divisor_is_named(reported, expected):
    found = divisors.match([reported], [tried()], rtol=1e-9)
    assert found[:3] == expected
    assert found.error < 1e-12
    assert found.margin > 1e-3


@pytest.mark.parametrize("wrong", [SUM / 2, LOSS[0, :2].mean() / 2 + 5.5, np.nan, np.inf])
def test_a_number_that_is_none_of_them_is_rejected(wrong):
    """Divided by B, the mean of the samples' means plus something, and no number at all."""
    assert divisors.match([wrong], [tried()], rtol=1e-6) is None


def test_one_choice_must_fit_both_numbers():
    longer = np.pad(LOSS, ((0, 0), (0, 2)), constant_values=100.0)
    wider = {"valid": np.pad(MASK, ((0, 0), (0, 2))), "all": None}
    both = [tried(), divisors.of_mean(longer, wider, WEIGHTS)]
    assert divisors.match([SUM / 3, SUM / 3], both, rtol=1e-9)[:3] == ("valid", "1", "valid")
    assert divisors.match([SUM / 6, SUM / 10], both, rtol=1e-9)[:3] == ("valid", "1", "all")
    assert divisors.match([SUM / 3, SUM / 10], both, rtol=1e-9) is None


def test_a_second_choice_that_fits_shows_in_the_margin():
    even = np.where(MASK, 4.0, 4.0)  # a constant loss has the same mean over any steps
    assert divisors.match([4.0], [tried(even)], rtol=1e-6).margin > 0.1
    near = np.where(MASK, 4.0, 4.0 + 1e-6)
    assert divisors.match([4.0], [tried(near)], rtol=1e-6).margin < 1e-6


def test_what_does_not_count_may_be_nan():
    spoiled = np.where(MASK, LOSS, np.nan)
    assert divisors.match([SUM / 3], [tried(spoiled)], rtol=1e-9)[:3] == ("valid", "1", "valid")


def test_arrays_are_compared_whole():
    slopes = np.stack([LOSS, -2 * LOSS], axis=-1)  # (B, T, C)
    total = np.array([SUM, -2.0 * SUM])
    assert divisors.match([total / 3], [tried(slopes)], rtol=1e-9)[:3] == ("valid", "1", "valid")
    assert divisors.match([total / [3, 6]], [tried(slopes)], rtol=1e-6) is None


def test_a_metric_is_identified_by_what_it_counts():
    labels, scores = np.array([[[1], [0], [1]]]), np.array([[[0.9], [0.8], [0.7]]])
    steps = {"valid": np.array([[True, True, False]]), "all": None}

    def precision(mask, weights):
        return metrics.precision(labels, scores, mask, weights)

    candidates = divisors.of_function(precision, steps, {"1": None, "as given": np.array([[3.0, 1.0, 1.0]])})
    assert divisors.match([0.5], [candidates], rtol=1e-9)[:3] == ("valid", "1", "valid")
    assert divisors.match([2 / 3], [candidates], rtol=1e-9)[:3] == ("all", "1", "all")
    assert divisors.match([0.75], [candidates], rtol=1e-9)[:3] == ("valid", "as given", "weights")
    assert divisors.match([0.6], [candidates], rtol=1e-9) is None


def test_describe_says_what_moves_and_that_a_control_is_rejected():
    row = divisors.describe([SUM / 6], SUM / 3, [tried()], SUM / 3, rtol=1e-6)
    assert (row["divided by"], row["over wanted"]) == ("all", 0.5)
    assert row["moves with batches"]
    assert not row["moves with padding"]
    assert not row["control fits"]
    nothing = divisors.describe([], np.nan, [tried()], 1.0, rtol=1e-6)
    assert np.isnan(nothing["value"])
    assert nothing["divided by"] == ""


def test_pick_names_what_there_is():
    assert divisors.pick(tried(), "valid", "as given", "weights") == pytest.approx(WEIGHTED / 4.5)
    with pytest.raises(ArgumentError, match=r"valid.*got.*all"):
        divisors.pick(tried(), "valid", "as given", "samples")
