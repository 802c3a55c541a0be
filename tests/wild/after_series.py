"""Taggers, speech, video, time series and recommenders, after public examples."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tests.wild import parts
from tests.wild.layers import TokenAndPosition, TransformerBlock
from tests.wild.parts import LENGTHS, STEPS, compiled, ids, labels, numbers, series, valid
from tests.wild.specimens import Batch, Padded, specimen

SPARSE = "sparse_categorical_crossentropy"
GONE = Padded(-1.0)

TAGS: dict[str, Any] = {
    "feed": lambda: Batch(ids(), ids("tags", low=1, high=5)),
    "lengths": {"steps": LENGTHS},
    "x": STEPS,
    "y": STEPS,
    "outputs": (STEPS,),
}
SIGNALS: dict[str, Any] = {
    "feed": lambda: Batch(series(), labels()),
    "lengths": {"steps": LENGTHS},
    "x": STEPS,
}


def loss_where_told(y_true: Any, y_pred: Any) -> Any:
    """Return the mean over steps with a tag."""
    losses = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=False)
    mask = ops.cast(ops.greater(y_true, 0), losses.dtype)
    return ops.sum(losses * mask) / ops.sum(mask)


@specimen("tagging", "https://keras.io/examples/nlp/ner_transformers/", **TAGS)
def names_by_transformer() -> Any:
    """A tagger, a subclassed model; the loss leaves padding out, attention does not."""

    class Tagger(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = TokenAndPosition(24, 20, 8)
            self.block = TransformerBlock(8, 2, 8)
            self.hidden = layers.Dense(8, activation="relu")
            self.final = layers.Dense(5, activation="softmax")

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.final(self.hidden(self.block(self.embedding(inputs), training=training)))

    return compiled(Tagger(), loss_where_told)


@specimen("tagging", "https://github.com/guillaumegenthial/sequence_tagging", **TAGS)
def names_by_bidirectional_lstm() -> Any:
    """The classic tagger, masked, a probability for each word."""
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True)(inputs)
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True, recurrent_dropout=0.1))(x)
    x = layers.TimeDistributed(layers.Dense(5, activation="softmax"))(x)
    return compiled(keras.Model(inputs, x), SPARSE, ["accuracy"])


@specimen(
    "tagging",
    "https://www.kaggle.com/code/gagandeep16/ner-using-bidirectional-lstm",
    feed=lambda: Batch(ids(), ids("tags", low=1, high=5), valid(dtype="float32")),
    lengths={"steps": LENGTHS},
    x=STEPS,
    y=STEPS,
    weights=STEPS,
    outputs=(STEPS,),
)
def names_with_weights() -> Any:
    """No mask; padding weighs 0 in the loss, which still divides by all steps."""
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(layers.Embedding(20, 8)(inputs))
    return compiled(keras.Model(inputs, layers.Dense(5, activation="softmax")(x)), SPARSE, weighted_metrics=["accuracy"])


class CTC(keras.losses.Loss):
    """CTC over as many frames as the batch has, as the example does it."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one number per sample."""
        n, steps = ops.shape(y_pred)[0], ops.shape(y_pred)[1]
        lengths = ops.sum(ops.cast(ops.not_equal(y_true, 0), "int32"), axis=-1)
        return ops.ctc_loss(y_true, ops.log(y_pred + 1e-7), lengths, steps * ops.ones((n,), dtype="int32"), mask_index=0)


SPEECH: dict[str, Any] = {
    "feed": lambda: Batch(series("sound", 6, (8, 5, 6, 7), total=10), ids("letters", (3, 2, 2, 3), low=1, high=5, total=4)),
    "lengths": {"steps": (8, 5, 6, 7), "letters": (3, 2, 2, 3)},
    "x": STEPS,
    "y": Padded(axes={1: "letters"}),
    "outputs": (STEPS,),
}


