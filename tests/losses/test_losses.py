"""The masked losses are the oracle's masked means, in value and gradient, whatever masked steps hold."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from masklib import losses
from masklib.errors import ArgumentError, MaskShapeError
from masklib.reference.losses import mean_over_all, mean_over_valid, mean_over_weights
from tests.helpers import assert_matches, random_mask
from tests.losses.cases import (
    CASES,
    MODES,
    TOLERANCE,
    B,
    Case,
    F,
    T,
    attach_mask,
    build_tagger,
    differentiate,
    draw_ids,
    draw_predictions,
    draw_targets,
    pad_targets,
)

SOURCES = ("targets", "predictions", "both", "neither")
WEIGHTS = {"none": None, "sample": (B, 1), "step": (B, T), "step column": (B, T, 1)}

every_loss = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def reduce_by_oracle(per_step, mask, weights, reduction):
    """Return the documented formula of a reduction, in float64."""
    if weights is not None:
        weights = weights.reshape(B, -1) * np.ones((B, T))
    if reduction in ("sum_over_batch_size", "mean"):
        return np.asarray(mean_over_valid(per_step, mask, weights))
    if reduction == "mean_with_sample_weight":
        return np.asarray(mean_over_weights(per_step, mask, weights))
    weighted = np.where(mask, per_step, 0) * (1 if weights is None else weights)
    return weighted.sum() if reduction == "sum" else weighted


def assert_is_masked_loss(loss_class: Any, case: Case, rng: np.random.Generator, reduction: Any, shape: Any) -> None:
    """The loss has the oracle's value for every source of the mask, with weights of `shape`."""
    for source in SOURCES:
        from_targets, from_predictions = random_mask(rng, (B, T)), random_mask(rng, (B, T))
        mask = np.ones((B, T), dtype=bool)
        y_true, y_pred = draw_targets(case, rng), draw_predictions(case, rng)
        expected_steps = case.per_step(y_true, y_pred)
        if source in ("targets", "both"):
            y_true, mask = pad_targets(case, y_true, from_targets), mask & from_targets
        if source in ("predictions", "both"):
            y_pred, mask = attach_mask(y_pred, from_predictions), mask & from_predictions
        weights = None if shape is None else rng.uniform(0.5, 2, size=shape).astype("float32")
        mask_value = case.mask_value if source in ("targets", "both") else None
        actual = loss_class(mask_value, reduction=reduction)(y_true, y_pred, sample_weight=weights)
        assert_matches(actual, reduce_by_oracle(expected_steps, mask, weights, reduction), **TOLERANCE)


