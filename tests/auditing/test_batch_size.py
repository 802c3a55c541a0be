"""What `evaluate` reports for one batch and for two is compared; a difference within the noise does not count."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from masklib.auditing.borrowing.running import CallError
from masklib.auditing.invariance.batch_size import BatchSize
from masklib.auditing.invariance.loss_tries import LossNoise, Whole
from masklib.auditing.invariance.predictions import Prediction
from tests.auditing.test_predictions import prediction


def compare(
    losses: Mapping[int, float], metrics: Mapping[str, tuple[float, float]], whole: float = 2.0, noise: float = 0.0
) -> dict[str, tuple[float, float]]:
    """Compare one batch of 3 samples with two, given the loss of a batch by its samples, and metrics over one and two."""

    def loss(part: Sequence[Prediction]) -> float:
        return losses[len(part[0].array)]

    values: Any = SimpleNamespace(loss=loss, metrics=lambda *parts: {name: both[1] for name, both in metrics.items()})
    known = Whole((prediction(),), whole, {name: both[0] for name, both in metrics.items()})
    return BatchSize(values, known, LossNoise({"loss": noise}, 1e-7)).differences()


def test_the_loss_of_two_batches_is_weighted_by_their_samples():
    assert compare({1: 4.0, 2: 1.0}, {}) == {}
    assert compare({1: 5.0, 2: 2.0}, {}) == {"loss": (2.0, pytest.approx(3.0))}


def test_a_difference_within_the_noise_does_not_count():
    assert compare({1: 2.0, 2: 2.03}, {}, noise=0.01) == {}


def test_the_loss_is_left_out_beside_a_metric_that_is_the_same_number_over_any_batch():
    assert compare({1: 5.0, 2: 2.0}, {"exact": (2.0, 2.0)}) == {}
    assert set(compare({1: 5.0, 2: 2.0}, {"other": (2.5, 2.5)})) == {"loss"}
    assert set(compare({1: 5.0, 2: 2.0}, {"mean": (2.0, 3.0)})) == {"mean", "loss"}


def test_a_loss_that_is_not_finite_or_cannot_be_computed_gives_no_difference():
    def broken(part: object) -> float:
        raise CallError

    assert compare({}, {}, whole=np.nan) == {}
    values: Any = SimpleNamespace(loss=broken)
    assert BatchSize(values, Whole((prediction(),), 2.0, {}), LossNoise({"loss": 0.0}, 1e-7)).differences() == {}
