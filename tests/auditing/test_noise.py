"""What counts as equal: a multiple of the model's own rounding noise, and at least some units of its number format."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from masklib.auditing.invariance.comparing import Distance
from masklib.auditing.invariance.noise import FACTOR, FLOOR, Noise, noise_of, rounded_otherwise, unit_of


def dense(**options: Any) -> Any:
    """A model of one layer."""
    x = keras.Input((3,))
    return keras.Model(x, layers.Dense(4, **options)(x))


def test_the_tolerance_is_relative_to_the_scale():
    assert Noise(1e-4, 10.0, 1e-7).tolerance == pytest.approx(FACTOR * 1e-5)
    assert Noise(0.0, 10.0, 1e-7).tolerance == pytest.approx(FLOOR * 1e-7)
    assert Noise(1e-4, 0.0, 1e-7).tolerance == pytest.approx(FACTOR * 1e-4)


def test_the_noise_is_the_largest_that_was_measured():
    noise = noise_of([Distance(1e-6, 2.0), Distance(3e-6, 1.0)], 1e-7)
    assert (noise.size, noise.scale, noise.unit) == (3e-6, 2.0, 1e-7)
    assert noise_of([], 1e-7).size == 0.0


@pytest.mark.parametrize(
    ("dtype", "unit"), [("float32", 2.0**-23), ("bfloat16", 2.0**-7), ("mixed_float16", 2.0**-10), ("float64", 2.0**-23)]
)
def test_the_unit_is_that_of_the_coarsest_layer(dtype: str, unit: float):
    assert unit_of(dense(dtype=dtype)) == unit  # the input is of float32


def test_each_weight_is_changed_by_one_unit_within_the_context():
    model = dense(kernel_initializer="random_normal", bias_initializer="ones")
    before = model.get_weights()
    with rounded_otherwise(model, 1e-3, 0):
        during = model.get_weights()

    for own, other in zip(before, during, strict=True):
        assert np.allclose(np.abs(other / own - 1), 1e-3, rtol=1e-2)
    assert len({float(np.sign(b - a).flat[0]) for a, b in zip(before[0].flat, during[0].flat, strict=True)}) == 2
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
