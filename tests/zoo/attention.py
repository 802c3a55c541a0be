"""Faulty: attention, transformers, and softmaxes over time."""

from typing import Any

import keras
from keras import layers, ops

from tests.zoo import custom
from tests.zoo.animals import animal
from tests.zoo.custom_attention import GuideTemporalSoftmax, OwnAttention, SoftmaxOverTime, WeightedSum
from tests.zoo.feeding import IDS, Feed
from tests.zoo.parts import LABEL, TAGS, TOKENS, C, U, classifier, classify, compiled, embed, tagger, token_ids

SOURCE, TARGET = Feed("ids", "a"), Feed("ids", "b")
CLASSIFIED = {"target_feeds": LABEL, "faults": "output loss gradient"}
TAGGED = {"target_feeds": TAGS, "outputs": (TOKENS,), "faults": "output loss gradient"}
AHEAD = {"outputs": (TOKENS,), "causal": True, "options": {"causal": True}}


def heads(**options: Any) -> Any:
    """Return attention with two heads."""
    return layers.MultiHeadAttention(2, 3, **options)


@animal("transformer", TOKENS, problem="P04", **TAGGED)
def attention_after_plus() -> Any:
    """Token and position embeddings are added by `+`: the attention gets no mask."""
    ids = token_ids()
    x = embed(ids)
    x = x + custom.Positions()(x)
    return tagger(ids, heads()(x, x))


@animal("transformer", TOKENS, problem="P03", **CLASSIFIED)
def attention_after_add_layer() -> Any:
    """`Add` of a masked and an unmasked tensor has no mask, since one of them is valid everywhere."""
    ids = token_ids()
    x = embed(ids)
    x = layers.Add()([x, layers.Lambda(custom.double)(custom.Positions()(x))])
    return classifier(ids, layers.GlobalAveragePooling1D()(heads()(x, x)))


@animal("transformer", TOKENS, problem="P21", realistic=True, **TAGGED)
def encoder_of_two_blocks() -> Any:
    """The residual `x + attended` drops the mask after the first block: the second one attends to padding."""
    ids = token_ids()
    x = custom.AddPositions()(embed(ids))
    for _ in range(2):
        x = layers.LayerNormalization()(x + heads()(x, x))
        x = layers.LayerNormalization()(x + layers.Dense(U)(layers.Dense(12, activation="gelu")(x)))
    return tagger(ids, x)


@animal("transformer", TOKENS, problem="P21", realistic=True, **CLASSIFIED)
def encoder_then_mean() -> Any:
    """One block is right, and the mean over its residual counts the padding."""
    ids = token_ids()
    x = custom.AddPositions()(embed(ids))
    x = layers.LayerNormalization()(x + heads(dropout=0.1)(x, x))
    return classifier(ids, layers.GlobalAveragePooling1D()(x))


@animal("transformer", TOKENS, problem="P20", realistic=True, **TAGGED)
def encoder_with_norm_after_add() -> Any:
    """Everything is a layer, and the symbolic tensors are masked; at run time MultiHeadAttention removes the mask from its query.

    Keras 3.15 calls `set_keras_mask(query, None)` on the caller's tensor, so `Add()([x, attended])` finds x without a mask,
    and the second block attends to padding. Nobody is warned.
    """
    ids = token_ids()
    x = custom.AddPositions()(embed(ids))
    for _ in range(2):
        x = layers.LayerNormalization()(layers.Add()([x, heads()(x, x)]))
    return tagger(ids, x)


