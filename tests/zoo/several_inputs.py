"""Faulty: several inputs or outputs, merges, and sequences of sequences."""

from typing import Any

import keras
from keras import layers, ops

from tests.zoo import custom
from tests.zoo.animals import animal
from tests.zoo.feeding import TOTAL, Feed
from tests.zoo.parts import LABEL, NUMBER, STEPS, TAGS, TOKENS, C, U, classify, compiled, embed, floats, tagger, token_ids

SOURCE, TARGET = Feed("ids", "a"), Feed("ids", "b")
FREE_STEPS = Feed("steps", free=True)
CLASSIFIED = {"target_feeds": LABEL, "faults": "output loss gradient"}
DOCUMENTS = Feed("documents")


@animal("multi-input", {"ids": TOKENS, "features": FREE_STEPS}, problem="P03", **CLASSIFIED)
def concatenate_masked_and_unmasked() -> Any:
    """`Concatenate` of a masked and an unmasked tensor has a mask, and it is True everywhere."""
    ids, features = token_ids("ids"), floats("features")
    x = layers.LSTM(U)(layers.Concatenate()([embed(ids), features]))
    return compiled(keras.Model({"ids": ids, "features": features}, classify(x)))


@animal(
    "multi-input",
    (TOKENS, FREE_STEPS),
    problem="P03",
    realistic=True,
    target_feeds=TAGS,
    outputs=(TOKENS,),
    faults="output loss gradient",
)
def tagger_of_words_and_features() -> Any:
    """A BiLSTM tagger of words and of numbers beside them: the merged mask is True everywhere, and so the loss is wrong too."""
    ids, features = token_ids("words"), floats("features")
    x = layers.Concatenate()([embed(ids), layers.Dense(U, activation="relu")(features)])
    return tagger((ids, features), layers.Bidirectional(layers.LSTM(U, return_sequences=True))(x))


@animal("multi-input", TOKENS, problem="P03", **CLASSIFIED)
def add_masked_and_unmasked() -> Any:
    """`Add` of tokens and positions has no mask."""
    ids = token_ids()
    x = embed(ids)
    return compiled(keras.Model(ids, classify(layers.GRU(U)(layers.Add()([x, custom.Positions()(ops.stop_gradient(x))])))))


@animal("multi-input", (TOKENS, FREE_STEPS), problem="P03", **CLASSIFIED)
def multiply_by_an_unmasked_gate() -> Any:
    """`Multiply` of tokens and a gate without a mask has no mask."""
    ids, features = token_ids("ids"), floats("features")
    gated = layers.Multiply()([embed(ids), layers.Dense(U, activation="sigmoid")(features)])
    return compiled(keras.Model((ids, features), classify(layers.GlobalAveragePooling1D()(gated))))


@animal("multi-input", (SOURCE, TARGET), problem="P03", fixed_length=True, **CLASSIFIED)
def average_of_two_lengths() -> Any:
    """`Average` of two masked sequences is valid where either is: one half of such a step is padding."""
    source, target = token_ids("source", TOTAL), token_ids("target", TOTAL)
    merged = layers.Average()([embed(source), embed(target)])
    return compiled(keras.Model((source, target), classify(layers.GRU(U)(merged))))


@animal("multi-input", (SOURCE, TARGET), problem="P33", realistic=True, target_feeds=NUMBER, faults="output loss gradient")
def two_towers_one_wrong() -> Any:
    """Query and item, each averaged and compared by Dot; one tower averages by `ops.mean`."""
    query, item = token_ids("query"), token_ids("item")
    towers = [layers.GlobalAveragePooling1D()(embed(query)), ops.mean(embed(item), axis=1)]
    return compiled(keras.Model((query, item), layers.Dot(axes=1, normalize=True)(towers)), "mse")


@animal("multi-input", (SOURCE, TARGET), problem="P23", outputs=(SOURCE,), faults="output")
def custom_layer_of_two_inputs() -> Any:
    """`call(self, x, y, mask=None)`: Keras knows `x_mask` and `y_mask` only."""
    source, target = token_ids("source"), token_ids("target")
    return keras.Model((source, target), classify(custom.TwoInputs()(embed(source), embed(target))))


