"""Faulty: each shows one way in which a mask is lost, or never was there."""

from typing import Any

import keras
from keras import layers, ops

from tests.zoo import custom
from tests.zoo.animals import animal
from tests.zoo.feeding import TOTAL, Feed
from tests.zoo.parts import LABEL, STEPS, TAGS, TOKENS, C, F, U, classifier, compiled, embed, floats, tagger, token_ids

NAN = float("nan")
CLASSIFIED = {"target_feeds": LABEL, "faults": "output loss gradient"}
TAGGED = {"target_feeds": TAGS, "outputs": (TOKENS,)}


@animal("classifier", TOKENS, problem="P10", fixed_length=True, given=False, **CLASSIFIED)
def flatten_to_dense() -> Any:
    """Flatten drops the mask, and Dense reads the padding's embedding."""
    ids = token_ids(length=TOTAL)
    return classifier(ids, layers.Flatten()(embed(ids)))


@animal("classifier", TOKENS, problem="P10", **CLASSIFIED)
def reshape_before_pooling() -> Any:
    """Reshape drops the mask, though the steps stay where they are."""
    ids = token_ids()
    return classifier(ids, layers.GlobalAveragePooling1D()(layers.Reshape((-1, U))(embed(ids))))


@animal("classifier", TOKENS, problem="P10", **CLASSIFIED)
def permute_there_and_back() -> Any:
    """Permute drops the mask."""
    ids = token_ids()
    return classifier(ids, layers.GRU(U)(layers.Permute((2, 1))(layers.Permute((2, 1))(embed(ids)))))


@animal("classifier", TOKENS, problem="P10", fixed_length=True, **CLASSIFIED)
def permute_to_mix_steps() -> Any:
    """An MLP over time reads all steps alike."""
    ids = token_ids(length=TOTAL)
    mixed = layers.Permute((2, 1))(layers.Dense(3, activation="relu")(layers.Permute((2, 1))(embed(ids))))
    return classifier(ids, layers.GlobalAveragePooling1D()(mixed))


@animal("classifier", TOKENS, problem="P10", **CLASSIFIED)
def einsum_dense_before_lstm() -> Any:
    """EinsumDense, unlike Dense, drops the mask."""
    ids = token_ids()
    return classifier(ids, layers.LSTM(U)(layers.EinsumDense("btf,fu->btu", (None, U), bias_axes="u")(embed(ids))))


@animal("classifier", TOKENS, problem="P38", given=False, **CLASSIFIED)
def lambda_before_gru() -> Any:
    """Lambda drops the mask."""
    ids = token_ids()
    return classifier(ids, layers.GRU(U)(layers.Lambda(custom.double)(embed(ids))))


@animal("classifier", TOKENS, problem="P10", **CLASSIFIED)
def global_max_of_embeddings() -> Any:
    """GlobalMaxPooling1D takes no mask: the padding's embedding can be the largest."""
    ids = token_ids()
    return classifier(ids, layers.GlobalMaxPooling1D()(embed(ids)))


@animal("classifier", TOKENS, problem="P04", given=False, **CLASSIFIED)
def residual_plus_before_pooling() -> Any:
    """`x + y` drops the mask without a warning, so the mean is over the padding too."""
    ids = token_ids()
    x = embed(ids)
    return classifier(ids, layers.GlobalAveragePooling1D()(x + layers.Dense(U, activation="relu")(x)))


@animal("classifier", TOKENS, problem="P04", **CLASSIFIED)
def ops_multiply_before_lstm() -> Any:
    """`keras.ops` drop the mask without a warning."""
    ids = token_ids()
    return classifier(ids, layers.LSTM(U)(ops.multiply(embed(ids), 2.0)))


@animal("classifier", TOKENS, problem="P04", **CLASSIFIED)
def slice_off_the_first_step() -> Any:
    """Slicing drops the mask without a warning."""
    ids = token_ids()
    return classifier(ids, layers.LSTM(U)(embed(ids)[:, 1:]))


@animal("classifier", TOKENS, problem="P04", **CLASSIFIED)
def ops_transpose_there_and_back() -> Any:
    """Two transposes that cancel drop the mask."""
    ids = token_ids()
    turned = ops.transpose(embed(ids), (0, 2, 1))
    return classifier(ids, layers.GlobalAveragePooling1D()(ops.transpose(turned, (0, 2, 1))))


@animal("classifier", TOKENS, problem="P13", given=False, **CLASSIFIED)
def embedding_without_mask() -> Any:
    """No `mask_zero`, padding after the tokens: the LSTM forgets them while it reads the padding."""
    ids = token_ids()
    return classifier(ids, layers.LSTM(U)(embed(ids, mask_zero=False)))