@keras.saving.register_keras_serializable(package="zoo")
class AttendAndAverage(keras.Model):  # type: ignore[misc] # Keras publishes no types
    """Embedding, attention, residual by Add, mean over time."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.embedding, self.attention = layers.Embedding(IDS, U, mask_zero=True), heads()
        self.add, self.pool = layers.Add(), layers.GlobalAveragePooling1D()
        self.head = layers.Dense(C, activation="softmax")

    def call(self, ids: Any) -> Any:
        """Return probabilities."""
        x = self.embedding(ids)
        return self.head(self.pool(self.add([x, self.attention(x, x)])))


@animal("transformer", TOKENS, problem="P20", realistic=True, **CLASSIFIED)
def subclassed_mean_after_attention() -> Any:
    """The attention removes the mask from x, so the mean over `Add()([x, attended])` counts the padding."""
    model = AttendAndAverage()
    model(ops.ones((1, 2), dtype="int32"))
    return compiled(model)


@animal("transformer", TOKENS, problem="P20", **TAGGED)
def attention_mask_along_queries() -> Any:
    """`attention_mask` of shape (B, T, 1): it masks queries, and every valid query sees the padding."""
    ids = token_ids()
    x = embed(ids, mask_zero=False)
    mask = layers.Reshape((-1, 1))(custom.PadMask()(ids))
    return tagger(ids, heads()(x, x, attention_mask=mask))


@animal("transformer", TOKENS, problem="P20", **TAGGED)
def attention_mask_inverted() -> Any:
    """`attention_mask` is True where the padding is."""
    ids = token_ids()
    x = embed(ids, mask_zero=False)
    return tagger(ids, heads()(x, x, attention_mask=ops.equal(ids, 0)[:, None, :]))


@animal("transformer", TOKENS, problem="P20", realistic=True, **TAGGED)
def attention_mask_in_first_block_only() -> Any:
    """Two blocks with a mask by hand, forgotten in the second."""
    ids = token_ids()
    x = embed(ids, mask_zero=False)
    x = x + heads()(x, x, attention_mask=custom.PadMask()(ids)[:, None, :])
    return tagger(ids, x + heads()(x, x))


@animal("transformer", TOKENS, problem="P20", faults="future", **AHEAD)
def not_causal() -> Any:
    """A next-token model whose attention looks ahead; padding is masked."""
    ids = token_ids()
    x = embed(ids)
    return keras.Model(ids, classify(heads()(x, x)))


@animal("transformer", TOKENS, problem="P20", realistic=True, faults="future", **AHEAD)
def one_block_not_causal() -> Any:
    """Three blocks of a language model; the second one forgot `use_causal_mask`."""
    ids = token_ids()
    x = custom.AddPositions()(embed(ids))
    for is_causal in (True, False, True):
        normed = layers.LayerNormalization()(x)
        x = layers.Add()([x, heads()(normed, normed, use_causal_mask=is_causal)])
    return keras.Model(ids, classify(x))


@animal("seq2seq", (SOURCE, TARGET), problem="P20", realistic=True, outputs=(TARGET,), faults="output")
def cross_attention_without_mask() -> Any:
    """The encoder's residual drops its mask: the decoder attends to the source's padding."""
    source, target = token_ids("source"), token_ids("target")
    encoded = embed(source)
    encoded = encoded + layers.Dense(U, activation="relu")(encoded)
    decoded = embed(target)
    decoded = layers.Add()([decoded, heads()(decoded, decoded, use_causal_mask=True)])
    return keras.Model((source, target), classify(heads()(decoded, encoded)))


@animal("seq2seq", (SOURCE, TARGET), problem="P40", outputs=(TARGET,), faults="output")
def dot_attention_without_mask() -> Any:
    """`Attention` of two sequences whose value lost its mask."""
    source, target = token_ids("source"), token_ids("target")
    return keras.Model((source, target), classify(layers.Attention()([embed(target), embed(source) * 2.0])))


@animal("seq2seq", (SOURCE, TARGET), problem="P40", outputs=(TARGET,), faults="output")
def additive_attention_without_mask() -> Any:
    """`AdditiveAttention` of Bahdanau over an encoder that never had a mask."""
    source, target = token_ids("source"), token_ids("target")
    encoded = embed(source, mask_zero=False)
    return keras.Model((source, target), classify(layers.AdditiveAttention()([embed(target), encoded])))


@animal("transformer", TOKENS, problem="P20", **TAGGED)
def grouped_attention_without_mask() -> Any:
    """`GroupQueryAttention` after an op."""
    ids = token_ids()
    x = embed(ids) * 2.0
    return tagger(ids, layers.GroupQueryAttention(3, 2, 1)(x, x))


@animal("classifier", TOKENS, problem="P12", **CLASSIFIED)
def guide_temporal_softmax() -> Any:
    """The guide's TemporalSoftmax after `Dense(1)`: 1 at every valid step, NaN at every masked one."""
    ids = token_ids()
    x = embed(ids)
    return classifier(ids, WeightedSum()([x, GuideTemporalSoftmax()(layers.Dense(1)(x))]))


