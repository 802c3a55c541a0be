"""What the `call` of a layer takes, and whether it is Keras's own."""

import inspect
from functools import lru_cache
from typing import Any

import keras


def is_of_keras(operation: Any) -> bool:
    """Return whether the `call` of an operation is part of Keras, and not custom code."""
    return str(type(operation).call.__module__).partition(".")[0] == "keras"


def is_opaque(operation: Any) -> bool:
    """Return whether the calls inside an operation are not watched, such as those of the cell of an LSTM."""
    if isinstance(operation, keras.layers.RNN):
        return True
    return is_of_keras(operation) and not isinstance(operation, (keras.Model, keras.layers.Wrapper))


def takes_mask(operation: Any) -> bool:
    """Return whether the `call` of an operation has a mask argument that Keras fills."""
    return bool(mask_arguments(operation))


def mask_arguments(operation: Any) -> tuple[str, ...]:
    """Return the names of the mask arguments of an operation's `call` that Keras fills."""
    return _mask_arguments(type(operation).call)


def bound_arguments(operation: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return the arguments of a call by their names in the operation's `call`.

    Keras takes more than these, such as `training` for a layer whose `call` has no such argument; those are left out.
    """
    signature = _signature(type(operation).call)
    takes_any = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())
    known = kwargs if takes_any else {name: value for name, value in kwargs.items() if name in signature.parameters}
    return dict(signature.bind_partial(operation, *args, **known).arguments)


def masks_given(layer: Any, args: Any, kwargs: Any) -> list[tuple[Any, list[Any]]]:
    """Return for each mask argument the argument to which the mask belongs, or all, and the masks that are given."""
    names = mask_arguments(layer)
    if not names:
        return []
    given = bound_arguments(layer, args, kwargs)
    of_all = (args, without_masks(kwargs))
    return [(of_all if name == "mask" else given.get(name.removesuffix("_mask")), _each(given.get(name))) for name in names]


def without_masks(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that are not masks."""
    return {name: value for name, value in kwargs.items() if name != "mask" and not name.endswith("_mask")}


def _each(mask: Any) -> list[Any]:
    """Return the masks of an argument that may hold several."""
    return list(keras.tree.flatten(mask)) if isinstance(mask, (list, tuple, dict)) else [mask]


@lru_cache(maxsize=4096)
def _signature(call: Any) -> inspect.Signature:
    """Return the signature of a function."""
    return inspect.signature(call)


@lru_cache(maxsize=4096)
def _mask_arguments(call: Any) -> tuple[str, ...]:
    """Return the names of the mask arguments that Keras fills."""
    names = _signature(call).parameters
    return tuple(name for name in names if name == "mask" or (name.endswith("_mask") and name.removesuffix("_mask") in names))
