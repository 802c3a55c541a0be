"""The masked metric is the oracle's mean over all valid steps, however they were cut into batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from masklib.errors import ArgumentError, MaskShapeError
from masklib.metrics import MaskedMean
from masklib.reference.losses import mean_of_batch_means, mean_over_valid, mean_over_weights
from tests.helpers import assert_matches, random_mask
from tests.losses.cases import (
    CASES,
    MODES,
    TOLERANCE,
    B,
    F,
    T,
    attach_mask,
    build_tagger,
    draw_ids,
    draw_predictions,
    draw_targets,
    pad_targets,
)

N = 23  # samples, in batches of 5: the last has 3

every_function = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def draw_lengths(rng, n_samples):
    """Return a mask (n_samples, T) of sequences that get shorter, so that batches differ in their valid steps."""
    lengths = np.linspace(T, 0, n_samples).round().astype(int)
    return np.arange(T) < lengths[:, np.newaxis]


@every_function
@pytest.mark.parametrize("source", ["targets", "predictions", "both", "neither"])
@pytest.mark.parametrize("shape", [None, (N, 1), (N, T), (N, T, 1)], ids=str)
def test_result_over_uneven_batches_is_the_global_mean(case, source, shape, rng):
    y_true, y_pred = draw_targets(case, rng, (N, T)), draw_predictions(case, rng, (N, T))
    per_step, mask = case.per_step(y_true, y_pred), np.ones((N, T), dtype=bool)
    in_targets, in_predictions = draw_lengths(rng, N), random_mask(rng, (N, T))
    if source in ("targets", "both"):
        y_true, mask = pad_targets(case, y_true, in_targets), mask & in_targets
    if source in ("predictions", "both"):
        mask = mask & in_predictions
    weights = None if shape is None else rng.uniform(0.5, 2, size=shape).astype("float32")
    metric = MaskedMean(case.name, mask_value=case.mask_value if source in ("targets", "both") else None)
    for start in range(0, N, 5):
        batch = slice(start, start + 5)
        predictions = y_pred[batch]
        if source in ("predictions", "both"):
            predictions = attach_mask(predictions, in_predictions[batch])
        metric.update_state(y_true[batch], predictions, None if weights is None else weights[batch])
    full = None if weights is None else weights.reshape(N, -1) * np.ones((N, T))
    assert_matches(metric.result(), mean_over_weights(per_step, mask, full), **TOLERANCE)


def test_accuracy_counts_valid_steps_only(rng):
    y_true, y_pred = rng.integers(0, F, size=(B, T)), draw_predictions(CASES["sparse"], rng)
    mask = random_mask(rng, (B, T))
    metric = MaskedMean("sparse_categorical_accuracy", mask_value=-1)
    metric.update_state(np.where(mask, y_true, -1), y_pred)
    assert_matches(metric.result(), np.mean((y_pred.argmax(axis=-1) == y_true)[mask]), **TOLERANCE)


def test_arguments_reach_the_function(rng):
    case, z = CASES["categorical"], rng.normal(size=(B, T, F)).astype("float32")
    y_true = draw_targets(case, rng)
    metric = MaskedMean(case.name, from_logits=True)
    metric.update_state(y_true, z)
    assert_matches(metric.result(), case.per_step(y_true, np.asarray(keras.ops.softmax(z))).mean(), **TOLERANCE)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_evaluate_gives_the_global_mean_and_keras_loss_does_not(mode, rng):
    """Keras averages batch means by samples: for uneven lengths that is another number for every batch size."""
    case, mask = CASES["mse"], draw_lengths(rng, N)
    errors = draw_targets(case, rng, (N, T)) + np.linspace(0, 2, N)[:, None, None].astype("float32")
    ids, y_true = draw_ids(rng, mask), pad_targets(case, errors, mask)
    model = build_tagger(case, mask_zero=True)
    per_step = case.per_step(errors, model.predict(ids, verbose=0))
    metric = MaskedMean("mse", mask_value=case.mask_value, name="exact")
    model.compile(loss="mse", metrics=[metric], **mode)
    expected = mean_over_valid(per_step, mask)
    for batch_size in (2, 5):
        results = model.evaluate(ids, y_true, batch_size=batch_size, verbose=0, return_dict=True)
        assert_matches(results["exact"], expected, **TOLERANCE)
        assert_matches(results["loss"], mean_of_batch_means(per_step, mask, batch_size), **TOLERANCE)
        assert abs(results["loss"] - expected) > 0.1


def test_weighted_metric_gets_the_sample_weights_and_metric_does_not(rng):
    case, mask = CASES["sparse"], random_mask(rng, (B, T))
    ids, y_true = draw_ids(rng, mask), draw_targets(case, rng)
    weights = rng.uniform(0.1, 4, size=(B, 1)).astype("float32")
    model = build_tagger(case, mask_zero=True)
    per_step = case.per_step(y_true, model.predict(ids, verbose=0))
    plain, weighted = MaskedMean(case.name, name="plain"), MaskedMean(case.name, name="weighted")
    model.compile(loss=case.loss(), metrics=[plain], weighted_metrics=[weighted])
    results = model.evaluate(ids, y_true, sample_weight=weights, verbose=0, return_dict=True)
    assert_matches(results["plain"], mean_over_valid(per_step, mask), **TOLERANCE)
    assert_matches(results["weighted"], mean_over_weights(per_step, mask, weights * np.ones((B, T))), **TOLERANCE)


def test_result_is_zero_before_and_without_valid_steps():
    metric = MaskedMean("mse", mask_value=-1)
    assert_matches(metric.result(), 0.0, atol=0)
    metric.update_state(np.full((B, T, F), -1.0), np.full((B, T, F), np.nan))
    assert_matches(metric.result(), 0.0, atol=0)


@every_function
def test_content_under_the_mask_is_irrelevant(case, rng):
    mask, y_true, y_pred = random_mask(rng, (B, T)), draw_targets(case, rng), draw_predictions(case, rng)
    weights, results = np.ones((B, T), "float32"), []
    for garbage in (0.5, np.nan, np.inf, 1e30):
        y_pred[~mask] = weights[~mask] = garbage
        y_true[~mask] = 123 if case.mask_value == -1 and case.activation == "softmax" else garbage
        metric = MaskedMean(case.name)
        metric.update_state(y_true, attach_mask(y_pred, mask), weights)
        results.append(float(metric.result()))
    assert results == [results[0]] * 4
    assert np.isfinite(results[0])


def test_reset_forgets_everything():
    metric = MaskedMean("mae")
    metric.update_state(np.full((1, T, F), 0.1), np.full((1, T, F), 1e9))
    metric.reset_state()
    assert [float(variable) for variable in metric.variables] == [0.0] * 4
    metric.update_state(np.zeros((1, T, F)), np.ones((1, T, F)))
    assert_matches(metric.result(), 1.0, atol=0)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_steps_beyond_two_to_the_24_are_counted(mode):
    """After 2**24 steps of loss 1, float32 stands still: Keras's mean loses 64 single steps of loss 2**18, this not."""
    exact, builtin = MaskedMean("mae"), keras.metrics.Mean()
    zero, large = np.zeros((1, 1, 1), "float32"), np.full((1, 1, 1), 2.0**18, "float32")
    for metric in (exact, builtin):
        metric.total.assign(2.0**24)
        metric.count.assign(2.0**24)

    def update():
        exact.update_state(zero, large)
        builtin.update_state(large[:, 0, 0])

    run = update if mode["run_eagerly"] else tf.function(update, jit_compile=mode["jit_compile"])
    for _ in range(64):
        run()
    assert float(builtin.count) == 2.0**24
    assert float(exact.result()) == pytest.approx((2.0**24 + 64 * 2.0**18) / (2.0**24 + 64), rel=1e-6)
    assert float(exact.count) + float(exact.count_rest) == 2.0**24 + 64


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_small_losses_before_and_after_a_large_one_are_not_lost(mode):
    """200 times 0.1 beside 2**24: float32 alone would add nothing."""
    metric = MaskedMean("mae")
    zero = np.zeros((1, 1, 1), "float32")
    run = metric.update_state
    if not mode["run_eagerly"]:
        run = tf.function(run, jit_compile=mode["jit_compile"])
    small, large = tf.fill((1, 1, 1), 0.1), tf.fill((1, 1, 1), 2.0**24)
    for y_pred in (small, large, *[small] * 199):
        run(zero, y_pred)
    total = float(metric.total) + float(metric.total_rest)
    assert total - 2.0**24 == pytest.approx(20, rel=1e-5)


