"""The records of the watched calls, without Keras's own computation of masks and without repetitions."""

import warnings
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib import compat
from masklib.auditing.borrowing.tensors import tensors_of, to_array
from masklib.auditing.tracing.calls import COMPUTATION, CallRecord, Keep, OpenCall, Passing
from masklib.auditing.tracing.replay import children_of, differing, lets_through
from masklib.auditing.tracing.signature import is_of_keras, mask_arguments, takes_mask
from masklib.auditing.tracing.steps import keeps_steps

Array = NDArray[Any]


def build_records(calls: Sequence[OpenCall], model: Any, keep: Keep) -> list[CallRecord]:
    """Return a record of each call that was watched, in the order in which they began.

    Args:
        calls: as they were watched, including that of the model itself, which gets no record.
        model: that was called.
        keep: which inputs and outputs of calls are kept as arrays.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # already given once
        passes = _passes(calls)
    left_out = _repetitions(calls) | _masks_of_graphs(calls) | {i for i, found in passes.items() if found is None}
    kept = [call for call in calls if call.of is not model and call.index not in left_out]
    places = {call.index: place for place, call in enumerate(kept)}
    paths = _paths(kept, model)
    ends = {id(tensor) for call in calls if call.of is model for tensor in call.outputs}
    arrays = _Arrays(keep)
    return [_record(call, paths[call.index], places, passes, ends, arrays) for call in kept]


class _Arrays:
    """Converts tensors to arrays, the same tensor always to the same array.

    Args:
        keep: which tensors of calls are kept; others are empty arrays.
    """

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._made: dict[int, Array] = {}

    def of(self, call: OpenCall, tensors: Sequence[Any], sources: Sequence[Any] = ()) -> tuple[Array, ...]:
        """Return inputs or outputs of a call as arrays.

        Args:
            call: whose inputs or outputs they are.
            tensors: the inputs or outputs.
            sources: where they come from: the index of a call, or else an input of the model, which is kept.
        """
        if self._keep is Keep.NOTHING:
            return ()
        is_whole = self._keep is Keep.ALL or _marks_steps(call)
        both = zip_longest(tensors, sources, fillvalue=0)
        return tuple(
            self._array(tensor) if is_whole or not isinstance(source, int) or _may_mark(tensor) else np.empty(0, np.float32)
            for tensor, source in both
        )

    def _array(self, tensor: Any) -> Array:
        """Return a tensor as an array."""
        if id(tensor) not in self._made:
            self._made[id(tensor)] = to_array(tensor)
        return self._made[id(tensor)]


def _marks_steps(call: OpenCall) -> bool:
    """Return whether a call looks up ids, makes a mask or loses one."""
    before, after = (any(mask is not None for mask in masks) for masks in (call.masks_in, call.masks_out))
    return before != after or isinstance(call.of, keras.layers.Embedding)


def _may_mark(tensor: Any) -> bool:
    """Return whether a tensor holds integers or booleans, or one number per step."""
    inner = [size for size in compat.static_shape(tensor)[1:] if size != 1]
    return len(inner) < 2 or "float" not in keras.backend.standardize_dtype(tensor.dtype)


def _paths(calls: Sequence[OpenCall], model: Any) -> dict[int, str]:
    """Return the path of each call; repeated paths are numbered."""
    paths: dict[int, str] = {}
    counts: dict[str, int] = {}
    for call in calls:
        name = call.of if isinstance(call.of, str) else call.of.name
        parent = call.parent
        path = name if parent is None or parent.of is model else f"{paths[parent.index]}/{name}"
        counts[path] = counts.get(path, 0) + 1
        paths[call.index] = f"{path}#{counts[path]}" if counts[path] > 1 else path
    return paths


def _record(
    call: OpenCall, path: str, places: dict[int, int], passes: dict[int, Passing | None], ends: set[int], arrays: _Arrays
) -> CallRecord:
    """Return the record of a call."""
    is_call = not isinstance(call.of, str)
    return CallRecord(
        path=path,
        layer=type(call.of).__name__ if is_call else call.of,
        depth=path.count("/"),
        operation=call.of,
        masks_in=call.masks_in,
        masks_got=call.masks_got,
        masks_out=call.masks_out,
        shapes_in=tuple(compat.static_shape(tensor) for tensor in call.tensors),  # type: ignore[misc] # they have values
        shapes_out=tuple(compat.static_shape(tensor) for tensor in call.outputs),  # type: ignore[misc]
        takes_mask=is_call and takes_mask(call.of),
        warned=call.warned,
        ignores=call.ignores,
        unmasks=call.unmasks,
        passing=passes.get(call.index),
        holds=call.holds,
        sources=tuple(places.get(source) if isinstance(source, int) else source for source in call.sources),
        ends=any(id(tensor) in ends for tensor in call.outputs),
        inputs=arrays.of(call, call.tensors, call.sources),
        outputs=arrays.of(call, call.outputs),
    )


def _repetitions(calls: Sequence[OpenCall]) -> set[int]:
    """Return the calls by `TimeDistributed` at all steps after the first."""
    later: set[int] = set()
    for parent, children in children_of(calls):
        if isinstance(parent.of, keras.layers.TimeDistributed):
            steps = compat.static_shape(parent.tensors[0])[1] or 1
            later |= {call.index for call in children[len(children) // steps :]} if len(children) % steps == 0 else set()
    for call in calls:  # the calls inside them are later in the list
        if call.parent is not None and call.parent.index in later:
            later.add(call.index)
    return later


def _masks_of_graphs(calls: Sequence[OpenCall]) -> set[int]:
    """Return the operations by which a functional model computes its masks: nothing else uses their outputs."""
    used = {id(tensor) for call in calls if call.holds for tensor in call.outputs}
    of_masks: set[int] = set()
    for call in reversed(calls):
        made = {id(tensor) for tensor in call.outputs}
        is_operation = not isinstance(call.of, (str, keras.layers.Layer)) and call.parent is not None
        if is_operation and is_of_keras(call.of) and made.isdisjoint(used):
            of_masks.add(call.index)
        else:
            used |= {id(tensor) for tensor in (*call.tensors, *_own_masks(call))}
    return of_masks


def _own_masks(call: OpenCall) -> list[Any]:
    """Return the masks that the model's author passes to a layer, such as `attention_mask`."""
    if isinstance(call.of, str) or not isinstance(call.of, keras.layers.Layer):
        return []
    filled = mask_arguments(call.of)
    return tensors_of({name: value for name, value in call.arguments[1].items() if name.endswith("_mask") and name not in filled})


