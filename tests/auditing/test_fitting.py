"""No model is accused because of a mask that does not fit the tensor to which it is attached; leaks beside it are found."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from masklib.auditing.inputs.describing import describe
from masklib.auditing.invariance.check import PaddingCheck, check_padding
from masklib.auditing.invariance.fitting import calls_in_doubt, fits
from tests.auditing import models as small

# Keras says so where a mask is lost on purpose.
pytestmark = [pytest.mark.filterwarnings("ignore:(?s).*destroy the mask:UserWarning"), pytest.mark.slow]

IDS = np.array([[3, 5, 7, 0, 0], [4, 6, 8, 2, 1], [9, 2, 0, 0, 0]])
STEPS = 5


def backwards(**options: Any) -> Any:
    """A layer whose output is reversed in time, and on which Keras puts the mask as it was."""
    return layers.LSTM(small.UNITS, return_sequences=True, go_backwards=True, bias_initializer="ones", name="back", **options)


def after(x: Any, mask: Any) -> Any:
    """A layer that shows in its output what it got at the last steps."""
    return layers.LSTM(3, bias_initializer="ones", name="after")(x, mask=mask)


def reversed_by_hand(given: str, *, mask_zero: bool = False) -> Any:
    """Ids with a mask made by hand, and two LSTMs, of which the second gets reversed steps and a mask of them that is `given`."""
    x = small.ids()
    mask = ops.not_equal(x, 0)
    h = backwards()(small.embedding(mask_zero=mask_zero)(x), mask=mask)
    masks = {"in the order of the steps": ops.flip(mask, axis=1), "in the order of the input": mask}
    return keras.Model(x, layers.Dense(1)(after(h if given in masks else ops.multiply(h, 1.0), masks.get(given))))


def of_fixed_length(*, mixed: bool = False, biased: bool = False) -> Any:
    """Steps that are reversed twice, beside a layer that fixes the length; padding is not 0 before that one if it is `biased`."""
    x = keras.Input((STEPS, 3))
    masked = layers.Masking()(x)
    mask = ops.any(ops.not_equal(x, 0.0), axis=-1)
    h = backwards()(masked)
    if mixed:  # then each step follows from all
        h = layers.MultiHeadAttention(2, 3, name="attention")(h, h, attention_mask=ops.flip(mask, axis=1)[:, None, :])
    beside = layers.Dense(2, use_bias=biased, bias_initializer="ones")(masked)
    outputs = [after(ops.flip(h, axis=1), mask), layers.Dense(4)(layers.Flatten(name="flatten")(beside))]
    return keras.Model(x, layers.Concatenate()(outputs))


def found(check: PaddingCheck) -> set[tuple[str, str | None]]:
    """The changes by which the output leaks, and where."""
    return {(leak.change, leak.layer) for leak in check.leaks if leak.kind == "output"}


@pytest.mark.parametrize("mask_zero", [True, False])
def test_reversed_steps_are_not_accused_because_their_mask_is_not_reversed(mask_zero: bool):
    model = reversed_by_hand("in the order of the steps", mask_zero=mask_zero)
    alone = model.predict(IDS[:1, :3], verbose=0)
    np.testing.assert_allclose(alone, model.predict(IDS, verbose=0)[:1], atol=1e-6)
    np.testing.assert_allclose(alone, model.predict(np.pad(IDS[:1], ((0, 0), (0, 6))), verbose=0), atol=1e-6)
    assert found(check_padding(model, IDS)) == set()


@pytest.mark.parametrize("mask_zero", [True, False])
@pytest.mark.parametrize("given", ["in the order of the input", "none"])
def test_reversed_steps_with_a_wrong_mask_or_none_are_accused(given: str, mask_zero: bool):
    check = check_padding(reversed_by_hand(given, mask_zero=mask_zero), IDS)
    assert {change for change, _ in found(check)} == {"longer padding", "no padding"}


@pytest.mark.parametrize("healthy", [True, False])
def test_the_last_state_is_not_accused_where_the_mask_was_made_by_hand(healthy: bool):
    """An LSTM repeats its state at masked steps, so that the last one holds nothing of the padding; the average counts it."""
    x = small.ids()
    h = layers.LSTM(small.UNITS, return_sequences=True)(small.embedding(mask_zero=False)(x), mask=ops.not_equal(x, 0))
    check = check_padding(keras.Model(x, layers.Dense(1)(h[:, -1] if healthy else ops.mean(h, axis=1))), IDS)
    assert {change for change, _ in found(check)} == (set() if healthy else {"longer padding", "no padding"})


@pytest.mark.parametrize("mixed", [True, False])
def test_content_is_not_changed_where_a_mask_does_not_fit_in_a_model_of_fixed_length(mixed: bool):
    assert found(check_padding(of_fixed_length(mixed=mixed), floats())) == set()


def test_content_is_changed_where_the_mask_fits_beside_one_that_does_not():
    assert found(check_padding(of_fixed_length(biased=True), floats())) == {("masked content", "flatten")}


def test_a_mask_is_in_doubt_from_the_call_that_moves_the_steps_on():
    found = calls_in_doubt(of_fixed_length(mixed=True), describe(floats()), 1e-3)
    assert {path.partition("_")[0] for path in found} == {"back", "attention", "flip"}


@pytest.mark.parametrize(
    ("follows", "is_fitting"),
    [
        ([1, 1, 1, 0, 0], True),
        ([1, 1, 1, 1, 1], True),  # masked steps repeat the state, or all steps are mixed
        ([1, 0, 1, 0, 0], True),  # a valid step shows nothing, as after a ReLU, and no masked one shows anything else
        ([0, 0, 0, 0, 0], True),  # nothing is known
        ([0, 0, 1, 1, 1], False),
        ([0, 1, 1, 1, 0], False),
    ],
)
def test_a_mask_does_not_fit_if_it_is_wrong_about_a_masked_step_and_about_a_valid_one(follows: list[int], is_fitting: bool):
    other = np.ones((1, STEPS), bool)
    assert fits(np.concatenate([[[True, True, True, False, False]], other]), np.array([follows, other[0]], bool)) == is_fitting


def floats() -> Any:
    """Sequences (B, T, F), padded with 0 where IDS are."""
    x = np.random.default_rng(0).normal(size=(*IDS.shape, 3)).astype("float32")
    return np.where(IDS[..., None] == 0, np.float32(0.0), x)
