"""What pairs of measurements decide: an interval for their mean difference, or ratio, that assumes symmetry and nothing else."""

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from masklib.checks import check_between
from masklib.errors import ArgumentError

MOST = 16  # pairs; every sum of some of them is formed
TIE = 32 * np.finfo("float64").eps  # of the largest measurement: a mean nearer to 0 may be the rounding of 16 differences


class Gain(NamedTuple):
    """The differences of pairs, first minus second; 0 where they are so near to it that rounding could be the reason.

    Attributes:
        mean: of the differences.
        low: lower end of the interval; -inf where there are too few pairs for one.
        high: upper end; inf where there are too few.
    """

    mean: float
    low: float
    high: float

    @property
    def decided(self) -> str:
        """Return "more" or "less" if the interval is above or below 0, else "undecided"."""
        return "more" if self.low > 0 else "less" if self.high < 0 else "undecided"


def paired_gain(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> Gain:
    """Return the mean difference of pairs, with the interval that the exact sign-flip test gives.

    The test turns the sign of some differences, in every way there is, and asks how often the mean is then as far from 0. The
    shifts that it does not reject lie between two of the 2^n - 1 means of some of the differences: the interval is exact if
    the differences are symmetric about their centre, whatever else they are distributed like. Fewer than six pairs have no
    interval of 95 percent.

    Args:
        first: float (N,), N from 1 to 16.
        second: float (N,), with the same seed, or sample, at the same place.
        confidence: of the interval, at least; from 0.5 to 0.999.

    Raises:
        ArgumentError: there are too many pairs, one is not finite, or `confidence` is out of range.

    Source: J. A. Hartigan, Using Subsample Values as Typical Values, JASA 64 (1969), 1303-1317.
    """
    first, second = np.asarray(first, "float64"), np.asarray(second, "float64")  # a series would match labels, not places
    differences = first - second
    check_between("the number of pairs", len(differences), 1, MOST)
    if not np.isfinite(differences).all():
        msg = f"Pairs must be finite numbers, their differences are {differences.tolist()}. Find out where the NaN comes from."
        raise ArgumentError(msg)
    check_between("confidence", confidence, 0.5, 0.999)
    chosen = np.array(list(itertools.product([False, True], repeat=len(differences)))[1:])
    means = np.sort(chosen @ differences / chosen.sum(axis=1))
    outside = math.floor((1 - confidence) / 2 * (len(means) + 1) + 1e-9)
    ends = (means[outside - 1], means[-outside]) if outside else (-math.inf, math.inf)
    rounding = TIE * max(np.abs(first).max(), np.abs(second).max())
    return Gain(*(0.0 if abs(end) <= rounding else float(end) for end in (differences.mean(), *ends)))


def paired_ratio(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> Gain:
    """Return the geometric mean of the ratios of pairs, first over second, with its interval: `paired_gain` of their logarithms.

    Args:
        first: float (N,) above 0, N from 1 to 16.
        second: float (N,) above 0, measured next to the first at the same place.
        confidence: of the interval, at least; from 0.5 to 0.999.

    Raises:
        ArgumentError: as for `paired_gain`; also where a number is not above 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # paired_gain refuses what comes of 0 and less
        over, under = np.log(np.asarray(first, "float64")), np.log(np.asarray(second, "float64"))
    return Gain(*(math.exp(number) for number in paired_gain(over, under, confidence)))


def in_words(gain: Gain) -> str:
    """Return what it costs to have the second in place of the first of two accuracies, from 0 to 1: "costs 3.0 points ..."."""
    if gain.decided == "undecided":
        return "makes no difference that is decided"
    return f"{'costs' if gain.mean > 0 else 'adds'} {100 * abs(gain.mean):.1f} points of accuracy"
