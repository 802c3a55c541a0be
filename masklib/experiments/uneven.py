"""Batches that are padded to different lengths, as when each is as long as its own longest sequence, and what Keras reports."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from masklib import compat
from masklib.checks import check_one_of

Array = NDArray[Any]


class Batches(keras.utils.Sequence):  # type: ignore[misc] # keras has no types
    """Inputs and targets batch by batch, for `evaluate` and `fit`; Keras 3 calls the base class `PyDataset`."""

    def __init__(self, batches: Sequence[tuple[Array, Array]]):
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        """Return how many batches there are."""
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        """Return one batch."""
        return self.batches[index]


def pad_unevenly(array: Array, size: int, fill: Any, padding: str = "post", growth: int = 1) -> list[Array]:
    """Return the batches of an array (B, T, ...), each some steps longer than the one before; the first has T.

    Args:
        array: of padded sequences.
        size: samples a batch; the last may have fewer.
        fill: what stands at the steps that are added.
        padding: the side on which they are added, "pre" or "post".
        growth: how many steps longer each batch is; 0 leaves all at T.

    Raises:
        ArgumentError: `padding` is neither.
    """
    check_one_of("padding", padding, ("pre", "post"))
    batches = [array[start : start + size] for start in range(0, len(array), size)]
    added = [(growth * k, 0) if padding == "pre" else (0, growth * k) for k in range(len(batches))]
    widths = [[(0, 0), steps, *[(0, 0)] * (array.ndim - 2)] for steps in added]
    return [np.pad(batch, width, constant_values=fill) for batch, width in zip(batches, widths, strict=True)]


def one_row(batches: Sequence[Array]) -> Array:
    """Return all steps of some batches (B, T, ...) as one sequence (1, all, ...)."""
    return np.concatenate([batch.reshape(1, -1, *batch.shape[2:]) for batch in batches], axis=1)


class Scored(NamedTuple):
    """Scores that a model replays, in batches, with what NumPy needs to know of all their steps in one row (1, all).

    Attributes:
        batches: ids and labels of each batch.
        labels: (1, all, 1).
        scores: (1, all, 1).
        valid: bool (1, all), True = valid.
        shares: (1, all); 1 / T of a step's batch, so that the weights of a sample sum to its share of valid steps.
    """

    batches: list[tuple[Array, Array]]
    labels: Array
    scores: Array
    valid: Array
    shares: Array


def pad_scored(ids: Array, labels: Array, scores: Array, valid: Array, size: int, padding: str, growth: int) -> Scored:
    """Return `pad_unevenly` of ids, labels, scores and mask; what is added holds the label and score of the last masked step.

    Args:
        ids: (B, T); 0 at padding.
        labels: (B, T, 1).
        scores: (B, T, 1).
        valid: bool (B, T), True = valid; at least one step is masked.
        size: samples a batch.
        padding: the side, "pre" or "post".
        growth: how many steps longer each batch is.
    """
    fills = ((ids, 0), (labels, labels[~valid][-1]), (scores, scores[~valid][-1]), (valid, False))
    x, y, p, m = (pad_unevenly(array, size, fill, padding, growth) for array, fill in fills)
    shares = [np.full(mask.shape, 1 / mask.shape[1]) for mask in m]
    return Scored(list(zip(x, y, strict=True)), one_row(y), one_row(p), one_row(m), one_row(shares))


def report_metrics(
    model: Any, batches: Sequence[tuple[Array, Array]], loss: Any, given_as: str, names: Sequence[str]
) -> tuple[dict[str, dict[str, float]], str]:
    """Return what `evaluate`, run eagerly, and one epoch of `fit` report of metrics, by way and by name; the weights stay.

    After an error, as of Keras 3.0 on TensorFlow where lengths differ, all are NaN, and its class's name is the second; else "".

    Args:
        model: takes any number of steps.
        batches: inputs and targets of each; given to Keras as two arrays where all have the same length, one by one elsewhere.
        loss: as `compile` takes it.
        given_as: the argument of `compile`, "metrics" or "weighted_metrics".
        names: of classes of `keras.metrics`.
    """

    def fresh() -> dict[str, Any]:  # metrics that have seen no other model
        return {given_as: [getattr(keras.metrics, name)(name=name) for name in names]}

    data = _as_data(batches)
    try:
        compat.compile_model(model, loss, run_eagerly=True, **fresh())
        by_evaluate = compat.evaluate(model, **data)
        compat.compile_model(model, loss, compat.gradient_descent(0.0), **fresh())
        by_fit = model.fit(**data, shuffle=False, epochs=1, verbose=0).history
    except Exception as error:  # whatever the backend raises is the finding
        return {way: dict.fromkeys(names, math.nan) for way in ("evaluate", "fit")}, type(error).__name__
    reported = {"evaluate": by_evaluate, "fit": {name: values[-1] for name, values in by_fit.items()}}
    return {way: {name: float(found[name]) for name in names} for way, found in reported.items()}, ""


def _as_data(batches: Sequence[tuple[Array, Array]]) -> dict[str, Any]:
    """Return batches as arguments of `evaluate` and `fit`."""
    if len({x.shape[1] for x, _ in batches}) > 1:
        return {"x": Batches(batches), "y": None}
    x, y = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return {"x": x, "y": y, "batch_size": len(batches[0][0])}
