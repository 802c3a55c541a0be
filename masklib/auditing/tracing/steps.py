"""Whether what a call returns has the steps of a mask that came to it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]


def keeps_steps(before: Sequence[Shape], after: Sequence[Shape], masks: Sequence[NDArray[np.bool_]], *, passes: bool) -> bool:
    """Return whether an output begins with the axes of a mask.

    An output without axes after those, where the inputs have some, may as well have lost the steps: (B, F), with as many
    features as steps. If what masked steps hold passes, it is said to have them.

    Args:
        before: shapes of the inputs.
        after: shapes of the outputs.
        masks: of the inputs.
        passes: whether what masked steps hold reaches the outputs.
    """
    deeper = any(len(shape) > mask.ndim for shape in before for mask in masks if shape[: mask.ndim] == mask.shape)
    return any(
        shape[: mask.ndim] == mask.shape and (len(shape) > mask.ndim or not deeper or passes) for shape in after for mask in masks
    )
