"""Healthy: models without sequences, and simple ones that leave the padding out."""

from typing import Any

import keras
from keras import layers, ops

from tests.zoo import custom
from tests.zoo.animals import animal
from tests.zoo.feeding import TOTAL, Feed
from tests.zoo.parts import (
    LABEL,
    NUMBER,
    STEPS,
    TOKENS,
    C,
    F,
    U,
    classifier,
    classify,
    compiled,
    embed,
    floats,
    token_ids,
)

NAN = float("nan")
VECTOR, IMAGE = Feed("vector"), Feed("image")
FREE_TOKENS, FREE_STEPS = Feed("ids", free=True), Feed("steps", free=True)
SOURCE, TARGET = Feed("ids", "a"), Feed("ids", "b")
MASK, LENGTHS = Feed("mask"), Feed("lengths")


def vector_input(name: str | None = None) -> Any:
    """Return an input of vectors (B, F)."""
    return keras.Input((F,), name=name)


@animal("no sequence", VECTOR, target_feeds=LABEL, given=False)
def mlp() -> Any:
    """Nothing here has a time axis."""
    x = vector_input()
    return compiled(keras.Model(x, classify(layers.Dense(U, activation="relu")(x))), metrics=["accuracy"])


@animal("no sequence", VECTOR, target_feeds=LABEL)
def mlp_with_batch_norm() -> Any:
    """BatchNormalization and Dropout of vectors, in a Sequential model."""
    hidden = [layers.Dense(U), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.3)]
    return compiled(keras.Sequential([layers.Input((F,)), *hidden, layers.Dense(C, activation="softmax")]))


@animal("no sequence", IMAGE, target_feeds=LABEL, realistic=True, given=False)
def image_cnn() -> Any:
    """A small CNN of images: its axes are not time."""
    x = keras.Input((F, F, 1))
    h = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, padding="same", activation="relu")(x))
    return compiled(keras.Model(x, classify(layers.Flatten()(h))))


@animal("no sequence", VECTOR, target_feeds=VECTOR)
def dense_autoencoder() -> Any:
    """An autoencoder of vectors."""
    x = vector_input()
    return compiled(keras.Model(x, layers.Dense(F)(layers.Dense(2, activation="tanh")(x))), "mse", metrics=["mae"])


@animal("no sequence", {"image": IMAGE, "vector": VECTOR}, target_feeds={"label": LABEL, "number": NUMBER}, outputs=(None, None))
def dicts_in_and_out() -> Any:
    """Two inputs and two outputs by name, without a sequence."""
    image, vector = keras.Input((F, F, 1), name="image"), vector_input("vector")
    x = layers.Concatenate()([layers.Flatten()(image), vector])
    outputs = {"label": layers.Dense(C, activation="softmax", name="label")(x), "number": layers.Dense(1, name="number")(x)}
    model = keras.Model({"image": image, "vector": vector}, outputs)
    return compiled(model, {"label": "sparse_categorical_crossentropy", "number": "mse"})


@animal("classifier", TOKENS, target_feeds=LABEL, given=False)
def average_of_masked_embeddings() -> Any:
    """The bag of words of the tutorials: GlobalAveragePooling1D takes the mask of the embedding."""
    ids = token_ids()
    return classifier(ids, layers.GlobalAveragePooling1D()(embed(ids)))


@animal("classifier", TOKENS, target_feeds=LABEL, fixed_length=True, problem="P10")
def flatten_of_zeroed_steps() -> Any:
    """Padded steps are set to 0 before Flatten, so Dense adds nothing for them."""
    ids = token_ids(length=TOTAL)
    return classifier(ids, layers.Flatten()(custom.Zeroed()([embed(ids, mask_zero=False), custom.PadMask()(ids)])))


@animal("classifier", TOKENS, target_feeds=LABEL, problem="P10")
def max_over_valid_steps() -> Any:
    """A custom maximum over valid steps."""
    ids = token_ids()
    return classifier(ids, custom.PoolValid("max")([embed(ids, mask_zero=False), custom.PadMask()(ids)]))


