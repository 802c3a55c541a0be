"""The count by which a loss divides."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.compiled import loss_object
from masklib.auditing.borrowing.running import CallError, explained, quietly
from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.invariance.predictions import Prediction

Array = NDArray[Any]
UNKNOWN = "unknown"
CLOSE = 1e-5  # relative difference up to which two numbers are equal; counts of steps differ by more
DRAWS = 4  # of predictions


def denominator(prediction: Prediction) -> str:
    """Return the count by which the loss of one output divides, such as "valid steps" or "samples"; "unknown" if none fits.

    The losses of single steps are summed and divided by each possible count, and compared with the loss. If the losses of all
    steps are nearly the same, as in an untrained model, several counts fit: then other predictions are tried.
    """
    tried = (prediction, *(spread_out(prediction, draw) for draw in range(1, DRAWS)))
    try:
        found = (named(*_reduced(one), one.valid, one.weight) for one in tried)
        return next((name for name in found if name != UNKNOWN), UNKNOWN)
    except CallError:
        return UNKNOWN


def spread_out(prediction: Prediction, draw: int) -> Prediction:
    """Return an output with random predictions of the same kind, probabilities or other numbers."""
    array, rng = prediction.array, np.random.default_rng([draw, 11])
    is_distribution = array.ndim > 1 and array.shape[-1] > 1 and np.allclose(array.sum(axis=-1), 1.0, atol=1e-3)
    if is_distribution:
        other = rng.dirichlet(np.ones(array.shape[-1]), array.shape[:-1])
    elif array.size and 0.0 <= array.min() <= array.max() <= 1.0:
        other = rng.uniform(0.05, 0.95, array.shape)
    else:
        other = rng.normal(0.0, 1.0, array.shape)
    return replace(prediction, array=other.astype(array.dtype))


def named(total: float, each: Array, valid: NDArray[np.bool_] | None, weight: Array | None = None) -> str:
    """Return the count that divides the sum of `each`, (B,) or (B, T), to give `total`; "unknown" if none does, or several.

    Args:
        total: the loss.
        each: losses of samples or steps.
        valid: bool, of the shape of `each`; None: all are valid.
        weight: of samples or steps, of the shape of `each`; None: no weights.
    """
    if each.ndim == 0:
        return UNKNOWN
    if each.ndim < 2 or valid is None or valid.shape != each.shape[:2]:
        counts = {"samples": each.size} if each.ndim < 2 else {"all steps": each.size, "samples": len(each)}
        if weight is not None and weight.shape != each.shape:
            return UNKNOWN
        weighted, weights = _weighted(each, weight)
        return _match(total, [float(weighted.sum())], counts | weights)
    if weight is not None and weight.shape != valid.shape:
        return UNKNOWN
    steps, weights = _weighted(each.reshape(*each.shape[:2], -1).mean(axis=-1), weight)
    sums = [float(steps.sum(where=valid)), float(steps.sum())]
    return _match(total, sums, {"valid steps": int(valid.sum()), "all steps": valid.size, "samples": len(valid)} | weights)


def _weighted(each: Array, weight: Array | None) -> tuple[Array, dict[str, float]]:
    """Return losses multiplied by their weights, and the sum of the weights as a possible count."""
    return (each, {}) if weight is None else (each * weight, {"the sum of the weights": float(weight.sum())})


def _match(total: float, sums: list[float], counts: dict[str, float]) -> str:
    """Return the name of the only count by which one of the sums must be divided to give the total."""
    named = {"nothing": 1.0, **counts}
    for value in sums:
        found = {count: name for name, count in named.items() if np.isclose(total * count, value, rtol=CLOSE, atol=0.0)}
        others = {count for other in sums for count in named.values() if np.isclose(total * count, other, rtol=CLOSE, atol=0.0)}
        if found and len(others) == 1:
            return found[min(found)]
        if found:
            return UNKNOWN
    return UNKNOWN


def _reduced(prediction: Prediction) -> tuple[float, Array]:
    """Return the loss, and the losses of single steps or samples."""
    loss = loss_object(prediction.loss, max(prediction.kind.classes, 1), is_sparse=prediction.kind.is_sparse)
    with explained(), quietly():
        if not isinstance(loss, keras.losses.Loss):
            loss = _as_object(loss)
        y_true = keras.ops.convert_to_tensor(prediction.target)
        each = to_array(loss.call(y_true, prediction.tensor()))
        total = loss(y_true, prediction.tensor(), sample_weight=prediction.weight)
        return float(to_array(total)), np.asarray(each, dtype=float)


def _as_object(function: Any) -> Any:
    """Return a loss function as the loss object that `compile` makes of it, with Keras's default reduction."""

    class OfFunction(keras.losses.Loss):  # type: ignore[misc] # Keras publishes no types
        """The mean of a loss function."""

        def call(self, y_true: Any, y_pred: Any) -> Any:
            """Return the losses of single steps."""
            return function(y_true, keras.ops.cast(y_pred, "float32"))

    return OfFunction()
