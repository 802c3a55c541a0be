"""masklib.reference.attention: what a softmax over the valid steps is, and what it must not be."""

import numpy as np
import pytest

from masklib.errors import MaskShapeError
from masklib.reference.attention import softmax_over_time


def test_the_valid_steps_sum_to_one_and_masked_steps_are_zero():
    rng = np.random.default_rng(0)
    logits, mask = rng.normal(scale=5, size=(6, 7, 3)), rng.random((6, 7)) < 0.6
    mask[0], mask[1] = False, True

    shares = softmax_over_time(logits, mask)

    np.testing.assert_allclose(shares.sum(axis=1), np.repeat(mask.any(axis=1)[:, None], 3, axis=1), atol=1e-12)
    assert (shares[~mask] == 0).all()
    np.testing.assert_allclose(shares[1], np.exp(logits[1]) / np.exp(logits[1]).sum(axis=0), atol=1e-12)


def test_what_stands_at_masked_steps_does_not_count():
    logits, mask = np.zeros((1, 3, 1)), np.array([[True, True, False]])
    poisoned = logits.copy()
    poisoned[0, 2] = np.nan
    np.testing.assert_array_equal(softmax_over_time(poisoned, mask), [[[0.5], [0.5], [0.0]]])


def test_large_logits_do_not_overflow():
    np.testing.assert_array_equal(softmax_over_time([[[1e4], [1e4]]]), [[[0.5], [0.5]]])


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(MaskShapeError):
        softmax_over_time(np.zeros((1, 3, 1)), [[True, False]])