@every_loss
@pytest.mark.parametrize("shape", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
def test_value_is_the_oracles_for_every_mask_weight_and_reduction(case, shape, reduction, rng):
    assert_is_masked_loss(case.loss, case, rng, reduction, shape)


class DividesByAllSteps(losses.MaskedMeanSquaredError):
    """Wrong: masked steps are counted."""

    def _reduce(self, per_step, mask, sample_weight):
        return super()._reduce(per_step, mask, sample_weight) * (1 if mask is None else ops.mean(ops.cast(mask, "float32")))


class InvertsMask(losses.MaskedMeanSquaredError):
    """Wrong: True is taken for masked."""

    def _reduce(self, per_step, mask, sample_weight):
        return super()._reduce(per_step, mask if mask is None else ops.logical_not(mask), sample_weight)


class AveragesSampleMeans(losses.MaskedMeanSquaredError):
    """Wrong: each sample counts the same, whatever its length."""

    def _reduce(self, per_step, mask, sample_weight):
        if mask is None:
            return ops.mean(per_step)
        weights = ops.cast(mask, "float32")
        return ops.mean(ops.sum(per_step * weights, axis=1) / ops.sum(weights, axis=1))


class DividesByWeights(losses.MaskedMeanSquaredError):
    """Wrong: the default reduction divides by the number of valid steps, not by their weights."""

    def __init__(self, mask_value=None, **kwargs):
        super().__init__(mask_value, **{**kwargs, "reduction": "mean_with_sample_weight"})


class MultipliesByMask(losses.MaskedMeanSquaredError):
    """Wrong: 0 * NaN is NaN."""

    def _losses_of_steps(self, y_true, y_pred, mask):
        return self.call(y_true, y_pred)

    def _reduce(self, per_step, mask, sample_weight):
        weights = ops.cast(mask, "float32")
        return ops.sum(per_step * weights) / ops.sum(weights)


class SelectsOnlyTheValue(losses.MaskedMeanSquaredError):
    """Wrong: a `where` after the loss leaves the NaN in the gradient."""

    def _losses_of_steps(self, y_true, y_pred, mask):
        return self.call(y_true, y_pred)


@pytest.mark.parametrize("wrong", [DividesByAllSteps, InvertsMask, AveragesSampleMeans])
def test_comparison_with_oracle_rejects_a_wrong_mean(wrong, rng):
    with pytest.raises(AssertionError):
        assert_is_masked_loss(wrong, CASES["mse"], rng, "sum_over_batch_size", None)


def test_comparison_with_oracle_rejects_a_division_by_weights(rng):
    with pytest.raises(AssertionError):
        assert_is_masked_loss(DividesByWeights, CASES["mse"], rng, "sum_over_batch_size", (B, T))


def test_loss_without_mask_is_kerass_own(rng):
    for case in CASES.values():
        y_true, y_pred = draw_targets(case, rng), draw_predictions(case, rng)
        builtin = getattr(keras.losses, case.loss.__name__.removeprefix("Masked"))()
        assert_matches(case.loss()(y_true, y_pred), builtin(y_true, y_pred), **TOLERANCE)


@pytest.mark.parametrize("case", [CASES[name] for name in ("categorical", "sparse", "binary")])
def test_logits_give_the_loss_of_their_probabilities(case, rng):
    mask, z = random_mask(rng, (B, T)), rng.normal(size=(B, T, F)).astype("float32")
    y_true = draw_targets(case, rng)
    probabilities = getattr(keras.activations, case.activation)(z)
    expected = mean_over_valid(case.per_step(y_true, np.asarray(probabilities)), mask)
    loss = case.loss(case.mask_value, from_logits=True)
    assert_matches(loss(pad_targets(case, y_true, mask), z), expected, **TOLERANCE)


def test_document_batch_counts_its_characters_and_not_its_padding(rng):
    """'##abb' and '#babb' with '#' = [0, 0, 1]: 3 + 4 valid steps."""
    y_true = np.eye(3)[[[2, 2, 0, 1, 1], [2, 1, 0, 1, 1]]]
    y_pred = draw_predictions(CASES["categorical"], rng, (2, 5))
    valid = [(0, 2), (0, 3), (0, 4), (1, 1), (1, 2), (1, 3), (1, 4)]
    expected = np.mean([-np.log(y_pred[b, t, y_true[b, t].argmax()]) for b, t in valid])
    assert_matches(losses.MaskedCategoricalCrossentropy([0, 0, 1])(y_true, y_pred), expected, **TOLERANCE)
    assert_matches(losses.MaskedSparseCategoricalCrossentropy(2)(y_true.argmax(-1), y_pred), expected, **TOLERANCE)


def test_step_is_padding_only_when_all_features_are():
    y_true = np.array([[[0.0, 0.0], [0.0, 4.0], [4.0, 0.0]]])
    per_step = losses.MaskedMeanSquaredError(0, reduction="none")(y_true, np.ones((1, 3, 2)))
    assert_matches(per_step, np.array([[0.0, 5.0, 5.0]]))


def test_padding_is_found_before_targets_become_float32():
    """2**24 + 1 is 2**24 in float32, and would make both steps padding."""
    y_true = np.array([[[2**24], [2**24 + 1]]])
    per_step = losses.MaskedMeanSquaredError(2**24 + 1, reduction=None)(y_true, np.zeros((1, 2, 1), "float32"))
    assert_matches(per_step, np.array([[2.0**48, 0]]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_fractional_padding_is_found_in_the_dtype_of_the_targets(dtype):
    y_true = np.array([[[2.0], [-9.7]]], dtype=dtype)
    assert_matches(losses.MaskedMeanSquaredError(-9.7)(y_true, np.zeros((1, 2, 1))), 4.0)


def test_padding_of_nan_is_found():
    y_true = np.array([[[2.0, 1.0], [np.nan, np.nan], [np.nan, 1.0]]])
    per_step = losses.MaskedMeanAbsoluteError(np.nan, reduction="none")(y_true, np.zeros((1, 3, 2)))
    np.testing.assert_array_equal([[1.5, 0.0, 0.5]], per_step)  # of the third step one entry of two is known


def test_samples_without_time_are_steps():
    y_true, y_pred = np.array([[1.0, 2.0], [-1.0, -1.0]]), np.zeros((2, 2))
    assert_matches(losses.MaskedMeanAbsoluteError(-1)(y_true, y_pred), 1.5)


def test_last_axis_of_one_may_be_missing_in_the_targets():
    y_true, y_pred = np.array([[1.0, -1.0, 3.0]]), np.zeros((1, 3, 1))
    assert_matches(losses.MaskedMeanAbsoluteError(-1)(y_true, y_pred), 2.0)
    classes, uniform = np.array([[[1], [-1]]]), np.full((1, 2, 4), 0.25)
    assert_matches(losses.MaskedSparseCategoricalCrossentropy(-1)(classes, uniform), np.log(4), **TOLERANCE)


def test_further_axes_share_the_mask_of_their_step(rng):
    """Predictions (B, T, K, F) with a mask (B, T) and a weight for each sample."""
    y_true, y_pred = rng.normal(size=(2, B, T, 2, F)).astype("float32")
    mask, weights = random_mask(rng, (B, T)), rng.uniform(size=(B, 1, 1))
    actual = losses.MaskedMeanSquaredError()(y_true, attach_mask(y_pred, mask), sample_weight=weights)
    expected = (np.mean((y_true - y_pred) ** 2, axis=-1) * weights)[mask].mean()
    assert_matches(actual, expected, **TOLERANCE)


def test_weight_of_a_sample_is_not_taken_for_one_of_a_step_where_sizes_agree():
    """Keras multiplies (B, T) by (B,) there, which weighs steps."""
    y_true, y_pred = np.zeros((3, 3, 1)), np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1) * np.ones((3, 3, 1))
    weights = np.array([1.0, 0.0, 0.0])
    assert_matches(losses.MaskedMeanAbsoluteError()(y_true, y_pred, sample_weight=weights[:, None]), 1 / 3, **TOLERANCE)
    with pytest.raises(MaskShapeError, match=r"\(3, 3\), or \(B, 1\) for one number a sample, got \(3,\)"):
        losses.MaskedMeanAbsoluteError()(y_true, y_pred, sample_weight=weights)
    assert float(keras.losses.MeanAbsoluteError()(y_true, y_pred, sample_weight=weights)) == pytest.approx(2 / 3)


@every_loss
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"])
def test_gradient_is_that_of_the_valid_steps_alone(case, reduction, rng):
    """The valid steps, put into one long sequence without padding, have the same gradient."""
    mask, y_true, y_pred = random_mask(rng, (B, T)), draw_targets(case, rng), draw_predictions(case, rng)
    weights = rng.uniform(0.5, 2, size=(B, T)).astype("float32")
    loss = case.loss(case.mask_value, reduction=reduction)
    value, gradient = differentiate(loss, pad_targets(case, y_true, mask), y_pred, sample_weight=weights)
    plain = case.loss(reduction=reduction)
    expected_value, expected = differentiate(plain, y_true[mask][None], y_pred[mask][None], sample_weight=weights[mask][None])
    assert_matches(value, expected_value, **TOLERANCE)
    assert_matches(gradient[mask], expected[0], **TOLERANCE)
    assert_matches(gradient[~mask], np.zeros_like(gradient[~mask]), atol=0)


@every_loss
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_batch_without_valid_step_has_loss_and_gradient_of_exactly_zero(case, reduction, weighted, rng):
    nothing = np.zeros((B, T), dtype=bool)
    y_true = pad_targets(case, draw_targets(case, rng), nothing)
    weights = np.ones((B, T), "float32") if weighted else None
    for y_pred in (draw_predictions(case, rng), np.full((B, T, F), np.nan, "float32")):
        for mask_value, mask in ((case.mask_value, None), (None, nothing)):
            loss = case.loss(mask_value, reduction=reduction)
            value, gradient = differentiate(loss, y_true, y_pred, mask, sample_weight=weights)
            assert_matches(value, 0.0, atol=0)
            assert_matches(gradient, np.zeros((B, T, F)), atol=0)


@every_loss
def test_sample_without_valid_step_changes_nothing(case, rng):
    mask, y_true, y_pred = random_mask(rng, (B, T)), draw_targets(case, rng), draw_predictions(case, rng)
    mask[2] = False
    y_true = pad_targets(case, y_true, mask)
    loss, rest = case.loss(case.mask_value), [0, 1, 3, 4]
    value, gradient = differentiate(loss, y_true, y_pred)
    expected_value, expected = differentiate(loss, y_true[rest], y_pred[rest])
    assert_matches(value, expected_value, **TOLERANCE)
    assert_matches(gradient[rest], expected, **TOLERANCE)
    assert_matches(gradient[2], np.zeros((T, F)), atol=0)


def assert_content_under_mask_is_irrelevant(loss_class: Any, case: Case, rng: np.random.Generator) -> None:
    """NaN, inf and large numbers in targets, predictions and weights at masked steps change neither value nor gradient."""
    mask, y_true, y_pred = random_mask(rng, (B, T)), draw_targets(case, rng), draw_predictions(case, rng)
    weights = rng.uniform(0.5, 2, size=(B, T)).astype("float32")
    loss = loss_class()
    expected_value, expected = differentiate(loss, y_true, y_pred, mask, sample_weight=weights)
    for garbage in (np.nan, np.inf, -np.inf, 1e30, 0.0):
        dirty_true, dirty_pred, dirty_weights = y_true.copy(), y_pred.copy(), weights.copy()
        dirty_true[~mask] = garbage if case.per_step.__name__[:6] != "sparse" else 123
        dirty_pred[~mask] = garbage
        dirty_weights[~mask] = garbage
        value, gradient = differentiate(loss, dirty_true, dirty_pred, mask, sample_weight=dirty_weights)
        assert_matches(value, expected_value, atol=0)
        assert_matches(gradient, expected, atol=0)


@every_loss
def test_content_under_the_mask_is_irrelevant(case, rng):
    assert_content_under_mask_is_irrelevant(case.loss, case, rng)


@pytest.mark.parametrize("wrong", [MultipliesByMask, SelectsOnlyTheValue])
def test_nan_under_the_mask_rejects_a_loss_that_lets_it_through(wrong, rng):
    with pytest.raises(AssertionError):
        assert_content_under_mask_is_irrelevant(wrong, CASES["mse"], rng)


@every_mode
@pytest.mark.parametrize("case", [CASES["mse"], CASES["categorical"], CASES["sparse"]], ids=["mse", "cat", "sparse"])
def test_nan_predictions_under_the_mask_do_not_poison_a_function(case, mode, rng):
    """The same through a softmax, whose logits Keras takes, in a compiled function."""
    mask, y_true, z = random_mask(rng, (B, T)), draw_targets(case, rng), draw_predictions(case, rng)
    activation, loss = getattr(keras.activations, case.activation), case.loss()

    def compute(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            y_pred = activation(z)
            y_pred._keras_mask = tf.constant(mask)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, z)

    run = compute if mode["run_eagerly"] else tf.function(compute, jit_compile=mode["jit_compile"])
    expected_value, expected = run(tf.constant(z))
    z[~mask] = np.nan
    value, gradient = run(tf.constant(z))
    assert_matches(value, expected_value, **TOLERANCE)
    assert_matches(gradient.numpy()[mask], expected.numpy()[mask], **TOLERANCE)
    assert_matches(gradient.numpy()[~mask], np.zeros_like(z[~mask]), atol=0)
    assert np.abs(expected.numpy()[mask]).min() > 0


def test_saturated_prediction_keeps_the_gradient_that_keras_gives_it():
    """softmax(0, 40) is 0 and 1 in float32; Keras uses the logits instead, so the loss is 40 and its gradient 1."""
    z = tf.Variable([[[0.0, 40.0], [0.0, 40.0]]])
    with tf.GradientTape() as tape:
        value = losses.MaskedSparseCategoricalCrossentropy(-1)([[0, -1]], keras.activations.softmax(z))
    assert_matches(value, 40.0, **TOLERANCE)
    assert_matches(tape.gradient(value, z), np.array([[[-1.0, 1.0], [0.0, 0.0]]]), **TOLERANCE)


@every_loss
def test_evaluate_and_fit_are_the_oracles_in_every_mode(case, rng):
    """`evaluate` is the masked mean, and training in one batch lowers it, the same in every mode."""
    from_inputs, from_targets = random_mask(rng, (B, T)), random_mask(rng, (B, T))
    ids, y_true = draw_ids(rng, from_inputs), draw_targets(case, rng)
    mask = from_targets & from_inputs
    padded, trained = pad_targets(case, y_true, from_targets), {}
    y_pred = build_tagger(case, mask_zero=True)(ids)
    expected = mean_over_valid(case.per_step(y_true, y_pred), mask)
    for name, mode in MODES.items():
        model = build_tagger(case, mask_zero=True)
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss=case.loss(case.mask_value), **mode)
        before = model.evaluate(ids, padded, verbose=0)
        assert_matches(before, expected, **TOLERANCE)
        model.fit(ids, padded, batch_size=B, epochs=1, verbose=0)
        trained[name] = model.evaluate(ids, padded, verbose=0)
        assert trained[name] < before
    assert_matches(trained["eager"], trained["graph"], **TOLERANCE)
    assert_matches(trained["jit"], trained["graph"], **TOLERANCE)


@pytest.mark.parametrize("shape", [(B, 1), (B, T)], ids=["sample", "step"])
def test_evaluate_takes_sample_weights(shape, rng):
    case, mask = CASES["categorical"], random_mask(rng, (B, T))
    y_true, weights = draw_targets(case, rng), rng.uniform(0.5, 2, size=shape).astype("float32")
    model = build_tagger(case, mask_zero=True)
    model.compile(loss=case.loss())
    ids = draw_ids(rng, mask)
    every = weights * np.ones((B, T))
    expected = mean_over_valid(case.per_step(y_true, model.predict(ids, verbose=0)), mask, every)
    assert_matches(model.evaluate(ids, y_true, sample_weight=weights, verbose=0), expected, **TOLERANCE)


@every_loss
def test_saved_model_evaluates_to_the_same_loss(case, rng, tmp_path):
    mask = random_mask(rng, (B, T))
    ids, y_true = draw_ids(rng, mask), pad_targets(case, draw_targets(case, rng), mask)
    model = build_tagger(case, mask_zero=False)
    model.compile(loss=case.loss(case.mask_value, reduction="mean_with_sample_weight", name="mine"))
    model.fit(ids, y_true, verbose=0)  # Keras cannot load an optimizer that was never used
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.loss) is case.loss
    assert_matches(loaded.evaluate(ids, y_true, verbose=0), model.evaluate(ids, y_true, verbose=0), atol=0)


