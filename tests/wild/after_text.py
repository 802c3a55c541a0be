"""Text classification, after public examples."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tests.wild import parts
from tests.wild.layers import MeanOfWords, TokenAndPosition, TransformerBlock, TransformerEncoder
from tests.wild.parts import LENGTHS, STEPS, compiled, flags, ids, labels
from tests.wild.specimens import Batch, Padded, specimen

BINARY = "binary_crossentropy"
SPARSE = "sparse_categorical_crossentropy"

REVIEWS: dict[str, Any] = {
    "feed": lambda: Batch(ids(), flags()),
    "lengths": {"steps": LENGTHS},
    "x": STEPS,
}


def as_strings(x: Any) -> Any:
    """Return strings as TensorFlow takes them."""
    import tensorflow as tf

    return tf.constant(x)


def words() -> Any:
    """Return an input of ids."""
    return keras.Input((None,), dtype="int64")


def yes_or_no(inputs: Any, x: Any, metrics: Any = ("accuracy",)) -> Any:
    """Return a compiled classifier of reviews."""
    return compiled(keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x)), BINARY, list(metrics))


@specimen("text classification", "https://keras.io/examples/nlp/bidirectional_lstm_imdb/", **REVIEWS)
def imdb_bidirectional_lstm() -> Any:
    """Two LSTMs in both directions, and no mask."""
    inputs = words()
    x = layers.Embedding(20, 8)(inputs)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    return yes_or_no(inputs, layers.Bidirectional(layers.LSTM(4))(x))


@specimen("text classification", "https://www.tensorflow.org/text/tutorials/text_classification_rnn", **REVIEWS)
def tf_tutorial_bidirectional_lstm() -> Any:
    """The same, and masked."""
    net = [
        layers.Embedding(20, 8, mask_zero=True),
        layers.Bidirectional(layers.LSTM(6, return_sequences=True)),
        layers.Bidirectional(layers.LSTM(4)),
        layers.Dense(8, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(1),
    ]
    return compiled(keras.Sequential(net), keras.losses.BinaryCrossentropy(from_logits=True), ["accuracy"])


@specimen("text classification", "https://keras.io/examples/nlp/text_classification_from_scratch/", **REVIEWS, least=7)
def imdb_strided_convolutions() -> Any:
    """Convolutions with strides, and the maximum over time."""
    inputs = words()
    x = layers.Dropout(0.5)(layers.Embedding(20, 8)(inputs))
    x = layers.Conv1D(8, 3, padding="valid", activation="relu", strides=2)(x)
    x = layers.Conv1D(8, 2, padding="valid", activation="relu", strides=2)(x)
    x = layers.Dense(8, activation="relu")(layers.GlobalMaxPooling1D()(x))
    return yes_or_no(inputs, layers.Dropout(0.5)(x))


@specimen("text classification", "https://www.tensorflow.org/tutorials/keras/text_classification", **REVIEWS)
def imdb_mean_of_words() -> Any:
    """The mean of all embedded words, padding too."""
    inputs = words()
    x = layers.Dropout(0.2)(layers.Embedding(20, 8)(inputs))
    return yes_or_no(inputs, layers.Dropout(0.2)(layers.GlobalAveragePooling1D()(x)))


@specimen(
    "text classification", "https://github.com/ageron/handson-ml3/blob/main/16_nlp_with_rnns_and_attention.ipynb", **REVIEWS
)
def geron_manual_mask() -> Any:
    """The mask is computed from the ids and passed to each GRU."""
    inputs = words()
    mask = layers.Lambda(lambda x: ops.not_equal(x, 0), output_shape=(None,))(inputs)
    x = layers.Embedding(20, 8)(inputs)
    x = layers.GRU(6, return_sequences=True, dropout=0.2)(x, mask=mask)
    return yes_or_no(inputs, layers.GRU(6, dropout=0.2)(x, mask=mask))


@specimen("text classification", "https://keras.io/examples/nlp/text_classification_with_transformer/", **REVIEWS)
def imdb_transformer() -> Any:
    """A block of attention without a mask."""
    inputs = words()
    x = TransformerBlock(8, 2, 8)(TokenAndPosition(24, 20, 8)(inputs))
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x))
    return yes_or_no(inputs, layers.Dense(8, activation="relu")(x))


@specimen(
    "text classification",
    "https://github.com/fchollet/deep-learning-with-python-notebooks/blob/master/chapter11_part03_transformer.ipynb",
    **REVIEWS,
)
def chollet_transformer_encoder() -> Any:
    """An encoder that widens its mask by hand; the maximum over time knows no mask."""
    inputs = words()
    x = TokenAndPosition(24, 20, 8, mask=True)(inputs)
    x = TransformerEncoder(8, 8, 2)(x)
    return yes_or_no(inputs, layers.Dropout(0.5)(layers.GlobalMaxPooling1D()(x)))


@specimen(
    "text classification",
    "https://keras.io/examples/nlp/pretrained_word_embeddings/",
    feed=lambda: Batch(ids(), labels()),
    lengths={"steps": LENGTHS},
    x=STEPS,
    least=8,
)
def newsgroups_pretrained_embeddings() -> Any:
    """Embeddings that are not trained, row 0 all zeros as for a word without a vector."""
    table = np.random.default_rng(0).normal(size=(20, 8))
    table[0] = 0
    inputs = words()
    x = layers.Embedding(20, 8, trainable=False, weights=[table])(inputs)
    x = layers.MaxPooling1D(2)(layers.Conv1D(8, 3, activation="relu", padding="same")(x))
    x = layers.GlobalMaxPooling1D()(layers.Conv1D(8, 3, activation="relu")(x))
    return compiled(keras.Model(inputs, layers.Dense(3, activation="softmax")(x)), SPARSE, ["acc"])


@specimen("text classification", "https://keras.io/guides/understanding_masking_and_padding/", **REVIEWS)
def guide_masked_lstm() -> Any:
    """The guide's own first model."""
    inputs = words()
    x = layers.Embedding(20, 8, mask_zero=True)(inputs)
    return yes_or_no(inputs, layers.LSTM(6)(x), ["accuracy", "auc"])


