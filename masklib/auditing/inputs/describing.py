"""What the arrays of a batch are, and which of their steps are padding, found from their values and from hints."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.inputs.batch import Batch, Leaf
from masklib.auditing.inputs.grouping import Hint, grouped, one_hot_pad
from masklib.auditing.inputs.settings import DEFAULT, PaddingSettings
from masklib.errors import ArgumentError

Array = NDArray[Any]


def describe(
    structure: Any,
    settings: PaddingSettings = DEFAULT,
    *,
    names: Sequence[str] = (),
    hints: Sequence[Hint] = (),
    weights: Sequence[Array] = (),
) -> Batch:
    """Return a batch, with what its leaves are and how they are padded.

    Args:
        structure: array, list or dict of arrays (B, ...).
        settings: what the user says about padding.
        names: of the leaves, if the model has names for them.
        hints: for each leaf, if something is known about it.
        weights: of steps, (B, T), that the loss gets.

    Raises:
        ArgumentError: batch sizes differ, or everything is padding.
        NoPaddingError: there is no padding.
    """
    found, arrays, pack = flatten(structure)
    names = list(names) if len(names) == len(found) else found
    raw = [np.asarray(array) for array in arrays]
    _check_samples(names, raw)
    check_numbers(names, raw)
    hints = hints or [Hint()] * len(raw)
    leaves = [_leaf(*one, settings) for one in zip(names, raw, hints, strict=True)]
    return grouped(leaves, hints, pack, settings.padding_side, weights)


def check_numbers(names: Sequence[str], arrays: Sequence[Any]) -> None:
    """Raise if an input does not hold numbers.

    Raises:
        ArgumentError: it holds text or other objects.
    """
    for name, array in zip(names, arrays, strict=True):
        dtype = np.asarray(array).dtype
        if dtype.kind in "OSU":
            msg = f"Input {name!r} must hold numbers, got text. A subclassed model cannot be cut after its lookup: "
            raise ArgumentError(msg + "audit the part of it that takes ids.")
        if dtype.kind not in "biuf" and dtype.name != "bfloat16":
            msg = f"Input {name!r} must hold numbers, got dtype {dtype}. Turn it into ids or floats first."
            raise ArgumentError(msg)


def _leaf(name: str, array: Array, hint: Hint, settings: PaddingSettings) -> Leaf:
    """Return what one array is, without its groups of padded steps."""
    kind = hint.kind or _kind(name, array, hint.is_ids)
    pad_id, mask_value = settings.pad_id or 0, settings.mask_value
    value = hint.mask_value if mask_value is None and hint.mask_value is not None else (mask_value or 0.0)
    pad: Any = float(pad_id) if kind == "ids" else value if kind == "floats" else 0.0
    if kind == "floats" and mask_value is None and hint.mask_value is None:
        pad = one_hot_pad(array, pad_id, pad)
    return Leaf(name, array, kind, pad, hint.mask_value is not None)


def _check_samples(names: Sequence[str], arrays: Sequence[Array]) -> None:
    """Raise unless all leaves have the same number of samples."""
    sizes = {name: array.shape[:1] for name, array in zip(names, arrays, strict=True)}
    if not arrays or len(set(sizes.values())) != 1 or () in sizes.values() or arrays[0].shape[0] == 0:
        given = ", ".join(f"{name} {array.shape}" for name, array in zip(names, arrays, strict=True)) or "none"
        msg = f"The inputs must be arrays with the same number of samples, at least one, got {given}. Give whole batches."
        raise ArgumentError(msg)


def _kind(name: str, array: Array, is_ids: bool) -> str:
    """Return what a leaf is."""
    is_whole = array.dtype.kind in "iu"
    single = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    if single and (is_whole or array.dtype.kind == "f") and "len" in name.lower():
        return "lengths"
    if array.dtype.kind == "b" or ("mask" in name.lower() and array.ndim == 2 and np.isin(array, (0, 1)).all()):
        return "mask" if array.ndim >= 2 else "plain"
    if is_ids or (is_whole and array.ndim >= 2):
        return "ids" if array.ndim >= 2 else "plain"
    return "floats" if array.ndim >= 3 else "plain"