@every_loss
def test_configuration_round_trips(case):
    kwargs = {"mask_value": case.mask_value, "reduction": "sum", "name": "mine", "dtype": "float64"}
    if case.activation in ("softmax", "sigmoid"):
        kwargs["from_logits"] = True
    loss = case.loss(**{**kwargs, "mask_value": np.array(case.mask_value)})
    assert kwargs == loss.get_config()
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert kwargs == copy.get_config()


def test_unknown_reduction_is_refused():
    with pytest.raises(ArgumentError, match=r"reduction must be one of 'sum_over_batch_size', .*got 'average'"):
        losses.MaskedMeanSquaredError(reduction="average")


@pytest.mark.parametrize("value", ["pad", [[0, 1]], []])
def test_mask_value_that_is_no_number_or_vector_is_refused(value):
    with pytest.raises(ArgumentError, match="mask_value must be None, a number or a vector of numbers"):
        losses.MaskedMeanSquaredError(value)


@pytest.mark.parametrize("value", [[0, 0, 1], 0.5, float("nan")])
def test_mask_value_of_sparse_targets_must_be_one_class(value):
    with pytest.raises(ArgumentError, match="mask_value must be one class"):
        losses.MaskedSparseCategoricalCrossentropy(value)


@pytest.mark.parametrize("value", [[0, 1], [1]])
def test_mask_value_of_another_length_than_the_classes_is_refused(value):
    message = rf"must be a number or have length 3, as y_true, got length {len(value)}"
    with pytest.raises(ArgumentError, match=message):
        losses.MaskedCategoricalCrossentropy(value)(np.zeros((B, T, 3)), np.ones((B, T, 3)))


