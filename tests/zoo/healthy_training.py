"""Healthy: losses, metrics, gradients and statistics that leave the padding out."""

from typing import Any

import keras
from keras import layers

from masklib.losses import (
    MaskedBinaryCrossentropy,
    MaskedMeanAbsoluteError,
    MaskedMeanSquaredError,
    MaskedSparseCategoricalCrossentropy,
)
from masklib.metrics import MaskedMean
from tests.zoo import custom, custom_losses
from tests.zoo.animals import animal
from tests.zoo.feeding import Feed
from tests.zoo.parts import (
    FLAGS,
    LABEL,
    STEPS,
    TAGS,
    TOKENS,
    C,
    U,
    classifier,
    classify,
    compiled,
    embed,
    floats,
    tagger,
    token_ids,
)
from tests.zoo.training import NAN, NAN_SERIES, PADDED_TAGS, SERIES, encode

TAGGED = {"target_feeds": TAGS, "outputs": (TOKENS,)}
TOLD = {"target_feeds": PADDED_TAGS, "outputs": (TOKENS,)}  # by their targets, which steps are padding


@animal("tagger", TOKENS, problem="P08", given=False, faults="batches", **TAGGED)
def builtin_loss_and_metrics() -> Any:
    """Keras's loss and its accuracy, with a mask."""
    ids = token_ids()
    return tagger(ids, encode(ids), metrics=["accuracy", "sparse_categorical_crossentropy"])


@animal("tagger", TOKENS, problem="P08", **TAGGED)
def loss_summed() -> Any:
    """`reduction="sum"` adds the valid steps up."""
    ids = token_ids()
    return tagger(ids, encode(ids), loss=keras.losses.SparseCategoricalCrossentropy(reduction="sum"))


@animal("tagger", TOKENS, problem="P08", realistic=True, weighted=True, faults="batches", **TAGGED)
def weighted_mean_of_steps() -> Any:
    """Sample weights of 0 for padding, and a mean that divides by their sum; the metric is weighted too."""
    ids = token_ids()
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="mean_with_sample_weight")
    x = layers.GRU(U, return_sequences=True)(embed(ids, mask_zero=False))
    return tagger(ids, x, loss=loss, weighted_metrics=["accuracy"])


@animal("tagger", TOKENS, problem="P08", options={"target_pad": 0}, **TOLD)
def loss_divided_by_valid_steps() -> Any:
    """A custom loss that divides by the number of targets that are not padding."""
    ids = token_ids()
    return tagger(ids, encode(ids), loss=custom_losses.mean_of_valid_steps)


@animal("tagger", TOKENS, problem="P41", realistic=True, **TOLD)
def ignored_class_is_the_padding() -> Any:
    """The loss ignores the class of padding, and so does the metric beside it; no mask is needed."""
    ids = token_ids()
    metric = MaskedMean("sparse_categorical_accuracy", mask_value=0)
    loss = MaskedSparseCategoricalCrossentropy(mask_value=0)
    return tagger(ids, layers.GRU(U, return_sequences=True)(embed(ids, mask_zero=False)), loss=loss, metrics=[metric])


@animal("tagger", TOKENS, problem="P04", realistic=True, **TOLD)
def residual_tagger_with_masked_loss() -> Any:
    """`x + LSTM(x)` drops the mask, and the loss finds the padding in the targets."""
    ids = token_ids()
    x = embed(ids)
    loss = MaskedSparseCategoricalCrossentropy(mask_value=0)
    return tagger(ids, x + layers.LSTM(U, return_sequences=True)(x), loss=loss)


@animal("tagger", TOKENS, problem="P06", target_feeds=FLAGS, outputs=(TOKENS,), realistic=True, faults="batches")
def detector_with_masked_metrics() -> Any:
    """Metrics that are means of steps use the mask."""
    ids = token_ids()
    steps = layers.Dense(1, activation="sigmoid")(encode(ids))
    metrics = [MaskedMean("binary_crossentropy"), keras.metrics.BinaryAccuracy()]
    return compiled(keras.Model(ids, steps), MaskedBinaryCrossentropy(), metrics=metrics)


@animal("tagger", TOKENS, problem="P06", faults="batches", **TAGGED)
def metric_function_of_single_steps() -> Any:
    """A custom metric function that returns a number per step, which Keras weights with the mask."""
    ids = token_ids()
    return tagger(ids, encode(ids), metrics=[custom_losses.correct])