@specimen("text classification", "https://github.com/facebookresearch/fastText", **REVIEWS)
def fasttext_mean_with_mask() -> Any:
    """The mean of embedded words by a layer that takes the mask."""
    inputs = words()
    x = layers.Embedding(20, 8, mask_zero=True)(inputs)
    return yes_or_no(inputs, MeanOfWords()(x))


@specimen("text classification", "https://github.com/dennybritz/cnn-text-classification-tf", **REVIEWS, least=5)
def kim_parallel_convolutions() -> Any:
    """Kim's sentence classifier: three widths, the maximum of each, under a mask that no convolution uses."""
    inputs = words()
    x = layers.Embedding(20, 8, mask_zero=True)(inputs)
    x = layers.SpatialDropout1D(0.2)(x)
    pooled = [layers.GlobalMaxPooling1D()(layers.Conv1D(4, width, activation="relu")(x)) for width in (3, 4, 5)]
    return yes_or_no(inputs, layers.Dropout(0.5)(layers.Concatenate()(pooled)))


@specimen(
    "hierarchical attention",
    "https://github.com/richliao/textClassifier",
    feed=lambda: Batch(documents(), labels()),
    lengths={"sentences": (3, 2, 4, 1), "words": (4, 3, 5, 2)},
    x=Padded(axes={1: "sentences", 2: "words"}),
)
def hierarchical_attention() -> Any:
    """Attention over words, then over sentences; the softmaxes know no mask."""
    sentence = words()
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True))(layers.Embedding(20, 8, mask_zero=True)(sentence))
    encoder = keras.Model(sentence, SoftAttention(6)(x))
    inputs = keras.Input((None, None), dtype="int64")
    x = layers.TimeDistributed(encoder)(inputs)
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True))(x)
    return compiled(keras.Model(inputs, layers.Dense(3, activation="softmax")(SoftAttention(6)(x))), SPARSE, ["accuracy"])


@specimen(
    "text classification",
    "https://keras.io/examples/nlp/text_classification_from_scratch/#option-1",
    feed=lambda: Batch(texts(), flags()),
    lengths={"steps": LENGTHS},
    x=None,
    give=as_strings,
    backends=("tensorflow",),
)
def strings_masked_lstm() -> Any:
    """Strings go in, and a layer makes padded ids of them."""
    lookup = layers.TextVectorization(max_tokens=20)
    lookup.adapt([str(one) for one in texts()])
    inputs = keras.Input((), dtype="string")
    x = layers.Embedding(20, 8, mask_zero=True)(lookup(inputs))
    return yes_or_no(inputs, layers.LSTM(6)(x))


@specimen(
    "text classification",
    "https://www.tensorflow.org/tutorials/keras/text_classification#export_the_model",
    feed=lambda: Batch(texts(), flags()),
    lengths={"steps": LENGTHS},
    x=None,
    give=as_strings,
    backends=("tensorflow",),
)
def strings_mean_of_words() -> Any:
    """Strings go in, and the mean over words takes the padding too."""
    lookup = layers.TextVectorization(max_tokens=20)
    lookup.adapt([str(one) for one in texts()])
    inputs = keras.Input((), dtype="string")
    return yes_or_no(inputs, layers.GlobalAveragePooling1D()(layers.Embedding(20, 8)(lookup(inputs))))


@keras.saving.register_keras_serializable("wild")
class SoftAttention(layers.Layer):
    """A weighted mean over steps, by a learned vector; the mask ends here."""

    def __init__(self, size: int, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self.project = layers.Dense(size, activation="tanh")
        self.score = layers.Dense(1, use_bias=False)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """Return no mask, because the output has no steps."""

    def call(self, x: Any) -> Any:
        """Return (B, F)."""
        return ops.sum(x * ops.softmax(self.score(self.project(x)), axis=1), axis=1)


def documents() -> parts.Array:
    """Return ids (B, S, W) of documents: sentences padded with words, documents with sentences."""
    rng = parts.rng_of("documents")
    rows = [rng.integers(2, 20, (n, w)).astype("int32") for n, w in zip((3, 2, 4, 1), (4, 3, 5, 2), strict=True)]
    return np.stack([np.pad(row, ((0, 5 - row.shape[0]), (0, 6 - row.shape[1]))) for row in rows])


def texts() -> parts.Array:
    """Return reviews of different lengths."""
    told = "a film that i liked very much", "dull and long", "good actors in this one", "i liked it much"
    return np.array(told)
