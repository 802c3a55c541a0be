"""Variants of a batch: with more padding, without padding, or with other content where it must make no difference.

Each function takes a `batch.Batch` and returns a new one, or something about it; the given batch is not changed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.inputs.batch import Batch, Group, Leaf, valid_of

Array = NDArray[Any]


def extra_steps(batch: Batch) -> int:
    """Return by how many steps padding is made longer: enough to show an effect, and few, so that it is fast."""
    return max(4, max(group.steps for group in batch.groups) // 4)


def longer(batch: Batch, which: Sequence[int], steps: int) -> Batch:
    """Return the batch with padding made longer by `steps` in these groups; the groups are those of the longer arrays."""
    arrays = []
    for leaf in batch.leaves:
        array = leaf.array
        for group in which:
            for axis in leaf.axes_of(group):
                array = _padded(array, axis, steps, batch.groups[group].side, leaf.pad)
        arrays.append(array)
    groups = tuple(_longer_group(group, index, batch, which, steps) for index, group in enumerate(batch.groups))
    return replace(batch.having(arrays), groups=groups)


def merged(batch: Batch, which: Sequence[int]) -> Batch:
    """Return the batch with some groups joined; a step of the new group is valid where a step of any of them is."""
    alike = [batch.groups[index] for index in which]
    valid = np.logical_or.reduce([one.valid for one in alike])
    kept = [index for index in range(len(batch.groups)) if index not in which]
    place = {index: kept.index(index) for index in kept} | dict.fromkeys(which, len(kept))
    leaves = tuple(
        replace(leaf, groups={axis: place[index] for axis, index in (leaf.groups or {}).items()}) for leaf in batch.leaves
    )
    one = replace(alike[0], name=", ".join(group.name for group in alike), valid=valid)
    return replace(batch, leaves=leaves, groups=(*(batch.groups[index] for index in kept), one))


def select(batch: Batch, samples: Sequence[int] | Array) -> Batch:
    """Return some samples of the batch, in this order."""
    index = np.asarray(samples, dtype=int)
    groups = tuple(replace(group, valid=group.valid[index]) for group in batch.groups)
    return replace(batch.having([leaf.array[index] for leaf in batch.leaves]), groups=groups)


def own_lengths(batch: Batch) -> Array:
    """Return for each sample its length in each group, (B, n_groups); for steps within steps, the largest length."""
    return np.stack([group.lengths.reshape(batch.samples, -1).max(axis=1) for group in batch.groups], axis=1)


def without_padding(batch: Batch, samples: Sequence[int]) -> Batch:
    """Return samples that have the same lengths, cut to these lengths."""
    chosen = select(batch, samples)
    lengths = own_lengths(chosen)[0]
    arrays = []
    for leaf in chosen.leaves:
        array = leaf.array
        for axis, group in (leaf.groups or {}).items():
            array = _cut(array, axis, int(lengths[group]), chosen.groups[group].side)
        arrays.append(array)
    groups = tuple(_cut_group(group, index, chosen, lengths) for index, group in enumerate(chosen.groups))
    return replace(chosen.having(arrays), groups=groups)


def by_length(batch: Batch, most: int = 4) -> list[list[int]]:
    """Return the padded samples by their lengths, at most `most` groups, from the shortest to the longest; no empty sample."""
    lengths = own_lengths(batch)
    found: dict[tuple[int, ...], list[int]] = {}
    for sample, own in enumerate(lengths):
        if own.min() > 0 and any(n < group.steps for n, group in zip(own, batch.groups, strict=True)):
            found.setdefault(tuple(own), []).append(sample)
    ordered = [found[key] for key in sorted(found)]
    if len(ordered) <= most:
        return ordered
    return [ordered[i] for i in sorted({round(x) for x in np.linspace(0, len(ordered) - 1, most)})]


def with_mates(batch: Batch) -> tuple[Batch, list[int]]:
    """Return the batch with every second sample replaced by another one, and the indices of those that are kept."""
    kept = list(range(0, batch.samples, 2))
    order = np.arange(batch.samples)
    order[1::2] = np.roll(kept, -1)[: batch.samples // 2]
    return select(batch, order), kept


def with_an_empty_sample(batch: Batch) -> Batch:
    """Return the batch with only padding in its first sample."""
    arrays = []
    for leaf in batch.leaves:
        array = leaf.array.copy()
        if leaf.groups or leaf.kind == "lengths":
            array[0] = leaf.pad if leaf.groups else 0
        arrays.append(array)
    return batch.having(arrays)


def padding_of(leaf: Leaf, batch: Batch) -> NDArray[np.bool_] | None:
    """Return which elements of a leaf are padding, bool of its shape; None if it has no time axis."""
    if not leaf.groups:
        return None
    is_pad = np.zeros(leaf.array.shape, bool)
    for axis, group in leaf.groups.items():
        valid = batch.groups[group].valid
        before = axis - batch.groups[group].axis  # for pairs: the other step of the pair
        shape = (len(valid), *[1] * before, *valid.shape[1:], *[1] * (leaf.array.ndim - valid.ndim - before))
        is_pad |= ~valid.reshape(shape)
    return is_pad


def is_known_otherwise(leaf: Leaf, batch: Batch) -> bool:
    """Return whether something other than this leaf's content says which of its steps are padding."""
    if leaf.masked or leaf.kind != "floats" or not leaf.groups:
        return False
    groups = set(leaf.groups.values())
    by_lengths = any(other.kind == "lengths" for other in batch.leaves)
    beside = (other for other in batch.leaves if other is not leaf and (other.masked or other.kind in ("ids", "mask")))
    return by_lengths or any(groups <= set((other.groups or {}).values()) for other in beside)