@animal("classifier", TOKENS, problem="P06", target_feeds=Feed("flag"))
def precision_of_whole_samples() -> Any:
    """Precision and AUC of one number per sample: there is no step to mask."""
    ids = token_ids()
    score = layers.Dense(1, activation="sigmoid")(layers.GRU(U)(embed(ids)))
    metrics = [keras.metrics.Precision(thresholds=0.4), keras.metrics.AUC(num_thresholds=50)]
    return compiled(keras.Model(ids, score), "binary_crossentropy", metrics=metrics)


@animal("tagger", TOKENS, problem="P06", realistic=True, weighted=True, target_feeds=FLAGS, outputs=(TOKENS,))
def precision_with_weights() -> Any:
    """Precision and Recall as weighted metrics, with sample weights of 0 at padded steps."""
    ids = token_ids()
    steps = layers.Dense(1, activation="sigmoid")(encode(ids))
    metrics = [keras.metrics.Precision(thresholds=0.4), keras.metrics.Recall(thresholds=0.4)]
    return compiled(keras.Model(ids, steps), "binary_crossentropy", weighted_metrics=metrics)


@animal("forecast", STEPS, problem="P15", target_feeds=NAN_SERIES, outputs=(STEPS,), realistic=True, options={"target_pad": NAN})
def targets_of_nan_found() -> Any:
    """Padded targets are NaN, and the loss looks for them."""
    x = floats()
    steps = layers.Dense(1)(layers.GRU(U, return_sequences=True)(layers.Masking(0.0)(x)))
    return compiled(keras.Model(x, steps), MaskedMeanSquaredError(mask_value=NAN))


@animal("forecast", STEPS, problem="P33", target_feeds=SERIES, outputs=(STEPS,), faults="batches")
def forecast_behind_masking() -> Any:
    """A loss of this project, and an error of Keras's, both with a mask."""
    x = floats()
    steps = layers.Dense(1)(layers.GRU(U, return_sequences=True)(layers.Masking(0.0)(x)))
    return compiled(keras.Model(x, steps), MaskedMeanAbsoluteError(), metrics=["mse"])


@animal("classifier", TOKENS, target_feeds=LABEL, realistic=True)
def batch_norm_with_mask() -> Any:
    """BatchNormalization with a mask: Keras leaves masked steps out of its statistics."""
    ids = token_ids()
    return classifier(ids, layers.GlobalAveragePooling1D()(layers.BatchNormalization(momentum=0.5)(embed(ids))))


@animal("classifier", TOKENS, target_feeds=LABEL)
def batch_norm_after_pooling() -> Any:
    """BatchNormalization of pooled vectors gets no steps."""
    ids = token_ids()
    return classifier(ids, layers.BatchNormalization(momentum=0.5)(layers.GlobalAveragePooling1D()(embed(ids))))


@animal("tagger", TOKENS, **TAGGED)
def penalty_on_valid_steps() -> Any:
    """A custom layer adds the mean over valid steps to the loss."""
    ids = token_ids()
    return tagger(ids, custom.PenaltyOnValidSteps()(encode(ids)))


@animal(
    "multi-output", TOKENS, realistic=True, target_feeds={"label": LABEL, "tags": TAGS}, outputs=(None, TOKENS), faults="batches"
)
def two_outputs() -> Any:
    """Tags and a label, both with the mask."""
    ids = token_ids()
    x = encode(ids)
    outputs = {
        "label": layers.Dense(C, activation="softmax", name="label")(layers.GlobalAveragePooling1D()(x)),
        "tags": layers.Dense(C, activation="softmax", name="tags")(x),
    }
    metrics = {"label": ["accuracy"], "tags": ["accuracy"]}
    return compiled(keras.Model(ids, outputs), dict.fromkeys(outputs, "sparse_categorical_crossentropy"), metrics=metrics)


@animal("tagger", TOKENS, **TAGGED)
def weight_decay() -> Any:
    """A regularizer of weights, which no step reaches."""
    ids = token_ids()
    x = layers.Dense(U, kernel_regularizer=keras.regularizers.L2(0.01))(encode(ids))
    return compiled(keras.Model(ids, classify(x)))
