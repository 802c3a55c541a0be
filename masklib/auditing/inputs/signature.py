"""The inputs that a model declares, or with which it was built."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from masklib.auditing.borrowing.structures import flatten
from masklib.errors import ArgumentError


@dataclass(frozen=True)
class Slot:
    """One input of a model's signature.

    Attributes:
        name: of the input.
        shape: with None for a free size.
        dtype: of the input; None if it is not known.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str | None

    @property
    def is_single(self) -> bool:
        """Return whether it holds one number per sample."""
        return self.shape[1:] in ((), (1,))

    @property
    def is_free(self) -> bool:
        """Return whether its first axis after the samples has no fixed length."""
        return len(self.shape) > 1 and self.shape[1] is None

    @property
    def is_whole(self) -> bool:
        """Return whether it holds integers."""
        return self.dtype is not None and self.dtype.startswith(("int", "uint"))

    @property
    def is_square(self) -> bool:
        """Return whether its first two axes after the samples are free, as in a matrix of pairs of steps."""
        return len(self.shape) > 2 and self.shape[1] is None and self.shape[2] is None


def signature(model: Any) -> tuple[list[Slot], Callable[[Sequence[Any]], Any]]:
    """Return the inputs that a model declares or was built with, and a function that builds what it takes from arrays."""
    if getattr(model, "inputs", None):
        _, tensors, pack = flatten(declared_inputs(model))
        return [Slot(one.name, tuple(one.shape), str(one.dtype)) for one in tensors], pack
    config = model.get_build_config() if model.built else None
    shapes = (config or {}).get("input_shape")
    if not shapes:
        msg = "Inputs can be made only from a signature, and this model has none: it was not built with a known input shape."
        raise ArgumentError(msg + " Give inputs.")
    if isinstance(shapes, (tuple, list)) and all(size is None or isinstance(size, int) for size in shapes):
        return [_built_with("inputs", shapes)], lambda arrays: arrays[0]
    keys = list(shapes) if isinstance(shapes, Mapping) else list(range(len(shapes)))
    slots = [_built_with(key if isinstance(key, str) else f"inputs_{key}", shapes[key]) for key in keys]
    if isinstance(shapes, Mapping):
        return slots, lambda arrays: dict(zip(keys, arrays, strict=True))
    return slots, list


def _built_with(name: str, shape: Sequence[int | None]) -> Slot:
    """Return an input of a model that was built by a call; the number of samples of that call is left out."""
    return Slot(name, (None, *shape[1:]), None)


def declared_inputs(model: Any) -> Any:
    """Return the inputs that a model declares, in the structure that it takes; a list of one input becomes that input."""
    try:
        struct = model.input
        return struct[0] if isinstance(struct, (list, tuple)) and len(struct) == 1 else struct
    except AttributeError:
        return model.inputs[0] if len(model.inputs) == 1 else list(model.inputs)