def test_mask_value_of_several_features_is_not_broadcast_over_one():
    with pytest.raises(ArgumentError, match="have length 1, as y_true, got length 3"):
        losses.MaskedMeanSquaredError([0, 0, 1])(np.zeros((B, T, 1)), np.ones((B, T, 1)))


@pytest.mark.parametrize(("value", "dtype"), [(-1, "uint8"), (0.5, "int32"), (2, "bool"), (np.nan, "int64")])
def test_mask_value_that_the_targets_dtype_cannot_hold_is_refused(value, dtype):
    with pytest.raises(ArgumentError, match=f"dtype {dtype}, got .*which never occurs"):
        losses.MaskedMeanSquaredError(value)(np.zeros((B, T, F), dtype), np.ones((B, T, F)))


@pytest.mark.parametrize("shape", [(B, T, 1), (B, T), (1, T, F), (T, F), (B, T, F, 1)])
def test_dense_targets_are_not_broadcast(shape):
    with pytest.raises(MaskShapeError, match=r"y_true must have the shape .* = \(5, 7, 3\), got "):
        losses.MaskedMeanSquaredError()(np.zeros(shape), np.zeros((B, T, F)))


@pytest.mark.parametrize("shape", [(B, 1), (B,), (B, T, F), (T, B)])
def test_sparse_targets_are_not_broadcast(shape):
    with pytest.raises(MaskShapeError, match=r"y_true must have the shape \(\.\.\., T\).* = \(5, 7, 3\), got "):
        losses.MaskedSparseCategoricalCrossentropy()(np.zeros(shape, int), np.ones((B, T, F)))


