"""Training the same model many times, with one compilation: each training starts from the weights that its seed draws."""

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from masklib.checks import check_one_of
from masklib.compat import set_random_seed

Array = NDArray[Any]

READERS = ("lstm", "gru", "bidirectional", "pooling", "attention")  # what may read a sequence


def read_sequence(reader: str, x: Any, units: int) -> Any:
    """Return what a layer makes of a sequence (B, T, F) as a whole, (B, U): a recurrent one, or a mean over time.

    The mean is over `Dense` with ReLU ("pooling"), or over self-attention with two heads ("attention").

    Raises:
        ArgumentError: `reader` is not one of `READERS`.
    """
    check_one_of("reader", reader, READERS)
    if reader == "lstm":
        return layers.LSTM(units)(x)
    if reader == "gru":
        return layers.GRU(units)(x)
    if reader == "bidirectional":
        return layers.Bidirectional(layers.LSTM(units))(x)
    x = layers.Dense(units, activation="relu" if reader == "pooling" else None)(x)
    if reader == "attention":
        x = layers.MultiHeadAttention(2, units)(x, x)
    return layers.GlobalAveragePooling1D()(x)


def classifier(reader: str, shape: tuple[int, int], units: int, classes: int, *, masked: bool) -> Any:
    """Return a model of sequences of a shape (T, F), padded with 0: Masking if `masked`, what reads them, softmax (B, C)."""
    inputs = keras.Input(shape)
    x = layers.Masking()(inputs) if masked else inputs
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(read_sequence(reader, x, units)))


def residual_classifier(shape: tuple[int, int], units: int, classes: int, *, by_layer: bool) -> Any:
    """Return an LSTM behind a residual connection on masked sequences (T, F): by `layers.Add`, or by the operator +."""
    inputs = keras.Input(shape)
    x = layers.Masking()(inputs)
    changed = layers.Dense(shape[1], activation="tanh")(x)
    x = layers.Add()([x, changed]) if by_layer else x + changed
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(layers.LSTM(units)(x)))


def tagger(words: int, steps: int, *, masked: bool) -> Any:
    """Return a model of word ids (B, T), 0 is padding, that sees single words: the probabilities of two tags (B, T, 2)."""
    ids = keras.Input((steps,), dtype="int32")
    return keras.Model(ids, layers.Dense(2, activation="softmax")(layers.Embedding(words + 1, 4, mask_zero=masked)(ids)))


def drawn_weights(build: Any, seed: int) -> list[Array]:
    """Return the weights that Keras's own initializers draw after a seed for the model that `build()` returns."""
    set_random_seed(seed)
    return [np.asarray(weight) for weight in build().get_weights()]


class Trainer:
    """A compiled model that is trained again and again: weights and optimizer start anew, its compiled step is kept.

    Args:
        model: of inputs (B, T, ...); Adam trains it on sparse categorical crossentropy.
        rate: the learning rate.
        batch_size: samples a step.
        epochs: passes through the data.
    """

    def __init__(self, model: Any, *, rate: float = 0.01, batch_size: int = 90, epochs: int = 20) -> None:
        self.model, self.batch_size, self.epochs = model, batch_size, epochs
        self.optimizer = keras.optimizers.Adam(rate)
        model.compile(self.optimizer, "sparse_categorical_crossentropy")
        self.optimizer.build(model.trainable_variables)
        self._fresh = [np.array(keras.ops.convert_to_numpy(one)) for one in self.optimizer.variables]

    def train(self, weights: list[Array], x: Array, y: Array, seed: int, *, mix: bool = True, **options: Any) -> None:
        """Train from these weights.

        Args:
            weights: where it starts, as `get_weights` gives them.
            x: inputs.
            y: classes.
            seed: of the order of the samples, drawn by NumPy, the same for every backend.
            mix: whether each epoch puts samples into other batches; if not, the batches stay and their order changes.
            **options: arrays as long as x, for `train_on_batch`, such as `sample_weight`.
        """
        self.model.set_weights(weights)
        for variable, value in zip(self.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        rng = np.random.default_rng([seed, 14])
        for _ in range(self.epochs):
            for batch in self._batches(rng, len(x), mix=mix):
                self.model.train_on_batch(x[batch], y[batch], **{name: given[batch] for name, given in options.items()})

    def accuracy(self, x: Array, y: Array) -> float:
        """Return the share of samples whose class the model predicts."""
        return float((self.predict(x).argmax(axis=-1) == y).mean())

    def predict(self, x: Array) -> Array:
        """Return the outputs for x as one batch."""
        return np.asarray(self.model.predict_on_batch(x))

    def _batches(self, rng: np.random.Generator, samples: int, *, mix: bool) -> list[Array]:
        """Return the indices of each batch of an epoch; all are of one size, so that one compilation serves."""
        order = rng.permutation(samples) if mix else np.arange(samples)
        batches = [order[start : start + self.batch_size] for start in range(0, samples, self.batch_size)]
        return batches if mix else [batches[index] for index in rng.permutation(len(batches))]
