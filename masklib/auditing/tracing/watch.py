"""Watch one call of a model: every layer in it and every operation between layers, with their masks.

Nested models, wrappers, shared layers and subclassed models are all watched. Masks exist in two forms: attached to tensors, and
as an argument in the graph of a functional model. So the masks that `call` really gets are read where Keras calls it.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from masklib import compat
from masklib.auditing.borrowing.tensors import is_concrete, tensors_of, to_array
from masklib.auditing.borrowing.unchanged import layers_of, unchanged
from masklib.auditing.tracing.calls import COMPUTATION, CallRecord, Keep, Mask, OpenCall, Passing
from masklib.auditing.tracing.hooks import hooked
from masklib.auditing.tracing.origins import Origin, converted, input_names
from masklib.auditing.tracing.records import build_records
from masklib.auditing.tracing.signature import is_of_keras, is_opaque, masks_given, without_masks
from masklib.compat.attached import keras_mask
from masklib.errors import ArgumentError

__all__ = ["COMPUTATION", "CallRecord", "Keep", "Mask", "Passing", "check_model", "record"]


def record(model: Any, inputs: Any, *, training: bool = False, keep: Keep = Keep.NOTHING) -> list[CallRecord]:
    """Call a model once and return every call inside it, in the order in which they began.

    A layer in `TimeDistributed` is called at each step: the first step is recorded. The model is restored afterwards: weights,
    states, seeds, compiled settings and attributes. If it, or a layer in it, was not built before, it is built now.

    Args:
        model: a Keras 3 model: functional, sequential or subclassed.
        inputs: as the model takes them: an array, or a list or dict of arrays.
        training: whether the model is called with training=True.
        keep: which inputs and outputs of calls are kept as arrays.

    Returns:
        list[CallRecord]: the calls, without that of the model itself.

    Raises:
        ArgumentError: `model` is not a Keras model, or this Keras is older than 3.
    """
    check_model(model)
    _build(model, inputs)
    watch = Watch(model)
    with unchanged(model):
        with _listening(watch), hooked(watch):
            model(inputs, training=training)
        return build_records(watch.calls, model, keep)


def check_model(model: Any) -> None:
    """Raise unless `model` can be watched.

    Raises:
        ArgumentError: `model` is not a Keras model, or this Keras is older than 3.
    """
    if not compat.IS_KERAS_3:
        msg = f"Watching a model needs Keras 3 or newer, this is {keras.__version__}. Install a newer Keras."
        raise ArgumentError(msg)
    if not isinstance(model, keras.Model):
        msg = (
            f"A model must be a keras.Model, got {type(model).__name__}. Wrap layers into one, such as keras.Sequential([layer])."
        )
        raise ArgumentError(msg)


def _build(model: Any, inputs: Any) -> None:
    """Build layers that are not built, by a call, so that building is not recorded as calls. New states are reset."""
    built = {id(layer) for layer in layers_of(model) if layer.built}
    if len(built) == len(layers_of(model)):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model(inputs, training=False)
    for layer in layers_of(model):
        if id(layer) not in built and getattr(layer, "stateful", False) and hasattr(layer, "reset_state"):
            layer.reset_state()


class Watch:
    """Records the calls in a model; it is a `Hook`."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.calls: list[OpenCall] = []
        self.messages: list[Any] = []  # warnings since the last call ended
        self.others: list[Any] = []  # warnings that are not about masks
        self._stack: list[OpenCall] = []
        self._made_by: dict[int, int | str] = {}  # by the id of a tensor: the index of a call, or the name of an input
        self._masks: dict[int, Mask] = {}  # by the id of a mask
        self._alive: list[Any] = []  # kept, so that no id is used again

    def of_layer(self, original: Callable[..., Any], layer: Any, args: Any, kwargs: Any) -> Any:
        """Call a layer and record the call."""
        tensors = tensors_of((args, without_masks(kwargs)))
        if not self._sees(tensors):
            return original(layer, *args, **kwargs)
        call = self._begin(layer, tensors)
        self._sort_messages()
        try:
            outputs = original(layer, *args, **kwargs)
        finally:
            self._stack.pop()
            call.warned = self._sort_messages(layer)
        return self._end(call, outputs)

    def of_operation(self, original: Callable[..., Any], operation: Any, args: Any, kwargs: Any) -> Any:
        """Call an operation between layers, or the computation of a layer, and record it."""
        if isinstance(operation, keras.layers.Layer):
            return self._compute(original, operation, args, kwargs)
        tensors = tensors_of((args, kwargs))
        if not self._sees(tensors):
            return original(operation, *args, **kwargs)
        call = self._begin(operation, tensors)
        call.arguments = (args, kwargs)
        try:
            outputs = original(operation, *args, **kwargs)
        finally:
            self._stack.pop()
        return self._end(call, outputs)

    def _compute(self, original: Callable[..., Any], layer: Any, args: Any, kwargs: Any) -> Any:
        """Record what the `call` of a layer is given, and call it."""
        call = self._stack[-1] if self._stack else None
        if call is None or call.of is not layer or call.began:
            return original(layer, *args, **kwargs)
        call.began, call.arguments = True, (args, kwargs)
        masks = masks_given(layer, args, kwargs)
        call.masks_got = tuple(self._array_of(mask) for _, given in masks for mask in given)
        call.ignores = any(self._is_due(of) for of, given in masks if all(mask is None for mask in given))
        call.given = tensors_of((args, without_masks(kwargs)))
        origins = input_names(layer, args[0] if args else kwargs, len(call.given)) if layer is self.model else call.sources
        call.origins = list(origins) if len(origins) == len(call.given) else [None] * len(call.given)
        for tensor, origin in zip(call.given, call.origins, strict=True):
            if origin is not None:
                self._made_by.setdefault(id(tensor), origin)
        self._know(call, call.given)
        call.returned = outputs = original(layer, *args, **kwargs)
        if not any(mask is not None for mask in call.masks_in):  # else the layer itself passes the mask on or loses it
            self._look_between(call, tensors_of(outputs))
        return outputs

    def _is_due(self, argument: Any) -> bool:
        """Return whether a tensor in an argument has a mask."""
        return any(self._mask_of(tensor) is not None for tensor in tensors_of(argument))

    def _sees(self, tensors: Sequence[Any]) -> bool:
        """Return whether a call that begins now is recorded: not if it is inside one of Keras's layers, or symbolic."""
        return not (self._stack and is_opaque(self._stack[-1].of)) and all(map(is_concrete, tensors))

    def _begin(self, operation: Any, tensors: list[Any]) -> OpenCall:
        """Return the record of a call that begins."""
        if self._stack:
            self._stack[-1].holds = True
            self._look_between(self._stack[-1], tensors)
        call = self._note(operation, tensors)
        self._stack.append(call)
        return call

    def _note(self, operation: Any, tensors: list[Any]) -> OpenCall:
        """Record a call inside the current one."""
        parent = self._stack[-1] if self._stack else None
        masks = tuple(map(self._mask_of, tensors))
        self._alive += tensors
        sources = tuple(self._source_of(tensor, operation, parent) for tensor in tensors)
        call = OpenCall(operation, parent, len(self.calls), tensors, masks, sources)
        self.calls.append(call)
        return call

    def _end(self, call: OpenCall, outputs: Any) -> Any:
        """Record the outputs of a call, and return them."""
        call.returned, call.outputs = outputs, tensors_of(outputs)
        call.masks_out = tuple(map(self._mask_of, call.outputs))
        after = map(self._mask_of, call.tensors)
        call.unmasks = any(one is not None and other is None for one, other in zip(call.masks_in, after, strict=True))
        for tensor, mask in zip(call.outputs, call.masks_out, strict=True):
            maker = self._made_by.get(id(tensor))
            is_inside = isinstance(maker, int) and maker > call.index
            if not is_inside or mask is not self._mask_after(maker, tensor):
                self._made_by[id(tensor)] = call.index
        if self._stack:
            self._know(self._stack[-1], call.outputs)
        return outputs

    def _mask_after(self, maker: Any, tensor: Any) -> Mask | None:
        """Return the mask that was attached to a tensor when the call that made it ended."""
        call = self.calls[maker]
        return next((mask for one, mask in zip(call.outputs, call.masks_out, strict=True) if one is tensor), None)

    def _know(self, call: OpenCall, tensors: Sequence[Any]) -> None:
        """Record tensors that the code of a call can use."""
        self._alive += tensors
        for tensor in tensors:
            call.known[id(tensor)] = (tensor, self._mask_of(tensor))

    def _look_between(self, parent: OpenCall, tensors: Sequence[Any]) -> None:
        """Record unmasked tensors that no call made, in a custom model or layer that can use masked ones."""
        at_hand = [one for one, mask in parent.known.values() if mask is not None]
        if not at_hand or is_of_keras(parent.of):
            return
        for tensor in tensors:
            if id(tensor) in self._made_by or id(tensor) in parent.known or self._mask_of(tensor) is not None:
                continue
            alike = [one for one in at_hand if compat.static_shape(one)[:2] == compat.static_shape(tensor)[:2]]
            call = self._note(COMPUTATION, (alike or at_hand)[-1:])
            self._end(call, tensor)

    def _source_of(self, tensor: Any, operation: Any, parent: OpenCall | None) -> Origin:
        """Return where a tensor comes from."""
        if id(tensor) not in self._made_by and parent is not None:
            origin = converted(tensor, operation, parent.of, parent.given, parent.origins)
            if origin is not None:
                self._made_by[id(tensor)] = origin
        return self._made_by.get(id(tensor))

    def _mask_of(self, tensor: Any) -> Mask | None:
        """Return the mask that is attached to a tensor, as an array."""
        return self._array_of(keras_mask(tensor))

    def _array_of(self, mask: Any) -> Mask | None:
        """Return a mask as an array; the same mask gives the same array."""
        if mask is None or not is_concrete(mask):
            return None
        if id(mask) not in self._masks:
            self._alive.append(mask)
            self._masks[id(mask)] = to_array(mask).astype(bool)
        return self._masks[id(mask)]

    def _sort_messages(self, layer: Any = None) -> bool:
        """Sort the warnings since the last time; return whether Keras warned that this layer destroys a mask."""
        about = [one for one in self.messages if "destroy the mask" in str(one.message)]
        self.others += [one for one in self.messages if one not in about]
        self.messages.clear()
        return layer is not None and any(f"Layer '{layer.name}'" in str(one.message) for one in about)


@contextmanager
def _listening(watch: Watch) -> Iterator[None]:
    """Within this context `watch` gets the warnings; those that are not about masks are given again afterwards."""
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        watch.messages = messages if messages is not None else []
        yield
        watch._sort_messages()
    for one in watch.others:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
