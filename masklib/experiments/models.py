"""The documents' models, and models like them. What the notebooks ask of a model is in `masklib.experiments.measure`."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from masklib import compat
from masklib.checks import check_one_of

Array = NDArray[Any]

CELLS = ("simple_rnn", "gru", "gru_reset_before", "lstm")
BEHIND_MASKING = ("LSTM", "LSTM, Dense", "LSTM, operator +", "Conv1D", "LSTM, RepeatVector, LSTM")
_NEEDS = {"LSTM, operator +": "operators on tensors", "Conv1D": "mask dropped by a layer"}

MERGING = compat.ELEMENTWISE_MERGING


def recurrent(cell: str, units: int, **options: Any) -> Any:
    """Return a recurrent layer by the name of its cell; "gru_reset_before" is GRU with `reset_after=False`.

    Its gates are sigmoids, which is no default of every Keras.

    Raises:
        ArgumentError: `cell` is not one of `CELLS`.
    """
    check_one_of("cell", cell, CELLS)
    if cell == "simple_rnn":
        return layers.SimpleRNN(units, **options)
    if cell == "lstm":
        return layers.LSTM(units, recurrent_activation="sigmoid", **options)
    return layers.GRU(units, recurrent_activation="sigmoid", reset_after=cell == "gru", **options)


def embed_then(vocabulary: int, features: int, steps: int | None, *following: Any, mask_zero: bool = True) -> Any:
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
    """Return the model of the Concatenate experiments: three inputs, Concatenate, three GRUs, softmax.

    `documents.three_inputs_as_printed` is the same as they print it, for the Keras of its day.

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
    gru_1 = recurrent("gru", units, return_sequences=True, name="gru_1")(merged)
    gru_2 = recurrent("gru", units, return_sequences=True, name="gru_2")(gru_1)
    gru_3 = recurrent("gru", units, name="gru_3")(gru_2)
    outputs = layers.Softmax(name="outputs")(layers.Dense(2, name="dense_ft")(gru_3))
    return keras.Model([num, version, missing], outputs)


def merge_masked(layer: Any, masks: Sequence[Array | None], steps: Sequence[int], features: int) -> Any:
    """Return a model of several x (B, T, F), one for each of `steps`: Masking where there is a mask, then a merging layer.

    Args:
        layer: takes a list of tensors.
        masks: of the inputs; None for one that brings no mask.
        steps: T of each.
        features: F of all.
    """
    inputs = [keras.Input((length, features)) for length in steps]
    pairs = zip(inputs, masks, strict=True)
    return keras.Model(inputs, layer([x if mask is None else layers.Masking()(x) for x, mask in pairs]))


def encoder_decoder(steps: int, features: int, classes: int, units: int = 10) -> Any:
    """Return the model of the masked loss answer's question: Masking, LSTM, RepeatVector, LSTM, Dense softmax."""
    inputs = keras.Input((steps, features))
    x = layers.Masking(0.0, name="masking")(inputs)
    x = layers.LSTM(units, name="encoder")(x)
    x = layers.RepeatVector(steps, name="repeat")(x)
    x = layers.LSTM(units, return_sequences=True, name="decoder")(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax", name="output")(x))


def softmax_of(steps: int, features: int, classes: int) -> Any:
    """Return a model x (B, T, F) -> (B, T, C) that is the end of `encoder_decoder`: its Dense softmax."""
    inputs = keras.Input((steps, features))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(inputs))


def without_last(model: Any) -> Any:
    """Return a functional model without its last layer; both share the other layers and their weights."""
    return keras.Model(model.input, model.layers[-1].input)


def behind_masking(name: str, steps: int, features: int, units: int) -> Any:
    """Return a model x (B, T, F) -> (B, T, U) that begins with Masking; `name` says what follows, one of `BEHIND_MASKING`.

    Document 004's own way, with Dense after it as in 000, and ways that people take from there: an operator, a
    convolution, an encoder's last state.

    Raises:
        ArgumentError: `name` is not one of `BEHIND_MASKING`.
    """
    check_one_of("name", name, BEHIND_MASKING)
    inputs = keras.Input((steps, features))
    x = layers.Masking(0.0)(inputs)
    if name == "Conv1D":
        return keras.Model(inputs, layers.Conv1D(units, 3, padding="same")(x))
    if name == "LSTM, RepeatVector, LSTM":
        x = layers.RepeatVector(steps)(layers.LSTM(units)(x))
    output = layers.LSTM(units, return_sequences=True)(x)
    if name == "LSTM, Dense":
        output = layers.Dense(units)(output)
    elif name == "LSTM, operator +":
        output = output + layers.Dense(units)(x)
    return keras.Model(inputs, output)


