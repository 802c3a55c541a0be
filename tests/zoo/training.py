"""Faulty: losses, metrics, gradients and statistics that count the padding; the outputs at valid steps are mostly right."""

from typing import Any

import keras
from keras import layers, ops

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

TAGGED = {"target_feeds": TAGS, "outputs": (TOKENS,)}
FLAGGED = {"target_feeds": FLAGS, "outputs": (TOKENS,), "problem": "P06"}
PADDED_TAGS = Feed("classes", size=C, low=1)  # class 0 says padding
SERIES = Feed("steps", size=1, free=True, shift="series")
LOST = "loss gradient"
NAN = float("nan")
NAN_SERIES = Feed("steps", size=1, pad=NAN)


def encode(ids: Any) -> Any:
    """Return steps of a masked LSTM."""
    return layers.LSTM(U, return_sequences=True)(embed(ids))


def detector(*metrics: Any) -> Any:
    """Return a compiled detector of events."""
    ids = token_ids()
    steps = layers.Dense(1, activation="sigmoid")(encode(ids))
    return compiled(keras.Model(ids, steps), "binary_crossentropy", metrics=list(metrics))


@animal("tagger", TOKENS, realistic=True, faults="metric", **FLAGGED)
def precision_under_a_mask() -> Any:
    """Precision and Recall count masked steps."""
    return detector(keras.metrics.Precision(thresholds=0.4), keras.metrics.Recall(thresholds=0.4))


@animal("tagger", TOKENS, faults="metric", **FLAGGED)
def auc_under_a_mask() -> Any:
    """AUC counts masked steps."""
    return detector(keras.metrics.AUC(num_thresholds=50))


@animal("tagger", TOKENS, faults="metric", **FLAGGED)
def false_positives_under_a_mask() -> Any:
    """Counts of the confusion matrix count masked steps."""
    return detector(keras.metrics.FalsePositives(thresholds=0.3), keras.metrics.TrueNegatives(thresholds=0.3))


@animal("tagger", TOKENS, problem="P06", faults="metric", **TAGGED)
def metric_class_without_weights() -> Any:
    """A custom metric whose `update_state` does not use the mask."""
    ids = token_ids()
    return tagger(ids, encode(ids), metrics=[custom_losses.ShareCorrect()])


@animal("tagger", TOKENS, problem="P06", faults="metric", **TAGGED)
def mean_iou_under_a_mask() -> Any:
    """IoU counts masked steps."""
    ids = token_ids()
    iou = keras.metrics.MeanIoU(num_classes=C, sparse_y_pred=False)
    return tagger(ids, encode(ids), metrics=[iou])


@animal("tagger", TOKENS, problem="P08", target_feeds=PADDED_TAGS, outputs=(TOKENS,), faults=LOST, options={"target_pad": 0})
def loss_divided_by_all_steps() -> Any:
    """A custom loss: zeros for padded targets, divided by the number of all steps."""
    ids = token_ids()
    return tagger(ids, layers.LSTM(U, return_sequences=True)(embed(ids)), loss=custom_losses.mean_of_all_steps)


@animal("tagger", TOKENS, problem="P08", faults=LOST, **TAGGED)
def loss_averaged_over_time_first() -> Any:
    """A custom loss averages over time before anything can mask it."""
    ids = token_ids()
    return tagger(ids, layers.Lambda(custom.double)(encode(ids)), loss=custom_losses.mean_of_sample_means)


@animal("tagger", TOKENS, problem="P08", realistic=True, weighted=True, faults=LOST, **TAGGED)
def weights_of_zero_for_padding() -> Any:
    """Sample weights of 0 leave padded steps out of the sum; Keras's mean divides by all steps."""
    ids = token_ids()
    return tagger(ids, layers.GRU(U, return_sequences=True)(embed(ids, mask_zero=False)))


@animal("tagger", TOKENS, problem="P04", realistic=True, faults="loss metric gradient", given=False, **TAGGED)
def residual_tagger() -> Any:
    """`x + LSTM(x)`: outputs are right, and the loss and the accuracy count the padding."""
    ids = token_ids()
    x = embed(ids)
    return tagger(ids, x + layers.LSTM(U, return_sequences=True)(x), metrics=["accuracy"])


@animal("tagger", TOKENS, problem="P04", faults=LOST, **TAGGED)
def softmax_by_ops() -> Any:
    """The last operation is `ops.softmax`: the model's output has no mask, so the loss counts the padding."""
    ids = token_ids()
    return compiled(keras.Model(ids, ops.softmax(layers.Dense(C)(encode(ids)))))


