"""Softmax over the steps of padded sequences, float64, one sequence at a time."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklib.checks import check_mask, check_rank


def softmax_over_time(logits: ArrayLike, mask: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return the softmax over the valid steps of each sequence, for each feature by itself; 0 at masked steps.

    `p[t] = exp(z[t]) / sum_s exp(z[s])` over the valid steps s.

    Args:
        logits: array (B, T, F).
        mask: bool array (B, T); None means that every step is valid.

    Returns:
        float64 array (B, T, F); a sequence without a valid step is 0 everywhere.

    Raises:
        MaskShapeError: `logits` is not (B, T, F), or `mask` is not bool (B, T).

    Example:
        >>> softmax_over_time([[[1.0], [1.0], [7.0]]], [[True, True, False]]).tolist()
        [[[0.5], [0.5], [0.0]]]
    """
    logits = np.asarray(check_rank("logits", logits, ("B", "T", "F")), dtype=np.float64)
    mask = check_mask(mask, logits.shape[:2])
    shares = np.zeros_like(logits)
    for sample, valid in enumerate(mask):
        if valid.any():
            exps = np.exp(logits[sample, valid] - logits[sample, valid].max(axis=0))
            shares[sample, valid] = exps / exps.sum(axis=0)
    return shares
