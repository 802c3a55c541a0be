"""By which count a loss divides."""

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
CLOSE = 1e-4  # relative: counts of steps are further apart


def denominator(prediction: Prediction) -> str:
    """Return by which count the loss of one output divides: "valid steps", "all steps", "samples", "nothing" or "unknown".

    The loss is compared with the losses of single steps, summed and divided by each count that there is.
    """
    try:
        total, each = _reduced(prediction)
    except CallError:
        return UNKNOWN
    return named(total, each, prediction.valid)


def named(total: float, each: Array, valid: NDArray[np.bool_] | None) -> str:
    """Return which count makes `total` of the losses `each`, (B,) or (B, T).

    Args:
        total: the loss.
        each: losses of samples or steps.
        valid: bool, as `each`; None: all are valid.
    """
    if each.ndim == 0:
        return UNKNOWN
    if each.ndim < 2 or valid is None or valid.shape != each.shape[:2]:
        counts = {"samples": each.size} if each.ndim < 2 else {"all steps": each.size, "samples": len(each)}
        return _match(total, {"": float(each.sum())}, counts)
    steps = each.reshape(*each.shape[:2], -1).mean(axis=-1)
    sums = {"": float(steps.sum(where=valid)), "padded": float(steps.sum())}
    return _match(total, sums, {"valid steps": int(valid.sum()), "all steps": valid.size, "samples": len(valid)})


def _match(total: float, sums: dict[str, float], counts: dict[str, int]) -> str:
    """Return the name of the count by which one of the sums, divided, is the total."""
    for value in sums.values():
        found = [name for name, count in counts.items() if np.isclose(total * count, value, rtol=CLOSE, atol=0.0)]
        if found:
            return found[0]
        if np.isclose(total, value, rtol=CLOSE, atol=0.0):
            return "nothing"
    return UNKNOWN


def _reduced(prediction: Prediction) -> tuple[float, Array]:
    """Return the loss, and the losses of single steps or samples."""
    loss = loss_object(prediction.loss, max(prediction.kind.classes, 1), is_sparse=prediction.kind.is_sparse)
    with explained(), quietly():
        if not isinstance(loss, keras.losses.Loss):
            loss = _as_object(loss)
        y_true = keras.ops.convert_to_tensor(prediction.target)
        each = to_array(loss.call(y_true, prediction.tensor()))
        return float(to_array(loss(y_true, prediction.tensor()))), np.asarray(each, dtype=float)


def _as_object(function: Any) -> Any:
    """Return a function of losses as `compile` takes it: reduced by Keras's default."""

    class OfFunction(keras.losses.Loss):  # type: ignore[misc] # Keras publishes no types
        """The mean of a function."""

        def call(self, y_true: Any, y_pred: Any) -> Any:
            """Return the losses of single steps."""
            return function(y_true, keras.ops.cast(y_pred, "float32"))

    return OfFunction()
