"""A call changes variables and attributes of a model: here they are restored."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.tensors import to_array


@contextmanager
def unchanged(model: Any) -> Iterator[None]:
    """Within this context a built model may be called; afterwards the model is restored.

    Restored are the variables that do not train (those of BatchNormalization, of stateful layers, of metrics and of seeds),
    and what layers keep as attributes, such as the losses of the last call. No call changes trainable weights.

    Args:
        model: a Keras model or layer that is built.
    """
    variables = _variables_of(model)
    values = [to_array(variable.value) for variable in variables]
    notes = [(vars(layer), _contents(vars(layer))) for layer in layers_of(model)]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            assign_if_different(variable, value)
        for attributes, before in notes:
            _bring_back(attributes, before)


def assign_if_different(variable: Any, value: NDArray[Any]) -> None:
    """Assign a value to a variable, if it has another one."""
    if value.shape != tuple(variable.shape):  # a metric after an `evaluate` that failed
        return
    if not np.array_equal(to_array(variable.value), value, equal_nan=value.dtype.kind == "f"):
        variable.assign(value)


def _variables_of(model: Any) -> list[Any]:
    """Return the variables that a call may change; the states of some stateful layers are found only in their attributes."""
    kept = [one for layer in layers_of(model) for value in vars(layer).values() for one in _variables_in(value)]
    found = [*model.non_trainable_variables, *getattr(model, "metrics_variables", []), *kept]
    return list({id(variable): variable for variable in found if not variable.trainable or not model.trainable}.values())


def _variables_in(value: Any, depth: int = 3) -> list[Any]:
    """Return the variables in an attribute of a layer: the attribute itself, or those in nested lists and dicts up to `depth`."""
    if isinstance(value, keras.Variable):
        return [value]
    if not isinstance(value, (list, tuple, dict)) or depth == 0:
        return []
    return [found for one in (value.values() if isinstance(value, dict) else value) for found in _variables_in(one, depth - 1)]


def layers_of(model: Any) -> list[Any]:
    """Return a model and all layers in it, at any depth."""
    return list(model._flatten_layers())


def _contents(attributes: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return attributes by name: each value, and a copy of it if it is a list, dict or set."""
    kinds = (list, dict, set)
    return {name: (value, value.copy() if isinstance(value, kinds) else None) for name, value in attributes.items()}


def _bring_back(attributes: dict[str, Any], before: dict[str, tuple[Any, Any]]) -> None:
    """Restore attributes."""
    for name in [name for name in attributes if name not in before]:
        del attributes[name]
    for name, (value, held) in before.items():
        if attributes.get(name, attributes) is not value:
            attributes[name] = value
        if held is not None and not _holds(value, held):
            _refill(value, held)


def _refill(container: Any, held: Any) -> None:
    """Put back what a container held; once a layer is built, the methods of Keras's containers refuse this."""
    if isinstance(container, list):
        list.__setitem__(container, slice(None), held)
        return
    kind: Any = dict if isinstance(container, dict) else set
    kind.clear(container)
    kind.update(container, held)


def _holds(value: Any, held: Any) -> bool:
    """Return whether a container holds the same objects as before."""
    if len(value) != len(held):
        return False
    if isinstance(value, dict):
        return all(name in value and value[name] is one for name, one in held.items())
    if isinstance(value, set):
        return bool(value == held)
    return all(one is other for one, other in zip(value, held, strict=True))
