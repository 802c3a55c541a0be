"""Healthy: attention and transformers."""

from typing import Any

import keras
from keras import layers, ops

from masklib.layers import TemporalSoftmax
from tests.zoo import custom
from tests.zoo.animals import animal
from tests.zoo.attention import AHEAD, heads
from tests.zoo.custom_attention import OwnAttention, WeightedSum
from tests.zoo.feeding import Feed
from tests.zoo.parts import LABEL, TAGS, TOKENS, U, classifier, classify, compiled, embed, tagger, token_ids

SOURCE, TARGET = Feed("ids", "a"), Feed("ids", "b")
TAGGED = {"target_feeds": TAGS, "outputs": (TOKENS,)}


@animal("transformer", TOKENS, given=False, problem="P20", **TAGGED)
def automatic_attention() -> Any:
    """MultiHeadAttention takes the mask of what it is given, and keeps it."""
    ids = token_ids()
    x = embed(ids)
    return tagger(ids, heads()(x, x))


@animal("transformer", TOKENS, realistic=True, problem="P21", **TAGGED)
def encoder_with_norm_before() -> Any:
    """Two blocks with normalization before the attention: it is the normalized tensor that loses its mask, and x keeps it."""
    ids = token_ids()
    x = custom.AddPositions()(embed(ids))
    for _ in range(2):
        normed = layers.LayerNormalization()(x)
        x = layers.Add()([x, heads(dropout=0.1)(normed, normed)])
        x = layers.Add()([x, layers.Dense(U)(layers.Dense(12, activation="gelu")(layers.LayerNormalization()(x)))])
    return tagger(ids, x)


@animal("transformer", TOKENS, target_feeds=LABEL, problem="P20")
def functional_mean_after_attention() -> Any:
    """The attention removes the mask from x at run time; but a functional model has kept it for the pooling when it was built.

    The same layers in a subclassed model leak. A functional model passes `mask` to layers of one tensor as part of its graph.
    """
    ids = token_ids()
    x = embed(ids)
    return classifier(ids, layers.GlobalAveragePooling1D()(layers.Add()([x, heads()(x, x)])))


@animal("transformer", TOKENS, realistic=True, target_feeds=LABEL, problem="P21")
def encoder_with_mask_by_hand() -> Any:
    """`+` and `attention_mask` everywhere, and pooling over valid steps: no mask of Keras's is left, none is needed."""
    ids = token_ids()
    mask = custom.PadMask()(ids)
    x = embed(ids, mask_zero=False)
    x = x + custom.Positions()(x)
    for _ in range(2):
        x = layers.LayerNormalization()(x + heads()(x, x, attention_mask=mask[:, None, :]))
        x = layers.LayerNormalization()(x + layers.Dense(U, activation="relu")(x))
    return classifier(ids, custom.PoolValid()([x, mask]))


@animal("transformer", TOKENS, realistic=True, target_feeds=TAGS, problem="P20", **AHEAD)
def causal_language_model() -> Any:
    """A decoder of two blocks: causal masks, and those of the padding; the targets' padding is left to the mask."""
    ids = token_ids()
    x = custom.AddPositions()(embed(ids))
    for _ in range(2):
        normed = layers.LayerNormalization()(x)
        x = layers.Add()([x, heads()(normed, normed, use_causal_mask=True)])
    return tagger(ids, x)


@animal("transformer", TOKENS, problem="P20", **AHEAD)
def causal_without_padding_mask() -> Any:
    """Causal attention, and padding that comes last: it needs no mask of its own."""
    ids = token_ids()
    x = embed(ids, mask_zero=False)
    return keras.Model(ids, classify(x + heads()(x, x, use_causal_mask=True)))


@animal("seq2seq", (SOURCE, TARGET), realistic=True, outputs=(TARGET,), problem="P20")
def cross_attention_with_masks() -> Any:
    """An encoder and a decoder whose attention takes the encoder's mask."""
    source, target = token_ids("source"), token_ids("target")
    encoded = layers.Dense(U, activation="relu")(embed(source))
    decoded = embed(target)
    normed = layers.LayerNormalization()(decoded)
    decoded = layers.Add()([decoded, heads()(normed, normed, use_causal_mask=True)])
    return keras.Model((source, target), classify(heads()(decoded, encoded)))


