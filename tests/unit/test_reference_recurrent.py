"""masklib.reference.recurrent: values by hand, the mask rule, edges, messages.

The numbers are chosen for tanh(ln 2) = (2 - 1/2) / (2 + 1/2) = 0.6, tanh(ln 3) = (3 - 1/3) / (3 + 1/3) = 0.8,
sigmoid(ln 3) = 3/4, sigmoid(-ln 3) = 1/4 and sigmoid(ln 7) = 7/8.
"""

from math import log, tanh

import numpy as np
import pytest

from masklib.errors import ArgumentError, MaskShapeError
from masklib.reference.recurrent import CELLS, Sequences, bidirectional, gru, lstm, on_compacted, simple_rnn
from tests.helpers import assert_matches

SUM_CELL = [[[1.0]], [[1.0]], [0.0]]  # h = tanh(x + h)

# Read forwards: ln 2 gives 0.6, then ln 3 - 0.6 + 0.6 gives 0.8. What masked steps hold, 7, would show.
X = np.array([[[7.0], [log(2)], [7.0], [log(3) - 0.6], [7.0]]])
MASK = np.array([[False, True, False, True, False]])


def test_simple_rnn_computes_its_equation():
    # tanh(x W + h R + b) = tanh(2 * 3 + 4 * (-1) + ln 2 - 2)
    out = simple_rnn([[[2.0]]], [[[3.0]], [[-1.0]], [log(2) - 2.0]], initial_state=[[[4.0]]])
    assert_matches(out.outputs, [[[0.6]]])


def test_masked_steps_repeat_the_last_output_and_keep_the_state():
    out = simple_rnn(X, SUM_CELL, MASK)
    assert_matches(out.outputs, [[[0.0], [0.6], [0.6], [0.8], [0.8]]])
    assert_matches(out.states[0], [[0.8]])


def test_zero_output_for_mask_keeps_the_state_all_the_same():
    out = simple_rnn(X, SUM_CELL, MASK, zero_output_for_mask=True)
    assert_matches(out.outputs, [[[0.0], [0.6], [0.0], [0.8], [0.0]]])
    assert_matches(out.states[0], [[0.8]])


def test_first_masked_step_puts_out_zeros_even_with_an_initial_state():
    x = X - [[[0.0], [0.5], [0.0], [0.0], [0.0]]]  # h is 0.5 before the first valid step
    out = simple_rnn(x, SUM_CELL, MASK, initial_state=[[[0.5]]])
    assert_matches(out.outputs, [[[0.0], [0.6], [0.6], [0.8], [0.8]]])


def test_go_backwards_reads_from_the_end_and_keeps_that_order():
    x = [[[log(3) - 0.6], [7.0], [log(2)], [7.0]]]
    out = simple_rnn(x, SUM_CELL, [[True, False, True, False]], go_backwards=True)
    assert_matches(out.outputs, [[[0.0], [0.6], [0.6], [0.8]]])
    assert_matches(out.states[0], [[0.8]])


def test_samples_do_not_share_their_states():
    x = [[[log(2)], [log(3) - 0.6]], [[log(3)], [7.0]]]
    out = simple_rnn(x, SUM_CELL, [[True, True], [True, False]])
    assert_matches(out.outputs, [[[0.6], [0.8]], [[0.8], [0.8]]])
    assert_matches(out.states[0], [[0.8], [0.8]])


@pytest.mark.parametrize("zero_output_for_mask", [False, True])
def test_all_masked_gives_zeros_and_the_initial_states(zero_output_for_mask, rng):
    h, c = rng.normal(size=(2, 3, 5))
    weights = [rng.normal(size=(2, 20)), rng.normal(size=(5, 20)), rng.normal(size=20)]
    x, masked = np.full((3, 7, 2), np.nan), np.zeros((3, 7), dtype=bool)
    out = lstm(x, weights, masked, initial_state=[h, c], zero_output_for_mask=zero_output_for_mask)
    assert_matches(out.outputs, np.zeros((3, 7, 5)))
    assert_matches(out.states, [h, c])


def test_initial_states_are_not_changed():
    h = np.array([[0.5]])
    simple_rnn([[[1.0]]], SUM_CELL, initial_state=[h])
    assert_matches(h, [[0.5]])


def test_gru_with_reset_after_resets_the_product():
    # z = sigmoid(ln 3 - 1 + 1) = 3/4; r = sigmoid(-ln 3 + 2 - 2) = 1/4; h R_h + c_h = 2 * 1 + 2 = 4;
    # h' = tanh(ln 2 - 1 + 4/4) = 0.6; h = 3/4 * 2 + 1/4 * 0.6 = 1.65
    bias = [[log(3) - 1, -log(3) + 2, log(2) - 1], [1.0, -2.0, 2.0]]
    out = gru([[[5.0]]], [[[0.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]], bias], initial_state=[[[2.0]]])
    assert_matches(out.states[0], [[1.65]])


