"""The documents' models, and what the notebooks do with models: draw weights, predict, ask for masks and losses."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from masklib.checks import check_one_of
from masklib.layers import NO_MASK, MaskProbe

Array = NDArray[Any]

CELLS = ("simple_rnn", "gru", "gru_reset_before", "lstm")


def recurrent(cell: str, units: int, **options: Any) -> Any:
    """Return a recurrent layer by the name of its cell; "gru_reset_before" is GRU with `reset_after=False`.

    Raises:
        ArgumentError: `cell` is not one of `CELLS`.
    """
    check_one_of("cell", cell, CELLS)
    if cell == "lstm":
        return layers.LSTM(units, **options)
    if cell == "simple_rnn":
        return layers.SimpleRNN(units, **options)
    return layers.GRU(units, reset_after=cell == "gru", **options)


def chosen_cells(cell: str) -> tuple[str, ...]:
    """Return every cell for "all", else the one."""
    return CELLS if cell == "all" else (check_one_of("cell", cell, CELLS),)


def embed_then(vocabulary: int, features: int, steps: int, *following: Any, mask_zero: bool = True) -> Any:
    """Return a functional model: ids (B, T), Embedding, then the given layers in order."""
    inputs = keras.Input((steps,), dtype="int32")
    x = layers.Embedding(vocabulary, features, mask_zero=mask_zero)(inputs)
    for layer in following:
        x = layer(x)
    return keras.Model(inputs, x)


def mask_then(steps: int, features: int, *following: Any, mask_value: float = 0.0) -> Any:
    """Return a functional model: x (B, T, F), Masking, then the given layers in order."""
    inputs = keras.Input((steps, features))
    x = layers.Masking(mask_value)(inputs)
    for layer in following:
        x = layer(x)
    return keras.Model(inputs, x)


def three_inputs(
    units: int = 3, steps: int = 5, masked: Sequence[bool] = (True, True, True), mask_value: float = 0.0, vocabulary: int = 180
) -> Any:
    """Return the model of document 001: three inputs, Concatenate, three GRUs, softmax.

    Args:
        units: of each GRU; the document uses 3.
        steps: T.
        masked: for each of the three inputs, whether it brings a mask; in the document all do.
        mask_value: of the Masking layer on the numeric input; the document uses 0.
        vocabulary: of the first categorical input; the document uses 180.
    """
    num = keras.Input((steps, 3), name="num")
    version, missing = keras.Input((steps, 1), name="version"), keras.Input((steps, 1), name="missing")
    first = layers.Masking(mask_value, name="M_num")(num) if masked[0] else num
    second = layers.Embedding(vocabulary, 2, mask_zero=masked[1], name="M_version")(layers.Reshape((steps,))(version))
    third = layers.Embedding(4, 1, mask_zero=masked[2], name="M_missing")(layers.Reshape((steps,))(missing))
    merged = layers.Concatenate(axis=-1, name="concate")([first, second, third])
    gru_1 = layers.GRU(units, return_sequences=True, name="gru_1")(merged)
    gru_2 = layers.GRU(units, return_sequences=True, name="gru_2")(gru_1)
    gru_3 = layers.GRU(units, name="gru_3")(gru_2)
    outputs = layers.Softmax(name="outputs")(layers.Dense(2, name="dense_ft")(gru_3))
    return keras.Model([num, version, missing], outputs)


def encoder_decoder(steps: int, features: int, classes: int, units: int = 10) -> Any:
    """Return the model of document 004's question: Masking, LSTM, RepeatVector, LSTM, Dense softmax."""
    inputs = keras.Input((steps, features))
    x = layers.Masking(0.0, name="masking")(inputs)
    x = layers.LSTM(units, name="encoder")(x)
    x = layers.RepeatVector(steps, name="repeat")(x)
    x = layers.LSTM(units, return_sequences=True, name="decoder")(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax", name="output")(x))


def masked_at_first(steps: int, features: int, units: int) -> dict[str, Any]:
    """Return models of the same input and output shape that all begin with Masking, by what comes behind it.

    The documents' own way, and ways on which the mask is lost: an operator, a convolution, an encoder's last state.
    """
    inputs = keras.Input((steps, features))
    x = layers.Masking(0.0)(inputs)
    sequence = {name: layers.LSTM(units, return_sequences=True)(x) for name in ("LSTM", "LSTM, Dense", "LSTM, operator +")}
    outputs = {
        "Masking, LSTM": sequence["LSTM"],
        "Masking, LSTM, Dense": layers.Dense(units)(sequence["LSTM, Dense"]),
        "Masking, LSTM, operator +": sequence["LSTM, operator +"] + layers.Dense(units)(x),
        "Masking, Conv1D": layers.Conv1D(units, 3, padding="same")(x),
        "Masking, LSTM, RepeatVector, LSTM": layers.LSTM(units, return_sequences=True)(
            layers.RepeatVector(steps)(layers.LSTM(units)(x))
        ),
    }
    return {name: keras.Model(inputs, output) for name, output in outputs.items()}


def replay(predictions: Array, mask: Array) -> tuple[Any, Array]:
    """Return a model and ids (B, T) for which Keras outputs exactly the given predictions, with that mask.

    The rows of an Embedding(mask_zero=True) are the predictions, and an identity Dense follows. Masked steps are index 0, so
    one prediction stands at all of them: the last that is given.

    Args:
        predictions: (B, T, F), as printed by a document.
        mask: bool (B, T), True = valid.
    """
    ids = np.zeros(mask.shape, dtype=int)
    ids[mask] = np.arange(1, mask.sum() + 1)
    rows = np.concatenate([predictions[~mask][-1:], predictions[mask]]).astype("float32")
    features = predictions.shape[-1]
    model = embed_then(len(rows), features, mask.shape[1], layers.Dense(features, use_bias=False))
    model.set_weights([rows, np.eye(features, dtype="float32")])
    return model, ids


def draw_weights(model: Any, seed: int, scale: float = 0.5) -> Any:
    """Set every weight of a model to numbers drawn by NumPy, the same for every backend and version; return the model."""
    rng = np.random.default_rng([seed, 6])
    model.set_weights([rng.normal(0.0, scale, w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


def predict(model: Any, x: Any) -> Any:
    """Return the outputs for the whole of `x` as one batch."""
    return model.predict(x, batch_size=_samples(x), verbose=0)


def evaluate(model: Any, x: Any, y: Any, loss: Any, *, batch_size: int | None = None, **options: Any) -> dict[str, float]:
    """Compile a model with `loss` and return what Keras's own `evaluate` reports, by name.

    Args:
        model: any Keras model.
        x: inputs.
        y: targets.
        loss: as `compile` takes it.
        batch_size: samples a batch; None puts all into one.
        **options: `sample_weight` goes to `evaluate`, the rest to `compile`.
    """
    sample_weight = options.pop("sample_weight", None)
    model.compile(loss=loss, optimizer="sgd", **options)
    return report(model, x, y, batch_size=batch_size, sample_weight=sample_weight)


def report(model: Any, x: Any, y: Any, *, batch_size: int | None = None, sample_weight: Any = None) -> dict[str, float]:
    """Return what `evaluate` of a compiled model reports, by name; arguments as for `evaluate` here."""
    size = batch_size or _samples(x)
    reported = model.evaluate(x, y, batch_size=size, sample_weight=sample_weight, verbose=0, return_dict=True)
    return {name: float(value) for name, value in reported.items()}


def first_loss(model: Any, x: Any, y: Any, loss: Any, *, batch_size: int | None = None, shuffle: bool = True) -> float:
    """Return the loss that `fit` reports for its first epoch, with a learning rate of 0, so that nothing is learnt meanwhile."""
    model.compile(loss=loss, optimizer=keras.optimizers.SGD(learning_rate=0.0))
    size = batch_size or _samples(x)
    return float(model.fit(x, y, batch_size=size, shuffle=shuffle, epochs=1, verbose=0).history["loss"][0])


def outcome(call: Callable[[], float]) -> float | str:
    """Return what `call` returns, or the name of the error that it raises: a document's snippet may do either."""
    try:
        return call()
    except Exception as error:  # whatever the backend raises is the finding
        return type(error).__name__


def arriving_mask(inputs: Any, tensor: Any, x: Any) -> Array | None:
    """Return the mask (B, T) that reaches a layer placed behind `tensor`, or None if none does.

    Args:
        inputs: the model's inputs.
        tensor: a symbolic tensor (B, T, ...) of that model, such as `model.get_layer(name).output`.
        x: a batch of data.
    """
    values = predict(keras.Model(inputs, MaskProbe()(tensor)), x)
    return None if (values == NO_MASK).all() else values.astype(bool)


def time_in_turn(calls: Mapping[Any, Callable[[], object]], repeats: int) -> dict[Any, float]:
    """Return the median seconds of each call, the calls made in turn so that a slow moment of the machine meets them all.

    The first two rounds are not counted: compilation falls into them.
    """
    seconds: dict[Any, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values[2:])) for name, values in seconds.items()}


def computed_masks(layer: Any, x: Any, mask: Any) -> Any:
    """Return what `layer.compute_mask` returns, masks as nested lists, after the layer was built by calling it on `x`."""
    layer(x)

    def plain(found: Any) -> Any:
        if isinstance(found, list | tuple):
            return [plain(one) for one in found]
        return None if found is None else np.asarray(found).tolist()

    return plain(layer.compute_mask(x, mask))


def inner_outputs(model: Any, layer: str, x: Any) -> Array:
    """Return the output of one layer of a functional model."""
    return np.asarray(predict(keras.Model(model.inputs, model.get_layer(layer).output), x))


def weight_step(model: Any, x: Any, y: Any, loss: Any, index: int = 0) -> Array:
    """Return the gradient of the loss with respect to one weight, from one step of plain gradient descent.

    With a learning rate of 1 the weight moves by minus its gradient; the weights are put back. Needs nothing of a backend.

    Args:
        model: any Keras model.
        x: inputs of one batch.
        y: its targets.
        loss: as `compile` takes it.
        index: of the weight in `model.get_weights()`.
    """
    before = model.get_weights()
    model.compile(loss=loss, optimizer=keras.optimizers.SGD(learning_rate=1.0), run_eagerly=True)
    model.train_on_batch(x, y)
    after = model.get_weights()
    model.set_weights(before)
    return np.asarray(before[index] - after[index])


def _samples(x: Any) -> int:
    """Return B of an array or of a list of arrays."""
    return len(x[0]) if isinstance(x, list | tuple) else len(x)
