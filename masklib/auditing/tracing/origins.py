"""Where tensors come from: the call that made each, or the input of the model that it is."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.tracing.signature import is_of_keras

Origin = int | str | None  # the index of a call, the name of an input, or not known


def input_names(model: Any, structure: Any, n_tensors: int) -> list[str]:
    """Return the names of a model's inputs: those of the given dict, those of the graph, or numbers.

    Args:
        model: any model.
        structure: with which it is called.
        n_tensors: the number of tensors in the structure.
    """
    symbols = [str(symbol.name) for symbol in getattr(model, "inputs", None) or []]
    if isinstance(structure, dict) and len(structure) == n_tensors:  # in the order of Keras
        names = keras.tree.flatten({key: str(key) for key in structure})
    else:
        names = symbols if len(symbols) == n_tensors else [""] * n_tensors
    numbers = [str(i + 1) if n_tensors > 1 else "" for i in range(n_tensors)]
    named = [number if name.startswith("keras_tensor") or not name else name for name, number in zip(names, numbers, strict=True)]
    return [f"input: {name}" if name else "input" for name in named]


def converted(tensor: Any, operation: Any, parent: Any, given: Sequence[Any], origins: Sequence[Origin]) -> Origin:
    """Return the origin of a tensor that a Keras model converted from one of its inputs, found by its values or by the graph.

    Args:
        tensor: an input of a call.
        operation: the layer or operation that is called.
        parent: the model or layer that contains the call.
        given: the tensors that the parent was given.
        origins: of these tensors.
    """
    if not is_of_keras(parent):
        return None
    alike = [i for i, one in enumerate(given) if origins[i] is not None and _same_values(one, tensor)]
    if len(alike) > 1:
        symbols = list(getattr(parent, "inputs", None) or [])
        used = {id(symbol) for symbol in _symbols_into(operation)}
        named = [i for i, symbol in enumerate(symbols) if id(symbol) in used and i in alike and len(symbols) == len(given)]
        alike = named or alike
    return origins[alike[0]] if alike else None


def _symbols_into(operation: Any) -> list[Any]:
    """Return the symbolic inputs of an operation that occurs once in a graph; [] for others."""
    try:
        return list(keras.tree.flatten(operation.input))
    except (AttributeError, ValueError):
        return []


def _same_values(one: Any, other: Any) -> bool:
    """Return whether two tensors hold the same numbers, of any dtype, and with or without axes of size 1."""
    if math.prod(one.shape) != math.prod(other.shape):
        return False
    ours, theirs = np.ravel(to_array(one)), np.ravel(to_array(other))
    return bool(np.array_equal(ours.astype(theirs.dtype), theirs, equal_nan=theirs.dtype.kind == "f"))
