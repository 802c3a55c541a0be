"""The losses and metrics with which a model was compiled, and how to use them without changing the model.

Keras builds compiled losses and metrics with the first data that they get, and metrics keep their counts. Both are restored
here. Checked on Keras 3.15.1.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.borrowing.unchanged import assign_if_different


def has_loss(model: Any) -> bool:
    """Return whether a model was compiled with a loss, or computes one itself."""
    if not getattr(model, "compiled", False):
        return False
    return model.loss is not None or type(model).compute_loss is not keras.Model.compute_loss or has_own_step(model)


def has_own_step(model: Any) -> bool:
    """Return whether a model overrides `test_step`, which computes what `evaluate` reports."""
    return type(model).test_step is not keras.Model.test_step


def has_own_training(model: Any) -> bool:
    """Return whether a model overrides `train_step`."""
    return type(model).train_step is not keras.Model.train_step


def weighted_metrics(model: Any) -> set[str]:
    """Return the names of the `weighted_metrics` that a model was compiled with, once they are built."""
    flat = getattr(getattr(model, "_compile_metrics", None), "_flat_weighted_metrics", None) or []
    return {str(metric.name) for several in flat if several is not None for metric in several.metrics}


def has_metrics(model: Any) -> bool:
    """Return whether a model was compiled with metrics, or has metrics of its own; those that average its losses do not count."""
    if not getattr(model, "compiled", False):
        return False
    both = getattr(model, "_compile_metrics", None)
    given = [getattr(both, name, None) for name in ("_user_metrics", "_user_weighted_metrics")]
    own = [one.name for one in model.metrics if one is not both]
    return bool(keras.tree.flatten([one for one in given if one])) or any(not f"_{name}".endswith("_loss") for name in own)


def loss_of(model: Any, index: int, name: str, n_outputs: int) -> Any:
    """Return what `compile` was given as the loss of one output: a name, a function or an object; None if it has none."""
    loss = model.loss
    if isinstance(loss, Mapping):
        return loss.get(name.partition("#")[0])
    if isinstance(loss, Sequence) and not isinstance(loss, str):
        return loss[index] if len(loss) == n_outputs else loss[0] if loss else None
    return loss


def loss_object(loss: Any, classes: int, *, is_sparse: bool) -> Any:
    """Return a loss as an object or a function; the name "crossentropy" is one of three losses, by the number of classes."""
    if str(loss).lower() in ("crossentropy", "ce"):
        kind = "sparse_categorical" if is_sparse else "categorical"
        return keras.losses.get("binary_crossentropy" if classes == 1 else f"{kind}_crossentropy")
    return keras.losses.get(loss)


def name_of(loss: Any) -> str:
    """Return the name of a loss, in lower case with underscores."""
    name = (
        loss if isinstance(loss, str) else getattr(loss, "__name__", None) or getattr(loss, "name", None) or type(loss).__name__
    )
    return str(name).lower()


@contextmanager
def compiled_as_before(model: Any) -> Iterator[None]:
    """Within this context the compiled losses and metrics may be used; afterwards they are restored, also after an error."""
    parts = [part for name in ("_compile_loss", "_compile_metrics") if (part := getattr(model, name, None)) is not None]
    kept = [(vars(part), {key: _copy(value) for key, value in vars(part).items()}) for part in parts]
    values = [(variable, to_array(variable.value)) for variable in getattr(model, "metrics_variables", [])]
    try:
        yield
    finally:
        for attributes, before in kept:
            _bring_back(attributes, before)
        for variable, value in values:
            assign_if_different(variable, value)


def reset_metrics(model: Any) -> None:
    """Reset a model's metrics."""
    for metric in model.metrics:
        metric.reset_state()


def _copy(value: Any) -> tuple[Any, Any]:
    """Return a value, and a copy of it if it is a list."""
    return value, list(value) if isinstance(value, list) else None


def _bring_back(attributes: dict[str, Any], before: dict[str, tuple[Any, Any]]) -> None:
    """Restore attributes."""
    for key in [key for key in attributes if key not in before]:
        del attributes[key]
    for key, (value, held) in before.items():
        attributes[key] = value
        if held is not None and (len(held) != len(value) or any(a is not b for a, b in zip(held, value, strict=True))):
            value[:] = held


def numbers(results: Mapping[str, Any]) -> dict[str, float]:
    """Return results of metrics as numbers by name; a result of several numbers gives one entry for each."""
    found: dict[str, float] = {}
    for name, value in results.items():
        flat = np.ravel(np.asarray([to_array(one) for one in keras.tree.flatten(value)], dtype=object))
        parts = [np.ravel(np.asarray(one, dtype=float)) for one in flat]
        values = np.concatenate(parts) if parts else np.zeros(0)
        found |= {name if len(values) == 1 else f"{name}[{i}]": float(one) for i, one in enumerate(values)}
    return found
