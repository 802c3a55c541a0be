"""Arrays and tensors in the structures that a model takes or returns: lists, tuples and dicts, also nested."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def flatten(structure: Any, name: str = "inputs") -> tuple[list[str], list[Any], Callable[[Sequence[Any]], Any]]:
    """Return the names and arrays in an array, list, tuple or dict, also nested, and a function that builds it from arrays."""
    if isinstance(structure, Mapping):
        keys = sorted(structure, key=str)  # in the order of JAX
        parts = [flatten(structure[key], str(key)) for key in keys]
        return _joined(parts, lambda built: dict(zip(keys, built, strict=True)))
    if isinstance(structure, list | tuple) and not np.isscalar(structure):
        parts = [flatten(one, f"{name}_{index}") for index, one in enumerate(structure)]
        return _joined(parts, type(structure) if type(structure) in (list, tuple) else list)
    return [name], [structure], lambda arrays: arrays[0]


def _joined(
    parts: Sequence[Any], build: Callable[[list[Any]], Any]
) -> tuple[list[str], list[Any], Callable[[Sequence[Any]], Any]]:
    """Return the flattened parts of a structure joined."""
    counts = [len(arrays) for _, arrays, _ in parts]
    starts = np.cumsum([0, *counts])

    def pack(arrays: Sequence[Any]) -> Any:
        return build([part[2](arrays[i:j]) for part, i, j in zip(parts, starts[:-1], starts[1:], strict=True)])

    return [n for names, _, _ in parts for n in names], [a for _, arrays, _ in parts for a in arrays], pack
