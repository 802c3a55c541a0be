"""Translation, captions and language models, after public examples."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tests.wild import parts
from tests.wild.layers import TokenAndPosition, TransformerBlock, TransformerDecoder, TransformerEncoder
from tests.wild.parts import LENGTHS, OTHERS, STEPS, compiled, ids
from tests.wild.specimens import Batch, Padded, specimen

SPARSE = "sparse_categorical_crossentropy"
TARGET = Padded(axes={1: "target"})

PAIRS: dict[str, Any] = {
    "feed": lambda: Batch((ids("source"), ids("target", OTHERS)), ids("next", OTHERS)),
    "lengths": {"steps": LENGTHS, "target": OTHERS},
    "x": (STEPS, TARGET),
    "y": TARGET,
    "outputs": (TARGET,),
}


def two_inputs() -> tuple[Any, Any]:
    """Return the inputs of a source and of a target."""
    return keras.Input((None,), dtype="int64", name="source"), keras.Input((None,), dtype="int64", name="target")


def masked_loss(y_true: Any, y_pred: Any) -> Any:
    """Return the mean over the steps whose target is not 0, of logits."""
    losses = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
    mask = ops.cast(ops.not_equal(y_true, 0), losses.dtype)
    return ops.sum(losses * mask) / ops.sum(mask)


def masked_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Return the share of right tokens among those that are not 0."""
    right = ops.equal(ops.cast(y_true, "int64"), ops.cast(ops.argmax(y_pred, axis=-1), "int64"))
    mask = ops.cast(ops.not_equal(y_true, 0), "float32")
    return ops.sum(ops.cast(right, "float32") * mask) / ops.sum(mask)


@specimen("translation", "https://keras.io/examples/nlp/neural_machine_translation_with_transformer/", **PAIRS)
def spanish_transformer() -> Any:
    """Encoder and decoder with their own masks; the decoder attends to the source under the source's mask."""
    source, target = two_inputs()
    encoded = TransformerEncoder(8, 16, 2)(TokenAndPosition(24, 20, 8, mask=True)(source))
    x = TransformerDecoder(8, 16, 2)([TokenAndPosition(24, 20, 8, mask=True)(target), encoded])
    outputs = layers.Dense(20, activation="softmax")(layers.Dropout(0.5)(x))
    return compiled(keras.Model((source, target), outputs), SPARSE, ["accuracy"])


@specimen(
    "translation",
    "https://github.com/fchollet/deep-learning-with-python-notebooks/blob/master/chapter11_part04_sequence-to-sequence-learning.ipynb",
    **PAIRS,
)
def chollet_recurrent_translation() -> Any:
    """The decoder starts with the encoder's last state."""
    source, target = two_inputs()
    encoded = layers.Bidirectional(layers.GRU(6), merge_mode="sum")(layers.Embedding(20, 6, mask_zero=True)(source))
    x = layers.Embedding(20, 6, mask_zero=True)(target)
    x = layers.Dropout(0.5)(layers.GRU(6, return_sequences=True)(x, initial_state=encoded))
    return compiled(keras.Model((source, target), layers.Dense(20, activation="softmax")(x)), SPARSE, ["accuracy"])


@specimen("translation", "https://www.tensorflow.org/text/tutorials/nmt_with_attention", **PAIRS)
def translation_with_cross_attention() -> Any:
    """A recurrent encoder and decoder with attention between; loss and accuracy look at the target ids."""
    source, target = two_inputs()
    encoder = layers.Bidirectional(layers.GRU(6, return_sequences=True), merge_mode="sum")
    encoded = encoder(layers.Embedding(20, 6, mask_zero=True)(source))
    x = layers.GRU(6, return_sequences=True)(layers.Embedding(20, 6, mask_zero=True)(target))
    attended = layers.MultiHeadAttention(1, 6)(query=x, value=encoded)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    return compiled(keras.Model((source, target), layers.Dense(20)(x)), masked_loss, [masked_accuracy, masked_loss])


