"""Where tensors come from: which call made each, or which input of the model it is."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.tracing.signature import is_of_keras

Origin = int | str | None  # the index of a call, the name of an input, or not known


def input_names(model: Any, structure: Any, n_tensors: int) -> list[str]:
    """Return how the inputs of a model are called: as in the dict that was given, as in the graph, or by numbers.

    Args:
        model: any.
        structure: what it is called with.
        n_tensors: how many tensors are in it.
    """
    symbols = [str(symbol.name) for symbol in getattr(model, "inputs", None) or []]
    if isinstance(structure, dict) and len(structure) == n_tensors:  # in the order in which Keras goes through it
        names = keras.tree.flatten({key: str(key) for key in structure})
    else:
        names = symbols if len(symbols) == n_tensors else [""] * n_tensors
    numbers = [str(i + 1) if n_tensors > 1 else "" for i in range(n_tensors)]
    named = [number if name.startswith("keras_tensor") or not name else name for name, number in zip(names, numbers, strict=True)]
    return [f"input: {name}" if name else "input" for name in named]


def converted(tensor: Any, operation: Any, parent: Any, given: Sequence[Any], origins: Sequence[Origin]) -> Origin:
    """Return the origin of a tensor that a model of Keras made from one of its inputs, by its values, or else by the graph.

    Args:
        tensor: an input of a call.
        operation: what is called.
        parent: what it is called in.
        given: the tensors that the parent was given.
        origins: theirs.
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
    """Return the symbolic inputs of an operation that a graph has in one place; [] of others."""
    try:
        return list(keras.tree.flatten(operation.input))
    except (AttributeError, ValueError):
        return []


def _same_values(one: Any, other: Any) -> bool:
    """Return whether two tensors hold the same numbers, of whatever dtype and with or without axes of size 1."""
    if math.prod(one.shape) != math.prod(other.shape):
        return False
    ours, theirs = np.ravel(to_array(one)), np.ravel(to_array(other))
    return bool(np.array_equal(ours.astype(theirs.dtype), theirs, equal_nan=theirs.dtype.kind == "f"))
