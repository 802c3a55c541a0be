"""What the arrays of a batch are: ids, floats, masks or lengths, and which of their steps are padding.

A batch is an array, a list or a dict of arrays: its leaves. Leaves whose steps are padded alike form one time group, such as
the ids of an encoder and a mask beside them. Padding is a run of steps at the end ("post") or at the beginning ("pre") of a
sample that hold nothing but the pad value; a pad value between other steps is content.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.structures import flatten
from masklib.checks import check_one_of
from masklib.errors import ArgumentError, NoPaddingError

Array = NDArray[Any]
SIDES = ("post", "pre")


@dataclass(frozen=True)
class Leaf:
    """One array of a batch.

    Attributes:
        name: of the input; for messages.
        array: (B, ...).
        kind: "ids", "floats", "mask", "lengths", or "plain" (no time axis).
        pad: what a padded step holds.
        masked: whether a Masking layer gets this leaf, which tells padding by its value.
        groups: for each time axis, the index of its group.
    """

    name: str
    array: Array
    kind: str = "plain"
    pad: float = 0.0
    masked: bool = False
    groups: Mapping[int, int] | None = None

    def axes_of(self, group: int) -> list[int]:
        """Return the axes that belong to a group."""
        return [axis for axis, index in (self.groups or {}).items() if index == group]


@dataclass(frozen=True)
class Group:
    """Steps that are padded alike.

    Attributes:
        name: of the leaves, joined by ", ".
        axis: at which the leaves have it: 1, or 2 where the steps of axis 1 have steps themselves.
        side: "post" or "pre".
        valid: bool, True = valid: (B, T), or (B, S, T) for axis 2.
    """

    name: str
    axis: int
    side: str
    valid: NDArray[np.bool_]

    @property
    def steps(self) -> int:
        """Return T."""
        return int(self.valid.shape[-1])

    @property
    def lengths(self) -> Array:
        """Return the number of valid steps, (B,) or (B, S)."""
        return np.asarray(self.valid.sum(axis=-1))


@dataclass(frozen=True)
class Batch:
    """Inputs of a model, and what is known of them.

    Attributes:
        leaves: in order.
        pack: builds what the model takes from the arrays.
        groups: of time steps.
        notes: what a user may want to know, one sentence each.
        chosen: which of the given samples these are; None: all.
        is_made: whether the inputs were made, so that nobody said what padding is.
    """

    leaves: tuple[Leaf, ...]
    pack: Callable[[Sequence[Array]], Any]
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()
    chosen: Array | None = None
    is_made: bool = False

    @property
    def samples(self) -> int:
        """Return B."""
        return len(self.leaves[0].array)

    @property
    def inputs(self) -> Any:
        """Return the arrays as the model takes them."""
        return self.pack([leaf.array for leaf in self.leaves])

    def having(self, arrays: Sequence[Array]) -> "Batch":
        """Return the batch with other arrays; the groups stay as they are."""
        leaves = tuple(replace(leaf, array=array) for leaf, array in zip(self.leaves, arrays, strict=True))
        return replace(self, leaves=leaves)


def describe(
    structure: Any,
    *,
    names: Sequence[str] = (),
    ids: Sequence[bool] = (),
    mask_values: Sequence[float | None] = (),
    pad_id: int = 0,
    mask_value: float | None = None,
    padding_side: str | None = None,
) -> Batch:
    """Return a batch with what its leaves are and how they are padded.

    Args:
        structure: array, list or dict of arrays (B, ...).
        names: of the leaves, where the model has names for them.
        ids: for each leaf, whether an Embedding gets it.
        mask_values: for each leaf, the value of the Masking layer that gets it; None if there is none.
        pad_id: what padded ids hold.
        mask_value: what padded steps of floats hold; None: that of their Masking layer, else 0.
        padding_side: "post" or "pre"; None: found in the data.

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
        value = of_masking if mask_value is None and of_masking is not None else (mask_value or 0.0)
        pad = float(pad_id) if kind == "ids" else 0.0 if kind == "mask" else value
        leaves.append(Leaf(name, array, kind, pad, of_masking is not None))
    return _grouped(leaves, pack, padding_side)


def padded_steps(leaf: Leaf, axis: int) -> NDArray[np.bool_]:
    """Return which steps of an axis hold nothing but the pad value, bool with the axes up to this one."""
    array = leaf.array
    is_pad = np.isnan(array) if np.isnan(leaf.pad) else array == leaf.pad
    return np.asarray(is_pad.reshape(*array.shape[: axis + 1], -1).all(axis=-1))


def runs(is_pad: NDArray[np.bool_], side: str) -> Array:
    """Return how many padded steps stand in a row at this side of the last axis."""
    content = ~(is_pad[..., ::-1] if side == "post" else is_pad)
    return np.asarray(np.where(content.any(axis=-1), content.argmax(axis=-1), is_pad.shape[-1]))


def valid_of(lengths: Array, steps: int, side: str) -> NDArray[np.bool_]:
    """Return the mask (..., T) of lengths (...)."""
    at = np.arange(steps)
    return at < lengths[..., None] if side == "post" else at >= steps - lengths[..., None]


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
    if padding_side is not None:
        check_one_of("padding_side", padding_side, SIDES)
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
