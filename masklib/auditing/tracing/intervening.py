"""Changes one thing at one call while the model is called, to find whether this removes a leak.

This is how a cause is proved: the model is called again with the right mask passed to one call, or put back on its output, or
with masked steps set to 0. The right mask is known from the inputs: which of their steps are padding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.tensors import is_concrete, is_tensor, map_tensors, tensors_of
from masklib.auditing.tracing.signature import bound_arguments, mask_arguments
from masklib.compat.attached import with_mask

Mask = NDArray[np.bool_]
LOWEST = -1e9
ATTENTION_MASK = "attention_mask"


class Kind(Enum):
    """What is changed at a call; the value is a phrase for it, with {} for the call."""

    HAND = "with the mask passed to {}"
    HAND_TURNED = "with the mask passed to {} in reverse order, like the steps that it gets"
    HAND_ATTENTION = "with the mask of the valid steps as the attention_mask of {}"
    REPLACE = "with the mask of the valid steps in place of the output of {}"
    REPLACE_INVERTED = "with the mask of the padded steps in place of the output of {}"
    KEEP = "with the mask put back on the output of {}"
    TURN = "with the mask in reverse order, like the steps, on the output of {}"
    CLEAR = "with 0 at masked steps of the output of {}"
    CLEAR_INPUTS = "with 0 at masked steps of the input of {}"
    LOWER_INPUTS = "with -1e9 at masked steps of the input of {}"
    COUNT = "with positions that count only valid steps in place of the output of {}"
    LAST = "with the last valid step in place of the step that {} takes"


@dataclass(frozen=True)
class Intervention:
    """One change at one call.

    Attributes:
        kind: of change.
        path: of the call, as in a trace.
        operation: the layer or operation that is called.
        occurrence: the number of the call among the calls of this operation, from 0.
        group: index of the mask of the steps that are meant.
    """

    kind: Kind
    path: str
    operation: Any
    occurrence: int
    group: int

    def __str__(self) -> str:
        return self.kind.value.format(repr(self.path))


class Intervening:
    """Makes interventions while a model is called once; it is a `Hook`.

    Args:
        interventions: all of them are made in the same call.
        masks: the right mask of each group of steps, bool (B, T), True = valid.
    """

    def __init__(self, interventions: Sequence[Intervention], masks: Sequence[Mask]) -> None:
        self._by_operation: dict[int, list[Intervention]] = {}
        for one in interventions:
            self._by_operation.setdefault(id(one.operation), []).append(one)
        self._masks = masks
        self._counts: dict[int, int] = {}
        self.done: set[Intervention] = set()

    def of_layer(self, original: Callable[..., Any], layer: Any, args: Any, kwargs: Any) -> Any:
        """Call a layer, with the interventions at it."""
        return self._call(original, layer, args, kwargs)

    def of_operation(self, original: Callable[..., Any], operation: Any, args: Any, kwargs: Any) -> Any:
        """Call an operation between layers, with the interventions at it; the computation of a layer is not changed."""
        if isinstance(operation, keras.layers.Layer):
            return original(operation, *args, **kwargs)
        return self._call(original, operation, args, kwargs)

    def _call(self, original: Callable[..., Any], operation: Any, args: Any, kwargs: Any) -> Any:
        """Call a layer or operation, with the interventions at it."""
        meant = self._by_operation.get(id(operation), [])
        if not meant or not all(map(is_concrete, tensors_of((args, kwargs)))):
            return original(operation, *args, **kwargs)
        count = self._counts.get(id(operation), 0)
        self._counts[id(operation)] = count + 1
        now = [one for one in meant if one.occurrence == count]
        for one in now:
            args, kwargs = self._before(one, operation, args, kwargs)
        outputs = original(operation, *args, **kwargs)
        for one in now:
            outputs = self._after(one, outputs, args)
        return outputs

    def _before(self, one: Intervention, operation: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Return the arguments of a call, changed by an intervention."""
        mask = self._masks[one.group]
        if one.kind is Kind.HAND_ATTENTION:
            return args, {**kwargs, **self._handed_to_attention(one, operation, args, kwargs)}
        if one.kind in (Kind.HAND, Kind.HAND_TURNED):
            return args, {**kwargs, **self._handed(one, operation, args, kwargs)}
        if one.kind in (Kind.CLEAR_INPUTS, Kind.LOWER_INPUTS):
            value = 0.0 if one.kind is Kind.CLEAR_INPUTS else LOWEST
            changed: tuple[Any, Any] = map_tensors(lambda tensor: self._filled(one, tensor, mask, value), (args, kwargs))
            return changed
        return args, kwargs

    def _after(self, one: Intervention, outputs: Any, args: Any) -> Any:
        """Return the outputs of a call, changed by an intervention."""
        mask = self._masks[one.group]
        if one.kind in (Kind.REPLACE, Kind.REPLACE_INVERTED):
            wanted = mask if one.kind is Kind.REPLACE else ~mask
            return map_tensors(lambda tensor: self._replaced(one, tensor, wanted), outputs)
        if one.kind is Kind.COUNT:
            return map_tensors(lambda tensor: self._counted(one, tensor, mask), outputs)
        if one.kind is Kind.LAST:
            return self._last(one, outputs, args, mask)
        if one.kind is Kind.CLEAR:
            return map_tensors(lambda tensor: self._filled(one, tensor, mask, 0.0), outputs)
        if one.kind in (Kind.KEEP, Kind.TURN):
            attached = mask if one.kind is Kind.KEEP else np.ascontiguousarray(mask[:, ::-1])
            return map_tensors(lambda tensor: self._masked(one, tensor, attached), outputs)
        return outputs

    def _handed(self, one: Intervention, operation: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        """Return the right masks for the mask arguments of a layer."""
        given = bound_arguments(operation, args, kwargs)
        found = {}
        for name in mask_arguments(operation):
            of = args[0] if name == "mask" and args else given.get(name.removesuffix("_mask"))
            masks = [self._mask_of(tensor, one) for tensor in tensors_of(of)]
            if any(mask is not None for mask in masks):
                self.done.add(one)
                found[name] = masks if isinstance(of, (list, tuple)) and len(masks) > 1 else masks[0]
        return found

    def _handed_to_attention(self, one: Intervention, operation: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        """Return the right mask in place of the model's own `attention_mask`, (B, T, S) or (B, 1, S)."""
        own, mask = bound_arguments(operation, args, kwargs).get(ATTENTION_MASK), self._masks[one.group]
        if own is None or int(own.shape[-1]) != mask.shape[1]:
            return {}
        self.done.add(one)
        return {ATTENTION_MASK: keras.ops.convert_to_tensor(mask[:, np.newaxis])}

    def _mask_of(self, tensor: Any, one: Intervention) -> Any:
        """Return the mask of a tensor's steps: that of the intervention's group if it fits, else another that fits, else None."""
        for mask in (self._masks[one.group], *self._masks):
            if len(tensor.shape) >= 2 and tuple(tensor.shape[:2]) == mask.shape:
                turned = mask[:, ::-1] if one.kind is Kind.HAND_TURNED else mask
                return keras.ops.convert_to_tensor(np.ascontiguousarray(turned))
        return None

    def _replaced(self, one: Intervention, tensor: Any, mask: Mask) -> Any:
        """Return the right mask in the shape and dtype of one that the model makes; any other tensor unchanged."""
        shape = tuple(int(size) for size in tensor.shape)
        inner = [size for size in shape[1:] if size != 1]
        if shape[:1] != mask.shape[:1] or inner != [mask.shape[1]]:
            return tensor
        self.done.add(one)
        return keras.ops.cast(keras.ops.convert_to_tensor(mask.reshape(shape)), tensor.dtype)

    def _counted(self, one: Intervention, tensor: Any, mask: Mask) -> Any:
        """Return positions (B, T) that count valid steps from the first position on; any other tensor unchanged."""
        if len(tensor.shape) not in (1, 2) or int(tensor.shape[-1]) != mask.shape[1]:
            return tensor
        self.done.add(one)
        first = keras.ops.min(tensor)
        positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
        return keras.ops.cast(positions, tensor.dtype) + first

    def _filled(self, one: Intervention, tensor: Any, mask: Mask, value: float) -> Any:
        """Return floats (B, T, ...) with a value at masked steps; any other tensor unchanged."""
        is_float = "float" in keras.backend.standardize_dtype(tensor.dtype)
        if not is_float or len(tensor.shape) < 3 or tuple(tensor.shape[:2]) != mask.shape:
            return tensor
        self.done.add(one)
        valid = mask.reshape(*mask.shape, *[1] * (len(tensor.shape) - 2))
        return keras.ops.where(valid, tensor, keras.ops.cast(value, tensor.dtype))

    def _masked(self, one: Intervention, tensor: Any, mask: Mask) -> Any:
        """Return a tensor (B, T, ...) with a mask attached; any other tensor unchanged."""
        if len(tensor.shape) < 3 or tuple(tensor.shape[:2]) != mask.shape:
            return tensor
        self.done.add(one)
        return with_mask(tensor, keras.ops.convert_to_tensor(mask))

    def _last(self, one: Intervention, outputs: Any, args: Any, mask: Mask) -> Any:
        """Return the last valid step of the input of a call that returned one step (B, F) of it."""
        given = next((tensor for tensor in tensors_of(args) if tuple(tensor.shape[:2]) == mask.shape), None)
        if given is None or not is_tensor(outputs) or not mask.any(axis=1).all():
            return outputs
        if tuple(outputs.shape) != (given.shape[0], *given.shape[2:]):
            return outputs
        self.done.add(one)
        last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
        at = last.reshape(-1, 1, *[1] * (len(given.shape) - 2))
        return keras.ops.squeeze(keras.ops.take_along_axis(given, keras.ops.convert_to_tensor(at), axis=1), axis=1)