def test_gru_with_reset_before_resets_the_state():
    # z = 3/4; r = 1/4; h' = tanh(ln 2 - 1/2 + (1/4 * 2) * 1) = 0.6; h = 3/4 * 2 + 1/4 * 0.6 = 1.65
    bias = [log(3), -log(3), log(2) - 0.5]
    weights = [[[0.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]], bias]
    out = gru([[[5.0]]], weights, reset_after=False, initial_state=[[[2.0]]])
    assert_matches(out.states[0], [[1.65]])


@pytest.mark.parametrize(("reset_after", "recurrent"), [(True, (2.0, 3.0)), (False, (6.0, 1.0))])
def test_gru_variants_differ_where_the_recurrent_kernel_mixes_units(reset_after, recurrent):
    # R_h swaps the two units; r = (1/4, 3/4); h = (4, 8). After: r * (8, 4) = (2, 3). Before: (1, 6) swapped = (6, 1).
    # With z = sigmoid(0) = 1/2 and h' = tanh(ln 2) = 0.6: h = (4, 8) / 2 + 0.3 = (2.3, 4.3)
    swap = np.concatenate([np.zeros((2, 4)), [[0.0, 1.0], [1.0, 0.0]]], axis=1)
    bias = np.array([0.0, 0.0, -log(3), log(3), log(2) - recurrent[0], log(2) - recurrent[1]])
    weights = [np.zeros((1, 6)), swap, np.stack([bias, 0 * bias]) if reset_after else bias]
    out = gru([[[5.0]]], weights, reset_after=reset_after, initial_state=[[[4.0, 8.0]]])
    assert_matches(out.states[0], [[2.3, 4.3]])


def test_lstm_takes_its_gates_in_the_order_i_f_c_o():
    # i = 3/4, f = 1/4, c' = 0.6, o = 7/8; c = 1/4 * 2 + 3/4 * 0.6 = 0.95; h = 7/8 * tanh(0.95)
    bias = [log(3), -log(3), log(2), log(7)]
    out = lstm([[[5.0]]], [np.zeros((1, 4)), np.zeros((1, 4)), bias], initial_state=[[[9.0]], [[2.0]]])
    assert_matches(out.states[1], [[0.95]])
    assert_matches(out.states[0], [[7 / 8 * tanh(0.95)]])
    assert_matches(out.outputs, [[[7 / 8 * tanh(0.95)]]])


def test_lstm_feeds_features_and_last_output_to_every_gate():
    # As above, with each gate's number made of x = 1 (half of it), h = 3 (a sixth a unit) and no bias.
    gates = np.array([[log(3), -log(3), log(2), log(7)]])
    out = lstm([[[1.0]]], [gates / 2, gates / 6], initial_state=[[[3.0]], [[2.0]]])
    assert_matches(out.states[1], [[0.95]])


def test_layers_without_bias_count_it_as_zero(rng):
    x = rng.normal(size=(3, 7, 2))
    for layer, n_gates, zeros in ((simple_rnn, 1, (5,)), (gru, 3, (2, 15)), (lstm, 4, (20,))):
        weights = [rng.normal(size=(2, 5 * n_gates)), rng.normal(size=(5, 5 * n_gates))]
        assert_matches(layer(x, weights).outputs, layer(x, [*weights, np.zeros(zeros)]).outputs)


def test_gates_do_not_overflow():
    out = lstm([[[1e9]]], [[[-1.0, -1.0, 1.0, 1.0]], np.zeros((1, 4))], initial_state=[[[0.0]], [[2.0]]])
    assert_matches(out.states[1], [[0.0]])


@pytest.mark.parametrize(
    ("merge_mode", "merged"),
    [
        ("concat", [[[1.0, 40.0], [2.0, 30.0]]]),
        ("sum", [[[41.0], [32.0]]]),
        ("ave", [[[20.5], [16.0]]]),
        ("mul", [[[40.0], [60.0]]]),
    ],
)
def test_bidirectional_merges_outputs_of_the_same_step(merge_mode, merged):
    forward = Sequences(np.array([[[1.0], [2.0]]]), (np.array([[2.0]]),))
    backward = Sequences(np.array([[[30.0], [40.0]]]), (np.array([[40.0]]),))  # made for the last step first
    out = bidirectional(forward, backward, merge_mode)
    assert_matches(out.outputs, merged)
    assert_matches(out.states, [[[2.0]], [[40.0]]])


