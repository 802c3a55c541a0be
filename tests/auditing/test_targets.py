"""Targets are made as the loss takes them, found by trying; given targets are used as `evaluate` uses them."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import masklib
from masklib.errors import ArgumentError
from tests.auditing import models as small

X = np.array([[1, 2, 3, 4], [5, 6, 0, 0], [7, 0, 0, 0]])
Y = np.where(X > 0, 1 + X % 4, 0)


def tagger(loss: Any, classes: int = 5, activation: str | None = "softmax", *, sequences: bool = True) -> Any:
    x = small.ids()
    h = layers.LSTM(4, return_sequences=sequences)(small.embedding()(x))
    model = keras.Model(x, layers.Dense(classes, activation=activation)(h))
    model.compile("sgd", loss, run_eagerly=True)  # compiling would take most of the time, and changes no targets
    return model


def untested_losses(report: Any) -> list[str]:
    return [one.why for one in report.check.untested if one.kind == "loss"]


def of_classes(y_true: Any, y_pred: Any) -> Any:
    """Takes class numbers, and its name does not say so."""
    return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


def picked(y_true: Any, y_pred: Any) -> Any:
    """Takes class numbers, by indices."""
    at = ops.take_along_axis(y_pred, ops.cast(y_true, "int32")[..., None], -1)
    return -ops.log(ops.maximum(at[..., 0], 1e-7))


def of_one_hot(y_true: Any, y_pred: Any) -> Any:
    return keras.losses.categorical_crossentropy(y_true, y_pred)


def of_numbers(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - y_pred), -1)


def divides_by_all(y_true: Any, y_pred: Any) -> Any:
    losses = of_classes(y_true, y_pred)
    return ops.mean(losses * ops.cast(y_true != 0, losses.dtype))


def of_labels(y_true: Any, y_pred: Any) -> Any:
    """Connectionist temporal classification under another name."""
    steps, labels = (ops.full((ops.shape(one)[0],), ops.shape(one)[1], dtype="int32") for one in (y_pred, y_true))
    return ops.ctc_loss(ops.cast(y_true, "int32"), y_pred, labels, steps)


@pytest.mark.parametrize(
    ("loss", "activation", "told"),
    [
        (of_classes, "softmax", "class numbers below 5"),
        (picked, "softmax", "class numbers below 5"),
        (of_one_hot, "softmax", "one-hot classes"),
        (of_numbers, None, "numbers of the output's shape"),
        ("mse", None, "numbers of the output's shape"),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), None, "class numbers below 5"),
    ],
)
def test_made_targets_are_those_that_the_loss_takes(loss: Any, activation: str | None, told: str) -> None:
    report = masklib.audit(tagger(loss, activation=activation))

    assert untested_losses(report) == []
    assert any("made targets for 'dense" in one and told in one for one in report.check.assumptions)


@pytest.mark.parametrize("loss", [keras.losses.CTC(), of_labels])
def test_labels_are_made_for_ctc_and_the_steps_that_it_counts_are_found(loss: Any) -> None:
    x = keras.Input((None, 3))
    model = keras.Model(x, layers.Dense(5)(layers.Conv1D(4, 3, padding="causal")(x)))
    model.compile("sgd", loss)

    report = masklib.audit(model)

    assert untested_losses(report) == []
    assert [one.where for one in report.findings if one.severity == "leak"] == ["the loss"]
    assert any("labels with their own number of steps" in one for one in report.check.assumptions)


def test_one_number_a_sequence_is_made_for_a_loss_of_sequences() -> None:
    for loss, width in (("mse", 1), ("binary_crossentropy", 1), (of_classes, 3)):
        report = masklib.audit(tagger(loss, width, "sigmoid" if width == 1 else "softmax", sequences=False))
        assert untested_losses(report) == []
        assert report.verdict == "no leak found"


def test_a_loss_that_divides_by_all_steps_is_found_with_made_targets() -> None:
    model = tagger(divides_by_all)
    longer = [np.pad(one, ((0, 0), (0, 6))) for one in (X, Y)]
    assert model.evaluate(X, Y, verbose=0) > 2 * model.evaluate(*longer, verbose=0)

    assert [one.code for one in masklib.audit(model, X).findings if one.severity == "leak"] == ["MSK202"]
    with pytest.raises(AssertionError, match="MSK202"):
        masklib.assert_padding_invariant(model, X)


def two_outputs(loss: Any, *, named: bool = False) -> Any:
    x = small.ids()
    h = layers.LSTM(4, return_sequences=True, name="states")(small.embedding()(x))
    tags = layers.Dense(5, activation="softmax", name="tags")(h)
    model = keras.Model(x, {"tags": tags, "states": h} if named else [tags, h])
    model.compile("sgd", loss, run_eagerly=True)
    return model


@pytest.mark.parametrize("given", [Y, [Y], [Y, None]])
def test_an_output_without_a_loss_needs_no_targets(given: Any) -> None:
    report = masklib.audit(two_outputs(["sparse_categorical_crossentropy", None]), X, given)

    assert untested_losses(report) == []
    assert report.verdict == "no leak found"


def test_no_targets_are_made_for_an_output_without_a_loss() -> None:
    assert untested_losses(masklib.audit(two_outputs(["sparse_categorical_crossentropy", None]))) == []


def test_dicts_of_targets_are_taken_as_evaluate_takes_them() -> None:
    model = two_outputs({"tags": "sparse_categorical_crossentropy"}, named=True)
    model.evaluate(X, {"tags": Y}, verbose=0)

    assert masklib.audit(model, X, {"tags": Y}).verdict == "no leak found"
    with pytest.raises(ArgumentError, match="must have the outputs' names"):
        masklib.audit(model, X, {"tag": Y})
    with pytest.raises(ArgumentError, match="must have 3 samples, as the inputs have"):
        masklib.audit(model, X, {"tags": Y[:2]})


def test_samples_that_are_taken_for_steps_are_found() -> None:
    """With targets (B, T) for a Dense(1), a loss is computed only if B equals T, and is not the mean; otherwise Keras raises."""
    ids = np.array([[3, 5, 2, 7], [4, 2, 0, 0], [6, 3, 5, 0], [2, 7, 0, 0]])
    y = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    model = tagger("mse", 1, None)
    errors = (np.asarray(keras.ops.convert_to_numpy(model(ids)))[..., 0] - y) ** 2
    reported = model.evaluate(ids, y, verbose=0)
    assert abs(reported - errors[ids != 0].mean()) > 1e-3
    assert abs(reported - errors.mean()) > 1e-3

    (finding,) = [one for one in masklib.audit(model, ids, y).findings if one.severity == "leak"]
    assert finding.where == "the loss"
    assert "as many samples as steps" in finding.evidence[0]
    assert masklib.audit(model, ids, y[..., None]).verdict == "no leak found"


def test_positions_whose_weights_say_what_is_padding() -> None:
    """Position 0 is content if it has a weight, as in the masked language models of keras-hub."""
    tokens, where = keras.Input((None,), dtype="int32", name="tokens"), keras.Input((None,), dtype="int32", name="where")
    h = layers.LSTM(8, return_sequences=True)(small.embedding()(tokens))
    model = keras.Model([tokens, where], layers.Dense(9)(ops.take_along_axis(h, where[..., None], 1)))
    x, p = np.array([[3, 1, 4, 1, 5], [2, 7, 1, 0, 0]]), np.array([[1, 3], [0, 0]])
    w = np.array([[1.0, 1.0], [1.0, 0.0]], "float32")
    y = np.take_along_axis(x, p, 1) * (w > 0)

    def accusations(reduction: str) -> list[str]:
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction))
        report = masklib.audit(model, [x, p], y, sample_weight=w)
        return [one.code for one in report.findings if one.severity in ("leak", "risk")]

    assert accusations("mean_with_sample_weight") == []
    assert accusations("sum_over_batch_size") == ["MSK202"]
