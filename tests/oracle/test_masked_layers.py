"""masklib.reference.masked_layers agrees with Keras's layers on clean padding, and rejects what is known to be wrong."""

import numpy as np
import pytest

from masklib.experiments import corruption, data, masked_layers, models
from masklib.reference import masked_layers as reference

B, T, F, U = 4, 5, 6, 3
ATOL = 1e-4  # relative; two normalizations in a row lose most of float32's 6e-8
each = pytest.mark.parametrize("name", masked_layers.CONSUMERS)


def drawn(name, **source):
    """A model, its inputs, targets and mask."""
    model = models.draw_weights(masked_layers.build(name, T, F, U, **source), 1)
    x, mask, _ = data.draw_batch(2, B, T, F)
    return model, x, masked_layers.draw_targets(name, model, B, 3), mask


def compared(name, model, outcome, x, y, mask):
    offset, *weights = model.get_weights()
    return reference.compare(name, outcome.result, outcome.offset, x + offset, weights, mask, y)


@each
def test_keras_agrees_with_the_reference_on_clean_padding(name):
    model, x, y, mask = drawn(name)
    row = compared(name, model, masked_layers.run(model, name, [x, mask], y), x, y, mask)
    assert row["finite"]
    assert row["error"] < ATOL
    assert row["gradient error"] < ATOL


@each
def test_a_layer_without_the_mask_or_with_its_opposite_is_rejected(name):
    model, x, y, mask = drawn(name)
    bare = drawn(name, source="none")[0]
    for before, after in zip(model.get_weights(), bare.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    wrong = masked_layers.run(bare, name, x, y)
    assert compared(name, bare, wrong, x, y, mask)["error"] > 100 * ATOL
    inverted = mask.copy()
    inverted[0, -1] = ~inverted[0, -1]  # one step too few
    assert compared(name, model, masked_layers.run(model, name, [x, inverted], y), x, y, mask)["error"] > ATOL


@each
def test_a_run_leaves_the_weights_as_they_were(name):
    model, x, y, mask = drawn(name)
    before = [weight.copy() for weight in model.get_weights()]
    masked_layers.run(model, name, [x, mask], y)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@each
def test_the_reference_lets_nothing_of_a_masked_step_through(name):
    model, x, y, mask = drawn(name)
    _, *weights = model.get_weights()
    clean, slope = reference.consume(name, x, weights, mask, y), reference.offset_gradient(name, x, weights, mask, y)
    for value in (np.nan, np.inf, 1e9):
        spoiled = corruption.under_mask(x, mask, value)
        np.testing.assert_array_equal(reference.consume(name, spoiled, weights, mask, y), clean)
        np.testing.assert_array_equal(reference.offset_gradient(name, spoiled, weights, mask, y), slope)


@each
def test_the_reference_is_finite_for_empty_samples(name):
    model, x, y, _ = drawn(name)
    _, *weights = model.get_weights()
    assert np.isfinite(reference.consume(name, x, weights, np.zeros((B, T), dtype=bool), y)).all()


def test_compare_sees_a_wrong_and_a_missing_number():
    mask = np.array([[True, True, False], [False, False, False]])
    x = np.arange(6.0).reshape(2, 3, 1)
    y, slope = np.zeros((2, 1)), reference.offset_gradient("GlobalAveragePooling1D", x, [], mask, np.zeros((2, 1)))
    right = np.array([[0.5], [7.0]])  # an empty sample may put out anything finite
    cases = {0.5: (True, 0.0), 0.6: (True, 0.2), np.nan: (False, np.nan)}
    for value, (finite, error) in cases.items():
        right[0] = value
        row = reference.compare("GlobalAveragePooling1D", right, slope, x, [], mask, y)
        assert row["finite"] == finite
        assert row["error"] == pytest.approx(error, nan_ok=True)
    right[:] = [[0.5], [np.nan]]
    assert not reference.compare("GlobalAveragePooling1D", right, slope, x, [], mask, y)["finite"]
    assert reference.compare("GlobalAveragePooling1D", right, 2 * slope, x, [], mask, y)["gradient error"] == pytest.approx(1.0)
