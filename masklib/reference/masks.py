"""Where masks come from, how they merge, and what is left when masked steps are removed. True = valid."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklib.checks import check_lengths, check_mask, check_rank, check_steps
from masklib.errors import ArgumentError, MaskShapeError

Mask = NDArray[np.bool_]


def embedding_mask(ids: ArrayLike, mask_zero: bool = True) -> Mask | None:
    """Return the mask that an Embedding makes: a step is valid when its id is not 0.

    Args:
        ids: int array (B, T); token ids, 0 = padding.
        mask_zero: as in Keras; False makes no mask.

    Returns:
        bool array (B, T), or None when `mask_zero` is False. Ids that are all 0 give a mask that is all False.

    Raises:
        MaskShapeError: `ids` is not (B, T).

    Example:
        >>> embedding_mask([[7, 0, 2, 0]]).tolist()
        [[True, False, True, False]]

    Source: `keras.layers.Embedding.compute_mask`.
    """
    ids = check_rank("ids", ids, ("B", "T"))
    return ids != 0 if mask_zero else None


def masking_mask(x: ArrayLike, mask_value: float = 0.0) -> Mask:
    """Return the mask that a Masking layer makes: a step is masked when all its features equal `mask_value`.

    `valid[b, t] = any_f(x[b, t, f] != mask_value)`. NaN differs from every number, itself included, so a step that
    holds NaN is valid, and `mask_value=nan` masks nothing.

    Args:
        x: float array (B, T, F).
        mask_value: the value that marks padding; compared exactly.

    Returns:
        bool array (B, T). All False when every feature of every step is `mask_value`.

    Raises:
        MaskShapeError: `x` is not (B, T, F).

    Example:
        >>> masking_mask([[[0.0, 0.0], [0.0, 3.0]]]).tolist()
        [[False, True]]

    Source: `keras.layers.Masking.compute_mask`.
    """
    x = check_rank("x", x, ("B", "T", "F"))
    valid: Mask = np.any(x != mask_value, axis=-1)
    return valid


def merge_and(masks: Sequence[ArrayLike | None]) -> Mask | None:
    """Merge the masks of inputs joined over features: a step is valid when every mask says so; None is ignored.

    Args:
        masks: bool arrays (B, T) of one shape, or None for an input without a mask.

    Returns:
        bool array (B, T), or None when every mask is None.

    Raises:
        ArgumentError: `masks` is empty.
        MaskShapeError: the masks differ in shape, or are not bool.

    Example:
        >>> merge_and([[[True, True, False]], None, [[True, False, False]]]).tolist()
        [[True, False, False]]

    Source: `Concatenate` and the merging layers of Keras 2, and of Keras 3 up to 3.3.
    """
    given = _given_masks(masks)
    return np.all(given, axis=0) if given else None


def merge_or(masks: Sequence[ArrayLike | None]) -> Mask | None:
    """Merge the masks of inputs joined over features: a step is valid when any mask says so; None counts as all valid.

    Because an input without a mask is valid everywhere, one None beside other masks makes every step valid.

    Args:
        masks: bool arrays (B, T) of one shape, or None for an input without a mask.

    Returns:
        bool array (B, T), or None when every mask is None.

    Raises:
        ArgumentError: `masks` is empty.
        MaskShapeError: the masks differ in shape, or are not bool.

    Example:
        >>> merge_or([[[True, True, False]], [[True, False, False]]]).tolist()
        [[True, True, False]]

    Source: `Concatenate` since Keras 3.4. `Add` and its like agree, but say "all valid" as None.
    """
    given = _given_masks(masks)
    if not given:
        return None
    return np.any(given, axis=0) if len(given) == len(masks) else np.ones_like(given[0])


def concatenate_time(masks: Sequence[ArrayLike | None], shapes: Sequence[tuple[int, int]]) -> Mask | None:
    """Join masks of inputs joined over time (axis 1): one after the other; None counts as valid for its part.

    Args:
        masks: one bool array (B, T_i) or None for each input.
        shapes: the (B, T_i) of each input; needed for an input without a mask.

    Returns:
        bool array (B, sum of T_i), or None when every mask is None.

    Raises:
        ArgumentError: `masks` is empty, or `masks` and `shapes` differ in number.
        MaskShapeError: a mask does not have its input's shape, or is not bool, or the inputs differ in B.

    Example:
        >>> concatenate_time([[[True, False]], None], [(1, 2), (1, 1)]).tolist()
        [[True, False, True]]

    Source: `keras.layers.Concatenate(axis=1).compute_mask`.
    """
    masks = _check_some(masks)
    if len(masks) != len(shapes):
        msg = f"shapes must have one (B, T) for each of the {len(masks)} masks, got {len(shapes)}. Give every input's."
        raise ArgumentError(msg)
    if all(mask is None for mask in masks):
        return None
    if len({B for B, _ in shapes}) > 1:
        msg = f"shapes must be (B, T_i) with one B, got {list(shapes)}. Join batches of one size."
        raise MaskShapeError(msg)
    return np.concatenate([check_mask(mask, shape) for mask, shape in zip(masks, shapes, strict=True)], axis=1)


def compact(x: ArrayLike, mask: ArrayLike | None) -> list[NDArray[Any]]:
    """Return each sample of `x` without its masked steps; what masking promises to be equal to.

    Args:
        x: array (B, T, ...).
        mask: bool array (B, T); None means that every step is valid.

    Returns:
        B arrays (number of the sample's valid steps, ...), in time order; a sample without a valid step gives one of
        length 0.

    Raises:
        MaskShapeError: `x` has no (B, T) axes, or `mask` is not bool (B, T).

    Example:
        >>> [sample.tolist() for sample in compact([[5, 6, 7]], [[True, False, True]])]
        [[5, 7]]
    """
    x = check_steps("x", x)
    mask = check_mask(mask, x.shape[:2])
    return [sample[valid] for sample, valid in zip(x, mask, strict=True)]


def right_padded(lengths: ArrayLike, steps: int) -> Mask:
    """Return the mask of sequences padded after their end: step t is valid when t < length.

    Args:
        lengths: int array (B,); valid steps of each sample, 0 to `steps`. 0 masks the whole sample.
        steps: T, the padded length.

    Returns:
        bool array (B, T).

    Raises:
        MaskShapeError: `lengths` is not (B,).
        ArgumentError: a length is not an integer from 0 to `steps`.

    Example:
        >>> right_padded([2], 3).tolist()
        [[True, True, False]]
    """
    lengths = check_lengths("lengths", lengths, steps)
    return np.arange(steps) < lengths[:, np.newaxis]


def left_padded(lengths: ArrayLike, steps: int) -> Mask:
    """Return the mask of sequences padded before their start: step t is valid when t >= T - length.

    Args:
        lengths: int array (B,); valid steps of each sample, 0 to `steps`. 0 masks the whole sample.
        steps: T, the padded length.

    Returns:
        bool array (B, T).

    Raises:
        MaskShapeError: `lengths` is not (B,).
        ArgumentError: a length is not an integer from 0 to `steps`.

    Example:
        >>> left_padded([2], 3).tolist()
        [[False, True, True]]
    """
    return right_padded(lengths, steps)[:, ::-1]


def all_layouts(steps: int) -> Mask:
    """Return every way to mask `steps` steps, one a row: the batch that leaves no layout untested.

    Args:
        steps: T, at least 1; the number of rows is 2**T, so keep it small.

    Returns:
        bool array (2**T, T); the first row is all masked, the last all valid.

    Raises:
        ArgumentError: `steps` is less than 1.

    Example:
        >>> all_layouts(2).tolist()
        [[False, False], [False, True], [True, False], [True, True]]
    """
    if steps < 1:
        msg = f"steps must be at least 1, got {steps}. Give the length of the padded sequence."
        raise ArgumentError(msg)
    return np.array(list(product([False, True], repeat=steps)))


def _check_some(masks: Sequence[ArrayLike | None]) -> Sequence[ArrayLike | None]:
    """Return `masks` if there are any."""
    if not masks:
        msg = "masks must hold one mask or None for each input, got none. Give at least one."
        raise ArgumentError(msg)
    return masks


def _given_masks(masks: Sequence[ArrayLike | None]) -> list[Mask]:
    """Return the masks that are not None, checked to be bool and of one shape."""
    given = [np.asarray(mask) for mask in _check_some(masks) if mask is not None]
    return [check_mask(check_rank("mask", mask, ("B", "T")), given[0].shape) for mask in given]
