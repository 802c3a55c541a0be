"""Small models for the tests of the audit, healthy and faulty models of the same kinds."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

VOCABULARY, UNITS = 17, 4


def ids(name: str = "ids", steps: int | None = None) -> Any:
    return keras.Input((steps,), dtype="int32", name=name)


def embedding(*, mask_zero: bool = True, **options: Any) -> Any:
    return layers.Embedding(VOCABULARY, 6, mask_zero=mask_zero, name="words", **options)


def recurrent(*, masked: bool = True, steps: int | None = None, sequences: bool = False) -> Any:
    """Embedding and LSTM, of which the mask is lost at an operator if not `masked`."""
    x = ids(steps=steps)
    e = embedding()(x)
    e = e if masked else ops.multiply(e, 1.0)
    return keras.Model(x, layers.LSTM(UNITS, return_sequences=sequences, name="lstm")(e))


def convolved(*, masked: bool) -> Any:
    """Embedding, Conv1D over masked or plain content, and a mean over valid steps."""
    x = ids()
    e = embedding()(x)
    if masked:
        e = ops.multiply(e, ops.cast(ops.expand_dims(ops.not_equal(x, 0), -1), "float32"))
    h = layers.Conv1D(UNITS, 3, padding="same", name="conv")(e)
    return keras.Model(x, layers.GlobalAveragePooling1D(name="mean")(h, mask=ops.not_equal(x, 0)))


def bare_convolution() -> Any:
    """Masking(0) and a convolution that loses the mask: harmless, because padding is zero and no bias is added to it."""
    x = keras.Input((7, 3), name="x")
    return keras.Model(x, layers.Conv1D(UNITS, 3, padding="same", name="conv")(layers.Masking()(x)))


def given_mask(*, used: bool) -> Any:
    """Floats and a mask beside them."""
    x, mask = keras.Input((None, 3), name="x"), keras.Input((None,), dtype="bool", name="mask")
    return keras.Model([x, mask], layers.LSTM(UNITS, name="lstm")(x, mask=mask if used else None))


class Centred(layers.Layer):
    """Subtracts the mean of the batch: samples depend on the other samples of the batch."""

    def call(self, inputs: Any) -> Any:
        """Return the differences."""
        return inputs - ops.mean(inputs, axis=0, keepdims=True)


class Noisy(layers.Layer):
    """Random, also when not training."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator(3)
        self.size = size

    def call(self, inputs: Any) -> Any:
        """Return the sums."""
        return inputs + self.size * keras.random.normal(ops.shape(inputs), seed=self.seeds)


class Tagger(keras.Model):
    """Subclassed, of a dict to a dict, with dropout."""

    def __init__(self, *, masked: bool = True) -> None:
        super().__init__()
        self.words = embedding()
        self.drop = layers.Dropout(0.5)
        self.state = layers.LSTM(UNITS, name="state")
        self.masked = masked

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the last state and another output."""
        e = self.words(inputs["ids"])
        e = e if self.masked else e * 1.0
        return {"last": self.state(self.drop(e, training=training)), "also": inputs["extra"] * 2.0}


TOKENS = np.array([[3, 9, 4, 11, 2], [5, 1, 0, 0, 0], [7, 8, 6, 0, 0]])
