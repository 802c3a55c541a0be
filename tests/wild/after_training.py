"""Models with their own train_step and test_step, and other losses, after public examples."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tests.wild import parts
from tests.wild.layers import MeanOfWords, TokenAndPosition, TransformerBlock, TransformerDecoder, TransformerEncoder
from tests.wild.parts import LENGTHS, OTHERS, STEPS, compiled, ids, labels, numbers, series, valid
from tests.wild.specimens import Batch, Padded, specimen

SPARSE = "sparse_categorical_crossentropy"
TF = ("tensorflow",)
TARGET = Padded(axes={1: "target"})


class Tracking(keras.Model):
    """A model with its own steps, on TensorFlow, that reports the mean of its own loss."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self) -> list[Any]:
        """The tracker, which Keras resets."""
        return [self.tracker]

    def loss_of(self, x: Any, y: Any, weights: Any, training: bool) -> Any:
        """Return the loss, a scalar."""
        raise NotImplementedError

    def train_step(self, data: Any) -> Any:
        """Move the weights down the gradient."""
        import tensorflow as tf

        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            loss = self.loss_of(x, y, weights, True)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}

    def test_step(self, data: Any) -> Any:
        """Compute the loss."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        self.tracker.update_state(self.loss_of(x, y, weights, False))
        return {"loss": self.tracker.result()}


def picked() -> parts.Array:
    """Return which words are to be guessed: every second, as a weight."""
    return valid(dtype="float32") * (np.arange(parts.TOTAL) % 2 == 0)


@specimen(
    "masked language model",
    "https://keras.io/examples/nlp/masked_language_modeling/",
    feed=lambda: Batch(ids(), ids("words"), picked().astype("float32")),
    lengths={"steps": LENGTHS},
    x=STEPS,
    y=STEPS,
    weights=STEPS,
    outputs=(STEPS,),
    backends=TF,
)
def masked_words_with_own_train_step() -> Any:
    """BERT as the example writes it: no mask, a train_step with its own loss, weights where words were hidden."""
    loss_fn = keras.losses.SparseCategoricalCrossentropy(reduction=None)

    @keras.saving.register_keras_serializable("wild")
    class Guesser(Tracking):
        def loss_of(self, x: Any, y: Any, weights: Any, training: bool) -> Any:
            return ops.mean(loss_fn(y, self(x, training=training), sample_weight=weights))

    inputs = keras.Input((None,), dtype="int64")
    x = TransformerBlock(8, 2, 8)(TokenAndPosition(24, 20, 8)(inputs))
    return compiled(Guesser(inputs, layers.Dense(20, activation="softmax")(x)), None)


@specimen(
    "speech",
    "https://keras.io/examples/audio/transformer_asr/",
    feed=lambda: Batch([series("sound", 6), ids("letters", OTHERS)], ids("next", OTHERS)),
    lengths={"steps": LENGTHS, "target": OTHERS},
    x=[STEPS, TARGET],
    y=TARGET,
    outputs=(TARGET,),
)
def speech_transformer_with_compute_loss() -> Any:
    """Sound is encoded without a mask; the loss leaves out letters that are 0, in its own compute_loss."""

    @keras.saving.register_keras_serializable("wild")
    class Listener(keras.Model):
        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: Any = True
        ) -> Any:
            losses = keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True)
            mask = ops.cast(ops.not_equal(y, 0), losses.dtype)
            return ops.sum(losses * mask) / ops.sum(mask)

    sound, letters = keras.Input((None, 6)), keras.Input((None,), dtype="int32")
    encoded = TransformerBlock(8, 2, 8)(layers.Conv1D(8, 3, padding="same", activation="relu")(sound))
    x = TransformerDecoder(8, 16, 2)([TokenAndPosition(24, 20, 8, mask=True)(letters), encoded])
    return compiled(Listener([sound, letters], layers.Dense(20)(x)), None)


@specimen(
    "translation",
    "https://keras.io/guides/custom_train_step_in_tensorflow/",
    feed=lambda: Batch((ids("source"), ids("target", OTHERS)), ids("next", OTHERS)),
    lengths={"steps": LENGTHS, "target": OTHERS},
    x=(STEPS, TARGET),
    y=TARGET,
    outputs=(TARGET,),
    backends=TF,
)
def translation_with_own_steps() -> Any:
    """A healthy model whose own steps track a mean under the mask."""

    @keras.saving.register_keras_serializable("wild")
    class Translator(Tracking):
        def loss_of(self, x: Any, y: Any, weights: Any, training: bool) -> Any:
            losses = keras.losses.sparse_categorical_crossentropy(y, self(x, training=training))
            mask = ops.cast(ops.not_equal(y, 0), losses.dtype)
            return ops.sum(losses * mask) / ops.sum(mask)

    source, target = keras.Input((None,), dtype="int64"), keras.Input((None,), dtype="int64")
    encoded = TransformerEncoder(8, 16, 2)(TokenAndPosition(24, 20, 8, mask=True)(source))
    x = TransformerDecoder(8, 16, 2)([TokenAndPosition(24, 20, 8, mask=True)(target), encoded])
    return compiled(Translator((source, target), layers.Dense(20, activation="softmax")(x)), None)


@specimen(
    "recommendation",
    "https://keras.io/keras_rs/examples/sas_rec/",
    feed=lambda: Batch(ids(side="pre"), ids("next", side="pre"), valid(side="pre", dtype="float32")),
    lengths={"steps": LENGTHS},
    x=parts.FRONT,
    y=parts.FRONT,
    weights=parts.FRONT,
    outputs=(parts.FRONT,),
)
def sequential_recommender() -> Any:
    """What was bought last is at the end; positions count from the beginning, where the padding is."""
    inputs = keras.Input((None,), dtype="int32")
    x = TransformerBlock(8, 1, 8, causal=True)(TokenAndPosition(24, 20, 8)(inputs))
    return compiled(keras.Model(inputs, layers.Dense(20)(x)), keras.losses.SparseCategoricalCrossentropy(from_logits=True))


@specimen(
    "recommendation",
    "https://www.tensorflow.org/recommenders/examples/sequential_retrieval",
    feed=lambda: Batch(ids(), labels(size=20)),
    lengths={"steps": LENGTHS},
    x=STEPS,
)
def next_item_by_gru() -> Any:
    """The next item from those before, under a mask."""
    net = [layers.Embedding(20, 8, mask_zero=True), layers.GRU(8), layers.Dense(20, activation="softmax")]
    return compiled(keras.Sequential(net), SPARSE, [keras.metrics.SparseTopKCategoricalAccuracy(3)])


@specimen(
    "recommendation",
    "https://github.com/zhougr1993/DeepInterestNetwork",
    feed=lambda: Batch({"history": ids(), "item": labels("item", 20), "age": numbers("age")}, parts.flags()),
    lengths={"steps": LENGTHS},
    x={"history": STEPS, "item": None, "age": None},
)
def interest_in_an_item() -> Any:
    """How much each item of the history has to do with this one; items of 0 weigh nothing."""
    history = keras.Input((None,), dtype="int32", name="history")
    item, age = keras.Input((), dtype="int32", name="item"), keras.Input((1,), name="age")
    table = layers.Embedding(20, 8)
    past, now = table(history), table(item)
    weights = ItemWeights()([past, now, history])
    interest = layers.Dot(axes=(1, 1))([weights, past])
    x = layers.Dense(8, activation="relu")(layers.Concatenate()([interest, now, age]))
    model = keras.Model({"history": history, "item": item, "age": age}, layers.Dense(1, activation="sigmoid")(x))
    return compiled(model, "binary_crossentropy", ["auc"])


@specimen(
    "recommendation",
    "https://keras.io/examples/structured_data/movielens_recommendations_transformers/",
    feed=lambda: Batch(
        {"movies": ids(), "ratings": parts.pad([np.full(n, 3.0, "float32") for n in LENGTHS]), "sex": 1 + labels("sex", 2)},
        numbers(),
    ),
    lengths={"steps": LENGTHS},
    x={"movies": STEPS, "ratings": STEPS, "sex": None},
    fixed=True,
)
def rating_by_behaviour_transformer() -> Any:
    """A history of fixed length, attended without a mask and laid flat."""
    movies = keras.Input((parts.TOTAL,), dtype="int32", name="movies")
    ratings, sex = keras.Input((parts.TOTAL,), name="ratings"), keras.Input((), dtype="int32", name="sex")
    x = TokenAndPosition(24, 20, 6)(movies) * layers.Reshape((-1, 1))(ratings)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 6)(x, x))
    x = layers.Concatenate()([layers.Flatten()(x), layers.Embedding(3, 3)(sex)])
    x = layers.LeakyReLU()(layers.BatchNormalization()(layers.Dense(8)(x)))
    return compiled(keras.Model({"movies": movies, "ratings": ratings, "sex": sex}, layers.Dense(1)(x)), "mse", ["mae"])


@specimen(
    "set",
    "https://github.com/manzilzaheer/DeepSets",
    feed=lambda: Batch(series(), numbers()),
    lengths={"steps": LENGTHS},
    x=STEPS,
)
def deep_sets_sum() -> Any:
    """The sum over members, each through a net with a bias, so that a member of zeros counts."""
    members = keras.Input((None, 4))
    x = layers.Dense(8, activation="relu")(layers.Dense(8, activation="tanh")(members))
    x = layers.Lambda(lambda one: ops.sum(one, axis=1), output_shape=(8,))(x)
    return compiled(keras.Model(members, layers.Dense(1)(x)), "mse", ["mae"])


@specimen(
    "set",
    "https://keras.io/examples/vision/pointnet/",
    feed=lambda: Batch(series("cloud", 3), labels()),
    lengths={"steps": LENGTHS},
    x=STEPS,
)
def cloud_of_points() -> Any:
    """Points, each convolved alone, statistics over all, and the maximum."""
    points = keras.Input((None, 3))
    x = points
    for size in (6, 8):
        x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.0)(layers.Conv1D(size, 1)(x)))
    x = layers.Dropout(0.3)(layers.Dense(6, activation="relu")(layers.GlobalMaxPooling1D()(x)))
    return compiled(keras.Model(points, layers.Dense(3, activation="softmax")(x)), SPARSE, ["sparse_categorical_accuracy"])


@specimen(
    "graph",
    "https://keras.io/examples/graph/mpnn-molecular-graphs/",
    feed=lambda: Batch([series("atoms"), links()], parts.flags()),
    lengths={"steps": LENGTHS},
    x=[STEPS, Padded(axes={1: "steps", 2: "steps"})],
)
def molecules_by_messages() -> Any:
    """Messages along bonds, then attention over atoms that are not all zero, and their mean."""
    atoms, bonds = keras.Input((None, 4)), keras.Input((None, None))
    x = layers.Dense(6, activation="relu")(atoms)
    for _ in range(2):
        x = layers.Dense(6, activation="relu")(layers.Dot(axes=(2, 1))([bonds, x]) + x)
    kept = layers.Masking()(
        layers.Lambda(lambda both: both[0] * ops.any(both[1] != 0, -1, keepdims=True), output_shape=(None, 6))([x, atoms])
    )
    x = layers.LayerNormalization()(kept + layers.MultiHeadAttention(2, 6)(kept, kept))
    return compiled(
        keras.Model([atoms, bonds], layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling1D()(x))),
        "binary_crossentropy",
    )


@specimen(
    "pointer network",
    "https://github.com/keon/pointer-networks",
    feed=lambda: Batch(
        series("points", 2), parts.pad([parts.rng_of(f"order {n}").permutation(n).astype("int32") for n in LENGTHS])
    ),
    lengths={"steps": LENGTHS},
    x=STEPS,
    y=STEPS,
    outputs=(Padded(axes={1: "steps", 2: "steps"}),),
)
def pointing_at_steps() -> Any:
    """At each step a softmax over the input's steps; the padding among them, too."""
    points = keras.Input((None, 2))
    encoded = layers.LSTM(6, return_sequences=True)(layers.Masking()(points))
    decoded = layers.LSTM(6, return_sequences=True)(encoded)
    scores = layers.Dot(axes=(2, 2))([layers.Dense(6)(decoded), layers.Dense(6)(encoded)])
    return compiled(keras.Model(points, layers.Softmax()(scores)), SPARSE)