def test_bidirectional_concatenates_by_default():
    half = Sequences(np.zeros((1, 2, 3)), ())
    assert bidirectional(half, half).outputs.shape == (1, 2, 6)


def test_bidirectional_refuses_what_it_cannot_merge():
    one, two = Sequences(np.zeros((1, 2, 1)), ()), Sequences(np.zeros((1, 3, 1)), ())
    with pytest.raises(MaskShapeError, match=r"backward.outputs must have shape \(B, T, U\) = \(1, 2, 1\)"):
        bidirectional(one, two)
    with pytest.raises(ArgumentError, match="merge_mode must be one of 'concat', 'sum', 'ave', 'mul', got 'max'"):
        bidirectional(one, one, "max")


K, R, B = np.zeros((2, 12)), np.zeros((3, 12)), np.zeros(12)  # of an LSTM with F = 2, U = 3


@pytest.mark.parametrize(
    ("weights", "states", "error", "message"),
    [
        ([K], None, ArgumentError, r"weights must be \[kernel, recurrent_kernel\] or \[\.\.\., bias\], got 1 arrays"),
        ([K[:1], R, B], None, MaskShapeError, r"kernel must have shape \(F, 4U\) = \(2, 12\), got \(1, 12\)"),
        ([K, R[:, :9], B], None, MaskShapeError, r"recurrent_kernel must have shape \(U, 4U\) = \(3, 12\), got \(3, 9\)"),
        ([K, R, B[:9]], None, MaskShapeError, r"bias must have shape \(4U\) = \(12,\), got \(9,\)"),
        ([K, R, B], [np.zeros((1, 3))], ArgumentError, r"initial_state must be 2 array\(s\) \(B, U\), got 1"),
        ([K, R, B], np.zeros((2, 1, 2)), MaskShapeError, r"initial_state must have shape \(B, U\) = \(1, 3\)"),
    ],
)
def test_lstm_refuses_weights_and_states_that_do_not_fit(weights, states, error, message):
    with pytest.raises(error, match=message):
        lstm(np.zeros((1, 5, 2)), weights, initial_state=states)


def test_gru_refuses_the_bias_of_the_other_variant():
    weights = [np.zeros((2, 9)), np.zeros((3, 9)), np.zeros(9)]
    with pytest.raises(MaskShapeError, match=r"bias must have shape \(2, 3U\) = \(2, 9\), got \(9,\)"):
        gru(np.zeros((1, 5, 2)), weights)


@pytest.mark.parametrize("layer", [simple_rnn, gru, lstm])
def test_layers_refuse_sequences_without_features(layer):
    with pytest.raises(MaskShapeError, match=r"x must have shape \(B, T, F\), got \(1, 5\)"):
        layer(np.zeros((1, 5)), [])


def test_layers_refuse_a_mask_of_another_length():
    with pytest.raises(MaskShapeError, match=r"mask must have shape \(B, T\) = \(1, 5\), got \(1, 4\)"):
        simple_rnn(X, SUM_CELL, MASK[:, :4])


def test_on_compacted_gives_the_outputs_of_valid_steps_and_every_final_state():
    x, mask = np.concatenate([X, X, X]), np.concatenate([MASK, ~MASK & False, MASK])
    out = on_compacted("simple_rnn", x, SUM_CELL, mask)
    assert_matches(out.outputs, [[0.6], [0.8], [0.6], [0.8]])
    assert_matches(out.states[0], [[0.8], [0.0], [0.8]])


@pytest.mark.parametrize("cell", CELLS)
def test_on_compacted_agrees_with_the_mask_rule(cell):
    rng = np.random.default_rng(0)
    gates = {"simple_rnn": 1, "lstm": 4}.get(cell, 3)
    bias = (2, 3 * 5) if cell == "gru" else (gates * 5,)
    weights = [rng.normal(size=shape) for shape in ((2, gates * 5), (5, gates * 5), bias)]
    x, mask = rng.normal(size=(3, 7, 2)), rng.random((3, 7)) < 0.5
    masked, short = CELLS[cell](x, weights, mask), on_compacted(cell, x, weights, mask)
    assert_matches(short.outputs[np.newaxis], masked.outputs[mask][np.newaxis])
    for got, expected in zip(short.states, masked.states, strict=True):
        assert_matches(got, expected)


def test_on_compacted_refuses_an_unknown_cell():
    with pytest.raises(ArgumentError, match="'gru_reset_before', 'lstm', got 'rnn'"):
        on_compacted("rnn", X, SUM_CELL, MASK)