@specimen("translation", "https://www.tensorflow.org/text/tutorials/transformer", **PAIRS)
def tf_tutorial_transformer() -> Any:
    """Attention, Add and norm as Keras's layers, their masks implicit."""
    source, target = two_inputs()
    x = TokenAndPosition(24, 20, 8, mask=True)(source)
    x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 8, dropout=0.1)(x, x, x)]))
    context = layers.LayerNormalization()(layers.Add()([x, layers.Dense(8)(layers.Dense(16, activation="relu")(x))]))
    x = TokenAndPosition(24, 20, 8, mask=True)(target)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 8)(x, x, x, use_causal_mask=True)])
    x = layers.LayerNormalization()(x)
    x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 8)(x, context, context)]))
    return compiled(keras.Model((source, target), layers.Dense(20)(x)), masked_loss, [masked_accuracy])


@specimen("translation", "https://github.com/tensorflow/nmt", **PAIRS)
def translation_with_wrong_cross_mask() -> Any:
    """The decoder's cross-attention takes no mask of the source, a common slip."""
    source, target = two_inputs()
    encoded = TransformerEncoder(8, 16, 2)(TokenAndPosition(24, 20, 8, mask=True)(source))
    x = TransformerDecoder(8, 16, 2, crossing=False)([TokenAndPosition(24, 20, 8, mask=True)(target), encoded])
    return compiled(keras.Model((source, target), layers.Dense(20, activation="softmax")(x)), SPARSE, ["accuracy"])


def one_hot(name: str, lengths: tuple[int, ...]) -> parts.Array:
    """Return padded one-hot characters; padding is the first character, a blank."""
    rows = ids(name, lengths, low=1, high=6)
    return np.eye(6, dtype="float32")[rows]


BLANK = np.eye(6, dtype="float32")[0]


@specimen(
    "translation",
    "https://keras.io/examples/nlp/lstm_seq2seq/",
    feed=lambda: Batch([one_hot("source", LENGTHS), one_hot("target", OTHERS)], one_hot("next", OTHERS)),
    lengths={"steps": LENGTHS, "target": OTHERS},
    x=[Padded(BLANK), Padded(BLANK, {1: "target"})],
    y=Padded(BLANK, {1: "target"}),
    outputs=(TARGET,),
)
def characters_to_characters() -> Any:
    """One-hot characters, padded with blanks; no mask."""
    source, target = keras.Input((None, 6)), keras.Input((None, 6))
    _, *states = layers.LSTM(8, return_state=True)(source)
    x, _, _ = layers.LSTM(8, return_sequences=True, return_state=True)(target, initial_state=states)
    return compiled(
        keras.Model([source, target], layers.Dense(6, activation="softmax")(x)), "categorical_crossentropy", ["accuracy"]
    )


@specimen(
    "language model",
    "https://keras.io/examples/generative/text_generation_with_miniature_gpt/",
    feed=lambda: Batch(ids(), ids("next")),
    lengths={"steps": LENGTHS},
    x=STEPS,
    y=STEPS,
    outputs=(STEPS, STEPS),
)
def miniature_gpt() -> Any:
    """A causal block; padding after the words changes no output, but counts in the loss. The second output has no loss."""
    inputs = keras.Input((None,), dtype="int32")
    x = TransformerBlock(8, 2, 8, causal=True)(TokenAndPosition(24, 20, 8)(inputs))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return compiled(keras.Model(inputs, [layers.Dense(20)(x), x]), [loss, None])