@animal("multi-input", (TOKENS, Feed("vector")), problem="P10", realistic=True, **CLASSIFIED)
def static_features_repeated() -> Any:
    """A forecast from a series and numbers that do not change: joined by ops at every step, the mask is gone."""
    ids, static = token_ids("ids"), keras.Input((5,), name="static")
    x = embed(ids)
    repeated = ops.zeros_like(x[:, :, :1]) + layers.Dense(U)(static)[:, None, :]
    return compiled(keras.Model((ids, static), classify(layers.GRU(U)(ops.concatenate([x, repeated], axis=-1)))))


@animal(
    "multi-output",
    TOKENS,
    problem="P33",
    realistic=True,
    target_feeds={"label": LABEL, "tags": TAGS},
    outputs=(None, TOKENS),
    faults="output loss gradient",
)
def two_outputs_one_wrong() -> Any:
    """Tags are right; the label comes from the mean over all steps."""
    ids = token_ids()
    x = layers.LSTM(U, return_sequences=True)(embed(ids))
    outputs = {
        "label": layers.Dense(C, activation="softmax", name="label")(ops.mean(x, axis=1)),
        "tags": layers.Dense(C, activation="softmax", name="tags")(x),
    }
    crossentropy = "sparse_categorical_crossentropy"
    return compiled(keras.Model(ids, outputs), {"label": crossentropy, "tags": crossentropy})


def sentence_encoder() -> Any:
    """Return a model of one sentence that masks its own padding."""
    ids = keras.Input((None,), dtype="int32")
    return keras.Model(ids, layers.GRU(U)(embed(ids)), name="sentence")


@animal("hierarchical", DOCUMENTS, problem="P10", realistic=True, **CLASSIFIED)
def empty_sentences_are_read() -> Any:
    """Each sentence is encoded well; the GRU over sentences has no mask and reads the empty ones."""
    ids = keras.Input((None, None), dtype="int32")
    return compiled(keras.Model(ids, classify(layers.GRU(U)(layers.TimeDistributed(sentence_encoder())(ids)))))


@animal("hierarchical", DOCUMENTS, problem="P33", realistic=True, **CLASSIFIED)
def padded_words_are_averaged() -> Any:
    """Sentences are means over all their words, padding too; the sentences themselves are masked."""
    ids = keras.Input((None, None), dtype="int32")
    sentences = ops.mean(embed(ids), axis=2)
    is_sentence = ops.any(ops.not_equal(ids, 0), axis=2)
    return compiled(keras.Model(ids, classify(layers.GRU(U)(custom.Attach()([sentences, is_sentence])))))


@animal("hierarchical", DOCUMENTS, problem="P10", realistic=True, **CLASSIFIED)
def convolution_in_each_sentence() -> Any:
    """A text CNN in TimeDistributed: the maximum over each sentence is over its padding too."""
    ids = keras.Input((None, None), dtype="int32")
    one = keras.Input((None,), dtype="int32")
    pooled = layers.GlobalMaxPooling1D()(layers.Conv1D(U, 2, padding="same")(embed(one)))
    sentences = layers.TimeDistributed(keras.Model(one, pooled))(ids)
    is_sentence = ops.any(ops.not_equal(ids, 0), axis=2)
    return compiled(keras.Model(ids, classify(layers.GRU(U)(custom.Attach()([sentences, is_sentence])))))


@animal("multi-input", (STEPS, Feed("lengths")), problem="P31", realistic=True, **CLASSIFIED)
def lengths_for_one_layer_only() -> Any:
    """Lengths make a mask for the first GRU; an op between loses it for the second."""
    x, lengths = floats("x"), keras.Input((), dtype="int32", name="lengths")
    first = layers.GRU(U, return_sequences=True)(custom.Attach()([x, custom.LengthMask()([x, lengths])]))
    return compiled(keras.Model((x, lengths), classify(layers.GRU(U)(ops.tanh(first)))))