def _passes(calls: Sequence[OpenCall]) -> dict[int, Passing | None]:
    """Return what reaches the output of each call that lost a mask; None for a computation without masked inputs."""
    found: dict[int, Passing | None] = {}
    for parent, children in children_of(calls):
        between = [call for call in children if call.of == COMPUTATION]
        if between:
            found |= _passes_between(parent, [call for call in children if call.of != COMPUTATION], between)
    for call in calls:
        lost = any(mask is not None for mask in call.masks_in) and all(mask is None for mask in call.masks_out)
        got = any(mask is not None for mask in call.masks_got)
        if lost and call.of != COMPUTATION and not call.holds and call.outputs and (call.warned or not got):
            masked = lets_through(call, everywhere=False)
            found[call.index] = Passing(masked, masked or lets_through(call, everywhere=True))
    return found


def _passes_between(parent: OpenCall, children: Sequence[OpenCall], between: Sequence[OpenCall]) -> dict[int, Passing | None]:
    """Return the same for computations in one call; one that keeps the steps loses the mask even if no masked content passes."""
    tensors = [tensor for call in between for tensor in tensors_of(call.returned)]
    passing = differing(parent, children, tensors, everywhere=False)
    made_from = passing if passing is None or all(passing) else differing(parent, children, tensors, everywhere=True)
    if passing is None or made_from is None:
        return {call.index: Passing(True, True) if _keeps_steps(call, passes=True) else None for call in between}
    return {
        call.index: Passing(passes, uses) if passes or (uses and _keeps_steps(call, passes=False)) else None
        for call, passes, uses in zip(between, passing, made_from, strict=True)
    }


def _keeps_steps(call: OpenCall, *, passes: bool) -> bool:
    """Return whether an output of a call has the steps of a mask before it."""
    before, after = ([tuple(tensor.shape) for tensor in tensors] for tensors in (call.tensors, call.outputs))
    return keeps_steps(before, after, [mask for mask in call.masks_in if mask is not None], passes=passes)
