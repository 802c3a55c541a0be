"""The numbers that `evaluate` and `fit` report are judged: with metrics that fail, after a failed evaluate, with weights."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import masklib
from masklib.auditing.invariance.changes import Quantity
from tests.auditing import models as small

pytestmark = pytest.mark.filterwarnings("ignore:(?s).*destroy the mask:UserWarning")
IDS = np.array([[3, 1, 4, 1, 5], [2, 7, 1, 0, 0], [6, 0, 0, 0, 0]])


def tagger(*, masked: bool = True, classes: int = 9, **options: Any) -> Any:
    ids = keras.Input((None,), dtype="int32")
    h = layers.LSTM(4, return_sequences=True)(layers.Embedding(9, 4, mask_zero=masked)(ids))
    model = keras.Model(ids, layers.Dense(classes, activation="softmax")(h))
    model.compile(**{"optimizer": "adam", "loss": "sparse_categorical_crossentropy", **options})
    return model


def perplexity(y: Any, p: Any) -> Any:
    """One number for a batch, which Keras cannot weight by a mask."""
    return ops.exp(ops.mean(keras.losses.sparse_categorical_crossentropy(y, p)))


def test_a_metric_that_keras_cannot_compute_leaves_the_loss_to_be_tested():
    model = tagger(metrics=[perplexity])
    with pytest.raises(ValueError, match="rank"):
        model.evaluate(IDS, IDS, verbose=0)

    for _ in range(2):  # the second time after an evaluate that failed
        report = masklib.audit(model, IDS, IDS)
        assert {one.kind for one in report.check.passed} >= {Quantity.LOSS, Quantity.GRADIENT}
        assert [gap.part for gap in report.gaps] == ["metrics"]
        assert "Fix the metric" in report.gaps[0].remedy


def test_a_model_whose_evaluate_failed_is_audited():
    ids = keras.Input((None,), dtype="int32")
    model = keras.Model(ids, layers.Dense(1, activation="sigmoid")(layers.LSTM(8)(small.embedding()(ids))))
    model.compile("adam", "binary_crossentropy", metrics=["binary_crossentropy"])
    with pytest.raises(ValueError, match="same rank"):
        model.evaluate(IDS, np.array([0, 1, 1]), verbose=0)

    assert masklib.audit(model).verdict == "no leak found"


def test_a_finding_on_a_loss_says_where_the_mask_of_the_predictions_was_lost():
    ids = keras.Input((None,), dtype="int32")
    e = layers.Embedding(9, 8, mask_zero=True)(ids)
    h = layers.LayerNormalization()(layers.Add()([e, layers.MultiHeadAttention(2, 4, name="attention")(e, e)]))
    model = keras.Model(ids, layers.Dense(9, activation="softmax")(h))
    model.compile("adam", "sparse_categorical_crossentropy")
    (finding,) = [one for one in masklib.audit(model).findings if one.code == "MSK201"]

    assert "the predictions have no mask: it is lost at 'attention' (MSK109)" in finding.evidence


def test_weights_of_0_make_the_loss_exact_only_with_the_reduction_that_divides_by_them():
    weights = (IDS != 0).astype("float32")

    def judged(reduction: str) -> tuple[set[str], str]:
        model = tagger(masked=False, loss=keras.losses.SparseCategoricalCrossentropy(reduction=reduction))
        report = masklib.audit(model, IDS, IDS, sample_weight=weights, allow_untested="gradients")
        return {one.code for one in report.findings if one.where == "the loss"}, report.check.denominators["loss"]

    assert judged("sum_over_batch_size") == ({"MSK202"}, "all steps")
    codes, count = judged("mean_with_sample_weight")
    assert codes <= {"MSK204"}
    assert count in ("valid steps", "the sum of the weights")


def test_the_count_by_which_a_loss_divides_is_found_for_an_untrained_model():
    ids = keras.Input((None,), dtype="int32")
    h = layers.LSTM(6, return_sequences=True)(layers.Embedding(20, 5)(ids))
    flat = keras.initializers.RandomNormal(stddev=0.01)
    model = keras.Model(ids, layers.Dense(3, activation="softmax", kernel_initializer=flat)(h))
    model.compile("adam", "sparse_categorical_crossentropy")

    assert masklib.check_padding(model, IDS, IDS % 3).denominators == {"loss": "all steps"}


@pytest.mark.parametrize("seed", range(6))
def test_rounding_of_a_gradient_is_not_a_leak(seed: int):
    """The terms of a gradient cancel: the sum is much smaller than the terms that were rounded."""

    def masked_mean(y: Any, p: Any) -> Any:
        losses = keras.losses.sparse_categorical_crossentropy(y, p)
        weights = ops.cast(y != 0, losses.dtype)
        return ops.sum(losses * weights) / ops.sum(weights)

    keras.utils.set_random_seed(seed)
    assert [one.code for one in masklib.audit(tagger(loss=masked_mean), IDS).findings if one.severity == "leak"] == []
