"""Custom layers, one for each way to write `call`, that note which masks Keras hands to `call` and to `compute_mask`."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

NOTHING = "not asked"


class Noting(keras.layers.Layer):  # type: ignore[misc] # Keras publishes no types
    """A layer of one to two inputs that sums them; `in_call` and `in_compute_mask` say which masks it got.

    Args:
        known: by name, the masks that may arrive, bool (B, T).
    """

    def __init__(self, known: Mapping[str, Any]):
        super().__init__()
        self.supports_masking = True
        self._known = dict(known)
        self.in_call = self.in_compute_mask = NOTHING

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Note what arrives and hand no mask on."""
        self.in_compute_mask = self._name(mask)

    def _note(self, *masks: Any) -> None:
        """Note the masks that a call got."""
        self.in_call = ", ".join(map(self._name, masks))

    def _name(self, mask: Any) -> str:
        """Return the name of a mask, or of each in a list or dict."""
        if mask is None:
            return "None"
        if isinstance(mask, list | tuple):
            return f"[{', '.join(map(self._name, mask))}]"
        if isinstance(mask, Mapping):
            return f"{{{', '.join(f'{key}: {self._name(value)}' for key, value in sorted(mask.items()))}}}"
        array = keras.ops.convert_to_numpy(mask)
        return next((name for name, known in self._known.items() if np.array_equal(array, known)), "another mask")


class WithoutMask(Noting):
    """`call(self, inputs)`."""

    def call(self, inputs: Any) -> Any:
        """Return the sum of the inputs."""
        return _total(inputs)


class WithMask(Noting):
    """`call(self, inputs, mask=None)`."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the sum of the inputs."""
        self._note(mask)
        return _total(inputs)


class TwoWithoutMask(Noting):
    """`call(self, a, b)`."""

    def call(self, a: Any, b: Any) -> Any:
        """Return a + b."""
        return a + b


class TwoWithMask(Noting):
    """`call(self, a, b, mask=None)`."""

    def call(self, a: Any, b: Any, mask: Any = None) -> Any:
        """Return a + b."""
        self._note(mask)
        return a + b


class TwoWithOwnMasks(Noting):
    """`call(self, a, b, a_mask=None, b_mask=None)`."""

    def call(self, a: Any, b: Any, a_mask: Any = None, b_mask: Any = None) -> Any:
        """Return a + b."""
        self._note(a_mask, b_mask)
        return a + b


def ways(a: Any, b: Any) -> list[tuple[str, str, type[Noting], tuple[Any, ...]]]:
    """Return the ways to write and use a layer: signature, use, class, and the positional arguments made of two tensors."""
    return [
        ("call(self, inputs)", "layer(a)", WithoutMask, (a,)),
        ("call(self, inputs, mask=None)", "layer(a)", WithMask, (a,)),
        ("call(self, inputs)", "layer([a, b])", WithoutMask, ([a, b],)),
        ("call(self, inputs, mask=None)", "layer([a, b])", WithMask, ([a, b],)),
        ("call(self, inputs)", "layer({'a': a, 'b': b})", WithoutMask, ({"a": a, "b": b},)),
        ("call(self, inputs, mask=None)", "layer({'a': a, 'b': b})", WithMask, ({"a": a, "b": b},)),
        ("call(self, a, b)", "layer(a, b)", TwoWithoutMask, (a, b)),
        ("call(self, a, b, mask=None)", "layer(a, b)", TwoWithMask, (a, b)),
        ("call(self, a, b, a_mask=None, b_mask=None)", "layer(a, b)", TwoWithOwnMasks, (a, b)),
    ]


def _total(inputs: Any) -> Any:
    """Return the sum of the tensors of any structure."""
    first, *others = _leaves(inputs)
    return sum(others, 1.0 * first)  # a new tensor, which has no mask yet


def _leaves(structure: Any) -> list[Any]:
    """Return the tensors of nested lists, tuples and dicts, in order; `keras.tree` is newer than Keras 3.0."""
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, list | tuple):
        return [leaf for part in structure for leaf in _leaves(part)]
    return [structure]
