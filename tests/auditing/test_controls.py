"""A metric that no prediction changes says nothing about padding."""

import numpy as np

from masklib.auditing.invariance.controls import DRAWS, blind_metrics, changed
from tests.auditing.test_predictions import prediction


def test_a_metric_that_no_prediction_changes_is_blind():
    draws = []

    def compute(predictions):
        draws.append(predictions[0].array)
        return {"constant": 1.0, "sharp": float(draws[-1][0, 0, 0]), "rare": 5.0 if len(draws) < 3 else 6.0}

    base = [prediction(classes=5)]
    metrics = {"constant": 1.0, "sharp": float(base[0].array[0, 0, 0]), "rare": 5.0, "missing": 2.0}

    assert blind_metrics(metrics, compute, base, seed=0) == {"constant"}
    assert len(draws) == DRAWS
    assert not any(np.array_equal(one, base[0].array) for one in draws)


def test_nothing_is_computed_without_metrics():
    assert blind_metrics({}, None, [prediction()], seed=0) == set()


def test_each_output_is_changed_in_its_own_way():
    one, other = changed([prediction(), prediction()], [lambda array: array + 1, lambda array: array * 0])

    assert np.array_equal(one.array, prediction().array + 1)
    assert not other.array.any()
