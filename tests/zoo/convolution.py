"""Faulty: convolutions and pooling."""

from typing import Any

import keras
from keras import layers, ops

from tests.zoo.animals import animal
from tests.zoo.feeding import Feed
from tests.zoo.parts import (
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

CLASSIFIED = {"target_feeds": LABEL, "faults": "output loss gradient"}
TAGGED = {"target_feeds": TAGS, "outputs": (TOKENS,)}


@animal("convolution", TOKENS, problem="P10", given=False, **CLASSIFIED)
def conv_then_max() -> Any:
    """The text CNN of the tutorials: Conv1D drops the mask, and the maximum is over the padding too."""
    ids = token_ids()
    x = layers.Conv1D(U, 3, padding="same", activation="relu")(embed(ids))
    return classifier(ids, layers.GlobalMaxPooling1D()(x))


@animal("convolution", TOKENS, problem="P10", **CLASSIFIED)
def conv_then_average() -> Any:
    """GlobalAveragePooling1D would use the mask, and Conv1D dropped it."""
    ids = token_ids()
    return classifier(ids, layers.GlobalAveragePooling1D()(layers.Conv1D(U, 3, padding="same")(embed(ids))))


@animal("convolution", TOKENS, problem="P10", realistic=True, **CLASSIFIED)
def text_cnn_of_three_widths() -> Any:
    """Kim's text CNN: three widths side by side, the largest number of each."""
    ids = token_ids()
    x = embed(ids)
    pooled = [layers.GlobalMaxPooling1D()(layers.Conv1D(4, width, padding="same", activation="relu")(x)) for width in (2, 3, 4)]
    return classifier(ids, layers.Dropout(0.2)(layers.Concatenate()(pooled)))


@animal("conv+RNN", TOKENS, problem="P10", realistic=True, **CLASSIFIED)
def conv_then_lstm() -> Any:
    """CNN and LSTM: the LSTM gets no mask and runs on over the padding."""
    ids = token_ids()
    x = layers.MaxPooling1D(2, padding="same")(layers.Conv1D(U, 3, padding="same", activation="relu")(embed(ids)))
    return classifier(ids, layers.LSTM(U)(x))


@animal("conv+RNN", STEPS, problem="P10", realistic=True, **CLASSIFIED)
def strided_sensors() -> Any:
    """Strided convolutions after Masking halve the steps of a series, and nothing halves the mask."""
    x = floats()
    short = layers.Conv1D(U, 3, strides=2, padding="same", activation="relu")(layers.Masking(0.0)(x))
    return classifier(x, layers.Bidirectional(layers.GRU(U))(short))


@animal("convolution", TOKENS, problem="P10", **CLASSIFIED)
def max_pooling_then_lstm() -> Any:
    """MaxPooling1D drops the mask, and shortens the steps."""
    ids = token_ids()
    return classifier(ids, layers.LSTM(U)(layers.MaxPooling1D(2, padding="same")(embed(ids))))


@animal("convolution", TOKENS, problem="P10", **CLASSIFIED)
def average_pooling_then_average() -> Any:
    """AveragePooling1D drops the mask, and mixes the last valid step with padding."""
    ids = token_ids()
    return classifier(ids, layers.GlobalAveragePooling1D()(layers.AveragePooling1D(2, padding="same")(embed(ids))))


@animal("convolution", TOKENS, problem="P10", **CLASSIFIED)
def zero_padding_then_conv() -> Any:
    """ZeroPadding1D drops the mask; the causal convolution after it is averaged over everything."""
    ids = token_ids()
    return classifier(ids, layers.GlobalAveragePooling1D()(layers.Conv1D(U, 3)(layers.ZeroPadding1D((2, 0))(embed(ids)))))


@animal("convolution", TOKENS, problem="P10", **CLASSIFIED)
def up_sampling_then_average() -> Any:
    """UpSampling1D drops the mask."""
    ids = token_ids()
    return classifier(ids, layers.GlobalAveragePooling1D()(layers.UpSampling1D(2)(embed(ids))))


@animal("convolution", TOKENS, problem="P10", **CLASSIFIED)
def cropping_then_gru() -> Any:
    """Cropping1D drops the mask."""
    ids = token_ids()
    return classifier(ids, layers.GRU(U)(layers.Cropping1D((1, 0))(embed(ids))))


@animal("convolution", TOKENS, problem="P10", **CLASSIFIED)
def separable_conv_then_max() -> Any:
    """SeparableConv1D drops the mask as Conv1D does."""
    ids = token_ids()
    return classifier(ids, layers.GlobalMaxPooling1D()(layers.SeparableConv1D(U, 3, padding="same")(embed(ids))))


@animal("tagger", TOKENS, problem="P10", faults="output loss gradient", **TAGGED)
def two_convs_tagger() -> Any:
    """The last valid step sees the padding's embedding, and the loss counts the padding."""
    ids = token_ids()
    x = layers.Conv1D(U, 3, padding="same", activation="relu")(embed(ids))
    return tagger(ids, layers.Conv1D(U, 3, padding="same", activation="relu")(x))


@animal("tagger", STEPS, problem="P10", faults="output", outputs=(STEPS,))
def two_convs_over_zeros() -> Any:
    """Padding of zeros is left alone by one convolution; its bias makes something of them for the next."""
    x = floats()
    first = layers.Conv1D(U, 3, padding="same", activation="relu")(layers.Masking(0.0)(x))
    return keras.Model(x, layers.Conv1D(C, 3, padding="same")(first))


@animal(
    "convolution",
    Feed("steps", side="left"),
    problem="P10",
    realistic=True,
    outputs=(Feed("steps", side="left"),),
    faults="output",
    causal=True,
    options={"causal": True, "padding_side": "pre"},
)
def wavenet_padded_before() -> Any:
    """Dilated causal convolutions with residuals: padding before the series is in the past of every step."""
    x = floats()
    h = layers.Conv1D(U, 1)(x)
    for rate in (1, 2):
        h = h + layers.Conv1D(U, 2, dilation_rate=rate, padding="causal", activation="tanh")(h)
    return keras.Model(x, layers.Dense(1)(h))


@animal("convolution", TOKENS, causal=True, faults="future", outputs=(TOKENS,), options={"causal": True})
def same_instead_of_causal() -> Any:
    """A next-token model whose second convolution is "same" instead of "causal"; zeros stand at padded steps."""
    ids = token_ids()
    x = embed(ids) * ops.cast(ops.not_equal(ids, 0), "float32")[:, :, None]
    return keras.Model(ids, classify(layers.Conv1D(U, 3, padding="same")(x)))


@animal("convolution", STEPS, problem="P10", realistic=True, target_feeds=LABEL, faults="output loss gradient statistics")
def resnet_of_sensors() -> Any:
    """A residual network over padded series, with BatchNormalization that counts the padding."""
    x = floats()
    h = layers.Conv1D(U, 3, padding="same")(layers.Masking(0.0)(x))
    h = layers.ReLU()(layers.BatchNormalization()(h))
    h = layers.Add()([h, layers.Conv1D(U, 3, padding="same")(h)])
    return compiled(keras.Model(x, classify(layers.GlobalAveragePooling1D()(h))))
