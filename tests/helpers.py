"""Comparisons and properties that the tests share; `test_oracles_bite.py` shows that each one can fail.

Every helper is named `assert_...`, returns None, and raises AssertionError. The functions under test are called as
`function(x, mask)`, with x (B, T, ...) and mask (B, T) or None, and return one array.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Function = Callable[[Any, Any], Any]

# Two float64 programs that add the same few hundred numbers of order one in another order differ by some 1e-14.
FLOAT64_ATOL = 1e-12
# float32 has a unit roundoff of 6e-8; sums and recurrences of some ten steps, with numbers of order one, lose up to
# a factor of twenty of it.
FLOAT32_ATOL = 2e-6

# Garbage that a masked step may hold: a number that swamps every sum, and one that poisons every arithmetic.
GARBAGE = (1e9, np.nan)


def assert_matches(actual: ArrayLike, expected: ArrayLike, *, atol: float = FLOAT64_ATOL, rtol: float = 0.0) -> None:
    """Shapes are equal, and every element within `atol + rtol * |expected|`; bool exactly; NaN matches nothing."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape} is not the expected {expected.shape}"
    assert (actual.dtype == bool) == (expected.dtype == bool), f"dtype {actual.dtype}, expected {expected.dtype}"
    if expected.dtype == bool:
        np.testing.assert_array_equal(actual, expected)
    else:
        np.testing.assert_allclose(actual, expected, atol=atol, rtol=rtol, equal_nan=False)


def fill_masked(x: ArrayLike, mask: NDArray[np.bool_], value: float) -> NDArray[Any]:
    """Return a copy of `x` (B, T, ...) whose masked steps hold `value`."""
    filled = np.array(x, dtype=np.result_type(np.asarray(x).dtype, np.float32))
    filled[~mask] = value
    return filled


def pad_time(x: ArrayLike, n_steps: int, value: float, side: str = "right") -> NDArray[Any]:
    """Return `x` (B, T, ...) with `n_steps` steps of `value` added before or after."""
    x = np.asarray(x)
    padding = np.full((x.shape[0], n_steps, *x.shape[2:]), value, dtype=x.dtype)
    return np.concatenate([x, padding] if side == "right" else [padding, x], axis=1)


def assert_ignores_masked_content(function: Function, x: ArrayLike, mask: NDArray[np.bool_], **tolerance: float) -> None:
    """What a masked step holds does not reach the result."""
    assert not mask.all(), "nothing is masked, so nothing would be tested"
    expected = function(x, mask)
    for garbage in GARBAGE:
        assert_matches(function(fill_masked(x, mask, garbage), mask), expected, **tolerance)


def assert_ignores_extra_padding(
    function: Function, x: ArrayLike, mask: NDArray[np.bool_], side: str = "right", **tolerance: float
) -> None:
    """Further masked steps, whatever they hold, do not change the result, which must have no time axis."""
    expected = function(x, mask)
    for garbage in GARBAGE:
        longer = function(pad_time(x, 2, garbage, side), pad_time(mask, 2, False, side))
        assert_matches(longer, expected, **tolerance)


def assert_batch_mates_independent(function: Function, x: ArrayLike, mask: NDArray[np.bool_], **tolerance: float) -> None:
    """Each sample's result is the one it has alone in its batch; the result must begin with the batch axis."""
    x = np.asarray(x)
    assert len(x) > 1, "a batch of one has no mates, so nothing would be tested"
    together = np.asarray(function(x, mask))
    for b in range(len(x)):
        assert_matches(function(x[b : b + 1], mask[b : b + 1]), together[b : b + 1], **tolerance)


def assert_none_means_all_valid(function: Function, x: ArrayLike, **tolerance: float) -> None:
    """No mask and a mask that is True everywhere give the same result."""
    all_valid = np.ones(np.shape(x)[:2], dtype=bool)
    assert_matches(function(x, None), function(x, all_valid), **tolerance)


def assert_equals_compacted(function: Function, x: ArrayLike, mask: NDArray[np.bool_], **tolerance: float) -> None:
    """Masking steps is the same as removing them; the result must begin with the batch axis and have no time axis."""
    x = np.asarray(x)
    assert mask.any(axis=1).all(), "every sample needs a valid step, or nothing is left of it"
    masked = np.asarray(function(x, mask))
    for b in range(len(x)):
        assert_matches(function(x[b : b + 1, mask[b]], None), masked[b : b + 1], **tolerance)


def random_mask(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask (B, T) with holes anywhere; every sample has at least one valid and one masked step."""
    mask = rng.random(shape) < 0.6
    columns = rng.permuted(np.tile(np.arange(shape[1]), (shape[0], 1)), axis=1)
    mask[np.arange(shape[0]), columns[:, 0]] = True
    mask[np.arange(shape[0]), columns[:, 1]] = False
    return mask