@animal("classifier", STEPS, problem="P13", realistic=True, **CLASSIFIED)
def sensors_without_masking() -> Any:
    """Series padded with zeros, two recurrent layers, and no layer that makes a mask."""
    x = floats()
    return classifier(x, layers.GRU(U)(layers.GRU(U, return_sequences=True)(x)))


@animal("classifier", TOKENS, problem="P33", **CLASSIFIED)
def mean_by_ops() -> Any:
    """`ops.mean` divides by all steps."""
    ids = token_ids()
    return classifier(ids, ops.mean(embed(ids), axis=1))


@animal("forecast", STEPS, problem="P33", realistic=True, target_feeds=Feed("number"), faults="output loss gradient")
def sum_over_all_steps() -> Any:
    """Forecasts of single steps summed to a total: a masked LSTM repeats its last output, so the padding counts."""
    x = floats()
    steps = layers.Dense(1)(layers.LSTM(U, return_sequences=True)(layers.Masking(0.0)(x)))
    return compiled(keras.Model(x, ops.sum(steps, axis=1)), "mse")


@animal("classifier", Feed("ids", pad=1), problem="P31", pad_id=1, options={"pad_id": 1}, **CLASSIFIED)
def padding_is_not_zero() -> Any:
    """The tokenizer pads with 1, and `mask_zero` masks 0."""
    ids = token_ids()
    return classifier(ids, layers.LSTM(U)(embed(ids)))


@animal("classifier", STEPS, problem="P29", realistic=True, **CLASSIFIED)
def normalized_before_masking() -> Any:
    """Normalization moves the padding away from 0, so Masking finds none."""
    x = floats()
    return classifier(x, layers.LSTM(U)(layers.Masking(0.0)(layers.Normalization(mean=[1.0] * F, variance=[2.0] * F)(x))))


@animal("classifier", STEPS, problem="P29", **CLASSIFIED)
def rescaled_before_masking() -> Any:
    """Rescaling with an offset moves the padding away from 0."""
    x = floats()
    return classifier(x, layers.GRU(U)(layers.Masking(0.0)(layers.Rescaling(0.5, offset=-1.0)(x))))


@animal("classifier", Feed("steps", pad=NAN), problem="P15", options={"mask_value": NAN}, **CLASSIFIED)
def masking_of_nan() -> Any:
    """`Masking(nan)` masks nothing, since NaN equals nothing; the outputs are NaN."""
    x = floats()
    return classifier(x, layers.LSTM(U)(layers.Masking(float("nan"))(x)))


@animal("tagger", TOKENS, faults="output loss gradient", fixed_length=True, **TAGGED)
def layer_norm_over_time() -> Any:
    """LayerNormalization over time and features: each step is scaled by the padding."""
    ids = token_ids(length=TOTAL)
    return tagger(ids, layers.LayerNormalization(axis=(1, 2))(embed(ids)))


@animal("tagger", TOKENS, faults="output loss gradient", **TAGGED)
def group_norm_over_time() -> Any:
    """GroupNormalization takes its mean over all steps."""
    ids = token_ids()
    return tagger(ids, layers.GroupNormalization(groups=2)(embed(ids)))


@animal("classifier", TOKENS, problem="P23", **CLASSIFIED)
def custom_mean_without_mask() -> Any:
    """A custom pooling layer whose `call` does not take the mask."""
    ids = token_ids()
    return classifier(ids, custom.MeanOverTime()(embed(ids)))


@animal("classifier", TOKENS, problem="P27", realistic=True, **CLASSIFIED)
def custom_scale_loses_mask() -> Any:
    """A custom layer without `supports_masking`, in an otherwise healthy model."""
    ids = token_ids()
    return classifier(ids, layers.LSTM(U)(custom.Scale()(layers.LSTM(U, return_sequences=True)(embed(ids)))))


@animal("tagger", TOKENS, faults="batch", outputs=(TOKENS,), target_feeds=None)
def centred_on_the_batch() -> Any:
    """Each step is centred on the mean of the batch's first steps: a sample depends on the other samples."""
    ids = token_ids()
    return keras.Model(ids, layers.Dense(C)(custom.CentreOnBatch()(embed(ids))))


@animal("tagger", (TOKENS, Feed("lengths")), faults="batch", realistic=True, outputs=(TOKENS,), target_feeds=None)
def position_relative_to_longest() -> Any:
    """The position is given as a share of the longest sample's length, so it depends on the other samples."""
    ids, lengths = token_ids("ids"), keras.Input((), dtype="int32", name="lengths")
    return keras.Model((ids, lengths), layers.Dense(C)(custom.ShareOfLongest()([embed(ids), lengths])))
