"""What specimens share: batches of real-looking content, and a compiler with plain gradient descent."""

import zlib
from typing import Any

import keras
import numpy as np

from tests.wild.specimens import Array, Padded

RATE = 0.1
LENGTHS = (7, 3, 5, 4)  # valid steps of each sample
OTHERS = (4, 6, 2, 5)  # of a second sequence
TOTAL = 8  # every sample has some padding
VOCABULARY = 20
STEPS = Padded()  # ids or numbers, padded with 0 at the end
FRONT = Padded(side="pre")


def rng_of(name: str) -> np.random.Generator:
    """Return a generator seeded from a name."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def pad(rows: list[Array], value: Any = 0, total: int = TOTAL, side: str = "post") -> Array:
    """Return rows of different lengths as one array."""
    shape = (len(rows), total, *rows[0].shape[1:])
    padded = np.broadcast_to(np.asarray(value, dtype=rows[0].dtype), shape).copy()
    for row, content in zip(padded, rows, strict=True):
        row[slice(total - len(content), None) if side == "pre" else slice(0, len(content))] = content
    return padded


def ids(name: str = "ids", lengths: tuple[int, ...] = LENGTHS, *, low: int = 2, high: int = VOCABULARY, **options: Any) -> Array:
    """Return padded ids (B, T)."""
    rng = rng_of(name)
    return pad([rng.integers(low, high, length).astype("int32") for length in lengths], **options)


def series(name: str = "series", size: int = 4, lengths: tuple[int, ...] = LENGTHS, **options: Any) -> Array:
    """Return padded measurements (B, T, F)."""
    rng = rng_of(name)
    return pad([rng.normal(0.5, 1.0, (length, size)).astype("float32") for length in lengths], **options)


def valid(lengths: tuple[int, ...] = LENGTHS, total: int = TOTAL, side: str = "post", dtype: str = "bool") -> Array:
    """Return which steps are valid (B, T)."""
    return pad([np.ones(length, dtype=dtype) for length in lengths], total=total, side=side)


def labels(name: str = "labels", size: int = 3, n: int = len(LENGTHS)) -> Array:
    """Return a class per sample (B,)."""
    return rng_of(name).integers(0, size, n).astype("int32")


def flags(name: str = "flags", n: int = len(LENGTHS)) -> Array:
    """Return 0 or 1 per sample (B, 1)."""
    return np.arange(n).reshape(-1, 1).astype("float32") % 2


def numbers(name: str = "numbers", size: int = 1, n: int = len(LENGTHS)) -> Array:
    """Return numbers per sample (B, F)."""
    return rng_of(name).normal(0.0, 1.0, (n, size)).astype("float32")


def compiled(model: Any, loss: Any, metrics: Any = None, **options: Any) -> Any:
    """Compile with plain gradient descent, so that a step of `fit` shows the gradient."""
    model.compile(optimizer=keras.optimizers.SGD(RATE), loss=loss, metrics=metrics, **options)
    return model
