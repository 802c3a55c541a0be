"""Gradients and moving statistics are compared where padding must make no difference; a gradient that becomes NaN is a leak."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from masklib.auditing.borrowing.methods import borrowed
from masklib.auditing.inputs.making import prepare
from masklib.auditing.inputs.settings import DEFAULT
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.changes import Change, Quantity
from masklib.auditing.invariance.gradients import Gradients, Squares, gradients_of
from masklib.auditing.invariance.results import Leak, Passed, Verdict
from masklib.auditing.invariance.statistics import Statistics, without_randomness
from masklib.auditing.invariance.subject import examine

pytestmark = pytest.mark.filterwarnings("ignore:(?s).*destroy the mask:UserWarning")


def pooled(*parts: Any, masked: bool = True) -> Any:
    """Floats, layers one after another, and the mean over steps; over the valid steps if `masked`."""
    keras.utils.set_random_seed(0)
    x = keras.Input((None, 2))
    h = layers.Masking()(x)
    mask = ops.any(x != 0.0, axis=-1)
    for part in parts:
        h = part(h)
    return keras.Model(x, layers.GlobalAveragePooling1D()(h, mask=mask if masked else ops.ones_like(mask)))


def gradients(model: Any) -> list[Verdict]:
    """Return the verdicts on the gradients of the mean square of the outputs."""
    with borrowed(model) as runner:
        subject = examine(runner, *prepare(model, None, DEFAULT, seed=0), 0)
        return Gradients(subject, Alternatives(subject), Squares(subject)).verdicts()


def statistics(model: Any) -> list[Verdict]:
    """Return the verdicts on the moving statistics of BatchNormalization."""
    with borrowed(model) as runner:
        subject = examine(runner, *prepare(model, None, DEFAULT, seed=0), 0)
        return Statistics(subject, Alternatives(subject)).verdicts()


def test_a_healthy_model_has_the_same_gradients_with_longer_padding():
    found = gradients(pooled(layers.Dense(3)))

    assert {type(one) for one in found} == {Passed}
    assert {(one.change, one.kind) for one in found} == {(Change.LONGER_PADDING, Quantity.GRADIENT)}
    assert len(found) == 2  # kernel and bias


def test_padding_that_counts_changes_the_gradients():
    leaks = [one for one in gradients(pooled(layers.Dense(3, bias_initializer="ones"), masked=False)) if isinstance(one, Leak)]

    assert len(leaks) == 2
    assert all(one.relative > 0.01 and one.example.startswith("element (") for one in leaks)


def test_a_gradient_that_padding_makes_nan_is_a_leak_of_padding():
    keras.utils.set_random_seed(0)
    x = keras.Input((None, 2))
    h = layers.Dense(3, use_bias=False)(x)
    valid = ops.any(x != 0.0, axis=-1, keepdims=True)
    model = keras.Model(x, ops.sum(ops.where(valid, ops.log(ops.abs(h)), 0.0), axis=1))
    (leak,) = gradients(model)

    assert isinstance(leak, Leak)
    assert (leak.change, leak.size) == (Change.NO_PADDING, float("inf"))


def test_a_model_without_weights_has_no_gradients():
    assert gradients(pooled()) == []


def test_gradients_are_those_of_a_tape():
    keras.utils.set_random_seed(0)
    x = keras.Input((2,))
    model = keras.Model(x, layers.Dense(1)(x))
    inputs = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")
    with borrowed(model) as runner:
        kernel, bias = gradients_of(runner, inputs, ops.sum)
    assert (np.ravel(kernel).tolist(), np.ravel(bias).tolist()) == ([4.0, 6.0], [2.0])


def test_statistics_with_the_mask_are_the_same_and_without_it_they_are_not():
    (healthy,) = statistics(pooled(layers.BatchNormalization(name="norm")))
    (leak,) = statistics(pooled(layers.Dense(2, bias_initializer="ones"), ops.negative, layers.BatchNormalization(name="norm")))

    assert (type(healthy), healthy.of, healthy.change) == (Passed, "norm", Change.LONGER_PADDING)
    assert isinstance(leak, Leak)
    assert (leak.layer, leak.relative > 100 * leak.tolerance) == ("norm", True)


def test_statistics_that_are_not_trained_are_not_tested():
    assert statistics(pooled(layers.BatchNormalization(trainable=False))) == []


def test_dropout_is_switched_off_for_a_while():
    model = pooled(layers.Dropout(0.5), layers.GaussianNoise(0.3))
    with without_randomness(model):
        assert [getattr(model.layers[i], name) for i, name in ((2, "rate"), (3, "stddev"))] == [0.0, 0.0]
    assert sorted(getattr(one, name) for one in model.layers for name in ("rate", "stddev") if hasattr(one, name)) == [0.3, 0.5]
