"""Models whose outputs change with padding, by the code of the finding, and the same models corrected."""

from typing import Any

import keras
from keras import layers, ops

from masklib import compat

VOCABULARY = 20


def msk101_failing() -> Any:
    """A convolution loses the mask, and the mean after it needs it."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = layers.Conv1D(8, 3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(ids, layers.Dense(1)(x))


def msk101_remedied() -> Any:
    """The convolution gets zeros at masked steps, and the mean gets the mask."""
    ids = keras.Input((None,), dtype="int32")
    mask = ids != 0
    x = layers.Embedding(VOCABULARY, 8)(ids)
    x = x * ops.cast(mask[..., None], x.dtype)
    x = layers.Conv1D(8, 3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling1D()(x, mask=mask)
    return keras.Model(ids, layers.Dense(1)(x))


def msk102_failing() -> Any:
    """A residual connection by an operator."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = x + layers.Dense(8, activation="tanh")(x)
    return keras.Model(ids, layers.LSTM(8)(x))


def msk102_remedied() -> Any:
    """A residual connection by a layer."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = layers.Add()([x, layers.Dense(8, activation="tanh")(x)])
    return keras.Model(ids, layers.LSTM(8)(x))


def msk103_failing() -> Any:
    """An LSTM that starts from a state."""
    ids = keras.Input((None,), dtype="int32")
    start = keras.Input((8,))
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    return keras.Model([ids, start], layers.LSTM(8)(x, initial_state=[start, start]))


def msk103_remedied() -> Any:
    """An LSTM that starts from a state and is given the mask."""
    ids = keras.Input((None,), dtype="int32")
    start = keras.Input((8,))
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    return keras.Model([ids, start], layers.LSTM(8)(x, initial_state=[start, start], mask=ids != 0))


def msk104_failing() -> Any:
    """Tokens with a mask beside tags without one."""
    tokens, tags = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(tokens)
    y = layers.Embedding(VOCABULARY, 2)(tags)
    return keras.Model([tokens, tags], layers.LSTM(8)(layers.Concatenate()([x, y])))


def msk104_remedied() -> Any:
    """Tokens and tags both with a mask."""
    tokens, tags = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(tokens)
    y = layers.Embedding(VOCABULARY, 2, mask_zero=True)(tags)
    return keras.Model([tokens, tags], layers.LSTM(8)(layers.Concatenate()([x, y])))


def msk105_failing() -> Any:
    """Tokens with a mask, added to positions without one."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    positions = layers.Embedding(64, 8)(ops.cumsum(ops.ones_like(ids), axis=1))
    return keras.Model(ids, layers.LSTM(8)(layers.Add()([x, positions])))


def msk105_remedied() -> Any:
    """The layer after the sum is given the mask."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    positions = layers.Embedding(64, 8)(ops.cumsum(ops.ones_like(ids), axis=1))
    return keras.Model(ids, layers.LSTM(8)(layers.Add()([x, positions]), mask=ids != 0))


def msk106_failing() -> Any:
    """No layer makes a mask."""
    ids = keras.Input((None,), dtype="int32")
    return keras.Model(ids, layers.LSTM(8)(layers.Embedding(VOCABULARY, 8)(ids)))


def msk106_remedied() -> Any:
    """The embedding makes a mask."""
    ids = keras.Input((None,), dtype="int32")
    return keras.Model(ids, layers.LSTM(8)(layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)))


@compat.register_serializable
class MeanOverAll(layers.Layer):  # type: ignore[misc] # Keras publishes no types
    """Takes a mask and divides by all steps."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mean (B, F) of (B, T, F)."""
        return ops.mean(inputs * ops.cast(mask[..., None], inputs.dtype), axis=1)


@compat.register_serializable
class MeanOverValid(layers.Layer):  # type: ignore[misc]
    """Takes a mask and divides by valid steps."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mean (B, F) of (B, T, F)."""
        valid = ops.cast(mask[..., None], inputs.dtype)
        return ops.sum(inputs * valid, axis=1) / ops.maximum(ops.sum(valid, axis=1), 1.0)


def msk107_failing() -> Any:
    """A layer that gets the mask and divides by all steps."""
    ids = keras.Input((None,), dtype="int32")
    return keras.Model(ids, MeanOverAll()(layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)))


def msk107_remedied() -> Any:
    """A layer that gets the mask and divides by valid steps."""
    ids = keras.Input((None,), dtype="int32")
    return keras.Model(ids, MeanOverValid()(layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)))


def msk108_failing() -> Any:
    """Padding is scaled before it is compared with 0."""
    x = keras.Input((None, 3))
    scaled = layers.Rescaling(0.5, offset=-1.0)(x)
    return keras.Model(x, layers.LSTM(8)(layers.Masking(0.0)(scaled)))


def msk108_remedied() -> Any:
    """Padding is compared with 0, then scaled."""
    x = keras.Input((None, 3))
    mask = ops.any(x != 0.0, axis=-1)
    scaled = layers.Rescaling(0.5, offset=-1.0)(x)
    return keras.Model(x, layers.LSTM(8)(scaled, mask=mask))


def msk109_failing() -> Any:
    """Two blocks of a transformer, normalized after the residual connection."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    for _ in range(2):
        x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)]))
    return keras.Model(ids, layers.Dense(1)(x))


def msk109_remedied() -> Any:
    """Two blocks of a transformer, normalized before attention."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(y, y)])
    return keras.Model(ids, layers.Dense(1)(x))