@animal("classifier", TOKENS, problem="P12", **CLASSIFIED)
def softmax_over_all_steps() -> Any:
    """A softmax over time that passes the mask on, and gives weight to the padding."""
    ids = token_ids()
    x = embed(ids)
    return classifier(ids, WeightedSum()([x, SoftmaxOverTime()(layers.Dense(1)(x))]))


@animal("classifier", TOKENS, problem="P40", **CLASSIFIED)
def softmax_layer_without_mask() -> Any:
    """`Softmax(axis=1)` takes a mask, and an op before it has dropped it."""
    ids = token_ids()
    x = embed(ids)
    shares = layers.Softmax(axis=1)(ops.tanh(layers.Dense(1)(x)))
    return classifier(ids, WeightedSum()([x, shares]))


@animal("classifier", TOKENS, problem="P12", realistic=True, **CLASSIFIED)
def attention_pooling_by_ops() -> Any:
    """Attention pooling of a BiGRU as in many a notebook: tanh, Dense(1), `ops.softmax`, weighted sum."""
    ids = token_ids()
    x = layers.Bidirectional(layers.GRU(U, return_sequences=True))(embed(ids))
    shares = ops.softmax(layers.Dense(1)(layers.Dense(U, activation="tanh")(x)), axis=1)
    return classifier(ids, ops.sum(x * shares, axis=1))


def own_attention(**options: Any) -> Any:
    """Return a tagger with custom attention."""
    ids = token_ids()
    x = OwnAttention(**options)([embed(ids, mask_zero=False), custom.PadMask()(ids)])
    return keras.Model(ids, classify(x))


OWN: dict[str, Any] = {"outputs": (TOKENS,), "faults": "output", "problem": "P20"}


@animal("transformer", TOKENS, **OWN)
def own_attention_without_mask() -> Any:
    """Attention by ops, and no mask in it."""
    return own_attention(how="none")


@animal("transformer", TOKENS, **OWN)
def own_attention_inverted() -> Any:
    """Its bias is at the valid keys."""
    return own_attention(how="inverted")


@animal("transformer", TOKENS, **OWN)
def own_attention_along_queries() -> Any:
    """Its bias is along the wrong axis."""
    return own_attention(how="queries")


@animal("transformer", TOKENS, **OWN)
def own_attention_with_weak_bias() -> Any:
    """Its bias is -1 instead of -1e9."""
    return own_attention(bias=-1.0)


@animal("transformer", TOKENS, **OWN)
def own_attention_with_bias_of_five() -> Any:
    """Its bias is -5: little leaks, and it leaks."""
    return own_attention(bias=-5.0)


@animal("transformer", TOKENS, **OWN)
def own_attention_zeroed_after_softmax() -> Any:
    """Masked shares are set to 0 after the softmax, and the rest no longer adds up to 1."""
    return own_attention(how="after")


@animal("transformer", TOKENS, problem="P20", realistic=True, target_feeds=LABEL, faults="output loss gradient")
def class_token_without_padding_mask() -> Any:
    """A class token before the sentence: concatenated by ops, so the attention of the token sees the padding."""
    ids = token_ids()
    x = embed(ids)
    token = custom.Positions()(x)[:, :1]
    x = ops.concatenate([token, x], axis=1)
    return compiled(keras.Model(ids, classify(heads()(x, x)[:, 0])))
