"""Batches that are padded to different lengths, as when each is as long as its own longest sequence, and what Keras reports."""

from collections.abc import Sequence
from typing import Any

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


def pad_unevenly(array: Array, size: int, fill: Any, padding: str = "post") -> list[Array]:
    """Return the batches of an array (B, T, ...), of which the k-th, counted from 0, is k steps longer than T.

    Args:
        array: of padded sequences.
        size: samples a batch; the last may have fewer.
        fill: what stands at the steps that are added.
        padding: the side on which they are added, "pre" or "post".

    Raises:
        ArgumentError: `padding` is neither.
    """
    check_one_of("padding", padding, ("pre", "post"))
    batches = [array[start : start + size] for start in range(0, len(array), size)]
    longer = [(k, 0) if padding == "pre" else (0, k) for k in range(len(batches))]
    widths = [[(0, 0), steps, *[(0, 0)] * (array.ndim - 2)] for steps in longer]
    return [np.pad(batch, width, constant_values=fill) for batch, width in zip(batches, widths, strict=True)]


def one_row(batches: Sequence[Array]) -> Array:
    """Return all steps of some batches (B, T, ...) as one sequence (1, all, ...)."""
    return np.concatenate([batch.reshape(1, -1, *batch.shape[2:]) for batch in batches], axis=1)


def evaluate_batches(model: Any, batches: Sequence[tuple[Array, Array]], loss: Any, **options: Any) -> dict[str, float]:
    """Compile a model and return what `evaluate` reports of these batches, by name.

    Args:
        model: takes any number of steps.
        batches: inputs and targets of each.
        loss: as `compile` takes it.
        **options: of `compile`, such as `metrics`, which have seen no other model.
    """
    compat.compile_model(model, loss, **options)
    return {name: float(value) for name, value in compat.evaluate(model, Batches(batches), None).items()}


def fit_batches(model: Any, batches: Sequence[tuple[Array, Array]], loss: Any, **options: Any) -> dict[str, float]:
    """Return what one epoch of `fit` reports, by name, of a model whose weights stay; arguments as of `evaluate_batches`."""
    compat.compile_model(model, loss, compat.gradient_descent(0.0), **options)
    history = model.fit(Batches(batches), shuffle=False, epochs=1, verbose=0).history
    return {name: float(values[-1]) for name, values in history.items()}
