"""Which layers of a model are declared to be causal, and which layers depend on later steps by design."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from masklib.auditing.borrowing.running import patched
from masklib.auditing.borrowing.unchanged import layers_of

ARGUMENT = "use_causal_mask"


@contextmanager
def claims_of(model: Any) -> Iterator[set[int]]:
    """Within this context the ids of layers that are causal are collected in a set.

    These are convolutions with causal padding, and attention layers that are called with `use_causal_mask=True`.
    """
    found = {id(layer) for layer in layers_of(model) if getattr(layer, "padding", None) == "causal"}

    def wrap(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            if kwargs.get(ARGUMENT):
                found.add(id(layer))
            return call(*args, **kwargs)

        return watched

    with patched([layer for layer in layers_of(model) if ARGUMENT in _arguments(layer)], wrap):
        yield found


def looks_ahead(operation: Any) -> bool:
    """Return whether a layer of Keras depends on later steps by design, unless it is declared to be causal."""
    kinds = (keras.layers.Bidirectional, keras.layers.GlobalAveragePooling1D, keras.layers.GlobalMaxPooling1D)
    if isinstance(operation, kinds) or attends(operation):
        return True
    is_convolution = getattr(operation, "padding", None) in ("same", "valid")
    return is_convolution or bool(getattr(operation, "go_backwards", False))


def attends(operation: Any) -> bool:
    """Return whether an operation is an attention layer with an argument that makes it causal."""
    return ARGUMENT in _arguments(operation)


def _arguments(layer: Any) -> tuple[str, ...]:
    """Return the names of the arguments of a layer's `call`."""
    code = getattr(getattr(type(layer), "call", None), "__code__", None)
    return () if code is None else code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
