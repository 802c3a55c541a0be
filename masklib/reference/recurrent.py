"""SimpleRNN, GRU and LSTM over masked sequences: the cells' equations, and one loop that owns the mask rule.

**The mask rule.** A valid step computes new states from its features and the states before it; its output is the new h.
A masked step computes nothing: every state is kept, and the output repeats the output of the step before it, or is
zeros with `zero_output_for_mask`. Before the first valid step there is no output to repeat, and Keras puts zeros there,
even where an initial state was given. A sample that is all masked therefore has outputs of zeros and ends with the
states it began with.

**Time.** With `go_backwards` the sequence is read from its last step to its first, and the outputs come in the order in
which they were made: `outputs[:, 0]` belongs to the last step. The output that Keras returns with
`return_sequences=False` is `outputs[:, -1]` in either direction.

**Weights** are those of `layer.get_weights()`: kernel (F, G*U), recurrent kernel (U, G*U) and, unless
`use_bias=False`, the bias; G gates side by side: one for SimpleRNN; z, r, h for GRU; i, f, c, o for LSTM. Activations
are Keras's defaults: tanh, and sigmoid for the gates. No dropout. Everything is computed in float64.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklib.checks import check_mask, check_one_of, check_rank, check_shape
from masklib.errors import ArgumentError
from masklib.reference.masks import compact

Array = NDArray[np.float64]
States = tuple[Array, ...]  # (h,) or (h, c), each (B, U)
Step = Callable[[Array, States], States]  # x_t (B, F), states -> new states; the new h is the output


class Sequences(NamedTuple):
    """What a recurrent layer returns.

    Attributes:
        outputs: float64 array (B, T, U), in the order in which the steps were read.
        states: the final states, float64 arrays (B, U): (h,), or (h, c) for LSTM.
    """

    outputs: Array
    states: tuple[Array, ...]


def simple_rnn(
    x: ArrayLike,
    weights: Sequence[ArrayLike],
    mask: ArrayLike | None = None,
    *,
    initial_state: Sequence[ArrayLike] | None = None,
    zero_output_for_mask: bool = False,
    go_backwards: bool = False,
) -> Sequences:
    """Run a SimpleRNN: `h_t = tanh(x_t W + h_{t-1} R + b)`.

    Args:
        x: float array (B, T, F); masked steps may hold anything.
        weights: kernel W (F, U), recurrent kernel R (U, U), and bias b (U,) unless the layer has none.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        initial_state: (h,) with h a float array (B, U); None means zeros.
        zero_output_for_mask: masked steps put out zeros instead of the last output.
        go_backwards: read from the last step to the first.

    Returns:
        Sequences with `outputs` (B, T, U) and `states` (h,). All masked: zeros, and the initial state.

    Raises:
        MaskShapeError: an array's shape does not fit the others.
        ArgumentError: `weights` or `initial_state` has the wrong number of arrays.

    Source: `keras.layers.SimpleRNN`; the mask rule of this module.
    """
    x = check_rank("x", x, ("B", "T", "F"))
    W, R, b = _check_weights(weights, n_features=x.shape[2], n_gates=1)

    def step(x_t: Array, states: States) -> States:
        (h,) = states
        return (np.tanh(x_t @ W + h @ R + b),)

    initial = _check_states(initial_state, 1, (len(x), len(R)))
    return _unroll(step, x, mask, initial, zero_output_for_mask, go_backwards)


def gru(
    x: ArrayLike,
    weights: Sequence[ArrayLike],
    mask: ArrayLike | None = None,
    *,
    reset_after: bool = True,
    initial_state: Sequence[ArrayLike] | None = None,
    zero_output_for_mask: bool = False,
    go_backwards: bool = False,
) -> Sequences:
    """Run a GRU: `h_t = z h_{t-1} + (1 - z) h'`, where z is the update gate, r the reset gate, and h' the candidate.

    `z = sigmoid(x_t W_z + h_{t-1} R_z + b_z)`, `r` alike. The reset gate acts after the product with the recurrent
    kernel, `h' = tanh(x_t W_h + b_h + r (h_{t-1} R_h + c_h))`, where the products have biases b and c of their own; or,
    with `reset_after=False`, before it: `h' = tanh(x_t W_h + b_h + (r h_{t-1}) R_h)`.

    Args:
        x: float array (B, T, F); masked steps may hold anything.
        weights: kernel (F, 3U), recurrent kernel (U, 3U), and unless the layer has none the bias, (2, 3U) with rows b
            and c, or (3U,) with `reset_after=False`; gates in the order z, r, h.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        reset_after: as in Keras; the default is the variant that cuDNN computes.
        initial_state: (h,) with h a float array (B, U); None means zeros.
        zero_output_for_mask: masked steps put out zeros instead of the last output.
        go_backwards: read from the last step to the first.

    Returns:
        Sequences with `outputs` (B, T, U) and `states` (h,). All masked: zeros, and the initial state.

    Raises:
        MaskShapeError: an array's shape does not fit the others.
        ArgumentError: `weights` or `initial_state` has the wrong number of arrays.

    Source: `keras.layers.GRU`; the mask rule of this module.
    """
    x = check_rank("x", x, ("B", "T", "F"))
    W, R, bias = _check_weights(weights, n_features=x.shape[2], n_gates=3, n_biases=2 if reset_after else 1)
    b, c = bias if reset_after else (bias, np.zeros_like(bias))
    R_h = _split_gates(R, 3)[2]

    def step(x_t: Array, states: States) -> States:
        (h,) = states
        x_z, x_r, x_h = _split_gates(x_t @ W + b, 3)
        h_z, h_r, h_h = _split_gates(h @ R + c, 3)
        z, r = _sigmoid(x_z + h_z), _sigmoid(x_r + h_r)
        candidate = np.tanh(x_h + (r * h_h if reset_after else (r * h) @ R_h))
        return (z * h + (1 - z) * candidate,)

    initial = _check_states(initial_state, 1, (len(x), len(R)))
    return _unroll(step, x, mask, initial, zero_output_for_mask, go_backwards)


def lstm(
    x: ArrayLike,
    weights: Sequence[ArrayLike],
    mask: ArrayLike | None = None,
    *,
    initial_state: Sequence[ArrayLike] | None = None,
    zero_output_for_mask: bool = False,
    go_backwards: bool = False,
) -> Sequences:
    """Run an LSTM: `c_t = f c_{t-1} + i c'` and `h_t = o tanh(c_t)`.

    The gates i (input), f (forget) and o (output) are `sigmoid(x_t W + h_{t-1} R + b)`, the candidate c' is the tanh of
    the same, each with its own quarter of the weights.

    Args:
        x: float array (B, T, F); masked steps may hold anything.
        weights: kernel (F, 4U), recurrent kernel (U, 4U), and bias (4U,) unless the layer has none; gates in the order
            i, f, c, o.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        initial_state: (h, c), each a float array (B, U); None means zeros.
        zero_output_for_mask: masked steps put out zeros instead of the last output.
        go_backwards: read from the last step to the first.

    Returns:
        Sequences with `outputs` (B, T, U) and `states` (h, c). All masked: zeros, and the initial states.

    Raises:
        MaskShapeError: an array's shape does not fit the others.
        ArgumentError: `weights` or `initial_state` has the wrong number of arrays.

    Source: `keras.layers.LSTM`; the mask rule of this module.
    """
    x = check_rank("x", x, ("B", "T", "F"))
    W, R, b = _check_weights(weights, n_features=x.shape[2], n_gates=4)

    def step(x_t: Array, states: States) -> States:
        h, c = states
        i, f, candidate, o = _split_gates(x_t @ W + h @ R + b, 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(candidate)
        return _sigmoid(o) * np.tanh(c), c

    initial = _check_states(initial_state, 2, (len(x), len(R)))
    return _unroll(step, x, mask, initial, zero_output_for_mask, go_backwards)


CELLS: dict[str, Callable[..., Sequences]] = {
    "simple_rnn": simple_rnn,
    "gru": gru,
    "gru_reset_before": functools.partial(gru, reset_after=False),
    "lstm": lstm,
}


def on_compacted(cell: str, x: ArrayLike, weights: Sequence[ArrayLike], mask: ArrayLike) -> Sequences:
    """Run a cell on each sample with its masked steps removed: what "masked steps are ignored" must be equal to.

    Args:
        cell: one of `CELLS`.
        x: float array (B, T, F).
        weights: as for the cell.
        mask: bool array (B, T), True = valid.

    Returns:
        Sequences with `outputs` (V, U), those of the V valid steps, sample by sample and in time order, as
        `keras_outputs[mask]` has them, and the final `states`, each (B, U).

    Raises:
        ArgumentError: there is no such cell, or `weights` has the wrong number of arrays.
        MaskShapeError: an array's shape does not fit the others.
    """
    run = CELLS[check_one_of("cell", cell, CELLS)]
    parts = compact(x, mask)
    lengths = np.array([len(part) for part in parts])
    outputs: list[Any] = [None] * len(parts)
    finals: list[Any] = [None] * len(parts)
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length)  # samples that are a batch without padding
        short = run(np.stack([parts[b] for b in alike]), weights)
        for b, output, *states in zip(alike, short.outputs, *short.states, strict=True):
            outputs[b], finals[b] = output, states
    return Sequences(np.concatenate(outputs), tuple(np.array(state) for state in zip(*finals, strict=True)))


def both_ways(
    cell: str,
    x: ArrayLike,
    weights: Sequence[ArrayLike],
    mask: ArrayLike | None = None,
    initial_state: Sequence[ArrayLike] | None = None,
) -> Sequences:
    """Run a cell forward and its twin backward, as `Bidirectional` does around a layer that returns sequences.

    Args:
        cell: one of `CELLS`.
        x: float array (B, T, F).
        weights: of the forward layer, then of the backward one, as Keras's `Bidirectional.get_weights` has them.
        mask: bool array (B, T), True = valid; None means that every step is valid.
        initial_state: states (B, U) of the forward layer, then of the backward one; None means zeros.

    Returns:
        Sequences with `outputs` (B, T, 2U), 0 at masked steps, and the final states of both.
    """
    half = len(weights) // 2
    states = [None, None] if initial_state is None else np.array_split(np.asarray(initial_state), 2)
    run = functools.partial(CELLS[check_one_of("cell", cell, CELLS)], x, mask=mask, zero_output_for_mask=True)
    forward = run(weights[:half], initial_state=states[0])
    backward = run(weights[half:], initial_state=states[1], go_backwards=True)
    return bidirectional(forward, backward)


def bidirectional(forward: Sequences, backward: Sequences, merge_mode: str = "concat") -> Sequences:
    """Merge what a layer and its backward twin returned, step by step.

    The backward outputs are first put back into time order, so that both outputs of a merged step belong to that step.
    Keras's Bidirectional overrides `zero_output_for_mask` in both layers: True where it returns sequences, so that the
    merged output of a masked step is zeros, and False where it returns the last output only. Run them with True.

    Args:
        forward: what a layer returned with `go_backwards=False`.
        backward: what a layer returned with `go_backwards=True` on the same `x` and `mask`.
        merge_mode: "concat" (over units, forward first), "sum", "ave" (half the sum) or "mul".

    Returns:
        Sequences with `outputs` (B, T, 2U) for "concat", else (B, T, U), and the forward, then the backward, `states`.

    Raises:
        ArgumentError: `merge_mode` is none of the four.
        MaskShapeError: the outputs differ in shape.

    Source: `keras.layers.Bidirectional` over a layer with `return_sequences=True`; with False, Keras merges the
    `outputs[:, -1]` that each layer made with `zero_output_for_mask=False`.
    """
    check_one_of("merge_mode", merge_mode, ("concat", "sum", "ave", "mul"))
    ahead, back = forward.outputs, backward.outputs[:, ::-1]
    check_shape("backward.outputs", back, ahead.shape, ("B", "T", "U"))
    if merge_mode == "concat":
        merged = np.concatenate([ahead, back], axis=-1)
    elif merge_mode == "mul":
        merged = ahead * back
    else:
        merged = (ahead + back) / (2 if merge_mode == "ave" else 1)
    return Sequences(merged, forward.states + backward.states)


def _unroll(
    step: Step, x: Array, mask: ArrayLike | None, initial: States, zero_output_for_mask: bool, go_backwards: bool
) -> Sequences:
    """Run `step` over the steps, all samples at once, with the mask rule of this module."""
    valid = check_mask(mask, x.shape[:2])
    states = tuple(state.copy() for state in initial)
    output = np.zeros_like(states[0])  # not h: before the first valid step Keras puts out zeros
    outputs = np.zeros((*x.shape[:2], output.shape[1]))
    order = np.arange(x.shape[1])[:: -1 if go_backwards else 1]
    for position, t in enumerate(order):
        on = valid[:, t]  # (B,): nothing is computed for the samples whose step is masked
        computed = step(x[on, t].astype(np.float64), tuple(state[on] for state in states))
        for state, new in zip(states, computed, strict=True):
            state[on] = new
        output[on] = computed[0]
        if zero_output_for_mask:
            output[~on] = 0.0
        outputs[:, position] = output
    return Sequences(outputs, states)


def _sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)), written so that it cannot overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * a))


def _split_gates(a: Array, n_gates: int) -> list[Array]:
    """Split the last axis (G*U) into one array (..., U) a gate."""
    return np.split(a, n_gates, axis=-1)


def _check_weights(weights: Sequence[ArrayLike], n_features: int, n_gates: int, n_biases: int = 1) -> tuple[Array, Array, Array]:
    """Return kernel, recurrent kernel and bias in float64, shapes checked; a layer without bias gets zeros."""
    if len(weights) not in (2, 3):
        msg = f"weights must be [kernel, recurrent_kernel] or [..., bias], got {len(weights)} arrays. Use get_weights()."
        raise ArgumentError(msg)
    kernel, recurrent, *bias = (np.asarray(weight, dtype=np.float64) for weight in weights)
    U = len(recurrent)
    check_shape("kernel", kernel, (n_features, n_gates * U), ("F", f"{n_gates}U"))
    check_shape("recurrent_kernel", recurrent, (U, n_gates * U), ("U", f"{n_gates}U"))
    shape, axes = ((n_gates * U,), [f"{n_gates}U"]) if n_biases == 1 else ((2, n_gates * U), ["2", f"{n_gates}U"])
    return kernel, recurrent, check_shape("bias", bias[0] if bias else np.zeros(shape), shape, axes)


def _check_states(states: Sequence[ArrayLike] | None, n_states: int, shape: tuple[int, int]) -> States:
    """Return the initial states in float64, shapes checked; None means zeros."""
    if states is None:
        states = [np.zeros(shape)] * n_states
    if len(states) != n_states:
        msg = f"initial_state must be {n_states} array(s) (B, U), got {len(states)}. Put them in a list."
        raise ArgumentError(msg)
    return tuple(check_shape("initial_state", np.asarray(s, np.float64), shape, ("B", "U")) for s in states)
