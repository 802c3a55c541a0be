"""The masks that layers hand on in one call of a model, in any Keras from 2.4 on: read where every call of a layer ends."""

from collections.abc import Iterator, Mapping
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
        got more than one input; `masks_in`, `masks`: of each
        tensor that it got and returned: bool array, True = valid, or None.

    Raises:
        ArgumentError, or any error of Keras: the model cannot be called.
    """
    names = dict(_named(model))
    rows: list[dict[str, Any]] = []
    counts: dict[str, int] = {}

    def note(layer: Any, given: tuple[Any, ...], options: Mapping[str, Any], returned: Any) -> None:
        name = names.get(id(layer))
        if name is None:
            return
        counts[name] = counts.get(name, 0) + 1
        label = f"{name}#{counts[name]}" if counts[name] > 1 else name
        about = {
            "layer": label,
            "kind": type(layer).__name__,
            "config": _settings(layer),
            "has_state": _has_state(given, options),
        }
        rows.append({**about, "masks_in": _masks(given or options.get("inputs")), "masks": _masks(returned)})

    with _noting(note):
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
def _noting(note: Any) -> Iterator[None]:
    """Within this context `note(layer, given, options, returned)` is called where the call of a layer ends."""
    kind: Any = keras.layers.Layer
    original = kind.__call__

    def call(layer: Any, *given: Any, **options: Any) -> Any:
        returned = original(layer, *given, **options)
        note(layer, given, options, returned)
        return returned

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = original


def _has_state(given: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    """Return whether a call is given more than one input, as a recurrent layer is with an initial state."""
    several = isinstance(given[0], (list, tuple)) and len(given[0]) > 1 if given else False
    return several or options.get("initial_state") is not None or (len(given) > 1 and given[1] is not None)


def _masks(structure: Any) -> list[Mask | None]:
    """Return the mask of each tensor in a structure."""
    found: list[Mask | None] = []

    def look(tensor: Any) -> None:
        if hasattr(tensor, "shape") and hasattr(tensor, "dtype"):
            mask = keras_mask(tensor)
            found.append(None if mask is None else np.asarray(compat.to_numpy(mask)).astype(bool))

    compat.map_structure(look, structure)
    return found


def _settings(layer: Any) -> dict[str, Any]:
    """Return the simple settings of a layer; {} where it has none to give."""
    try:
        config = layer.get_config()
    except Exception:  # of a layer without `get_config`
        return {}
    return {name: value for name, value in config.items() if isinstance(value, SIMPLE)}