@compat.register_serializable
class MinusMeanOfBatch(layers.Layer):  # type: ignore[misc]
    """Subtracts the mean of the batch."""

    def call(self, inputs: Any) -> Any:
        """Return the differences (B, F)."""
        return inputs - ops.mean(inputs, axis=0, keepdims=True)


def msk110_failing() -> Any:
    """An attention mask that is True at padding."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8)(ids)
    return keras.Model(ids, layers.MultiHeadAttention(2, 4)(x, x, attention_mask=ops.equal(ids, 0)[:, None, :]))


def msk110_remedied() -> Any:
    """An attention mask that is True at valid steps."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8)(ids)
    return keras.Model(ids, layers.MultiHeadAttention(2, 4)(x, x, attention_mask=ops.not_equal(ids, 0)[:, None, :]))


def msk112_failing() -> Any:
    """Positions from the first column on, for sequences with padding before them."""
    ids = keras.Input((None,), dtype="int32")
    mask = ids != 0
    positions = ops.cumsum(ops.ones_like(ids), axis=1) - 1
    x = layers.Embedding(VOCABULARY, 8)(ids) + layers.Embedding(64, 8)(positions)
    return keras.Model(ids, layers.MultiHeadAttention(2, 4)(x, x, attention_mask=mask[:, None, :])[:, -1])


def msk112_remedied() -> Any:
    """Positions from the first valid step on."""
    ids = keras.Input((None,), dtype="int32")
    mask = ids != 0
    positions = ops.maximum(ops.cumsum(ops.cast(mask, "int32"), axis=1) - 1, 0)
    x = layers.Embedding(VOCABULARY, 8)(ids) + layers.Embedding(64, 8)(positions)
    return keras.Model(ids, layers.MultiHeadAttention(2, 4)(x, x, attention_mask=mask[:, None, :])[:, -1])


def msk113_failing() -> Any:
    """The last step of sequences that are padded at their end."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(x)[:, -1]
    return keras.Model(ids, layers.Dense(2)(x))


def msk113_remedied() -> Any:
    """The last state, as the layer returns it."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = layers.Bidirectional(layers.LSTM(8))(x)
    return keras.Model(ids, layers.Dense(2)(x))


def msk114_failing() -> Any:
    """A layer that goes backwards, and a layer after it that gets the mask in the old order."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = layers.LSTM(8, return_sequences=True, go_backwards=True)(x)
    return keras.Model(ids, layers.GRU(4)(x))


def msk114_remedied() -> Any:
    """The steps are reversed back before the next layer, which is given the mask."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = ops.flip(layers.LSTM(8, return_sequences=True, go_backwards=True)(x), axis=1)
    return keras.Model(ids, layers.GRU(4)(x, mask=ids != 0))


def msk115_failing() -> Any:
    """The maximum over time, including padded steps."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Dense(8, bias_initializer="ones")(layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids))
    return keras.Model(ids, layers.GlobalMaxPooling1D()(x))


def msk115_remedied() -> Any:
    """The maximum over time, with a value at padded steps that is never the largest."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Dense(8, bias_initializer="ones")(layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids))
    x = ops.where((ids != 0)[..., None], x, -1e9)
    return keras.Model(ids, layers.GlobalMaxPooling1D()(x))


def msk116_failing() -> Any:
    """A convolution that computes the last valid step also from the first padded one."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    return keras.Model(ids, layers.Conv1D(8, 3, padding="same")(x))


def msk116_remedied() -> Any:
    """The convolution gets zeros at padded steps."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8)(ids)
    x = x * ops.cast((ids != 0)[..., None], x.dtype)
    return keras.Model(ids, layers.Conv1D(8, 3, padding="same")(x))


def msk119_failing() -> Any:
    """A mean that divides by all steps, although it is masked."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8)(ids)
    return keras.Model(ids, ops.mean(x * ops.cast((ids != 0)[..., None], x.dtype), axis=1))


def msk119_remedied() -> Any:
    """A mean that divides by the number of valid steps."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8)(ids)
    mask = ops.cast((ids != 0)[..., None], x.dtype)
    return keras.Model(ids, ops.sum(x * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1.0))


def msk120_failing() -> Any:
    """The mean of the batch is subtracted from each sample."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.LSTM(8)(layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids))
    return keras.Model(ids, layers.Dense(1)(MinusMeanOfBatch()(x)))


def msk120_remedied() -> Any:
    """The mean of its own features is subtracted from each sample."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.LSTM(8)(layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids))
    return keras.Model(ids, layers.Dense(1)(layers.LayerNormalization()(x)))


def msk130_failing() -> Any:
    """The second attention looks ahead."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    return keras.Model(ids, layers.Dense(VOCABULARY)(x))


def msk130_remedied() -> Any:
    """Neither attention looks ahead."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    x = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    x = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    return keras.Model(ids, layers.Dense(VOCABULARY)(x))


def msk140_failing() -> Any:
    """The mean over the valid steps, of which there may be none."""
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8, mask_zero=True)(ids)
    return keras.Model(ids, layers.GlobalAveragePooling1D()(x))


def msk140_remedied() -> Any:
    """The mean over the valid steps, with the divisor 1 if there are none."""
    return msk107_remedied()


def msk150_failing() -> Any:
    """TimeDistributed around a layer that acts on each step anyway."""
    x = keras.Input((None, 3))
    h = layers.TimeDistributed(layers.Dense(4))(layers.Masking()(x))
    return keras.Model(x, layers.LSTM(8)(h))


def msk150_remedied() -> Any:
    """Dense acts on each step without TimeDistributed."""
    x = keras.Input((None, 3))
    return keras.Model(x, layers.LSTM(8)(layers.Dense(4)(layers.Masking()(x))))
