"""What each input of a model is: a sequence, the mask or the lengths of one, pairs of its steps, or not a sequence.

This is found by trying: which inputs can be made longer alone, and whether a mask of the steps of one input is made from the
values of another. The names of inputs are used only if that does not decide it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.inputs.uses import reads
from masklib.auditing.tracing.watch import CallRecord

Array = NDArray[Any]
SPATIAL = re.compile(r"^(?!ConvLSTM).*(2D|3D)(Transpose)?$")  # layers of pictures
PRODUCTS = ("Matmul", "Einsum", "Dot")  # operations by which attention can be written
COLOURS = 4  # the most channels of a picture


@dataclass(frozen=True)
class Role:
    """What one input is.

    Attributes:
        kind: "sequence", "mask", "lengths", "pairs" (of steps, such as an adjacency matrix), or "plain" (not a sequence).
        family: number of the family, which are the inputs with the same steps; -1 for a plain one.
        tied: the family that must have equally many steps, although other steps are valid; None: there is none.
        why: why the role is this, for a sentence; "" if the signature says it.
    """

    kind: str
    family: int = 0
    why: str = ""
    tied: int | None = None

    @property
    def is_of_steps(self) -> bool:
        """Return whether the input has a time axis."""
        return self.kind in ("sequence", "mask", "pairs")


def masks_in(records: Sequence[CallRecord]) -> list[Array]:
    """Return all arrays in a record that may be masks: arrays (B, T) of two values, as bool."""
    found: dict[int, Array] = {}
    for call in records:
        for array in (*call.masks_in, *call.masks_got, *call.masks_out, *call.inputs, *call.outputs):
            if array is not None and id(array) not in found:
                for mask in _as_masks(array):
                    found[id(array)] = mask
    return list(found.values())


def steps_marked_by(lengths: Array, masks: Sequence[Array]) -> int | None:
    """Return the number of steps of a mask (B, T) that marks the steps within these lengths, or beyond them; None without one."""
    lengths = np.ravel(lengths).astype(float)
    if len(np.unique(lengths)) < 2:
        return None
    for mask in masks:
        if len(mask) == len(lengths) and mask.shape[1] > 1:
            within = np.arange(mask.shape[1]) < lengths[:, None]
            if within.any(axis=1).all() and not within.all() and (np.array_equal(mask, within) or np.array_equal(mask, ~within)):
                return int(mask.shape[1])
    return None


def ids_marked_by(ids: Array, masks: Sequence[Array]) -> int | None:
    """Return the one id that a mask distinguishes from all others in ids (B, T): the model's own padding; None without one."""
    values = np.unique(ids)
    alike = [mask for mask in masks if mask.shape == ids.shape]
    found = {int(v) for v in values for mask in alike if np.array_equal(mask, ids != v) or np.array_equal(mask, ids == v)}
    if len(values) <= 2 or not found:
        return None
    return 0 if 0 in found else min(found) if len(found) == 1 else None


def is_picture(array: Array, records: Sequence[CallRecord], free: tuple[bool, bool]) -> bool:
    """Return whether an input (B, H, W, ...) is a picture: a layer for pictures uses its two axes.

    Args:
        array: as the input was given.
        records: of the calls with it.
        free: whether each of its two axes has no fixed length; a spectrogram is free along one of them.
    """
    if array.ndim < 3 or free[0] != free[1]:
        return False
    if array.ndim == 4 and not any(free) and array.shape[-1] <= COLOURS:
        return True
    after = _after(array, records)
    return any(SPATIAL.match(call.layer) and _has_axes(call, array.shape[1:3]) for call in after)


def attended_pairs(arrays: Sequence[Array], records: Sequence[CallRecord]) -> set[frozenset[int]]:
    """Return the pairs of inputs of which one attends to the other, before anything is computed from both.

    An example is a target that attends to a source. Their lengths differ, even if the model needs equally many steps of both.

    Args:
        arrays: the inputs.
        records: of the calls with them.
    """
    found: set[frozenset[int]] = set()
    origins: list[frozenset[int]] = []
    for call in records:
        sources = zip(call.sources, call.inputs, strict=True)
        known = [one for one in (_origins(source, array, arrays, origins) for source, array in sources) if one]
        origins.append(frozenset().union(*known))
        if _relates(call) and len(known) > 1 and known[0].isdisjoint(known[1]):
            found |= {frozenset({one, other}) for one in known[0] for other in known[1]}
    return found


def _origins(source: Any, array: Array, arrays: Sequence[Array], origins: Sequence[frozenset[int]]) -> frozenset[int]:
    """Return the inputs from which one input of a call is computed."""
    if isinstance(source, int):
        return origins[source] if source < len(origins) else frozenset()
    alike = (index for index, one in enumerate(arrays) if one.size == array.size and np.array_equal(one.ravel(), array.ravel()))
    return frozenset(alike)


def _relates(call: CallRecord) -> bool:
    """Return whether a call relates each step of one tensor to each step of another: attention, or a product of two sequences."""
    if isinstance(call.operation, str) or len(call.shapes_in) < 2 or any(len(shape) < 3 for shape in call.shapes_in[:2]):
        return False
    return call.layer in PRODUCTS or "use_causal_mask" in signature(type(call.operation).call).parameters


def _as_masks(array: Array) -> list[Array]:
    """Return an array as a mask (B, T), if it can be one: it is bool or has two values, when axes of size 1 are left out."""
    if array.ndim < 2 or array.size > 1_000_000:
        return []
    squeezed = array.reshape(len(array), *[size for size in array.shape[1:] if size != 1])
    if squeezed.ndim != 2 or squeezed.shape[1] < 2:
        return []
    if squeezed.dtype.kind == "b":
        return [squeezed]
    values = np.unique(squeezed)
    return [squeezed == values[-1]] if len(values) == 2 else []


def _after(array: Array, records: Sequence[CallRecord]) -> list[CallRecord]:
    """Return the calls that are computed from an input."""
    reached: set[int] = set()
    for index, call in enumerate(records):
        if reads(call, array) or reached.intersection(source for source in call.sources if isinstance(source, int)):
            reached.add(index)
    return [records[index] for index in sorted(reached)]


def _has_axes(call: CallRecord, sizes: tuple[int, ...]) -> bool:
    """Return whether a call gets an array with axes of these sizes after the samples."""
    return any(shape[1:3] == sizes for shape in call.shapes_in)
