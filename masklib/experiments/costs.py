"""What is timed to find the cost of a mask: models of one layer, and ways to lay sequences of mixed lengths into batches."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from masklib import compat
from masklib.checks import check_one_of
from masklib.experiments import models

Array = NDArray[Any]

RECURRENT = ("lstm", "gru", "simple_rnn", "bidirectional")
KINDS = (*RECURRENT, "attention", "convolution")
CALLS = ("prediction", "training step")
WAYS = ("padded", "trimmed", "sorted", "packed")


def one_layer(
    kind: str,
    units: int,
    features: int,
    *,
    masked: bool = False,
    packed: bool = False,
    steps: int | None = None,
    unroll: bool = False,
) -> Any:
    """Return a model x (B, T, F) -> (B, T, 1) of one layer and `Dense(1)`.

    Args:
        kind: of the layer, one of `KINDS`; a convolution looks at steps before, and its output is multiplied by the mask.
        units: of the layer.
        features: F; a step is masked where all its features are 0.
        masked: whether the layer gets a mask.
        packed: whether attention gets a second input, int (B, T): a step attends to the steps that have its number.
        steps: T, if it is fixed.
        unroll: whether a recurrent layer is, which needs `steps`.

    Raises:
        ArgumentError: `kind` is not one of `KINDS`.
    """
    check_one_of("kind", kind, KINDS)
    inputs: Any = keras.Input((steps, features))
    x = layers.Masking()(inputs) if masked and kind != "convolution" else inputs
    if kind == "convolution":
        y = layers.Conv1D(units, 3, padding="causal")(x)
        y = layers.Lambda(_mask_again)([y, inputs]) if masked else y
    elif kind == "attention":
        attention = layers.MultiHeadAttention(2, units)
        if packed:
            segments = keras.Input((steps,), dtype="int32")
            inputs = [inputs, segments]
            y = attention(x, x, attention_mask=layers.Lambda(_same_segment)(segments))
        else:
            y = attention(x, x)
    elif kind == "bidirectional":
        y = layers.Bidirectional(layers.LSTM(units, return_sequences=True, unroll=unroll))(x)
    else:
        y = models.recurrent(kind, units, return_sequences=True, unroll=unroll)(x)
    return keras.Model(inputs, layers.Dense(1)(y))


def _mask_again(tensors: Sequence[Any]) -> Any:
    """Return y, 0 at the steps at which all features of x are."""
    y, x = tensors
    return y * compat.ops.cast(compat.ops.any(x != 0, -1, keepdims=True), y.dtype)


def _same_segment(segments: Any) -> Any:
    """Return which step (B, T, T) may attend to which: those with the same number."""
    return compat.ops.equal(segments[:, :, None], segments[:, None, :])


def one_pass(call: str, model: Any, batches: Sequence[Any]) -> Callable[[], object]:
    """Return what takes a compiled model through some batches once.

    Args:
        call: one of `CALLS`; targets are 0.
        model: of `one_layer`.
        batches: each what the model takes.

    Raises:
        ArgumentError: `call` is not one of `CALLS`.
    """
    if check_one_of("call", call, CALLS) == "prediction":
        return lambda: [model.predict_on_batch(x) for x in batches]
    shapes = [np.shape(x[0] if isinstance(x, list) else x) for x in batches]
    targets = [np.zeros((*shape[:2], 1), "float32") for shape in shapes]
    return lambda: [model.train_on_batch(x, y) for x, y in zip(batches, targets, strict=True)]


def mask_share(x: Array, share: float, padding: str = "post") -> tuple[Array, slice]:
    """Return x (B, T, F) with this share of its steps set to 0, at the end or at the beginning, and which steps are left."""
    steps = x.shape[1]
    count = max(1, round((1 - share) * steps))
    valid = slice(0, count) if check_one_of("padding", padding, ("pre", "post")) == "post" else slice(steps - count, steps)
    masked = np.zeros_like(x)
    masked[:, valid] = x[:, valid]
    return masked, valid


def draw_lengths(seed: int, samples: int, steps: int, mean: float) -> NDArray[np.int64]:
    """Return lengths from 1 to `steps`, many short and few long: exponentially distributed, rounded up; the first is `steps`."""
    drawn = np.random.default_rng([seed, 21]).exponential(mean, samples)
    lengths = np.clip(np.ceil(drawn), 1, steps).astype(np.int64)
    lengths[0] = steps
    return lengths


class Layout(NamedTuple):
    """Sequences in padded batches.

    Attributes:
        batches: each x float (B, T, F), 0 at padding; B and T may differ.
        segments: for each batch int (B, T), at each step the number of its sequence in the row, from 1; 0 at padding.
        places: for each sequence its batch, its row and its first step.
    """

    batches: list[Array]
    segments: list[Array]
    places: list[tuple[int, int, int]]

    @property
    def padding(self) -> float:
        """Return the share of the steps that are padding."""
        return 1 - sum(int((one > 0).sum()) for one in self.segments) / sum(one.size for one in self.segments)

    def read(self, outputs: Sequence[Array], lengths: Sequence[int]) -> list[Array]:
        """Return the outputs (n, ...) of each sequence from those (B, T, ...) of the batches."""
        where = zip(self.places, lengths, strict=True)
        return [outputs[batch][row, start : start + length] for (batch, row, start), length in where]


def lay_out(sequences: Sequence[Array], way: str, size: int, padding: str = "post") -> Layout:
    """Return sequences in batches of at most `size` rows.

    Args:
        sequences: each (n, F); n differs.
        way: "padded" to the longest of all; "trimmed", each batch to its longest; "sorted" by length first, then trimmed;
            "packed", several in one row as long as the longest of all, by first fit, the longest first.
        size: rows of a batch; packed rows are spread evenly over as few batches as hold them.
        padding: the side on which it is, "pre" or "post".

    Raises:
        ArgumentError: `way` or `padding` is not one of those.
    """
    check_one_of("way", way, WAYS)
    check_one_of("padding", padding, ("pre", "post"))
    lengths = [len(one) for one in sequences]
    rows = [[number] for number in range(len(sequences))]
    if way == "sorted":
        rows.sort(key=lambda row: lengths[row[0]])
    if way == "packed":
        rows = first_fit(lengths, max(lengths))
    count = -(-len(rows) // size)
    groups = [list(map(int, group)) for group in np.array_split(np.arange(len(rows)), count)]
    if way != "packed":
        groups = [list(range(start, min(start + size, len(rows)))) for start in range(0, len(rows), size)]
    layout = Layout([], [], [(0, 0, 0)] * len(sequences))
    for group in groups:
        in_batch = [rows[number] for number in group]
        longest = max(sum(lengths[one] for one in row) for row in in_batch) if way in ("trimmed", "sorted") else max(lengths)
        x = np.zeros((len(in_batch), longest, sequences[0].shape[1]), "float32")
        segments = np.zeros((len(in_batch), longest), "int32")
        for place, row in enumerate(in_batch):
            at = 0 if padding == "post" else longest - sum(lengths[one] for one in row)
            for number, one in enumerate(row, 1):
                x[place, at : at + lengths[one]], segments[place, at : at + lengths[one]] = sequences[one], number
                layout.places[one] = (len(layout.batches), place, at)
                at += lengths[one]
        layout.batches.append(x)
        layout.segments.append(segments)
    return layout


def first_fit(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Return rows of numbers of sequences that `room` holds: each goes into the first row with room for it, the longest first."""
    rows: list[list[int]] = []
    left: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        fits = next((row for row, space in enumerate(left) if space >= lengths[number]), len(rows))
        if fits == len(rows):
            rows.append([])
            left.append(room)
        rows[fits].append(number)
        left[fits] -= lengths[number]
    return rows