@animal("seq2seq", (SOURCE, TARGET), outputs=(TARGET,), problem="P40")
def dot_attention_with_masks() -> Any:
    """`Attention` takes the masks of query and value."""
    source, target = token_ids("source"), token_ids("target")
    return keras.Model((source, target), classify(layers.Attention()([embed(target), embed(source)])))


@animal("seq2seq", (SOURCE, TARGET), outputs=(TARGET,), problem="P40")
def additive_attention_with_masks() -> Any:
    """`AdditiveAttention` takes the masks of query and value."""
    source, target = token_ids("source"), token_ids("target")
    return keras.Model((source, target), classify(layers.AdditiveAttention()([embed(target), embed(source)])))


@animal("transformer", TOKENS, problem="P20", **TAGGED)
def grouped_attention_with_mask() -> Any:
    """`GroupQueryAttention` with an attention mask by hand, and the mask attached again for the loss."""
    ids = token_ids()
    mask = custom.PadMask()(ids)
    x = embed(ids, mask_zero=False)
    attended = layers.GroupQueryAttention(3, 2, 1)(x, x, attention_mask=ops.logical_and(mask[:, None, :], mask[:, :, None]))
    return tagger(ids, custom.Attach()([attended, mask]))


@animal("classifier", TOKENS, target_feeds=LABEL, realistic=True, problem="P12")
def attention_pooling() -> Any:
    """Attention pooling with a softmax over valid steps."""
    ids = token_ids()
    x = layers.GRU(U, return_sequences=True)(embed(ids))
    return classifier(ids, WeightedSum()([x, TemporalSoftmax()(layers.Dense(1)(x))]))


@animal("classifier", TOKENS, target_feeds=LABEL, problem="P40")
def softmax_layer_with_mask() -> Any:
    """`Softmax(axis=1)` with a mask of the shape of its input, (B, T, 1)."""
    ids = token_ids()
    x = embed(ids, mask_zero=False)
    mask = custom.PadMask()(ids)[:, :, None]
    return classifier(ids, WeightedSum()([x, layers.Softmax(axis=1)(layers.Dense(1)(x), mask=mask)]))


@animal("classifier", TOKENS, target_feeds=LABEL, problem="P12")
def attention_pooling_with_bias() -> Any:
    """Scores of padded steps get -1e9 before `ops.softmax`."""
    ids = token_ids()
    x = embed(ids, mask_zero=False)
    bias = (1.0 - ops.cast(ops.not_equal(ids, 0), "float32"))[:, :, None] * -1e9
    return classifier(ids, ops.sum(x * ops.softmax(layers.Dense(1)(x) + bias, axis=1), axis=1))


@animal("transformer", TOKENS, outputs=(TOKENS,), problem="P20")
def own_attention_with_bias() -> Any:
    """Attention by ops, with -1e9 at padded keys."""
    ids = token_ids()
    return keras.Model(ids, classify(OwnAttention()([embed(ids, mask_zero=False), custom.PadMask()(ids)])))


@animal("transformer", TOKENS, outputs=(TOKENS,), problem="P20")
def own_attention_renormalized() -> Any:
    """Masked shares are set to 0 after the softmax, and the rest is scaled to 1."""
    ids = token_ids()
    return keras.Model(ids, classify(OwnAttention("renormalized")([embed(ids, mask_zero=False), custom.PadMask()(ids)])))


@animal("transformer", TOKENS, problem="P20", **AHEAD)
def own_causal_attention() -> Any:
    """Attention by ops with two biases."""
    ids = token_ids()
    return keras.Model(ids, classify(OwnAttention(causal=True)([embed(ids, mask_zero=False), custom.PadMask()(ids)])))


@animal("transformer", TOKENS, realistic=True, target_feeds=LABEL, problem="P03")
def class_token_with_mask() -> Any:
    """A class token put before the sentence by `Concatenate` along time, whose mask is right: True, then that of the tokens."""
    ids = token_ids()
    x = embed(ids)
    token = layers.Lambda(custom.first_step)(custom.Positions()(x))
    joined = layers.Concatenate(axis=1)([token, x])
    return compiled(keras.Model(ids, classify(heads()(joined, joined)[:, 0])))
