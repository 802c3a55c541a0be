"""Entries of targets that are missing, and weights whose shape does not say what they weigh."""

import keras
import numpy as np
import pytest

from masklib import losses
from masklib.errors import MaskShapeError

B, T, F = 2, 3, 5
KNOWN = np.array([[[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], [[0, 0, 0, 0, 1], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0]]], bool)


def entries(name: str, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The loss of each entry, in float64."""
    if name == "MaskedBinaryCrossentropy":
        return -(y * np.log(p) + (1 - y) * np.log(1 - p))
    return (y - p) ** 2 if name == "MaskedMeanSquaredError" else np.abs(y - p)


CASES = [("MaskedBinaryCrossentropy", -1.0), ("MaskedMeanSquaredError", np.nan), ("MaskedMeanAbsoluteError", np.nan)]
CASES += [("MaskedBinaryCrossentropy", np.nan), ("MaskedBinaryCrossentropy", 2.0)]


@pytest.fixture
def drawn(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 2, (B, T, F)).astype("float64"), rng.uniform(0.05, 0.95, (B, T, F))


@pytest.mark.parametrize(("name", "value"), CASES)
def test_the_mean_is_over_known_entries(name: str, value: float, drawn: tuple[np.ndarray, np.ndarray]):
    y, p = drawn
    each = entries(name, y, p)
    loss = getattr(losses, name)(mask_value=value)
    assert float(loss(np.where(KNOWN, y, value), p)) == pytest.approx(each[KNOWN].mean(), rel=1e-5)
    assert each[KNOWN].mean() != pytest.approx(each.mean(), rel=1e-2)


@pytest.mark.parametrize("reduction", ["sum", "none", "mean_with_sample_weight"])
def test_a_step_counts_by_the_share_that_is_known(reduction: str, drawn: tuple[np.ndarray, np.ndarray]):
    y, p = drawn
    weights = np.arange(1.0, 1 + B * T).reshape(B, T)
    of_steps = np.where(KNOWN, entries("MaskedBinaryCrossentropy", y, p), 0).mean(-1)
    expected = {
        "none": of_steps * weights,
        "sum": (of_steps * weights).sum(),
        "mean_with_sample_weight": (of_steps * weights).sum() / (weights * KNOWN.mean(-1)).sum(),
    }[reduction]
    loss = losses.MaskedBinaryCrossentropy(mask_value=-1, reduction=reduction)
    np.testing.assert_allclose(np.asarray(loss(np.where(KNOWN, y, -1), p, sample_weight=weights)), expected, rtol=1e-5)


def test_labels_without_time_may_be_missing_too(drawn: tuple[np.ndarray, np.ndarray]):
    y, p = (one[:, 0] for one in drawn)  # (B, K)
    known = KNOWN[:, 0]
    loss = losses.MaskedBinaryCrossentropy(mask_value=-1)
    assert float(loss(np.where(known, y, -1), p)) == pytest.approx(
        entries("MaskedBinaryCrossentropy", y, p)[known].mean(), rel=1e-5
    )


def test_what_predictions_hold_at_missing_entries_does_not_matter(drawn: tuple[np.ndarray, np.ndarray]):
    y, p = drawn
    loss = losses.MaskedMeanSquaredError(mask_value=np.nan)
    given = np.where(KNOWN, y, np.nan)
    assert float(loss(given, np.where(KNOWN, p, np.inf))) == pytest.approx(float(loss(given, p)), rel=1e-6)


def test_missing_entries_give_no_gradient(drawn: tuple[np.ndarray, np.ndarray]):
    import tensorflow as tf

    y, p = drawn
    variable = tf.Variable(p.astype("float32"))
    with tf.GradientTape() as tape:
        value = losses.MaskedBinaryCrossentropy(mask_value=-1)(np.where(KNOWN, y, -1).astype("float32"), variable)
    gradient = np.asarray(tape.gradient(value, variable))
    np.testing.assert_array_equal(gradient != 0, KNOWN)


def test_a_number_that_a_target_can_be_marks_whole_steps_only(drawn: tuple[np.ndarray, np.ndarray]):
    y, p = drawn
    y[0, 0] = [0, 1, 0, 1, 0]
    valid = (y != 0).any(-1)
    expected = entries("MaskedBinaryCrossentropy", y, p).mean(-1)[valid].mean()
    assert float(losses.MaskedBinaryCrossentropy(mask_value=0)(y, p)) == pytest.approx(expected, rel=1e-5)


def test_an_infinite_sum_of_a_batch_without_known_entries_is_zero():
    assert float(losses.MaskedBinaryCrossentropy(mask_value=-1)(np.full((B, T, F), -1.0), np.full((B, T, F), 0.5))) == 0.0


def test_weights_for_samples_that_may_be_class_weights_are_refused():
    """Keras makes (B,) of `class_weight`, by the step with the largest label (keras-team/keras#16311)."""
    ids = keras.Input((None,), dtype="int32")
    model = keras.Model(ids, keras.layers.Dense(3, activation="softmax")(keras.layers.Embedding(9, 4, mask_zero=True)(ids)))
    model.compile("sgd", losses.MaskedSparseCategoricalCrossentropy())
    x = np.array([[3, 1, 4, 1, 5], [2, 7, 1, 0, 0], [6, 0, 0, 0, 0]])
    with pytest.raises(MaskShapeError, match="class_weight has no meaning where each step has a label"):
        model.fit(x, x % 3, class_weight={0: 1.0, 1: 1.0, 2: 10.0}, verbose=0)
