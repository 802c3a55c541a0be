"""What the tests of losses and metrics share: batches with padding, masks on tensors, gradients, small models."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from masklib import losses
from masklib.reference import losses as oracle

B, T, F = 5, 7, 3

# float32 losses of order one, summed over some hundred numbers.
TOLERANCE = {"atol": 2e-6, "rtol": 2e-6}

MODES: dict[str, dict[str, Any]] = {
    "eager": {"run_eagerly": True, "jit_compile": False},
    "graph": {"run_eagerly": False, "jit_compile": False},
    "jit": {"run_eagerly": False, "jit_compile": True},
}


class Case(NamedTuple):
    """A masked loss, its oracle, and what its padded targets hold."""

    loss: Callable[..., keras.losses.Loss]
    per_step: Callable[[Any, Any], NDArray[np.float64]]
    name: str
    mask_value: Any
    activation: str


CASES = {
    "mse": Case(losses.MaskedMeanSquaredError, oracle.mse, "mean_squared_error", -9.7, "linear"),
    "mae": Case(losses.MaskedMeanAbsoluteError, oracle.mae, "mean_absolute_error", [-1.0, 0.5, 2.3], "linear"),
    "categorical": Case(
        losses.MaskedCategoricalCrossentropy,
        oracle.categorical_crossentropy,
        "categorical_crossentropy",
        [0, 0, 1],
        "softmax",
    ),
    "sparse": Case(
        losses.MaskedSparseCategoricalCrossentropy,
        oracle.sparse_categorical_crossentropy,
        "sparse_categorical_crossentropy",
        -1,
        "softmax",
    ),
    "binary": Case(losses.MaskedBinaryCrossentropy, oracle.binary_crossentropy, "binary_crossentropy", -1, "sigmoid"),
}


def draw_targets(case: Case, rng: np.random.Generator, shape: tuple[int, int] = (B, T)) -> NDArray[Any]:
    """Return targets without padding; a one-hot target never is the padding class."""
    if case.activation == "linear":
        return rng.normal(size=(*shape, F)).astype("float32")
    if case.activation == "sigmoid":
        return rng.integers(0, 2, size=(*shape, F)).astype("float32")
    classes = rng.integers(0, F - 1, size=shape)
    return classes if case.mask_value == -1 else np.eye(F, dtype="float32")[classes]


def draw_predictions(case: Case, rng: np.random.Generator, shape: tuple[int, int] = (B, T)) -> NDArray[Any]:
    """Return predictions in the range of the case's activation."""
    z = rng.normal(size=(*shape, F)).astype("float32")
    if case.activation == "linear":
        return z
    if case.activation == "sigmoid":
        return 1 / (1 + np.exp(-z))
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


def pad_targets(case: Case, y_true: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return targets that hold the case's padding where `mask` is False."""
    padded = y_true.copy()
    padded[~mask] = case.mask_value
    return padded


def attach_mask(y_pred: Any, mask: Any) -> Any:
    """Return the predictions as a tensor with a Keras mask, as a layer would give them."""
    tensor = tf.convert_to_tensor(y_pred)
    tensor._keras_mask = tf.convert_to_tensor(mask)
    return tensor


def differentiate(loss: Any, y_true: Any, y_pred: Any, mask: Any = None, **kwargs: Any) -> tuple[Any, Any]:
    """Return the value of a loss and its gradient by the predictions, as arrays."""
    variable = tf.Variable(y_pred)
    with tf.GradientTape() as tape:
        tensor = tf.identity(variable)
        if mask is not None:
            tensor._keras_mask = tf.convert_to_tensor(mask)
        value = loss(y_true, tensor, **kwargs)
    return value.numpy(), tf.convert_to_tensor(tape.gradient(value, variable)).numpy()


def build_tagger(case: Case, *, mask_zero: bool, n_outputs: int = F) -> keras.Model:
    """Return Embedding, GRU, Dense, whose predictions have the embedding's mask if `mask_zero`."""
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input((T,), dtype="int32"),
            keras.layers.Embedding(11, 5, mask_zero=mask_zero),
            keras.layers.GRU(5, return_sequences=True),
            keras.layers.Dense(n_outputs, activation=case.activation),
        ]
    )


def draw_ids(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return token ids (B, T) from 1 to 10, and 0 where `mask` is False."""
    return np.where(mask, rng.integers(1, 11, size=mask.shape), 0).astype("int32")
