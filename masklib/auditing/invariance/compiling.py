"""Where a compiled model computes something else than an ordinary call of the same model."""

from typing import Any

import keras

from masklib.auditing.borrowing.methods import as_given
from masklib.auditing.borrowing.running import CallError, as_tensors, explained, quietly
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.invariance.comparing import apart


def computes_otherwise_when_compiled(model: Any, first: Any, second: Any, much: float) -> str | None:
    """Return the name of the first layer for which `predict` and an ordinary call give different results; None if not known.

    Two batches are needed because TensorFlow compiles again for inputs of another shape, and then for unknown shapes.

    Args:
        model: functional or sequential; for other models only the outputs are known.
        first: inputs of one batch.
        second: inputs of another batch, with other shapes.
        much: the relative difference that rounding does not explain.
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
    """Return whether a layer is called once and returns one tensor."""
    return len(getattr(layer, "_inbound_nodes", [])) == 1 and hasattr(layer.output, "shape")


def _differ(first: Any, second: Any, much: float) -> bool:
    """Return whether two arrays differ by more than rounding."""
    return first.shape != second.shape or (first.dtype.kind == "f" and apart(first, second).relative > much)