@animal("classifier", TOKENS, target_feeds=LABEL, problem="P33")
def mean_by_ops_over_valid_steps() -> Any:
    """Sums and counts by `keras.ops`, and no mask of Keras's."""
    ids = token_ids()
    valid = ops.cast(ops.not_equal(ids, 0), "float32")[:, :, None]
    return classifier(ids, ops.sum(embed(ids, mask_zero=False) * valid, axis=1) / ops.sum(valid, axis=1))


@animal("classifier", TOKENS, target_feeds=LABEL, problem="P23")
def custom_mean_of_masked_steps() -> Any:
    """A custom pooling layer that uses the mask."""
    ids = token_ids()
    return classifier(ids, custom.MeanOverValid()(embed(ids)))


@animal("convolution", TOKENS, target_feeds=LABEL, realistic=True, problem="P10")
def text_cnn_with_masks_by_hand() -> Any:
    """Zeros at padded steps before each convolution, and a maximum over valid steps: no mask of Keras's, and no leak."""
    ids = token_ids()
    mask = custom.PadMask()(ids)
    x = custom.Zeroed()([embed(ids, mask_zero=False), mask])
    for _ in range(2):
        x = custom.Zeroed()([layers.Conv1D(U, 3, padding="same", activation="relu")(x), mask])
    return classifier(ids, custom.PoolValid("max")([x, mask]))


@animal("convolution", STEPS, outputs=(STEPS,), problem="P10")
def one_convolution_over_zeros() -> Any:
    """Masking sets padded steps to 0, which is what "same" adds at the end of a shorter series."""
    x = floats()
    return keras.Model(x, layers.Dense(C)(layers.Conv1D(U, 3, padding="same")(layers.Masking(0.0)(x))))


@animal("convolution", FREE_STEPS, outputs=(STEPS,), realistic=True, causal=True, options={"causal": True}, problem="P10")
def wavenet_padded_after() -> Any:
    """Causal convolutions, and padding after the series: no valid step depends on what stands there."""
    x = floats()
    h = layers.Conv1D(U, 1)(x)
    for rate in (1, 2):
        h = h + layers.Conv1D(U, 2, dilation_rate=rate, padding="causal", activation="tanh")(h)
    return keras.Model(x, layers.Dense(1)(h))


@animal("classifier", (FREE_STEPS, LENGTHS), target_feeds=LABEL, realistic=True, problem="P29")
def lengths_tell_the_padding() -> Any:
    """The lengths are an input, so padded steps may hold anything."""
    x, lengths = floats("x"), keras.Input((), dtype="int32", name="lengths")
    return classifier(
        (x, lengths), custom.PoolValid()([layers.Dense(U, activation="relu")(x), custom.LengthMask()([x, lengths])])
    )


@animal("classifier", {"x": FREE_STEPS, "mask": MASK}, target_feeds=LABEL, problem="P29")
def mask_is_an_input() -> Any:
    """The mask is an input, and pooling takes it by `mask=`."""
    x, mask = floats("x"), keras.Input((None,), dtype="bool", name="mask")
    pooled = layers.GlobalAveragePooling1D()(layers.Dense(U, activation="relu")(x), mask=mask)
    return classifier({"x": x, "mask": mask}, pooled)


@animal("tagger", (FREE_TOKENS, LENGTHS), outputs=(TOKENS,), problem="P33")
def position_relative_to_own_length() -> Any:
    """The position as a share of the sample's own length."""
    ids, lengths = token_ids("ids"), keras.Input((), dtype="int32", name="lengths")
    return keras.Model((ids, lengths), layers.Dense(C)(custom.ShareOfLength()([embed(ids, mask_zero=False), lengths])))


@animal("classifier", TOKENS, target_feeds=LABEL, problem="P38")
def lambda_that_keeps_the_mask() -> Any:
    """Lambda with `mask=` a function."""
    ids = token_ids()
    return classifier(ids, layers.GRU(U)(layers.Lambda(custom.double, mask=custom.keep_mask)(embed(ids))))


@animal("classifier", TOKENS, target_feeds=LABEL, problem="P27")
def custom_scale_keeps_mask() -> Any:
    """A custom layer with `supports_masking`."""
    ids = token_ids()
    return classifier(ids, layers.GRU(U)(custom.ScaleKeepingMask()(embed(ids))))


