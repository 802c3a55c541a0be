"""Whether the output of a call has the steps of a mask of its inputs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]


def keeps_steps(before: Sequence[Shape], after: Sequence[Shape], masks: Sequence[NDArray[np.bool_]], *, passes: bool) -> bool:
    """Return whether an output begins with the axes of a mask.

    An output without axes after those of the mask, if the inputs have some, may have lost the steps: it may be (B, F) with
    equally many features as steps. It counts as having the steps only if the content of masked steps reaches it.

    Args:
        before: shapes of the inputs.
        after: shapes of the outputs.
        masks: of the inputs.
        passes: whether the content of masked steps reaches the outputs.
    """
    deeper = any(len(shape) > mask.ndim for shape in before for mask in masks if shape[: mask.ndim] == mask.shape)
    return any(
        shape[: mask.ndim] == mask.shape and (len(shape) > mask.ndim or not deeper or passes) for shape in after for mask in masks
    )
