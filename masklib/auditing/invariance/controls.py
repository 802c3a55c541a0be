"""Whether a metric could have differed at all: one that is the same for any predictions, or 0, says nothing about padding."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from masklib.auditing.invariance.predictions import Prediction

DRAWS = 6  # of other predictions: a metric of few samples may stay the same for some of them by chance


def blind_metrics(
    metrics: Mapping[str, float],
    compute: Callable[[Sequence[Prediction]], Mapping[str, float]],
    base: Sequence[Prediction],
    seed: int,
) -> set[str]:
    """Return the names of the metrics that stay the same for all predictions that were tried, such as one that is never updated.

    Args:
        metrics: for the batch as given, by name.
        compute: returns them for other predictions.
        base: the batch as given.
        seed: of the random numbers.

    Raises:
        CallError: the metrics cannot be computed.
    """
    blind = set(metrics)
    for draw in range(DRAWS):
        if not blind:
            break
        values = compute([one.with_other_numbers(seed + draw) for one in base])
        blind = {name for name in blind if values.get(name) == metrics[name]}
    return blind


def changed(predictions: Sequence[Prediction], changes: Sequence[Callable[[Any], Any]]) -> list[Prediction]:
    """Return predictions with other numbers: one function for each changes its array."""
    return [replace(one, array=change(one.array)) for one, change in zip(predictions, changes, strict=True)]
