"""Tries a model with inputs of several sizes, to find which inputs are sequences, and which of these belong together."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.running import CallError, explained, quietly
from masklib.auditing.borrowing.unchanged import unchanged
from masklib.auditing.inputs.signature import Slot
from masklib.auditing.inputs.uses import Use, uses_of
from masklib.auditing.tracing.watch import CallRecord, Keep, record

Array = NDArray[Any]

STEPS = 9  # if the model does not fix them
PARTS = 4  # steps of axis 1, if each of them may be a sequence itself
SAMPLES = 3
LENGTHS = (3, 5, 8)  # tried in an input that may hold the lengths of sequences


@dataclass
class Trial:
    """A model that is called with inputs of different sizes.

    Attributes:
        model: built, functional, sequential or subclassed.
        slots: its inputs.
        pack: builds what the model takes from arrays.
        uses: what its layers do with each input.
        sizes: of the axes of each input after the samples, with which the model can be called.
        works: whether the model took inputs of these sizes.
    """

    model: Any
    slots: Sequence[Slot]
    pack: Callable[[Sequence[Array]], Any]
    uses: list[Use] = field(default_factory=list)
    sizes: list[tuple[int, ...]] = field(default_factory=list)
    works: bool = False

    def begin(self) -> "Trial":
        """Find sizes that the model takes, and what its layers do with each input."""
        for sizes in self._first_sizes():
            for values in (2, 1):  # an Embedding of one row takes zeros only
                rng = np.random.default_rng(5)
                arrays = [self._numbers(slot, own, values, rng) for slot, own in zip(self.slots, sizes, strict=True)]
                records = self._record(arrays)
                if records is not None:
                    self.sizes, self.uses, self.works = sizes, uses_of(records, arrays), True
                    return self
        self.sizes, self.uses = self._first_sizes()[0], [Use() for _ in self.slots]
        return self

    def look_closer(self, other_steps: Mapping[int, int] | None = None) -> tuple[list[Array], list[CallRecord]]:
        """Return inputs that show their roles, and the record of a call with them; empty lists if the model does not take them.

        Ids are drawn from all rows, floats end with zeros, and possible lengths are different for each sample.

        Args:
            other_steps: by index of an input, its number of steps; None: as found.
        """
        rng = np.random.default_rng(6)
        steps = other_steps or {}
        arrays = [self._revealing(i, self._with_steps(i, steps[i]) if i in steps else self.sizes[i], rng) for i in self._indices]
        records = self._record(arrays) if self.works else None
        return ([], []) if records is None else (arrays, records)

    def takes_other_steps(self, which: Collection[int]) -> bool:
        """Return whether the model takes these inputs with more steps or fewer, and the other inputs unchanged."""
        return self.works and any(self._takes_steps(which, more) for more in (2, -2))

    def _takes_steps(self, which: Collection[int], more: int) -> bool:
        """Return whether the model takes these inputs with `more` more steps."""
        sizes = [self._with_steps(i, self.sizes[i][0] + more) if i in which else self.sizes[i] for i in self._indices]
        rng = np.random.default_rng(7)
        values = [min(2, use.rows or 2) for use in self.uses]
        arrays = [self._numbers(*one, rng) for one in zip(self.slots, sizes, values, strict=True)]
        return self._record(arrays) is not None

    @property
    def _indices(self) -> range:
        """Return the index of each input."""
        return range(len(self.slots))

    def is_of_pairs(self, index: int) -> bool:
        """Return whether the model takes an input with two free axes only as a square of steps."""
        return self.works and self.slots[index].is_square and self.sizes[index][0] == self.sizes[index][1]

    def _with_steps(self, index: int, steps: int) -> tuple[int, ...]:
        """Return the sizes of an input with this number of steps."""
        own = self.sizes[index]
        return (steps, steps, *own[2:]) if self.is_of_pairs(index) else (steps, *own[1:])

    def _record(self, arrays: Sequence[Array]) -> list[CallRecord] | None:
        """Return the record of a call with these arrays; None if the model does not take them."""
        try:
            with explained(), unchanged(self.model), quietly():
                return record(self.model, self.pack(arrays), keep=Keep.MARKS)
        except CallError:
            return None

    def _first_sizes(self) -> list[list[tuple[int, ...]]]:
        """Return sizes to try: two free axes may be steps within steps, or pairs of steps."""
        as_parts, as_pairs = ([_sizes(slot, first) for slot in self.slots] for first in (PARTS, STEPS))
        return [as_parts] if as_parts == as_pairs else [as_parts, as_pairs]

    def _numbers(self, slot: Slot, sizes: tuple[int, ...], values: int, rng: np.random.Generator) -> Array:
        """Return integers below `values` for an input, in its dtype."""
        return rng.integers(0, values, _shape(slot, sizes)).astype(slot.dtype or "int32")

    def _revealing(self, index: int, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Return an array that shows the role of an input."""
        slot, rows = self.slots[index], self.uses[index].rows
        shape, dtype = _shape(slot, sizes), slot.dtype or "int32"
        if slot.is_single and rows is None:
            return np.resize(np.roll(LENGTHS, index), shape[0]).reshape(shape).astype(dtype)  # each input holds others
        if rows is not None or slot.is_whole or dtype == "bool":
            return rng.integers(0, 2 if rows is None else rows, shape).astype(dtype)
        ends = np.resize([sizes[0], *LENGTHS], shape[0])
        return rng.normal(size=shape).astype(dtype) * within(ends, sizes[0]).reshape(*shape[:2], *[1] * (len(shape) - 2))


def within(lengths: Array, steps: int) -> NDArray[np.bool_]:
    """Return which steps are within lengths (B,), bool (B, T)."""
    return np.asarray(np.arange(steps) < np.asarray(lengths)[:, None])


def _shape(slot: Slot, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an array for an input."""
    return (slot.shape[0] if slot.shape and slot.shape[0] else SAMPLES, *sizes)


def _sizes(slot: Slot, first: int) -> tuple[int, ...]:
    """Return the sizes of an input after the samples; the first of two free axes has the size `first`."""
    inner = [STEPS if size is None else size for size in slot.shape[1:]]
    return (first, *inner[1:]) if slot.is_square else tuple(inner)
