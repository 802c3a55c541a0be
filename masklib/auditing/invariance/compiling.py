"""Where a compiled model computes something else than the same model when it is called."""

from typing import Any

import keras

from masklib.auditing.borrowing.methods import as_given
from masklib.auditing.borrowing.running import CallError, as_tensors, explained, quietly
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.invariance.comparing import apart


def computes_otherwise_when_compiled(model: Any, first: Any, second: Any, much: float) -> str | None:
    """Return the name of the first layer of which `predict` computes something else than a call; None if that is not known.

    TensorFlow compiles anew for inputs of another shape, then for shapes that are not known: so two batches are needed.

    Args:
        model: functional or sequential; of others only the outputs can be seen.
        first: inputs of one batch.
        second: of another one, of other shapes.
        much: the relative difference that is no rounding.
    """
    layers = [layer for layer in getattr(model, "layers", []) if getattr(model, "inputs", None) and _has_one_output(layer)]
    if not layers:
        return None
    probe = keras.Model(model.inputs, [layer.output for layer in layers])
    try:
        with explained(), quietly():
            probe.predict_on_batch(as_given(first))
            compiled = flatten(probe.predict_on_batch(as_given(second)))[1]
            called = flatten(probe(as_tensors(second), training=False))[1]
    except CallError:
        return None
    both = zip(layers, compiled, called, strict=True)
    return next((str(layer.name) for layer, one, other in both if _differ(to_array(one), to_array(other), much)), None)


def _has_one_output(layer: Any) -> bool:
    """Return whether a layer is called once, and returns one tensor."""
    return len(getattr(layer, "_inbound_nodes", [])) == 1 and hasattr(layer.output, "shape")


def _differ(first: Any, second: Any, much: float) -> bool:
    """Return whether two arrays are not the same but for rounding."""
    return first.shape != second.shape or (first.dtype.kind == "f" and apart(first, second).relative > much)
