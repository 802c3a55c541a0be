"""Whether the content of masked steps reaches a result: it is computed again with other content at masked steps.

Python operators and functions on tensors are not calls of Keras. So the `call` that contains them is computed again: the layers
in it return what they returned before, with other numbers at masked steps. What then differs was computed from these numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from masklib.auditing.borrowing.tensors import is_concrete, is_tensor, map_tensors, tensors_of, to_array
from masklib.auditing.tracing.calls import Mask, OpenCall
from masklib.auditing.tracing.hooks import hooked
from masklib.auditing.tracing.signature import without_masks
from masklib.compat.attached import with_mask


class _Differs(Exception):  # noqa: N818 -- not an error of the user
    """The second computation made other calls than the first."""


class Contents:
    """Replaces the contents of tensors, each tensor always by the same contents.

    Args:
        known: by id: tensors and their masks.
        everywhere: whether valid steps are replaced, too; else only masked ones, or all if none is masked.
    """

    def __init__(self, known: dict[int, tuple[Any, Mask | None]], *, everywhere: bool) -> None:
        self._known = known
        self._all = everywhere or all(mask is None or mask.all() for _, mask in known.values())
        self._new: dict[int, Any] = {}
        self._rng = np.random.default_rng(0)

    def of(self, tensor: Any) -> Any:
        """Return a tensor with other contents; the tensor itself if it has no mask."""
        mask = self._known.get(id(tensor), (None, None))[1]
        if mask is None or "float" not in keras.backend.standardize_dtype(tensor.dtype):
            return tensor
        if id(tensor) not in self._new:
            self._new[id(tensor)] = self._make(tensor, mask)
        return self._new[id(tensor)]

    def _make(self, tensor: Any, mask: Mask) -> Any:
        """Return a tensor with other contents and the same mask."""
        array = to_array(tensor)
        noise = (1 + np.abs(array)) * self._rng.uniform(0.5, 1.5, array.shape)
        if not self._all and mask.shape == array.shape[: mask.ndim]:
            noise = np.where(mask.reshape(mask.shape + (1,) * (array.ndim - mask.ndim)), 0, noise)
        new = keras.ops.convert_to_tensor(
            (array + noise).astype(array.dtype), dtype=keras.backend.standardize_dtype(tensor.dtype)
        )
        return with_mask(new, keras.ops.convert_to_tensor(mask))


class _Again:
    """Returns for the calls inside a call what they returned before; it is a `Hook`."""

    def __init__(self, parent: Any, children: Sequence[OpenCall], contents: Contents) -> None:
        self.arrived: dict[int, Any] = {}  # new tensors, by the id of the tensor at the same place before
        self._parent = parent
        self._to_begin = 2  # the parent is reported twice: as a layer, and as an operation
        self._children = iter(children)
        self._contents = contents

    def of_layer(self, original: Callable[..., Any], layer: Any, args: Any, kwargs: Any) -> Any:
        """Return what the layer returned before."""
        if layer is self._parent and self._to_begin == 2:
            self._to_begin = 1
            return original(layer, *args, **kwargs)
        return self._answer(original, layer, args, kwargs, tensors_of((args, without_masks(kwargs))))

    def of_operation(self, original: Callable[..., Any], operation: Any, args: Any, kwargs: Any) -> Any:
        """Return what the operation returned before."""
        if operation is self._parent and self._to_begin == 1:
            self._to_begin = 0
            return original(operation, *args, **kwargs)
        return self._answer(original, operation, args, kwargs, tensors_of((args, kwargs)))

    def _answer(self, original: Callable[..., Any], operation: Any, args: Any, kwargs: Any, tensors: list[Any]) -> Any:
        """Return what a call returned before, if it is the next one that was made then."""
        if not all(map(is_concrete, tensors)):
            return original(operation, *args, **kwargs)
        call = next(self._children, None)
        if call is None or call.of is not operation or len(call.tensors) != len(tensors):
            raise _Differs
        self.note(call.tensors, tensors)
        return map_tensors(self._contents.of, call.returned)

    def note(self, before: Sequence[Any], now: Sequence[Any]) -> None:
        """Record new tensors for those that were at the same place before."""
        self.arrived |= {id(one): other for one, other in zip(before, now, strict=True)}


def differing(parent: OpenCall, children: Sequence[OpenCall], tensors: Sequence[Any], *, everywhere: bool) -> list[bool] | None:
    """Return which tensors in a call are computed from masked ones.

    Args:
        parent: a custom layer or model, whose `call` computes something.
        children: the calls in it.
        tensors: that a call in it got, or that it returned.
        everywhere: whether from any content of masked tensors; else from the content of masked steps.

    Returns:
        One bool per tensor; None if the second computation made other calls, so that nothing is known.
    """
    contents = Contents(parent.known, everywhere=everywhere)
    again = _Again(parent.of, children, contents)
    args, kwargs = map_tensors(contents.of, parent.arguments)
    try:
        with hooked(again):
            returned = parent.of(*args, **kwargs)
        again.note(tensors_of(parent.returned), tensors_of(returned))
    except Exception:  # the model's own code may fail with other numbers
        return None
    return [_is_other(tensor, again.arrived.get(id(tensor))) for tensor in tensors]


def lets_through(call: OpenCall, *, everywhere: bool) -> bool:
    """Return whether the content of masked steps, or with `everywhere` of masked tensors, reaches the output of a call.

    True if it is not known.
    """
    known = {id(tensor): (tensor, mask) for tensor, mask in zip(call.tensors, call.masks_in, strict=True)}
    known |= {id(tensor): (tensor, mask) for tensor, mask in zip(call.given, call.masks_in, strict=False)}
    args, kwargs = map_tensors(Contents(known, everywhere=everywhere).of, call.arguments)
    try:
        outputs = tensors_of(call.of(*args, **kwargs))
    except Exception:  # as above
        return True
    return any(_is_other(before, now) for before, now in zip(call.outputs, outputs, strict=True))


def _is_other(before: Any, now: Any) -> bool:
    """Return whether two tensors differ; NaN differs from everything."""
    if now is None or not is_tensor(now):
        return True
    one, other = to_array(before), to_array(now)
    return one.shape != other.shape or not bool(np.array_equal(one, other))


def children_of(calls: Sequence[OpenCall]) -> Iterator[tuple[OpenCall, list[OpenCall]]]:
    """Yield each call that contains others, with those directly in it."""
    inside: dict[int, list[OpenCall]] = {}
    for call in calls:
        if call.parent is not None:
            inside.setdefault(call.parent.index, []).append(call)
    for index, children in inside.items():
        yield calls[index], children