@specimen(
    "similarity",
    "https://github.com/likejazz/Siamese-LSTM",
    feed=lambda: Batch([ids("left"), ids("right", OTHERS)], parts.flags()),
    lengths={"steps": LENGTHS, "other": OTHERS},
    x=[STEPS, Padded(axes={1: "other"})],
)
def siamese_manhattan() -> Any:
    """Two questions through the same LSTM, and how far apart they come out."""
    left, right = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    shared = keras.Sequential([layers.Embedding(20, 8, mask_zero=True), layers.LSTM(6)])
    far = layers.Lambda(lambda both: ops.exp(-ops.sum(ops.abs(both[0] - both[1]), -1, keepdims=True)), output_shape=(1,))
    return compiled(keras.Model([left, right], far([shared(left), shared(right)])), "mse", ["accuracy"])


@specimen(
    "text classification",
    "https://github.com/tensorflow/hub/blob/master/examples/colab/tf2_text_classification.ipynb",
    feed=lambda: Batch({"words": ids(), "length": np.array(LENGTHS, dtype="int32")}, labels()),
    lengths={"steps": LENGTHS},
    x={"words": STEPS, "length": None},
)
def mean_by_lengths() -> Any:
    """The mean of as many words as a second input says."""
    words, length = keras.Input((None,), dtype="int32", name="words"), keras.Input((), dtype="int32", name="length")
    mask = layers.Lambda(lambda both: ops.arange(ops.shape(both[0])[1])[None] < both[1][:, None], output_shape=(None,))(
        [words, length]
    )
    x = MeanOfWords()(layers.Embedding(20, 8)(words), mask=mask)
    return compiled(keras.Model({"words": words, "length": length}, layers.Dense(3, activation="softmax")(x)), SPARSE)


@keras.saving.register_keras_serializable("wild")
class ItemWeights(layers.Layer):
    """A weight for each item of a history, 0 where its id is 0."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.net = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(1)])

    def call(self, inputs: Any) -> Any:
        """Return (B, T)."""
        past, now, history = inputs
        wide = ops.broadcast_to(now[:, None], ops.shape(past))
        scores = self.net(ops.concatenate([past, wide, past - wide, past * wide], -1))[..., 0]
        return ops.softmax(ops.where(history != 0, scores, -1e9))


def links() -> parts.Array:
    """Return bonds (B, N, N) between valid atoms."""
    rng = parts.rng_of("bonds")
    found = np.zeros((len(LENGTHS), parts.TOTAL, parts.TOTAL), dtype="float32")
    for graph, n in zip(found, LENGTHS, strict=True):
        one = rng.integers(0, 2, (n, n))
        graph[:n, :n] = np.maximum(one, one.T)
    return found