def lacks_behind_masking(name: str) -> str:
    """Return why `behind_masking(name, ...)` cannot be built with the installed Keras; "" if it can."""
    return compat.lacks(_NEEDS[name]) if name in _NEEDS else ""


def recurrent_only(steps: int, features: int, units: int) -> Any:
    """Return a model x (B, T, F) -> (B, T, U) that is an LSTM, without a mask."""
    inputs = keras.Input((steps, features))
    return keras.Model(inputs, layers.LSTM(units, return_sequences=True)(inputs))


def masked_and_unmasked(steps: int, features: int, units: int) -> Any:
    """Return a model x (B, T, F) with two outputs (B, T, U): "masked", an LSTM after Masking, and "unmasked", a Dense."""
    inputs = keras.Input((steps, features))
    masked = layers.LSTM(units, return_sequences=True, name="masked")(layers.Masking(0.0)(inputs))
    return compat.model_of(inputs, {"masked": masked, "unmasked": layers.Dense(units, name="unmasked")(inputs)})


def draw_states(cell: str, seed: int, samples: int, units: int, scale: float) -> list[Array]:
    """Return initial states (B, U), as many as the cell has, normally distributed with this standard deviation."""
    rng = np.random.default_rng([seed, 11])
    return [rng.normal(0.0, 1.0, (samples, units)).astype("float32") * np.float32(scale) for _ in states_of(cell)]


def states_of(cell: str) -> tuple[str, ...]:
    """Return the names of a cell's states."""
    return ("h", "c") if cell == "lstm" else ("h",)


def given_states(cell: str, vocabulary: int, features: int, units: int, steps: int, *, given: bool, explicit: bool) -> Any:
    """Return a model of ids (B, T), of initial states (B, U) if `given`, and of a mask (B, T) if `explicit`.

    It puts out the outputs (B, T, U) of one recurrent layer after Embedding(mask_zero=True), and its final states.
    """
    ids = keras.Input((steps,), dtype="int32")
    states = [keras.Input((units,)) for _ in states_of(cell)] if given else []
    masks = [keras.Input((steps,), dtype="bool")] if explicit else []
    options: dict[str, Any] = {"initial_state": states} if given else {}
    options |= {"mask": masks[0]} if explicit else {}
    layer = recurrent(cell, units, return_sequences=True, return_state=True)
    outputs = layer(layers.Embedding(vocabulary, features, mask_zero=True)(ids), **options)
    return keras.Model([ids, *states, *masks], outputs)


def seq2seq(vocabulary: int, features: int, units: int, steps: int, *, explicit: bool) -> Any:
    """Return an encoder and decoder of ids (B, T) each: outputs (B, T, U) and last output (B, U) of the decoder.

    Both share the embedding "words" with mask_zero; the decoder starts from the encoder's states, and gets its mask as
    `mask=` too if `explicit`.
    """
    source, target = (keras.Input((steps,), dtype="int32") for _ in range(2))
    words = layers.Embedding(vocabulary, features, mask_zero=True, name="words")
    _, *states = layers.LSTM(units, return_state=True, name="encoder")(words(source))
    decoder = layers.LSTM(units, return_sequences=True, return_state=True, name="decoder")
    options = {"mask": words.compute_mask(target)} if explicit else {}
    outputs, last, _ = decoder(words(target), initial_state=states, **options)
    return keras.Model([source, target], [outputs, last])


def both_ways(vocabulary: int, features: int, units: int, steps: int, *, given: bool) -> Any:
    """Return a model of ids (B, T), and of four states (B, U) if `given`: the outputs (B, T, 2U) of a Bidirectional LSTM."""
    ids = keras.Input((steps,), dtype="int32")
    states = [keras.Input((units,)) for _ in range(4)] if given else []
    layer = layers.Bidirectional(layers.LSTM(units, return_sequences=True))
    options = {"initial_state": states} if given else {}
    return keras.Model([ids, *states], layer(layers.Embedding(vocabulary, features, mask_zero=True)(ids), **options))


