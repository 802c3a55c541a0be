"""How much two results of a model differ where padding must make no difference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.inputs.batch import Batch, valid_of

Array = NDArray[Any]
Axes = Mapping[int, int]  # for each time axis of a result, the index of its group


class ShapeError(Exception):
    """Two results cannot be compared: the change of padding does not explain why a size differs."""


@dataclass(frozen=True)
class Distance:
    """How much two results differ.

    Attributes:
        size: largest absolute difference; inf where one number is finite and the other is not.
        scale: largest absolute number of the first result.
        at: index of the largest difference.
        first: the number at this index in the first result.
        second: the number at this index in the second result.
    """

    size: float
    scale: float
    at: tuple[int, ...] = ()
    first: float = 0.0
    second: float = 0.0

    @property
    def relative(self) -> float:
        """Return the size relative to the scale; relative to 1 if the scale is 0."""
        return self.size / (self.scale or 1.0)


def apart(first: Array, second: Array) -> Distance:
    """Return how much two whole results of the same inputs differ: infinitely if their shapes differ."""
    if first.shape != second.shape:
        return Distance(float("inf"), 1.0)
    return distance(first, second, np.ones(first.shape, bool))


def grown_axes(shape: tuple[int, ...], longer: tuple[int, ...], steps: int) -> list[int]:
    """Return the axes that are longer by `steps`.

    Raises:
        ShapeError: another size differs, or the number of axes.
    """
    if len(shape) != len(longer) or shape[:1] != longer[:1]:
        msg = f"its shape becomes {longer} from {shape} when padding is longer by {steps} steps"
        raise ShapeError(msg)
    other = [b - a for a, b in zip(shape, longer, strict=True) if b - a not in (0, steps)]
    if other:
        msg = f"its time axis becomes longer by {other[0]} steps for {steps} more padded ones: it is not known which are valid"
        raise ShapeError(msg)
    return [axis for axis, (a, b) in enumerate(zip(shape, longer, strict=True)) if b != a]


def crop(array: Array, sizes: tuple[int, ...], axes: Axes, batch: Batch) -> Array:
    """Return an array cut to these sizes, at the padded side.

    Raises:
        ShapeError: an axis that is not time has another size, or a time axis is too short.
    """
    if array.ndim != len(sizes):
        msg = f"its shape becomes {array.shape}, which does not fit {sizes}"
        raise ShapeError(msg)
    index: list[Any] = []
    for axis, (size, found) in enumerate(zip(sizes, array.shape, strict=True)):
        if size != found and (axis not in axes or found < size):
            msg = f"its shape becomes {array.shape}, which does not fit {sizes}"
            raise ShapeError(msg)
        post = axis not in axes or batch.groups[axes[axis]].side == "post"
        index.append(slice(0, size) if post else slice(found - size, found))
    return np.asarray(array[tuple(index)])


def valid_elements(shape: tuple[int, ...], axes: Axes, batch: Batch) -> NDArray[np.bool_]:
    """Return which elements of a result of this shape are of valid steps, broadcastable to it.

    A time axis that is shorter than the inputs' loses valid steps, as a convolution without padding does. A sample that is all
    padding has none.
    """
    valid = np.ones((shape[0], *[1] * (len(shape) - 1)), bool)
    for axis, index in axes.items():
        valid = valid & _of_axis(shape, axis, index, axes, batch)
    empty = np.all([group.lengths.reshape(batch.samples, -1).sum(axis=1) == 0 for group in batch.groups], axis=0)
    return np.asarray(valid & ~empty.reshape(-1, *[1] * (len(shape) - 1)))


def distance(first: Array, second: Array, valid: NDArray[np.bool_] | None = None) -> Distance:
    """Return how far two results of one shape are apart at valid elements."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    where = np.ones(a.shape, bool) if valid is None else np.broadcast_to(valid, a.shape)
    finite = np.isfinite(a) & where
    scale = float(np.abs(a, where=finite, out=np.zeros(a.shape)).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
    apart = np.where(np.isfinite(a) != np.isfinite(b), np.inf, np.where(np.isfinite(a), apart, 0.0))
    apart = np.where(where, apart, 0.0)
    if apart.size == 0:
        return Distance(0.0, 0.0)
    at = np.unravel_index(int(apart.argmax()), apart.shape)
    return Distance(float(apart[at]), scale, tuple(int(i) for i in at), float(a[at]), float(b[at]))


def _of_axis(shape: tuple[int, ...], axis: int, index: int, axes: Axes, batch: Batch) -> NDArray[np.bool_]:
    """Return which elements are valid along one time axis."""
    group = batch.groups[index]
    lengths = np.clip(group.lengths - max(group.steps - shape[axis], 0), 0, shape[axis])
    valid = valid_of(lengths, shape[axis], group.side)
    if group.axis == 1:
        return valid.reshape(shape[0], *[shape[axis] if a == axis else 1 for a in range(1, len(shape))])
    outer = [a for a in axes if a < axis and shape[a] == valid.shape[1]]
    if not outer:
        msg = f"its axis {axis} has steps within steps, but the outer axis is not in shape {shape}"
        raise ShapeError(msg)
    sizes = {outer[-1]: valid.shape[1], axis: shape[axis]}
    return valid.reshape(shape[0], *[sizes.get(a, 1) for a in range(1, len(shape))])
