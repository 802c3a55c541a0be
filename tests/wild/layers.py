"""Layers that many public examples define for themselves, written again."""

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("wild")
class TokenAndPosition(layers.Layer):
    """Embedded ids plus embedded positions; with `mask`, ids of 0 are masked."""

    def __init__(self, longest: int, vocabulary: int, size: int, *, mask: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.tokens = layers.Embedding(vocabulary, size)
        self.positions = layers.Embedding(longest, size)
        self.masks = mask
        self.supports_masking = mask

    def call(self, x: Any) -> Any:
        """Return (B, T, F)."""
        return self.tokens(x) + self.positions(ops.arange(ops.shape(x)[-1]))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return where the ids are not 0."""
        return ops.not_equal(inputs, 0) if self.masks else None


@keras.saving.register_keras_serializable("wild")
class TransformerBlock(layers.Layer):
    """Attention and a feed-forward net, each with a residual and a norm after it; no mask is mentioned."""

    def __init__(self, size: int, heads: int, inner: int, *, causal: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.attention = layers.MultiHeadAttention(heads, size)
        self.feed_forward = keras.Sequential([layers.Dense(inner, activation="relu"), layers.Dense(size)])
        self.norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.dropouts = [layers.Dropout(0.1) for _ in range(2)]
        self.causal = causal

    def call(self, x: Any, training: bool = False) -> Any:
        """Return (B, T, F)."""
        attended = self.attention(x, x, use_causal_mask=self.causal)
        x = self.norms[0](x + self.dropouts[0](attended, training=training))
        return self.norms[1](x + self.dropouts[1](self.feed_forward(x), training=training))


@keras.saving.register_keras_serializable("wild")
class TransformerEncoder(layers.Layer):
    """An encoder block that turns its mask (B, T) into one of attention."""

    def __init__(self, size: int, inner: int, heads: int, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self.attention = layers.MultiHeadAttention(heads, size)
        self.feed_forward = keras.Sequential([layers.Dense(inner, activation="relu"), layers.Dense(size)])
        self.norms = [layers.LayerNormalization() for _ in range(2)]

    def call(self, x: Any, mask: Any = None) -> Any:
        """Return (B, T, F)."""
        wide = None if mask is None else mask[:, None, :]
        x = self.norms[0](x + self.attention(x, x, attention_mask=wide))
        return self.norms[1](x + self.feed_forward(x))


@keras.saving.register_keras_serializable("wild")
class TransformerDecoder(layers.Layer):
    """A decoder block that looks at an encoder's output; `crossing` says whether it takes the encoder's mask there."""

    def __init__(self, size: int, inner: int, heads: int, *, crossing: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self.crossing = crossing
        self.own = layers.MultiHeadAttention(heads, size)
        self.cross = layers.MultiHeadAttention(heads, size)
        self.feed_forward = keras.Sequential([layers.Dense(inner, activation="relu"), layers.Dense(size)])
        self.norms = [layers.LayerNormalization() for _ in range(3)]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask of the target."""
        return mask[0] if isinstance(mask, (list, tuple)) else mask

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return (B, T, F) for a target and the encoded source."""
        x, encoded = inputs
        ours, theirs = mask if mask is not None else (None, None)
        wide = None if ours is None else ops.logical_and(ours[:, None, :], ours[:, :, None])
        x = self.norms[0](x + self.own(x, x, attention_mask=wide, use_causal_mask=True))
        chosen = theirs if self.crossing else None
        crossed = self.cross(x, encoded, attention_mask=None if chosen is None else chosen[:, None, :])
        x = self.norms[1](x + crossed)
        return self.norms[2](x + self.feed_forward(x))


@keras.saving.register_keras_serializable("wild")
class MeanOfWords(layers.Layer):
    """The mean of the valid steps."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """Return no mask, because the output has no steps."""

    def call(self, x: Any, mask: Any = None) -> Any:
        """Return (B, F)."""
        weights = ops.ones_like(x[..., :1]) if mask is None else ops.cast(mask, x.dtype)[..., None]
        return ops.sum(x * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)
