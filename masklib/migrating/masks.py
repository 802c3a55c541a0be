"""The masks that layers hand on in one call of a model, in any Keras from 2.4 on: read where each layer is called."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib import compat
from masklib.compat.attached import keras_mask

Mask = NDArray[np.bool_]
ORIGINAL = "the original Keras builds graphs, in which masks have no values"
SIMPLE = (bool, int, float, str, type(None))  # settings of a layer that JSON holds


def masks_of_calls(model: Any, inputs: Any) -> list[dict[str, Any]]:
    """Call a model once and return a row for each call of a layer in it, in the order in which they ended.

    Layers within a wrapper such as Bidirectional are not listed, nor models in the model: their layers are.

    Returns:
        `layer`: its name, "name#2" for its second call; `kind`: its class; `config`: its settings; `has_state`: whether it
        got more than one input; `masks_in`, `masks`: of each tensor that it got and returned: bool array, True = valid, or
        None; `unmasks`: whether it takes the mask off a tensor that it got, as MultiHeadAttention of Keras 3 does.

    Raises:
        ArgumentError, or any error of Keras: the model cannot be called.
    """
    names = dict(_named(model))
    rows: list[dict[str, Any]] = []
    counts: dict[str, int] = {}

    def watch(call: Callable[..., Any], layer: Any, given: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        name = names.get(id(layer))
        tensors = [] if name is None else _tensors((given, {key: value for key, value in options.items() if "mask" not in key}))
        before = [_mask(tensor) for tensor in tensors]
        returned = call(layer, *given, **options)
        if name is None:
            return returned
        counts[name] = counts.get(name, 0) + 1
        rows.append(
            {
                "layer": f"{name}#{counts[name]}" if counts[name] > 1 else name,
                "kind": type(layer).__name__,
                "config": _settings(layer),
                "has_state": _has_state(given, options),
                "unmasks": any(mask is not None and _mask(one) is None for one, mask in zip(tensors, before, strict=True)),
                "masks_in": _passed(options, len(before)) or before,
                "masks": [_mask(tensor) for tensor in _tensors(returned)],
            }
        )
        return returned

    with _watched(watch):
        model(compat.map_structure(compat.ops.convert_to_tensor, inputs), training=False)
    return rows


def _named(model: Any) -> Iterator[tuple[int, str]]:
    """Yield the id and the name of each layer of a model, and of the models in it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _named(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield id(layer), str(layer.name)


@contextmanager
def _watched(watch: Callable[..., Any]) -> Iterator[None]:
    """Within this context `watch(call, layer, given, options)` is called in place of the call of a layer."""
    kind: Any = keras.layers.Layer
    original = kind.__call__

    def call(layer: Any, *given: Any, **options: Any) -> Any:
        return watch(original, layer, given, options)

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = original


def _has_state(given: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    """Return whether a call is given more than one input, as a recurrent layer is with an initial state."""
    several = isinstance(given[0], (list, tuple)) and len(given[0]) > 1 if given else False
    return several or options.get("initial_state") is not None or (len(given) > 1 and given[1] is not None)


def _passed(options: Mapping[str, Any], count: int) -> list[Mask | None]:
    """Return the mask that a call is given as an argument, as functional models of Keras 3 do; [] if it is given none."""
    mask = options.get("mask")
    return [_as_array(mask), *[None] * (count - 1)] if hasattr(mask, "shape") else []


def _tensors(structure: Any) -> list[Any]:
    """Return the tensors in a structure."""
    found: list[Any] = []
    compat.map_structure(lambda one: found.append(one) if hasattr(one, "shape") and hasattr(one, "dtype") else None, structure)
    return found


def _mask(tensor: Any) -> Mask | None:
    """Return the mask that is attached to a tensor."""
    mask = keras_mask(tensor)
    return None if mask is None else _as_array(mask)


def _as_array(mask: Any) -> Mask:
    """Return a mask as an array."""
    return np.asarray(compat.to_numpy(mask)).astype(bool)


def _settings(layer: Any) -> dict[str, Any]:
    """Return the simple settings of a layer; {} where it has none to give."""
    try:
        config = layer.get_config()
    except Exception:  # of a layer without `get_config`
        return {}
    return {name: value for name, value in config.items() if isinstance(value, SIMPLE)}
