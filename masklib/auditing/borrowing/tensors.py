"""Tensors of any backend, in the structures that a layer takes or returns."""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib import compat


def is_tensor(thing: Any) -> bool:
    """Return whether an object is a tensor of any kind, or an array."""
    return hasattr(thing, "shape") and hasattr(thing, "dtype")


def tensors_of(structure: Any) -> list[Any]:
    """Return the tensors and arrays of a nested structure."""
    return [one for one in keras.tree.flatten(structure) if is_tensor(one)]


def map_tensors(function: Callable[[Any], Any], structure: Any) -> Any:
    """Return a nested structure with `function` applied to the tensors in it."""
    return keras.tree.map_structure(lambda one: function(one) if is_tensor(one) else one, structure)


def is_concrete(tensor: Any) -> bool:
    """Return whether a tensor has values, and is not symbolic."""
    if isinstance(tensor, np.ndarray):
        return True
    if isinstance(tensor, keras.KerasTensor):
        return False
    backend = keras.backend.backend()
    if backend == "jax":
        return not isinstance(tensor, sys.modules["jax"].core.Tracer)
    return hasattr(tensor, "numpy") if backend == "tensorflow" else True


def to_array(tensor: Any) -> NDArray[Any]:
    """Return a copy of a concrete tensor or variable as an array that NumPy can compute with; bfloat16 becomes float32."""
    array = np.array(compat.to_numpy(tensor))
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