def test_predictions_without_an_axis_for_features_are_refused():
    with pytest.raises(MaskShapeError, match=r"\(\.\.\., T, F\) of y_pred = \(5,\)"):
        losses.MaskedMeanSquaredError()(np.zeros(B), np.zeros(B))


@pytest.mark.parametrize("shape", [(B, T + 1), (B, T, F), (2, 1)])
def test_sample_weight_is_not_broadcast_from_another_shape(shape):
    with pytest.raises(MaskShapeError, match=r"sample_weight must have the shape of the steps \(5, 7\), or one entry"):
        losses.MaskedMeanSquaredError()(np.zeros((B, T, F)), np.zeros((B, T, F)), sample_weight=np.ones(shape))


def test_mask_that_does_not_fit_the_steps_is_refused():
    y_pred = attach_mask(np.zeros((B, T, F)), np.ones((B, T + 1), bool))
    with pytest.raises(MaskShapeError, match=r"the mask of y_pred must have the shape of the steps \(5, 7\)"):
        losses.MaskedMeanSquaredError()(np.zeros((B, T, F)), y_pred)


def test_wrong_shapes_are_refused_inside_fit(rng):
    model = build_tagger(CASES["mse"], mask_zero=True)
    model.compile(loss=losses.MaskedMeanSquaredError())
    with pytest.raises(MaskShapeError, match="Nothing is broadcast"):
        model.evaluate(draw_ids(rng, random_mask(rng, (B, T))), np.zeros((B, T, 1)), verbose=0)


def test_division_by_all_steps_is_biased_by_the_valid_fraction(rng):
    """What `K.sum(mask)` in the document's loss is for."""
    mask, per_step = random_mask(rng, (B, T)), rng.uniform(1, 2, size=(B, T))
    assert mean_over_all(per_step, mask) == pytest.approx(mean_over_valid(per_step, mask) * mask.mean())
