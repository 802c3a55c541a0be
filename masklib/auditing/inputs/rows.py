"""Rows of different lengths, such as those of a ragged tensor, as one padded array."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.errors import ArgumentError

Array = NDArray[Any]


@dataclass(frozen=True)
class Filling:
    """The values with which shorter rows are padded, and the side.

    Attributes:
        ids: for integers.
        floats: for other numbers.
        targets: for targets and weights.
        side: "post" or "pre".
    """

    ids: float = 0
    floats: float = 0.0
    targets: float = 0.0
    side: str = "post"

    def of(self, dtype: np.dtype[Any]) -> Any:
        """Return the value with which rows of this dtype are padded."""
        if dtype.kind in "OUS":
            return b"" if dtype.kind == "S" else ""
        return False if dtype.kind == "b" else self.ids if dtype.kind in "iu" else self.floats

    def of_targets(self) -> "Filling":
        """Return the filling of targets."""
        return replace(self, ids=self.targets, floats=self.targets)

    def note(self, name: str, array: Array) -> str:
        """Return the sentence that says how an array was padded."""
        where = "after" if self.side == "post" else "before"
        return f"the rows of {name} have different lengths: they were padded with {self.of(array.dtype)!r} {where} their content"


def is_rows(things: Sequence[Any], count: int) -> bool:
    """Return whether a list is the rows of one array, and not several arrays.

    Args:
        things: numbers, texts, lists or arrays.
        count: how many arrays there should be; 0 if that is not known.
    """
    if not things or (count > 1 and len(things) == count):
        return False
    if all(map(_is_of_numbers, things)):
        return True
    return count == 1 and len(things) > 1 and _are_steps(things)


def filled(rows: Sequence[Any], filling: Filling) -> tuple[Array, bool]:
    """Return rows as one array, and whether some were padded.

    Raises:
        ArgumentError: some hold numbers where others hold rows.
    """
    leaves = _leaves(rows)
    if len({len(at) for at, _ in leaves}) > 1:
        msg = "Rows must all be lists of numbers, or all be lists of rows with equally many features, got a mixture of both."
        raise ArgumentError(msg + " Give arrays.")
    dtype = np.result_type(*{np.asarray(one).dtype for _, one in leaves}) if leaves else np.dtype(np.int64)
    sizes = _sizes(rows)
    array = np.full(sizes, filling.of(dtype), dtype="O" if dtype.kind in "US" else dtype)
    shifts = {} if filling.side == "post" else _shifts(rows, sizes)
    for at, one in leaves:
        array[tuple(index + shifts.get(at[:axis], 0) for axis, index in enumerate(at))] = one
    return array, len(leaves) < int(np.prod(sizes))


def _is_of_numbers(thing: Any) -> bool:
    """Return whether this is a number or text, or a nested list of only these."""
    return all(map(_is_of_numbers, thing)) if isinstance(thing, (list, tuple)) else bool(np.isscalar(thing))


def _are_steps(things: Sequence[Any]) -> bool:
    """Return whether arrays or tensors are rows of steps with the same features."""
    shapes = [tuple(np.shape(one)) for one in things]
    return len({shape[1:] for shape in shapes}) == 1 and all(shapes)


def _is_row(thing: Any) -> bool:
    """Return whether this holds steps: a list, or an array of any library."""
    return isinstance(thing, (list, tuple)) or (hasattr(thing, "shape") and len(thing.shape) > 0)


def _leaves(rows: Any, at: tuple[int, ...] = ()) -> list[tuple[tuple[int, ...], Any]]:
    """Return the numbers in rows, each with its index."""
    found: list[tuple[tuple[int, ...], Any]] = []
    for index, one in enumerate(rows):
        found += _leaves(one, (*at, index)) if _is_row(one) else [((*at, index), one)]
    return found


def _sizes(rows: Any) -> tuple[int, ...]:
    """Return the size of each axis: that of the longest row."""
    inner = [_sizes(one) for one in rows if _is_row(one)]
    depth = max(map(len, inner), default=0)
    return (len(rows), *(max(sizes[axis] for sizes in inner if len(sizes) > axis) for axis in range(depth)))


def _shifts(rows: Any, sizes: tuple[int, ...], at: tuple[int, ...] = ()) -> dict[tuple[int, ...], int]:
    """Return for each row, by its index, the number of steps by which padding before it moves its content."""
    found = {at: sizes[0] - len(rows) if at else 0}
    for index, one in enumerate(rows):
        if _is_row(one):
            found |= _shifts(one, sizes[1:], (*at, index))
    return found