@specimen("speech", "https://keras.io/examples/audio/ctc_asr/", **SPEECH)
def speech_with_ctc() -> Any:
    """Convolutions over sound, recurrent layers, CTC; silence is never masked."""
    inputs = keras.Input((None, 6))
    x = layers.Reshape((-1, 6, 1))(inputs)
    x = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(3, (3, 3), strides=(1, 2), padding="same")(x)))
    x = layers.Reshape((-1, 9))(x)
    x = layers.Bidirectional(layers.GRU(6, return_sequences=True))(x)
    return compiled(keras.Model(inputs, layers.Dense(5, activation="softmax")(x)), CTC())


@specimen("speech", "https://github.com/SeanNaren/deepspeech.pytorch", **SPEECH)
def speech_with_masked_ctc() -> Any:
    """Masked frames, and Keras's own CTC, which takes all frames."""
    inputs = keras.Input((None, 6))
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(layers.Masking()(inputs))
    return compiled(keras.Model(inputs, layers.Dense(5)(x)), keras.losses.CTC())


@specimen(
    "video",
    "https://keras.io/examples/vision/video_classification/",
    feed=lambda: Batch([series("frames", 6), valid()], labels()),
    lengths={"steps": LENGTHS},
    x=[STEPS, Padded(value=False)],
)
def video_with_mask_input() -> Any:
    """Features of frames, and an input that says which frames are there."""
    frames, mask = keras.Input((None, 6)), keras.Input((None,), dtype="bool")
    x = layers.GRU(6, return_sequences=True)(frames, mask=mask)
    x = layers.Dropout(0.4)(layers.GRU(4)(x))
    return compiled(keras.Model([frames, mask], layers.Dense(3, activation="softmax")(x)), SPARSE, ["accuracy"])


@specimen("video", "https://keras.io/examples/vision/video_transformers/", **SIGNALS)
def video_transformer() -> Any:
    """Positions are added to frames, attention takes no mask, and the maximum is over all frames."""
    inputs = keras.Input((None, 4))
    x = PositionsAdded(24, 4)(inputs)
    x = layers.GlobalMaxPooling1D()(TransformerBlock(4, 1, 8)(x))
    return compiled(keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Dropout(0.5)(x))), SPARSE, ["accuracy"])


@specimen(
    "video",
    "https://github.com/harvitronix/five-video-classification-methods",
    feed=lambda: Batch(np.repeat(series("clip", 12), 1, -1).reshape(4, -1, 2, 2, 3), labels()),
    lengths={"steps": LENGTHS},
    x=STEPS,
)
def video_convolution_and_lstm() -> Any:
    """A convolution of each frame, then an LSTM; frames of zeros are masked at the input."""
    inputs = keras.Input((None, 2, 2, 3))
    x = layers.TimeDistributed(layers.Conv2D(4, 2, activation="relu"))(inputs)
    x = layers.LSTM(6)(layers.TimeDistributed(layers.Flatten())(x))
    return compiled(keras.Model(inputs, layers.Dense(3, activation="softmax")(x)), SPARSE, ["accuracy"])


@specimen("time series", "https://keras.io/examples/timeseries/timeseries_classification_from_scratch/", **SIGNALS)
def series_by_convolutions() -> Any:
    """Convolutions, statistics of batches, and the mean over time."""
    inputs = x = keras.Input((None, 4))
    for _ in range(2):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(6, 3, padding="same")(x)))
    x = layers.GlobalAveragePooling1D()(x)
    return compiled(keras.Model(inputs, layers.Dense(3, activation="softmax")(x)), SPARSE, ["sparse_categorical_accuracy"])


@specimen("time series", "https://keras.io/examples/timeseries/timeseries_classification_transformer/", **SIGNALS)
def series_by_transformer() -> Any:
    """Attention and pointwise convolutions with residuals."""
    inputs = keras.Input((None, 4))
    x = layers.LayerNormalization(epsilon=1e-6)(layers.MultiHeadAttention(2, 4, dropout=0.1)(inputs, inputs)) + inputs
    x = layers.Conv1D(4, 1)(layers.Dropout(0.1)(layers.Conv1D(6, 1, activation="relu")(x))) + x
    x = layers.Dense(6, activation="relu")(layers.GlobalAveragePooling1D()(x))
    return compiled(keras.Model(inputs, layers.Dense(3, activation="softmax")(x)), SPARSE)


