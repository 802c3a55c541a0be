"""What the arrays of a batch are, and which of their steps are padding: read from names, numbers and what layers do with them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.inputs.batch import Batch, Group, Leaf, padded_steps, runs, valid_of
from masklib.auditing.inputs.settings import DEFAULT, PaddingSettings
from masklib.errors import ArgumentError, NoPaddingError

Array = NDArray[Any]


def read_batch(
    structure: Any,
    settings: PaddingSettings = DEFAULT,
    *,
    names: Sequence[str] = (),
    ids: Sequence[bool] = (),
    mask_values: Sequence[float | None] = (),
) -> Batch:
    """Return a batch with what its leaves are and how they are padded.

    Args:
        structure: array, list or dict of arrays (B, ...).
        settings: what the user says about padding.
        names: of the leaves, where the model has names for them.
        ids: for each leaf, whether an Embedding gets it.
        mask_values: for each leaf, the value of the Masking layer that gets it; None if there is none.

    Raises:
        ArgumentError: batch sizes differ, or there is nothing but padding.
        NoPaddingError: there is no padding.
    """
    found, arrays, pack = flatten(structure)
    names = list(names) if len(names) == len(found) else found
    raw = [np.asarray(array) for array in arrays]
    _check_samples(names, raw)
    nothing: list[Any] = [None] * len(raw)
    leaves = []
    for name, array, is_ids, of_masking in zip(names, raw, ids or nothing, mask_values or nothing, strict=True):
        kind = _kind(name, array, bool(is_ids))
        pads = {"ids": float(settings.pad_id), "mask": 0.0}
        pad = pads[kind] if kind in pads else settings.pad_of_floats(of_masking)
        leaves.append(Leaf(name, array, kind, pad, of_masking is not None))
    return _grouped(leaves, pack, settings.padding_side)


def _check_samples(names: Sequence[str], arrays: Sequence[Array]) -> None:
    """Raise if leaves are no batches of the same size."""
    sizes = {name: array.shape[:1] for name, array in zip(names, arrays, strict=True)}
    if not arrays or len(set(sizes.values())) != 1 or () in sizes.values() or arrays[0].shape[0] == 0:
        told = ", ".join(f"{name} {array.shape}" for name, array in zip(names, arrays, strict=True)) or "none"
        msg = f"The inputs must be arrays with the same number of samples, at least one, got {told}. Give whole batches."
        raise ArgumentError(msg)
    for name, array in zip(names, arrays, strict=True):
        if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
            msg = f"Input {name!r} must hold numbers, got dtype {array.dtype}. Turn it into ids or floats first."
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


def _time_axes(leaf: Leaf) -> list[int]:
    """Return the axes that may be time."""
    rank = leaf.array.ndim
    if leaf.kind == "floats":
        return list(range(1, rank - 1))
    return [1, *(a for a in range(2, min(rank, 3)) if leaf.array.shape[a] > 1)] if leaf.kind in ("ids", "mask") else []


def _grouped(leaves: Sequence[Leaf], pack: Any, padding_side: str | None) -> Batch:
    """Return the batch with its time groups."""
    groups: list[Group] = []
    done = [_place(leaf, groups, padding_side) for leaf in leaves]
    if not groups:
        raise NoPaddingError(_nothing(leaves, padding_side))
    done = [_beside(leaf, groups) for leaf in done]
    if any(not group.valid.any() for group in groups):
        name = next(group.name for group in groups if not group.valid.any())
        msg = f"The inputs must hold something besides padding, {name!r} is padding everywhere. Check pad_id and mask_value."
        raise ArgumentError(msg)
    notes = tuple(note for leaf in done for note in _interior(leaf, groups))
    return Batch(tuple(done), pack, tuple(groups), notes)


def _place(leaf: Leaf, groups: list[Group], side: str | None) -> Leaf:
    """Return a leaf with the groups of its padded axes, which are added where they are new."""
    of_axis: dict[int, int] = {}
    for axis in _time_axes(leaf):
        is_pad = padded_steps(leaf, axis)
        outer = ~padded_steps(leaf, axis - 1) if axis > 1 else np.ones(is_pad.shape[:-1], bool)
        found = side or _side(is_pad[outer])
        lengths = is_pad.shape[-1] - runs(is_pad, found)
        has_padding = (lengths[outer] < is_pad.shape[-1]).any() if outer.any() else False
        valid = valid_of(lengths, is_pad.shape[-1], found)
        if not has_padding or (axis > 1 and (is_pad & valid).any()):
            continue
        of_axis[axis] = _index(Group(leaf.name, axis, found, valid), groups)
    return replace(leaf, groups=of_axis)


def _index(group: Group, groups: list[Group]) -> int:
    """Return the index of the group with these steps, which is added if it is new."""
    for index, other in enumerate(groups):
        if other.side == group.side and np.array_equal(other.valid, group.valid):
            groups[index] = replace(other, name=f"{other.name}, {group.name}")
            return index
    groups.append(group)
    return len(groups) - 1


def _side(is_pad: NDArray[np.bool_]) -> str:
    """Return at which side most of the padding stands."""
    some = is_pad[~is_pad.all(axis=-1)]
    return "pre" if runs(some, "pre").sum() > runs(some, "post").sum() else "post"


def _beside(leaf: Leaf, groups: list[Group]) -> Leaf:
    """Return a leaf without padding of its own that has as many steps as one group: it is padded with it."""
    if leaf.groups or leaf.kind not in ("ids", "floats", "mask"):
        return leaf
    alike = [index for index, group in enumerate(groups) if group.axis == 1 and group.steps == leaf.array.shape[1]]
    if len(alike) != 1:
        return leaf
    groups[alike[0]] = replace(groups[alike[0]], name=f"{groups[alike[0]].name}, {leaf.name}")
    return replace(leaf, groups={1: alike[0]})


def _interior(leaf: Leaf, groups: Sequence[Group]) -> list[str]:
    """Return a note if a leaf holds its pad value between its other steps."""
    for axis, index in (leaf.groups or {}).items():
        n_inside = int((padded_steps(leaf, axis) & groups[index].valid).sum())
        if n_inside and leaf.kind != "mask":
            return [f"{leaf.name!r} holds {leaf.pad:g} at {n_inside} steps that are not at the padded side: taken as content"]
    return []


def _nothing(leaves: Sequence[Leaf], side: str | None) -> str:
    """Return that there is no padding, and what was looked for."""
    told = [f"{leaf.name} {leaf.array.shape} ({leaf.kind}) for {leaf.pad:g}" for leaf in leaves if _time_axes(leaf)]
    where = {"post": "the end", "pre": "the beginning"}.get(side or "", "either end")
    looked = "; looked at " + ", ".join(told) if told else "; none of them has a time axis"
    msg = f"The inputs must hold padding at {where} of some sample, got none{looked}. "
    return msg + "Give sequences of several lengths, or say pad_id, mask_value or padding_side."