def stateful(cell: str, vocabulary: int, features: int, units: int, shape: tuple[int, ...]) -> Any:
    """Return a model of ids of exactly this shape (B, T): the outputs (B, T, U) of a layer that keeps its states."""
    ids = keras.Input(batch_shape=shape, dtype="int32")
    layer = recurrent(cell, units, return_sequences=True, stateful=True)
    return keras.Model(ids, layer(layers.Embedding(vocabulary, features, mask_zero=True)(ids)))


def single_blocks(steps: int, features: int) -> dict[str, Any]:
    """Return what may follow a masked (B, T, F), by name: layers, as many as the installed Keras has, then operations."""
    arguments: dict[str, tuple[Any, ...]] = {
        "Dense": (features,),
        "Activation": ("relu",),
        "Dropout": (0.5,),
        "BatchNormalization": (),
        "LayerNormalization": (),
        "TimeDistributed": (layers.Dense(features),),
        "LSTM": (features,),
        "GlobalAveragePooling1D": (),
        "Conv1D": (features, 2),
        "SeparableConv1D": (features, 2),
        "MaxPooling1D": (2,),
        "AveragePooling1D": (2,),
        "GlobalMaxPooling1D": (),
        "Flatten": (),
        "Reshape": ((features, steps),),
        "Permute": ((2, 1),),
        "ZeroPadding1D": (1,),
        "Cropping1D": (1,),
        "UpSampling1D": (2,),
        "EinsumDense": ("abc,cd->abd", (None, features)),
        "Softmax": (),
    }
    found = {name: getattr(layers, name)(*given) for name, given in arguments.items() if hasattr(layers, name)}
    found["Lambda"] = layers.Lambda(lambda x: 2.0 * x)
    operations = {"x + x": lambda x: x + x, "2 * x": lambda x: 2.0 * x, "x[:, 1:]": lambda x: x[:, 1:]}
    return {**found, **operations}


def replay(predictions: Array, mask: Array, *, mask_zero: bool = True) -> tuple[Any, Array]:
    """Return a model and ids (B, T) for which Keras outputs exactly the given predictions, with that mask.

    The rows of an Embedding(mask_zero=True) are the predictions, and an identity Dense follows. Masked steps are index 0, so
    one prediction stands at all of them: the last that is given.

    Args:
        predictions: (B, T, F), as printed by a document.
        mask: bool (B, T), True = valid.
        mask_zero: whether the predictions carry the mask.
    """
    model = replayer(1 + int(mask.sum()), predictions.shape[-1], steps=mask.shape[1], mask_zero=mask_zero)
    return model, let_replay(model, predictions, mask)


def replayer(rows: int, features: int, *, steps: int | None = None, mask_zero: bool = True) -> Any:
    """Return a model for `let_replay`, of ids (B, T): an Embedding of one row more than there are valid steps, an identity.

    Any number of steps with None.
    """
    return embed_then(rows, features, steps, layers.Dense(features, use_bias=False), mask_zero=mask_zero)


def let_replay(model: Any, predictions: Array, mask: Array) -> Array:
    """Give a `replayer` the weights with which it puts out these predictions, and return the ids; arguments as of `replay`."""
    ids = np.zeros(mask.shape, dtype=int)
    ids[mask] = np.arange(1, mask.sum() + 1)
    rows = np.concatenate([predictions[~mask][-1:], predictions[mask]]).astype("float32")
    model.set_weights([rows, np.eye(predictions.shape[-1], dtype="float32")])
    return ids


def draw_weights(model: Any, seed: int, scale: float = 0.5, *, last_bias: float = 0.0) -> Any:
    """Set every weight of a model to numbers drawn by NumPy, the same for every backend and version; return the model.

    Args:
        model: a built model.
        seed: of the draw.
        scale: standard deviation.
        last_bias: added to the last entry of the last weight: with a softmax over classes of which the last is padding,
            a positive number makes the model expect padding, as a trained one does.
    """
    rng = np.random.default_rng([seed, 6])
    weights = [rng.normal(0.0, scale, w.shape).astype(w.dtype) for w in model.get_weights()]
    weights[-1][..., -1] += last_bias
    model.set_weights(weights)
    return model
