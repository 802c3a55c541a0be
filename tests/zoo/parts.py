"""Parts from which the models are built."""

from typing import Any

import keras
from keras import layers

from tests.zoo.feeding import IDS, F, Feed

U = 6  # units
C = 3  # classes

TOKENS = Feed("ids")
STEPS = Feed("steps")
TAGS = Feed("classes", size=C, free=True)  # with a mask, what padded targets hold must make no difference
LABEL = Feed("class", size=C)
FLAGS = Feed("binary", free=True)
NUMBER = Feed("number")

EAGER = {"run_eagerly": True}


def token_ids(name: str | None = None, length: int | None = None) -> Any:
    """Return an input of ids (B, T)."""
    return keras.Input((length,), dtype="int32", name=name)


def floats(name: str | None = None, size: int = F, length: int | None = None) -> Any:
    """Return an input of steps (B, T, F)."""
    return keras.Input((length, size), name=name)


def embed(ids: Any, size: int = U, *, mask_zero: bool = True) -> Any:
    """Return embedded ids, masked where they are 0."""
    return layers.Embedding(IDS, size, mask_zero=mask_zero)(ids)


def classify(x: Any) -> Any:
    """Return probabilities of classes."""
    return layers.Dense(C, activation="softmax")(x)


def compiled(model: Any, loss: Any = "sparse_categorical_crossentropy", **options: Any) -> Any:
    """Compile with plain gradient descent at a rate of 1, so that a step shows the gradient."""
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=loss, **{**EAGER, **options})
    return model


def classifier(ids: Any, x: Any) -> Any:
    """Return a compiled classifier of whole sequences."""
    return compiled(keras.Model(ids, classify(x)))


def tagger(ids: Any, x: Any, **options: Any) -> Any:
    """Return a compiled classifier of single steps."""
    return compiled(keras.Model(ids, classify(x)), **options)