@animal("tagger", TOKENS, problem="P10", realistic=True, faults=LOST, **TAGGED)
def convolution_as_head() -> Any:
    """`Conv1D(C, 1)` in place of Dense drops the mask before the loss."""
    ids = token_ids()
    x = layers.Bidirectional(layers.GRU(U, return_sequences=True))(embed(ids))
    return compiled(keras.Model(ids, layers.Conv1D(C, 1, activation="softmax")(x)))


@animal("tagger", TOKENS, problem="P10", faults=LOST, **TAGGED)
def reshaped_before_the_loss() -> Any:
    """A Reshape at the end drops the mask."""
    ids = token_ids()
    return compiled(keras.Model(ids, layers.Reshape((-1, C))(classify(encode(ids)))))


@animal("tagger", TOKENS, problem="P41", faults=LOST, target_feeds=Feed("classes", size=C), outputs=(TOKENS,))
def ignored_class_is_not_the_padding() -> Any:
    """The loss ignores class -1, and the targets are padded with 0."""
    ids = token_ids()
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    return tagger(ids, layers.LSTM(U, return_sequences=True)(embed(ids) * 1.0), loss=loss)


@animal("tagger", TOKENS, problem="P41", realistic=True, faults="metric", target_feeds=PADDED_TAGS, outputs=(TOKENS,))
def accuracy_beside_ignored_class() -> Any:
    """The loss ignores the class of padding; the accuracy beside it does not, and no mask reaches it."""
    ids = token_ids()
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=0)
    return tagger(ids, layers.GRU(U, return_sequences=True)(embed(ids, mask_zero=False)), loss=loss, metrics=["accuracy"])


@animal("forecast", STEPS, problem="P15", target_feeds=NAN_SERIES, outputs=(STEPS,), faults=LOST, options={"target_pad": NAN})
def targets_of_nan() -> Any:
    """Padded targets are NaN: the mask multiplies them by 0, and 0 times NaN is NaN."""
    x = floats()
    steps = layers.Dense(1)(layers.GRU(U, return_sequences=True)(layers.Masking(0.0)(x)))
    return compiled(keras.Model(x, steps), "mse")


@animal("forecast", STEPS, problem="P33", realistic=True, target_feeds=SERIES, outputs=(STEPS,), faults="loss metric gradient")
def forecast_without_masking() -> Any:
    """A one-way GRU is right at valid steps without a mask; the loss and the error beside it count the padding."""
    x = floats()
    steps = layers.Dense(1)(layers.GRU(U, return_sequences=True)(x))
    return compiled(keras.Model(x, steps), "mse", metrics=["mae"])


@animal("classifier", TOKENS, realistic=True, target_feeds=LABEL, faults="gradient statistics")
def batch_norm_of_padding() -> Any:
    """Pooling leaves the padding out; BatchNormalization before it has no mask and learns its statistics from padding too."""
    ids = token_ids()
    x = layers.BatchNormalization(momentum=0.5)(embed(ids, mask_zero=False))
    return classifier(ids, custom.PoolValid()([x, custom.PadMask()(ids)]))


@animal("tagger", TOKENS, faults="batch", **TAGGED)
def batch_norm_always_training() -> Any:
    """BatchNormalization inside a layer that always calls it with `training=True`: a sample depends on the other samples."""
    ids = token_ids()
    return tagger(ids, custom.AlwaysTraining()(embed(ids)))


@animal("tagger", TOKENS, realistic=True, faults=LOST, **TAGGED)
def activity_of_all_steps() -> Any:
    """`activity_regularizer` sums over masked steps too."""
    ids = token_ids()
    x = layers.Dense(U, activation="tanh", activity_regularizer=keras.regularizers.L2(0.1))(encode(ids))
    return tagger(ids, x)


@animal("tagger", TOKENS, faults=LOST, **TAGGED)
def penalty_on_all_steps() -> Any:
    """A custom layer adds the mean over all steps to the loss."""
    ids = token_ids()
    return tagger(ids, custom.PenaltyOnAllSteps()(encode(ids)))


@animal(
    "multi-output",
    TOKENS,
    problem="P04",
    realistic=True,
    target_feeds={"again": TAGS, "tags": TAGS},
    outputs=(TOKENS, TOKENS),
    faults=LOST,
)
def two_losses_one_counts_padding() -> Any:
    """Two heads: one keeps the mask for its loss, the other is scaled by an op before its softmax."""
    ids = token_ids()
    x = encode(ids)
    outputs = {
        "again": layers.Dense(C, activation="softmax", name="again")(x / 2.0),
        "tags": layers.Dense(C, activation="softmax", name="tags")(x),
    }
    return compiled(keras.Model(ids, outputs), dict.fromkeys(outputs, "sparse_categorical_crossentropy"))