@specimen(
    "language model",
    "https://www.tensorflow.org/text/tutorials/text_generation",
    feed=lambda: Batch(ids(), ids("next")),
    lengths={"steps": LENGTHS},
    x=STEPS,
    y=STEPS,
    outputs=(STEPS,),
)
def shakespeare_gru() -> Any:
    """A recurrent language model, a subclassed model; characters have no padding in the original."""

    class Writer(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = layers.Embedding(20, 6)
            self.gru = layers.GRU(8, return_sequences=True, return_state=True)
            self.dense = layers.Dense(20)

        def call(self, inputs: Any, training: bool = False) -> Any:
            x, _ = self.gru(self.embedding(inputs), training=training)
            return self.dense(x, training=training)

    return compiled(Writer(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))


@specimen(
    "language model, padded in front",
    "https://github.com/karpathy/minGPT",
    feed=lambda: Batch(ids(side="pre"), ids("next", side="pre")),
    lengths={"steps": LENGTHS},
    x=parts.FRONT,
    y=parts.FRONT,
    outputs=(parts.FRONT,),
)
def left_padded_recurrent_language_model() -> Any:
    """Padding in front, as for generation in batches, and masked."""
    inputs = keras.Input((None,), dtype="int32")
    x = layers.LSTM(8, return_sequences=True)(layers.Embedding(20, 6, mask_zero=True)(inputs))
    return compiled(keras.Model(inputs, layers.Dense(20, activation="softmax")(x)), SPARSE)


@specimen(
    "captioning",
    "https://keras.io/examples/vision/image_captioning/",
    feed=lambda: Batch((parts.numbers("picture", 9).reshape(4, 3, 3), ids("words", OTHERS)), ids("next", OTHERS)),
    lengths={"target": OTHERS},
    x=(None, TARGET),
    y=TARGET,
    outputs=(TARGET,),
)
def captions_with_attention() -> Any:
    """A picture's regions, and a decoder of words that looks at them."""
    picture, words = keras.Input((3, 3), name="regions"), keras.Input((None,), dtype="int64", name="words")
    regions = layers.Dense(8, activation="relu")(layers.LayerNormalization()(picture))
    x = TransformerDecoder(8, 16, 2)([TokenAndPosition(24, 20, 8, mask=True)(words), regions])
    return compiled(keras.Model((picture, words), layers.Dense(20, activation="softmax")(x)), SPARSE, ["accuracy"])


@specimen(
    "captioning",
    "https://github.com/tensorflow/models/tree/archive/research/im2txt",
    feed=lambda: Batch(
        {"image": parts.numbers("image", 75).reshape(4, 5, 5, 3), "words": ids("words", OTHERS)}, parts.labels(size=20)
    ),
    lengths={"target": OTHERS},
    x={"image": None, "words": TARGET},
)
def captions_by_merging() -> Any:
    """A picture merged with the words so far, to say the next one."""
    image = keras.Input((5, 5, 3), name="image")
    words = keras.Input((None,), dtype="int32", name="words")
    seen = layers.Dense(8, activation="relu")(layers.Flatten()(layers.Conv2D(4, 3)(image)))
    read = layers.LSTM(8)(layers.Dropout(0.5)(layers.Embedding(20, 6, mask_zero=True)(words)))
    x = layers.Dense(8, activation="relu")(layers.Add()([seen, read]))
    return compiled(keras.Model({"image": image, "words": words}, layers.Dense(20, activation="softmax")(x)), SPARSE)


@specimen(
    "question answering",
    "https://keras.io/examples/nlp/text_extraction_with_bert/",
    feed=lambda: Batch(
        [ids("both"), parts.pad([(np.arange(n) > 1).astype("int32") for n in LENGTHS]), parts.valid(dtype="int32")],
        [np.array([1, 0, 2, 1]), np.array([3, 2, 4, 2])],
    ),
    lengths={"steps": LENGTHS},
    x=[STEPS, STEPS, STEPS],
    y=[None, None],
    outputs=(STEPS, STEPS),
)
def spans_by_pointing() -> Any:
    """Where an answer starts and ends: a softmax over steps, padding too, as in the original."""
    tokens, kinds, mask = (keras.Input((None,), dtype="int32") for _ in range(3))
    x = layers.Embedding(20, 8)(tokens) + layers.Embedding(2, 8)(kinds)
    wide = layers.Lambda(lambda one: ops.cast(one, "bool")[:, None, :], output_shape=(1, None))(mask)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x, attention_mask=wide))
    starts, ends = (layers.Flatten()(layers.Dense(1, use_bias=False)(x)) for _ in range(2))
    outputs = [layers.Activation("softmax")(one) for one in (starts, ends)]
    return compiled(keras.Model([tokens, kinds, mask], outputs), [SPARSE, SPARSE])