@animal("classifier", TOKENS, target_feeds=LABEL, problem="P04")
def residual_by_add_layer() -> Any:
    """`Add` of two tensors with the same mask keeps it."""
    ids = token_ids()
    x = embed(ids)
    return classifier(ids, layers.GlobalAveragePooling1D()(layers.Add()([x, layers.Dense(U, activation="relu")(x)])))


@animal("multi-input", (TOKENS, FREE_STEPS), target_feeds=LABEL, problem="P03")
def concatenate_with_mask_attached() -> Any:
    """The mask of the tokens is attached to the features too, before they are joined."""
    ids, features = token_ids("ids"), floats("features")
    joined = layers.Concatenate()([embed(ids), custom.Attach()([features, custom.PadMask()(ids)])])
    return classifier((ids, features), layers.GRU(U)(joined))


@animal("multi-input", (SOURCE, TARGET), target_feeds=NUMBER, realistic=True, problem="P33")
def two_towers() -> Any:
    """Query and item, each averaged over its own words, compared by Dot."""
    query, item = token_ids("query"), token_ids("item")
    towers = [layers.GlobalAveragePooling1D()(embed(ids)) for ids in (query, item)]
    return compiled(keras.Model((query, item), layers.Dot(axes=1, normalize=True)(towers)), "mse")


@animal("multi-input", (SOURCE, TARGET), outputs=(SOURCE,), problem="P23")
def custom_layer_with_named_mask() -> Any:
    """`call(self, x, y, y_mask=None)`: the name that Keras fills."""
    source, target = token_ids("source"), token_ids("target")
    return keras.Model((source, target), classify(custom.TwoInputsNamed()(embed(source), embed(target))))


@animal("classifier", Feed("ids", pad=1), target_feeds=LABEL, pad_id=1, options={"pad_id": 1}, problem="P31")
def padding_of_one_masked_by_hand() -> Any:
    """The tokenizer pads with 1, and a custom layer masks 1."""
    ids = token_ids()
    return classifier(ids, layers.GRU(U)(custom.Attach()([embed(ids, mask_zero=False), custom.PadMask(1)(ids)])))


@animal("classifier", Feed("steps", pad=NAN), target_feeds=LABEL, realistic=True, problem="P15", options={"mask_value": NAN})
def missing_steps_are_nan() -> Any:
    """NaN marks the padding: it is replaced by 0 before anything is computed, and masked."""
    x = floats()
    missing = ops.any(ops.isnan(x), axis=-1)
    clean = ops.where(ops.isnan(x), ops.zeros_like(x), x)
    return classifier(x, layers.LSTM(U)(custom.Attach()([clean, ops.logical_not(missing)])))


@animal("classifier", TOKENS, target_feeds=LABEL, realistic=True)
def dropout_of_many_kinds() -> Any:
    """Dropout, SpatialDropout1D and GaussianNoise keep the mask, and are off in prediction."""
    ids = token_ids()
    x = layers.Dropout(0.2)(layers.SpatialDropout1D(0.2)(embed(ids)))
    return classifier(ids, layers.GlobalAveragePooling1D()(layers.GaussianNoise(0.1)(x)))


@keras.saving.register_keras_serializable(package="zoo")
class BagOfWords(keras.Model):  # type: ignore[misc] # Keras publishes no types
    """A subclassed model that passes its masks by hand."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.embedding = layers.Embedding(12, U, mask_zero=True)
        self.pool, self.head = layers.GlobalAveragePooling1D(), layers.Dense(C, activation="softmax")

    def call(self, ids: Any) -> Any:
        """Return probabilities."""
        return self.head(self.pool(self.embedding(ids), mask=self.embedding.compute_mask(ids)))


@animal("classifier", TOKENS, target_feeds=LABEL, realistic=True)
def subclassed_bag_of_words() -> Any:
    """A subclassed model without a graph."""
    model = BagOfWords()
    model(keras.ops.ones((1, 2), dtype="int32"))
    return compiled(model)


@animal("classifier", TOKENS, realistic=True, tolerance=5e-3)
def mixed_precision_classifier() -> Any:
    """Float16 within, float32 at the end: its noise is a thousand times that of the others."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        ids = token_ids()
        x = layers.GlobalAveragePooling1D()(layers.Dense(U, activation="relu")(embed(ids)))
        return keras.Model(ids, layers.Dense(C, activation="softmax", dtype="float32")(x))
    finally:
        keras.config.set_dtype_policy(before)
