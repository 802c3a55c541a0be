"""Variants of the same samples: with longer padding, without padding, in another order, with other samples in the batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.wild.specimens import Array, Batch, Padded, Specimen

FURTHER = 3  # steps of padding that are added, in units of `Specimen.multiple`


def flatten(structure: Any) -> list[Any]:
    """Return what nested dicts, lists and tuples hold, dicts in the order of their sorted names."""
    if isinstance(structure, dict):
        return [leaf for name in sorted(structure) for leaf in flatten(structure[name])]
    if isinstance(structure, (list, tuple)):
        return [leaf for one in structure for leaf in flatten(one)]
    return [structure]


class Variants:
    """Makes variants of the batch of a specimen."""

    def __init__(self, specimen: Specimen) -> None:
        self.specimen = specimen
        self.batch = specimen.feed()
        self.all = tuple(range(specimen.n_samples))

    def further(self, samples: Sequence[int] | None = None) -> Batch:
        """Return the batch with more padding, or some of its samples."""
        return self._apply(lambda array, padded: _lengthen(array, padded, FURTHER * self.specimen.multiple), self.take(samples))

    def own(self, samples: Sequence[int]) -> Batch:
        """Return some samples, without the padding that all of them have."""
        return self._apply(lambda array, padded: self._cut(array, padded, samples), self.take(samples))

    def take(self, samples: Sequence[int] | None) -> Batch:
        """Return some samples with the padding of the whole batch."""
        chosen = list(self.all if samples is None else samples)
        return self._apply(lambda array, _: array[chosen], self.batch)

    def valid(self, outputs: Sequence[Array], samples: Sequence[int], sample: int) -> list[Array]:
        """Return what outputs hold at the valid steps of one sample of a batch."""
        row = list(samples).index(sample)
        return [
            output[row] if padded is None else self._valid(output[row : row + 1], padded, sample)[0]
            for output, padded in zip(outputs, self.specimen.outputs, strict=True)
        ]

    def _valid(self, array: Array, padded: Padded, sample: int) -> Array:
        """Return the valid steps of one sample, along each axis that can be padded."""
        for axis, sequence in padded.axes.items():
            array = _slice(array, axis, self.specimen.lengths[sequence][sample], padded.side)
        return array

    def _cut(self, array: Array, padded: Padded | None, samples: Sequence[int]) -> Array:
        """Return an array without the padding that all samples have."""
        if padded is None or self.specimen.fixed:
            return array
        step = self.specimen.multiple
        for axis, sequence in padded.axes.items():
            longest = max(max(self.specimen.lengths[sequence][one] for one in samples), self.specimen.least)
            array = _slice(array, axis, -(-longest // step) * step, padded.side)
        return array

    def _apply(self, change: Any, batch: Batch) -> Batch:
        """Return a batch with all its arrays changed."""
        one = self.specimen
        return Batch(*(_zip(change, part, facts) for part, facts in zip(batch, (one.x, one.y, one.weights), strict=True)))


def _zip(change: Any, arrays: Any, facts: Any) -> Any:
    """Return the structure of arrays, each changed according to the fact at its place; no facts: none has padding."""
    if arrays is None:
        return None
    if isinstance(arrays, dict):
        return {name: _zip(change, one, facts[name] if facts is not None else None) for name, one in arrays.items()}
    if isinstance(arrays, (list, tuple)):
        return type(arrays)(_zip(change, one, facts[i] if facts is not None else None) for i, one in enumerate(arrays))
    return change(arrays, facts)


def _lengthen(array: Array, padded: Padded | None, by: int) -> Array:
    """Return an array with more padding on its side."""
    if padded is None:
        return array
    for axis in padded.axes:
        shape = (*array.shape[:axis], by, *array.shape[axis + 1 :])
        padding = np.broadcast_to(np.asarray(padded.value, dtype=array.dtype), shape)
        array = np.concatenate([padding, array] if padded.side == "pre" else [array, padding], axis)
    return array


def _slice(array: Array, axis: int, length: int, side: str) -> Array:
    """Return `length` steps of an array, from the side where the content is."""
    n_steps = array.shape[axis]
    start = n_steps - length if side == "pre" else 0
    return array[(slice(None),) * axis + (slice(max(start, 0), start + length),)]
