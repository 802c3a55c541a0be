"""Which steps of the leaves of a batch are padding, and which leaves are padded together.

Padding is found in ids, floats and masks that end, or begin, with steps that hold only the pad value. Leaves that show no padding
are padded together with another leaf of equally many steps: segment ids that are 0 everywhere, pairs of steps, and floats whose
lengths are another input.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.inputs.batch import Batch, Group, Leaf, padded_steps, runs, valid_of
from masklib.checks import check_one_of
from masklib.errors import ArgumentError, NoPaddingError

Array = NDArray[Any]
SIDES = ("post", "pre")


@dataclass(frozen=True)
class Hint:
    """What is known about one leaf besides its values.

    Attributes:
        kind: of `Leaf`; None if it is to be found from the values.
        is_ids: whether an Embedding gets it.
        mask_value: of the Masking layer that gets it; None if there is none.
        marks: for lengths: the number of steps of the mask that is made from them; None if that is not known.
    """

    kind: str | None = None
    is_ids: bool = False
    mask_value: float | None = None
    marks: int | None = None


def grouped(
    leaves: Sequence[Leaf], hints: Sequence[Hint], pack: Any, padding_side: str | None, weights: Sequence[Array]
) -> Batch:
    """Return a batch with its time groups.

    Args:
        leaves: without groups.
        hints: for each leaf.
        pack: builds what the model takes from the arrays.
        padding_side: "post" or "pre"; None: found in the data.
        weights: of steps, (B, T), that the loss gets.

    Raises:
        ArgumentError: everything is padding.
        NoPaddingError: there is no padding.
    """
    if padding_side is not None:
        check_one_of("padding_side", padding_side, SIDES)
    groups: list[Group] = []
    done = list(leaves)
    for index in _in_order_of_content(leaves):
        own = [] if hints[index].is_ids else weights
        done[index] = _as_pairs(leaves[index], groups) or _place(leaves[index], groups, padding_side, own)
    done = _marked_by_lengths(done, hints, groups)
    if not groups:
        raise (_nothing_else if any(map(_is_all_padding, leaves)) else _nothing)(leaves, padding_side)
    done = [_as_lengths(_beside(leaf, groups), groups) for leaf in done]
    notes = tuple(note for leaf in done for note in _interior(leaf, groups))
    return Batch(tuple(done), pack, tuple(groups), notes, assumptions=tuple(_assumed(leaves, done, groups)))


def one_hot_pad(array: Array, pad_id: int, otherwise: Any) -> Any:
    """Return the vector of class `pad_id` if floats (B, T, C) are one-hot and end or begin with it; else `otherwise`."""
    if array.ndim != 3 or not 0 <= pad_id < array.shape[-1] or not np.isin(array, (0, 1)).all() or (array.sum(-1) != 1).any():
        return otherwise
    vector = np.eye(array.shape[-1], dtype=array.dtype)[pad_id]
    is_pad = (array == vector).all(axis=-1)
    return vector if (runs(is_pad, "post") | runs(is_pad, "pre")).any() else otherwise


def _in_order_of_content(leaves: Sequence[Leaf]) -> list[int]:
    """Return the order in which padding is looked for: leaves that may be padded with others come last."""
    return sorted(range(len(leaves)), key=lambda i: (_is_square(leaves[i]), _is_ambiguous(leaves[i])))


def _is_ambiguous(leaf: Leaf) -> bool:
    """Return whether ids hold the pad value in a whole sample, or at both ends, as segment ids do."""
    if leaf.kind != "ids" or leaf.array.ndim < 2:
        return False
    is_pad = padded_steps(leaf, 1)
    return bool(is_pad.all(axis=1).any() or (is_pad[:, 0].any() and is_pad[:, -1].any()))


def _is_all_padding(leaf: Leaf) -> bool:
    """Return whether a leaf with steps holds only its pad value."""
    return bool(_time_axes(leaf)) and bool(padded_steps(leaf, 0).all())


def _is_square(leaf: Leaf) -> bool:
    """Return whether a leaf may hold pairs of steps."""
    return leaf.array.ndim > 2 and leaf.array.shape[1] == leaf.array.shape[2] > 1


def _as_pairs(leaf: Leaf, groups: Sequence[Group]) -> Leaf | None:
    """Return a leaf (B, T, T, ...) as pairs of the steps of a group, if it is 0 where either step is padding; else None."""
    for index, group in enumerate(groups) if _is_square(leaf) else ():
        if group.axis == 1 and group.steps == leaf.array.shape[1]:
            both = group.valid[:, :, None] & group.valid[:, None, :]
            if not leaf.array[~both].any():
                return replace(leaf, kind="pairs", pad=0.0, groups={1: index, 2: index})
    return None


def _marked_by_lengths(leaves: Sequence[Leaf], hints: Sequence[Hint], groups: list[Group]) -> list[Leaf]:
    """Return leaves with the groups that are known only from lengths, because padded steps may hold anything."""
    done = list(leaves)
    for leaf, hint in zip(leaves, hints, strict=True):
        if hint.marks is None or any(group.axis == 1 and group.steps == hint.marks for group in groups):
            continue
        valid = valid_of(np.ravel(leaf.array).astype(int), hint.marks, "post")
        alike = [i for i, one in enumerate(done) if one.kind in ("ids", "floats") and one.array.shape[1] == hint.marks]
        if alike:
            groups.append(Group(", ".join(done[i].name for i in alike), 1, "post", valid))
            for i in alike:
                done[i] = replace(done[i], groups={**(done[i].groups or {}), 1: len(groups) - 1})
    return done


def _as_lengths(leaf: Leaf, groups: Sequence[Group]) -> Leaf:
    """Return a leaf of one integer per sample as lengths, if its values are the lengths of a group."""
    values = np.ravel(leaf.array)
    if leaf.groups or leaf.kind not in ("plain", "ids") or len(values) != len(leaf.array) or len(np.unique(values)) < 2:
        return leaf
    is_length = any(group.axis == 1 and np.array_equal(values, group.lengths) for group in groups)
    return replace(leaf, kind="lengths") if is_length else leaf


def _assumed(before: Sequence[Leaf], after: Sequence[Leaf], groups: Sequence[Group]) -> list[str]:
    """Return what was assumed about the leaves, one sentence each."""
    found = []
    for one, leaf in zip(before, after, strict=True):
        otherwise = f"(not_a_sequence={leaf.name!r})"
        if leaf.kind == "lengths" and one.kind != "lengths":
            found.append(f"{leaf.name!r} holds the lengths of the sequences, because its values are equal to them {otherwise}")
        if leaf.groups and _is_all_padding(one) and leaf.kind != "pairs":
            beside = groups[leaf.groups[1]].name.replace(f", {leaf.name}", "")
            found.append(f"{leaf.name!r} holds {one.shown_pad} everywhere and is padded together with {beside!r} {otherwise}")
    return found


def _time_axes(leaf: Leaf) -> list[int]:
    """Return the axes that may be time axes."""
    rank = leaf.array.ndim
    if leaf.kind == "floats":
        return list(range(1, rank - 1))
    return [1, *(a for a in range(2, min(rank, 3)) if leaf.array.shape[a] > 1)] if leaf.kind in ("ids", "mask") else []


def _place(leaf: Leaf, groups: list[Group], side: str | None, weights: Sequence[Array]) -> Leaf:
    """Return a leaf with the groups of its padded axes; new groups are added to `groups`."""
    of_axis: dict[int, int] = {}
    for axis in [] if _is_all_padding(leaf) else _time_axes(leaf):
        is_pad = padded_steps(leaf, axis)
        outer = ~padded_steps(leaf, axis - 1) if axis > 1 else np.ones(is_pad.shape[:-1], bool)
        found = side or _side_of_others(is_pad, groups) or _side(is_pad[outer])
        lengths = is_pad.shape[-1] - runs(is_pad, found)
        has_padding = (lengths[outer] < is_pad.shape[-1]).any() if outer.any() else False
        valid = valid_of(lengths, is_pad.shape[-1], found)
        if not has_padding or (axis > 1 and (is_pad & valid).any()):
            continue
        valid = next((one > 0 for one in weights if _explains(one > 0, valid, is_pad, found)), valid)
        of_axis[axis] = _index(Group(leaf.name, axis, found, valid), groups)
    return replace(leaf, groups=of_axis)


def _explains(weighted: Array, valid: Array, is_pad: Array, side: str) -> bool:
    """Return whether the steps of weight 0 are the padding; a step with a weight is content, even if it holds the pad value."""
    if weighted.shape != valid.shape or weighted.all() or (valid & ~weighted).any():
        return False
    return bool(is_pad[~weighted].all()) and np.array_equal(valid_of(weighted.sum(axis=-1), valid.shape[-1], side), weighted)


def _index(group: Group, groups: list[Group]) -> int:
    """Return the index of the group with these steps; a new group is added."""
    for index, other in enumerate(groups):
        if other.side == group.side and (np.array_equal(other.valid, group.valid) or _is_beside(group, other)):
            groups[index] = replace(other, name=f"{other.name}, {group.name}")
            return index
    groups.append(group)
    return len(groups) - 1


def _is_beside(group: Group, other: Group) -> bool:
    """Return whether a group equals another one except in samples that hold only the pad value, as for segment ids."""
    if group.valid.shape != other.valid.shape or group.axis > 1:
        return False
    empty = ~group.valid.any(axis=1)
    kept = np.array_equal(group.valid[~empty], other.valid[~empty])
    return bool(kept and empty.any() and (~empty).any() and other.valid[empty].any())


def _side_of_others(is_pad: NDArray[np.bool_], groups: Sequence[Group]) -> str:
    """Return the side of the group with which these steps are padded; "" if there is none."""
    for group in groups:
        if group.axis == 1 and group.valid.shape == is_pad.shape:
            valid = valid_of(is_pad.shape[1] - runs(is_pad, group.side), is_pad.shape[1], group.side)
            if np.array_equal(valid, group.valid) or _is_beside(replace(group, valid=valid), group):
                return group.side
    return ""


def _side(is_pad: NDArray[np.bool_]) -> str:
    """Return the side at which most of the padding is."""
    some = is_pad[~is_pad.all(axis=-1)]
    return "pre" if runs(some, "pre").sum() > runs(some, "post").sum() else "post"


def _beside(leaf: Leaf, groups: list[Group]) -> Leaf:
    """Return a leaf; one without padding that has equally many steps as exactly one group joins that group."""
    if leaf.groups or leaf.kind not in ("ids", "floats", "mask"):
        return leaf
    alike = [index for index, group in enumerate(groups) if group.axis == 1 and group.steps == leaf.array.shape[1]]
    if len(alike) != 1:
        return leaf
    groups[alike[0]] = replace(groups[alike[0]], name=f"{groups[alike[0]].name}, {leaf.name}")
    return replace(leaf, groups={1: alike[0]})


def _interior(leaf: Leaf, groups: Sequence[Group]) -> list[str]:
    """Return a note if a leaf holds its pad value at steps that are not padding."""
    for axis, index in (leaf.groups or {}).items() if leaf.kind != "pairs" else ():
        n_inside = int((padded_steps(leaf, axis) & groups[index].valid).sum())
        if n_inside and leaf.kind != "mask":
            return [
                f"{leaf.name!r} holds {leaf.shown_pad} at {n_inside} steps that are not at the padded side: they count as content"
            ]
    return []


def _nothing(leaves: Sequence[Leaf], side: str | None) -> NoPaddingError:
    """Return the error that there is no padding, with what was looked for."""
    looked_at = [f"{leaf.name} {leaf.array.shape} ({leaf.kind}) for {leaf.shown_pad}" for leaf in leaves if _time_axes(leaf)]
    where = {"post": "the end", "pre": "the beginning"}.get(side or "", "either end")
    looked = "; looked at " + ", ".join(looked_at) if looked_at else "; none of them has a time axis"
    seems = " ".join(_other_pad(leaf) for leaf in leaves if leaf.kind == "ids" and leaf.array.ndim == 2)
    msg = f"The inputs must hold padding at {where} of some sample, got none{looked}. {seems}".rstrip()
    return NoPaddingError(msg + " Give sequences of different lengths, or give pad_id, mask_value or padding_side.")


def _other_pad(leaf: Leaf) -> str:
    """Return a question about another id that may be padding: one that is repeated at the end, or the beginning, of samples."""
    for at, where in ((-1, "end"), (0, "begin")):
        values, counts = np.unique(leaf.array[:, at], return_counts=True)
        likely = int(values[counts.argmax()])
        in_a_row = runs(leaf.array == likely, "post" if at else "pre")
        if leaf.array.shape[1] > 1 and (in_a_row > 1).any() and len(np.unique(in_a_row)) > 1:
            return f"Samples of {leaf.name!r} {where} with several {likely}: is that the pad_id?"
    return ""


def _nothing_else(leaves: Sequence[Leaf], _: str | None) -> ArgumentError:
    """Return the error that everything is padding."""
    name = next(leaf.name for leaf in leaves if _is_all_padding(leaf))
    msg = f"The inputs must hold something besides padding, {name!r} is padding everywhere. Check pad_id and mask_value."
    return ArgumentError(msg)