def with_garbage(batch: Batch, names: Sequence[str], seed: int) -> Batch:
    """Return the batch with other numbers at the padded steps of these leaves of floats, of a similar scale as their content."""
    rng = np.random.default_rng([seed, 1])
    arrays = []
    for leaf in batch.leaves:
        is_pad = padding_of(leaf, batch)
        if leaf.name not in names or is_pad is None:
            arrays.append(leaf.array)
            continue
        content = leaf.array[~is_pad].astype(float)
        garbage = rng.normal(0.0, 3.0 * (content.std() or 1.0), leaf.array.shape)
        arrays.append(np.where(is_pad, garbage, leaf.array).astype(leaf.array.dtype))
    return batch.having(arrays)


def with_other_later_steps(batch: Batch, group: int, seed: int, only: str = "") -> tuple[Batch, NDArray[np.bool_]]:
    """Return the batch with other content at the later half of each sample's valid steps, and the steps before them (B, T).

    This is done in the leaf named `only`; by default in every leaf that has these steps.

    Content comes from valid steps of the same leaf, so that it is possible input of the model. A sample of one step keeps it.
    """
    rng = np.random.default_rng([seed, 2])
    valid = batch.groups[group].valid
    rank = np.cumsum(valid, axis=1)
    early = valid & (rank <= (batch.groups[group].lengths[:, None] + 1) // 2)
    later = valid & ~early
    arrays = [
        _other_content(leaf, group, later, valid, rng) if leaf.name == only or not only else leaf.array for leaf in batch.leaves
    ]
    return batch.having(arrays), early


def moved_on(batch: Batch, by: int) -> Batch:
    """Return the batch with the content of each valid step moved on by so many valid steps, also into the next sample.

    So each leaf of steps holds other content, which is possible input of the model, and the same padding.
    """
    arrays = []
    for leaf in batch.leaves:
        array, is_pad = leaf.array, padding_of(leaf, batch)
        if leaf.groups and is_pad is not None and leaf.kind in ("ids", "floats"):
            array = array.copy()
            array[~is_pad] = np.roll(array[~is_pad], by * int(np.prod(array.shape[max(leaf.groups) + 1 :])))
        arrays.append(array)
    return batch.having(arrays)


def has_steps(leaf: Leaf, group: int) -> bool:
    """Return whether a leaf holds the content of the steps of a group, and not their mask or lengths."""
    return leaf.kind in ("ids", "floats") and 1 in leaf.axes_of(group)


def _other_content(leaf: Leaf, group: int, chosen: Array, valid: Array, rng: np.random.Generator) -> Array:
    """Return a leaf's array with other valid content at chosen steps (B, T)."""
    if not has_steps(leaf, group):
        return leaf.array
    array = leaf.array.copy()
    pool = leaf.array[valid]
    if leaf.kind == "floats":
        array[chosen] = -pool[rng.integers(len(pool), size=int(chosen.sum()))] + pool.mean().astype(array.dtype)
        return array
    values = np.unique(pool)
    moved = rng.integers(1, max(len(values), 2), size=array[chosen].shape)
    array[chosen] = values[(np.searchsorted(values, array[chosen]) + moved) % len(values)]
    return array


def _padded(array: Array, axis: int, steps: int, side: str, value: Any) -> Array:
    """Return an array with more padded steps at one side of an axis; `value` is one number, or one for each feature."""
    shape = (*array.shape[:axis], steps, *array.shape[axis + 1 :])
    extra = np.broadcast_to(np.asarray(value).astype(array.dtype), shape)
    return np.concatenate([array, extra] if side == "post" else [extra, array], axis=axis)


def _cut(array: Array, axis: int, steps: int, side: str) -> Array:
    """Return the first steps of an axis, or the last ones if padding is before the sequence."""
    return np.take(array, range(steps) if side == "post" else range(array.shape[axis] - steps, array.shape[axis]), axis=axis)


def _longer_group(group: Group, index: int, batch: Batch, which: Sequence[int], steps: int) -> Group:
    """Return a group for a batch whose groups `which` are longer by `steps`."""
    valid = group.valid
    if index in which:
        valid = valid_of(group.lengths, group.steps + steps, group.side)
    for other in which:
        if group.axis == 2 and batch.groups[other].axis == 1 and _share_leaf(batch, index, other):
            valid = _padded(valid, 1, steps, batch.groups[other].side, 0.0)
    return replace(group, valid=valid)


def _cut_group(group: Group, index: int, batch: Batch, lengths: Array) -> Group:
    """Return a group for a batch that is cut to these lengths."""
    valid = _cut(group.valid, group.valid.ndim - 1, int(lengths[index]), group.side)
    for other, outer in enumerate(batch.groups):
        if group.axis == 2 and outer.axis == 1 and _share_leaf(batch, index, other):
            valid = _cut(valid, 1, int(lengths[other]), outer.side)
    return replace(group, valid=valid)


def _share_leaf(batch: Batch, inner: int, outer: int) -> bool:
    """Return whether some leaf has axes of both groups."""
    return any({inner, outer} <= set((leaf.groups or {}).values()) for leaf in batch.leaves)