def test_result_takes_in_what_rounding_lost():
    metric = MaskedMean("mae")
    for variable, value in zip(metric.variables, (4.0, 2.0, 1.0, 2.0), strict=True):
        variable.assign(value)
    assert_matches(metric.result(), 2.0, atol=0)


@pytest.mark.parametrize("case", [CASES["mae"], CASES["sparse"]], ids=["mae", "sparse"])
def test_saved_model_evaluates_to_the_same_metric(case, rng, tmp_path):
    mask = random_mask(rng, (B, T))
    ids, y_true = draw_ids(rng, mask), pad_targets(case, draw_targets(case, rng), mask)
    model = build_tagger(case, mask_zero=True)
    metric = MaskedMean(getattr(keras.losses, case.name), mask_value=np.array(case.mask_value))
    model.compile(loss="mse" if case.activation == "linear" else case.loss(case.mask_value), metrics=[metric])
    model.fit(ids, y_true, verbose=0)  # Keras cannot load an optimizer that was never used
    expected = model.evaluate(ids, y_true, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert expected == loaded.evaluate(ids, y_true, verbose=0, return_dict=True)
    assert f"masked_{case.name}" in expected


def test_configuration_round_trips():
    metric = MaskedMean("categorical_crossentropy", [0, 0, 1], name="mine", dtype="float64", from_logits=True)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert metric.get_config() == copy.get_config()
    assert (copy.fn, copy.mask_value) == (keras.losses.categorical_crossentropy, [0, 0, 1])
    assert (copy.name, copy.dtype, copy.fn_kwargs) == ("mine", "float64", {"from_logits": True})


@pytest.mark.parametrize("name", ["mse", "MSE", "mean_squared_error", keras.losses.mean_squared_error])
def test_function_is_found_by_its_names(name):
    assert MaskedMean(name).fn is keras.losses.mean_squared_error


@pytest.mark.parametrize("fn", ["mean_squared", "Mean", "get", keras.losses.MeanSquaredError(), keras.metrics.Mean, 3])
def test_what_is_no_function_of_steps_is_refused(fn):
    with pytest.raises(ArgumentError, match=r"fn must be a function of keras\.losses or keras\.metrics"):
        MaskedMean(fn)


def test_function_that_mixes_steps_is_refused():
    def mean_of_everything(y_true, y_pred):
        return keras.ops.mean(keras.ops.abs(y_true - y_pred))

    with pytest.raises(MaskShapeError, match=r"fn must return one number a step, \(5, 7\), got \(\)"):
        MaskedMean(mean_of_everything).update_state(np.zeros((B, T, F)), np.zeros((B, T, F)))


def test_half_precision_predictions_are_taken_in_the_metrics_dtype():
    """0 in float16 would be clipped to nothing, and its crossentropy infinite."""
    metric = MaskedMean("binary_crossentropy")
    metric.update_state(np.ones((1, 2, 1)), np.array([[[0.0], [1.0]]], dtype="float16"))
    assert_matches(metric.result(), -np.log(1e-7) / 2, rtol=1e-5)


def test_targets_are_not_broadcast():
    with pytest.raises(MaskShapeError, match="Nothing is broadcast"):
        MaskedMean("mse").update_state(np.zeros((B, T, 1)), np.zeros((B, T, F)))


def test_vector_of_another_length_than_the_classes_is_refused():
    with pytest.raises(ArgumentError, match="have length 3, as y_true, got length 2"):
        MaskedMean("mse", mask_value=[0, 1]).update_state(np.zeros((B, T, F)), np.zeros((B, T, F)))