@specimen(
    "time series",
    "https://www.tensorflow.org/tutorials/structured_data/time_series",
    **{
        **SIGNALS,
        "feed": lambda: Batch(series(), series("next", 1)),
        "y": STEPS,
        "outputs": (STEPS,),
    },
)
def weather_lstm_each_step() -> Any:
    """A forecast at each step, without a mask."""
    net = [keras.Input((None, 4)), layers.LSTM(6, return_sequences=True), layers.Dense(1)]
    return compiled(keras.Sequential(net), "mean_squared_error", ["mean_absolute_error"])


@specimen(
    "time series",
    "https://github.com/keras-team/keras/issues/3086",
    feed=lambda: Batch(series(value=-1.0), numbers()),
    lengths={"steps": LENGTHS},
    x=GONE,
)
def masked_series_regression() -> Any:
    """Missing steps hold -1, and Masking knows it."""
    net = [keras.Input((None, 4)), layers.Masking(-1.0), layers.LSTM(6, return_sequences=True), layers.LSTM(4), layers.Dense(1)]
    return compiled(keras.Sequential(net), "mse", ["mae"])


@specimen(
    "time series",
    "https://machinelearningmastery.com/cnn-long-short-term-memory-networks/",
    feed=lambda: Batch(series(value=-1.0), numbers()),
    lengths={"steps": LENGTHS},
    x=GONE,
)
def masked_then_convolved() -> Any:
    """Masking, then a convolution that drops the mask, then an LSTM."""
    net = [keras.Input((None, 4)), layers.Masking(-1.0), layers.Conv1D(6, 3, padding="same"), layers.LSTM(4), layers.Dense(1)]
    return compiled(keras.Sequential(net), "mse", ["mae"])


@specimen(
    "time series",
    "https://machinelearningmastery.com/lstm-autoencoders/",
    feed=lambda: Batch(series(value=0.0), series(value=0.0)),
    lengths={"steps": LENGTHS},
    x=STEPS,
    y=STEPS,
    outputs=(STEPS,),
)
def masked_autoencoder() -> Any:
    """A masked encoder; what it says is repeated for every step, padding too."""
    inputs = keras.Input((None, 4))
    code = layers.LSTM(6)(layers.Masking()(inputs))
    x = layers.Lambda(lambda both: ops.repeat(both[0][:, None], ops.shape(both[1])[1], axis=1), output_shape=(None, 6))(
        [code, inputs]
    )
    return compiled(keras.Model(inputs, layers.TimeDistributed(layers.Dense(4))(layers.LSTM(6, return_sequences=True)(x))), "mse")


@specimen(
    "knowledge tracing",
    "https://github.com/lccasagrande/Deep-Knowledge-Tracing",
    feed=lambda: Batch(series("answers", 4, value=-1.0), parts.pad([np.ones((n, 1), "float32") for n in LENGTHS], -1.0)),
    lengths={"steps": LENGTHS},
    x=GONE,
    y=GONE,
    outputs=(STEPS,),
)
def knowledge_tracing() -> Any:
    """Answers padded with -1; the loss leaves out targets of -1."""

    def loss(y_true: Any, y_pred: Any) -> Any:
        told = ops.cast(ops.not_equal(y_true, -1.0), "float32")
        return keras.losses.binary_crossentropy(y_true * told, y_pred * told)

    inputs = keras.Input((None, 4))
    x = layers.LSTM(6, return_sequences=True)(layers.Masking(-1.0)(inputs))
    return compiled(keras.Model(inputs, layers.TimeDistributed(layers.Dense(1, activation="sigmoid"))(x)), loss)


@keras.saving.register_keras_serializable("wild")
class PositionsAdded(layers.Layer):
    """Frames plus embedded positions."""

    def __init__(self, longest: int, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.positions = layers.Embedding(longest, size)

    def call(self, x: Any) -> Any:
        """Return (B, T, F)."""
        return x + self.positions(ops.arange(ops.shape(x)[1]))
