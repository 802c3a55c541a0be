"""The comparisons that other tests rely on reject known-wrong implementations; each accepts the right one first.

Every wrong variant here is a mistake that masking code does make. A helper that compared nothing, or dropped what its
comparison said, would let all of them through.
"""

import numpy as np
import pytest

from masklib.reference import losses, masks, metrics, recurrent
from tests import helpers

# ---------------------------------------------------------------- inputs; distinct primes, nothing symmetric

B, T, F, U = 3, 7, 2, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(B, T, F))
MASK = np.array([[1, 1, 0, 1, 0, 0, 1], [0, 1, 0, 1, 0, 1, 0], [1, 0, 0, 0, 0, 1, 0]], dtype=bool)
PER_STEP = RNG.random((B, T))
WEIGHTS = RNG.random((B, T))
SOME_0 = np.where(np.arange(B * T).reshape(B, T) % 5 == 0, 0.0, WEIGHTS)  # at valid and at masked steps
LSTM_WEIGHTS = [RNG.normal(size=shape) for shape in ((F, 4 * U), (U, 4 * U), (4 * U,))]
GRU_WEIGHTS = [RNG.normal(size=shape) for shape in ((F, 3 * U), (U, 3 * U), (2, 3 * U))]
RNN_WEIGHTS = [RNG.normal(size=shape) for shape in ((F, U), (U, U), (U,))]
Y_TRUE, Y_PRED = RNG.random((2, B, T, F))
LABELS = np.concatenate([np.eye(2)[[0, 1, 1, 0, 1, 0, 1]][np.newaxis]] * B)[..., :1]


def rejects(helper, *arguments, **options):
    """Return whether the helper raises AssertionError."""
    try:
        helper(*arguments, **options)
    except AssertionError:
        return True
    return False


# ---------------------------------------------------------------- wrong recurrent layers


def roll_gates(weights, n_gates):
    """Weights whose gates are taken in another order."""
    return [np.concatenate(np.roll(np.split(w, n_gates, axis=-1), 1, axis=0), axis=-1) for w in weights]


def rnn(x, mask, **rule):
    return recurrent.simple_rnn(x, RNN_WEIGHTS, mask, **rule).outputs


def rnn_state(x, mask):
    return recurrent.simple_rnn(x, RNN_WEIGHTS, mask).states[0]


def rnn_own_loop(x, mask, *, output_repeats=True, state_carries=True, starts_from=0.0):
    """A SimpleRNN from scratch, whose mask rule can be broken in each of its parts."""
    W, R, b = RNN_WEIGHTS
    valid = np.ones(np.shape(x)[:2], dtype=bool) if mask is None else mask
    outputs = np.zeros((*valid.shape, U))
    for sample, steps in enumerate(valid):
        h, output = np.zeros(U), np.full(U, starts_from)
        for t, is_valid in enumerate(steps):
            if is_valid:
                h = output = np.tanh(x[sample, t] @ W + h @ R + b)
            else:
                h = h if state_carries else np.zeros(U)
                output = output if output_repeats else np.zeros(U)
            outputs[sample, t] = output
    return outputs


def rnn_blends(x, mask):
    """Chooses between new and old by arithmetic, so that NaN gets through: m new + (1 - m) old."""
    W, R, b = RNN_WEIGHTS
    h, keep = np.zeros((len(x), U)), np.asarray(mask, float)
    for t in range(np.shape(x)[1]):
        m = keep[:, t, np.newaxis]
        h = m * np.tanh(x[:, t] @ W + h @ R + b) + (1 - m) * h
    return h


def rnn_last_step(x, mask):
    """The last output without any mask: padding is read like the rest."""
    return recurrent.simple_rnn(np.nan_to_num(x), RNN_WEIGHTS).outputs[:, -1]


def lstm(weights=LSTM_WEIGHTS, **rule):
    return recurrent.lstm(X, weights, MASK, **rule).outputs


def gru(weights=GRU_WEIGHTS, **rule):
    return recurrent.gru(X, weights, MASK, **rule).outputs


def gru_swapped_update(x, mask):
    """Computes (1 - z) h + z h', as some papers do; Keras has z and 1 - z the other way round."""
    negated = [w * np.repeat([-1.0, 1.0, 1.0], U) for w in GRU_WEIGHTS]
    return recurrent.gru(x, negated, mask).outputs


BACKWARD = recurrent.simple_rnn(X, RNN_WEIGHTS, MASK, go_backwards=True)
BOTH = recurrent.bidirectional(recurrent.simple_rnn(X, RNN_WEIGHTS, MASK), BACKWARD).outputs


# ---------------------------------------------------------------- wrong masks, losses and metrics


def softmax(logits, mask, axis):
    """Masked softmax over `axis` of (B, T, 1) logits; over time it is axis 1."""
    powers = np.exp(logits) * mask[..., np.newaxis]
    with np.errstate(invalid="ignore"):  # the wrong axis divides 0 by 0
        return powers / powers.sum(axis=axis, keepdims=True)


def times_mask(per_step, mask):
    """Multiplies with the mask instead of choosing by it: right until a masked step holds NaN."""
    return np.sum(per_step * mask) / np.sum(mask)


def shared_denominator(per_step, mask):
    """Every sample's sum over its valid steps, divided by the valid steps of the whole batch."""
    return np.sum(per_step * mask, axis=1) / np.sum(mask)


def sample_means(per_step, mask):
    mask = np.ones_like(per_step, dtype=bool) if mask is None else mask
    return np.array([losses.mean_over_valid(per_step[b : b + 1], mask[b : b + 1]) for b in range(len(per_step))])


def none_is_all_masked(per_step, mask):
    return losses.mean_over_valid(per_step, np.zeros(per_step.shape, dtype=bool) if mask is None else mask)


MATCHES = {
    "mean over T instead of valid steps": (PER_STEP.mean(), losses.mean_over_valid(PER_STEP, MASK)),
    "inverted mask": (losses.mean_over_valid(PER_STEP, ~MASK), losses.mean_over_valid(PER_STEP, MASK)),
    "all steps for valid ones": (losses.mean_over_all(PER_STEP, MASK), losses.mean_over_valid(PER_STEP, MASK)),
    "weights for valid steps": (
        losses.mean_over_weights(PER_STEP, MASK, WEIGHTS),
        losses.mean_over_valid(PER_STEP, MASK, WEIGHTS),
    ),
    "valid steps for weights": (
        losses.mean_over_valid(PER_STEP, MASK, WEIGHTS),
        losses.mean_over_weights(PER_STEP, MASK, WEIGHTS),
    ),
    "weights of 0 counted": (
        losses.mean_over_valid(PER_STEP, MASK, SOME_0),
        losses.weighted_masked_objective(PER_STEP, MASK, SOME_0),
    ),
    "weights of 0 counted at valid steps alone": (
        losses.mean_over_valid(PER_STEP, MASK & (SOME_0 != 0), SOME_0),
        losses.weighted_masked_objective(PER_STEP, MASK, SOME_0),
    ),
    "divided by the weights": (
        losses.mean_over_weights(PER_STEP, MASK, SOME_0),
        losses.weighted_masked_objective(PER_STEP, MASK, SOME_0),
    ),
    "sample means for step means": (
        losses.mean_of_sample_means(PER_STEP, MASK),
        losses.mean_over_valid(PER_STEP, MASK),
    ),
    "batch means for step means": (
        losses.mean_of_batch_means(PER_STEP, MASK, 2),
        losses.mean_over_valid(PER_STEP, MASK),
    ),
    "batches alike for batches by their samples": (
        losses.mean_of_batch_means(PER_STEP, MASK, 2, by_samples=False),
        losses.mean_of_batch_means(PER_STEP, MASK, 2),
    ),
    "weights ignored": (losses.mean_over_valid(PER_STEP, MASK), losses.mean_over_valid(PER_STEP, MASK, WEIGHTS)),
    "sum for mean over features": (F * losses.mse(Y_TRUE, Y_PRED), losses.mse(Y_TRUE, Y_PRED)),
    "mean over time for features": (((Y_TRUE - Y_PRED) ** 2).mean(axis=1), losses.mse(Y_TRUE, Y_PRED)),
    "labels and predictions swapped": (
        losses.binary_crossentropy(Y_PRED, Y_TRUE),
        losses.binary_crossentropy(Y_TRUE, Y_PRED),
    ),
    "absolute for squared error": (losses.mae(Y_TRUE, Y_PRED), losses.mse(Y_TRUE, Y_PRED)),
    "AND for OR": (masks.merge_and([MASK, MASK[::-1]]), masks.merge_or([MASK, MASK[::-1]])),
    "None ignored for None all valid": (masks.merge_and([MASK, None]), masks.merge_or([MASK, None])),
    "left for right padding": (masks.left_padded([2, 3], T), masks.right_padded([2, 3], T)),
    "any for all features masked": (np.all(np.round(X) != 0, axis=-1), masks.masking_mask(np.round(X))),
    "state not carried": (rnn_own_loop(X, MASK, state_carries=False), rnn(X, MASK)),
    "output not repeated": (rnn_own_loop(X, MASK, output_repeats=False), rnn(X, MASK)),
    "output repeated for zeros": (rnn(X, MASK), rnn(X, MASK, zero_output_for_mask=True)),
    "no zeros before the first valid step": (rnn_own_loop(X, MASK, starts_from=0.5), rnn(X, MASK)),
    "mask ignored by a layer": (rnn(X, None), rnn(X, MASK)),
    "mask inverted in a layer": (rnn(X, ~MASK), rnn(X, MASK)),
    "mask of the other direction": (rnn(X, MASK[:, ::-1]), rnn(X, MASK)),
    "forwards for backwards": (rnn(X, MASK), BACKWARD.outputs),
    "backwards left in its order": (np.concatenate([rnn(X, MASK), BACKWARD.outputs], axis=-1), BOTH),
    "backwards before forwards": (np.roll(BOTH, U, axis=-1), BOTH),
    "LSTM gates in another order": (lstm(roll_gates(LSTM_WEIGHTS, 4)), lstm()),
    "GRU gates in another order": (gru(roll_gates(GRU_WEIGHTS, 3)), gru()),
    "GRU biases swapped": (gru([*GRU_WEIGHTS[:2], GRU_WEIGHTS[2][::-1]]), gru()),
    "GRU update the other way round": (gru_swapped_update(X, MASK), gru()),
    "GRU reset before for after": (gru([*GRU_WEIGHTS[:2], GRU_WEIGHTS[2].sum(axis=0)], reset_after=False), gru()),
    "softmax over the wrong axis": (softmax(X[..., :1], MASK, -1), softmax(X[..., :1], MASK, 1)),
    "metric over masked steps": (metrics.auc(LABELS, Y_PRED[..., :1]), metrics.auc(LABELS, Y_PRED[..., :1], MASK)),
    "recall for precision": (metrics.recall(LABELS, Y_PRED[..., :1]), metrics.precision(LABELS, Y_PRED[..., :1])),
    "axes swapped": (PER_STEP.T, PER_STEP),
    "one number for many equal ones": (1.0, np.ones((B, T))),
    "extra axis": (PER_STEP[..., np.newaxis], PER_STEP),
    "NaN for NaN": (np.nan, np.nan),
    "NaN for a number": (np.nan, 1.0),
    "numbers for a mask": (MASK.astype(float), MASK),
    "off by more than the tolerance": (PER_STEP + 2e-12, PER_STEP),
    "one element of many": (np.where(np.arange(B * T).reshape(B, T) == 20, 9.0, PER_STEP), PER_STEP),
}


@pytest.mark.parametrize("mistake", MATCHES)
def test_assert_matches_rejects(mistake):
    wrong, right = MATCHES[mistake]
    if not np.isnan(right).any():
        helpers.assert_matches(np.array(right), right)
    assert rejects(helpers.assert_matches, wrong, right)


def test_own_loop_is_right_when_nothing_is_broken():
    helpers.assert_matches(rnn_own_loop(X, MASK), rnn(X, MASK))
    helpers.assert_matches(rnn_blends(X, MASK), rnn_state(X, MASK))


def test_assert_matches_rejects_nan_under_any_tolerance():
    assert rejects(helpers.assert_matches, [np.nan, 1.0], [np.nan, 1.0], atol=1e9, rtol=1e9)


# helper: (right function, x, {mistake: wrong function}, the helper's further arguments)
PROPERTIES = {
    "assert_ignores_masked_content": (
        losses.mean_over_valid,
        PER_STEP,
        {
            "mean over all steps": lambda x, mask: np.mean(x),
            "inverted mask": lambda x, mask: losses.mean_over_valid(x, ~mask),
            "multiplied by the mask": times_mask,
        },
        [[MASK]],
    ),
    "assert_ignores_masked_content of a layer": (
        rnn,
        X,
        {"mask ignored": lambda x, mask: rnn(x, None), "blended": rnn_blends, "last step": rnn_last_step},
        [[MASK]],
    ),
    "assert_ignores_extra_padding": (
        losses.mean_over_valid,
        PER_STEP,
        {
            "mean over all steps": losses.mean_over_all,
            "inverted mask": lambda x, mask: losses.mean_over_valid(x, ~mask),
            "sum over time divided by T": lambda x, mask: np.sum(x[mask]) / x.shape[1],
        },
        [[MASK, "left"], [MASK, "right"]],
    ),
    "assert_ignores_extra_padding of a layer": (
        rnn_state,
        X,
        {"last step": rnn_last_step, "inverted mask": lambda x, mask: rnn_state(x, ~mask)},
        [[MASK, "left"], [MASK, "right"]],
    ),
    "assert_batch_mates_independent": (
        sample_means,
        PER_STEP,
        {
            "shared denominator": shared_denominator,
            "centred over the batch": lambda x, mask: x - x.mean(axis=0),
            "mates in another order": lambda x, mask: sample_means(x, mask)[::-1],
            "first sample's mask for all": lambda x, mask: sample_means(x, np.repeat(mask[:1], len(mask), axis=0)),
        },
        [[MASK]],
    ),
    "assert_none_means_all_valid": (
        losses.mean_over_valid,
        PER_STEP,
        {
            "None is all masked": none_is_all_masked,
            "None drops the last step": lambda x, mask: losses.mean_over_valid(x[:, :-1] if mask is None else x, None),
        },
        [[]],
    ),
    "assert_equals_compacted": (
        rnn_state,
        X,
        {
            "state not carried": lambda x, mask: rnn_own_loop(x, mask, state_carries=False)[:, -1],
            "output not repeated": lambda x, mask: rnn_own_loop(x, mask, output_repeats=False)[:, -1],
            "mask ignored": lambda x, mask: rnn_state(x, None),
            "masked steps read as zeros": lambda x, mask: rnn_state(
                x if mask is None else helpers.fill_masked(x, mask, 0.0), None
            ),
        },
        [[MASK]],
    ),
}

CASES = [
    pytest.param(name, mistake, more, id=f"{name}: {mistake} {more[1:]}")
    for name, (_, _, wrong, arguments) in PROPERTIES.items()
    for mistake in wrong
    for more in arguments
]


@pytest.mark.parametrize(("name", "mistake", "more"), CASES)
def test_properties_reject(name, mistake, more):
    helper, (right, x, wrong, _) = getattr(helpers, name.split()[0]), PROPERTIES[name]
    helper(right, x, *more)
    assert rejects(helper, wrong[mistake], x, *more)


@pytest.mark.parametrize(
    ("helper", "arguments"),
    [
        (helpers.assert_ignores_masked_content, (losses.mean_over_valid, PER_STEP, np.ones_like(MASK))),
        (helpers.assert_batch_mates_independent, (sample_means, PER_STEP[:1], MASK[:1])),
        (helpers.assert_equals_compacted, (rnn_state, X, np.zeros_like(MASK))),
    ],
)
def test_properties_refuse_inputs_that_test_nothing(helper, arguments):
    assert rejects(helper, *arguments)


def test_every_helper_is_shown_to_bite():
    named = {name for name in dir(helpers) if name.startswith("assert_")}
    assert named == {name.split()[0] for name in PROPERTIES} | {"assert_matches"}


def test_helpers_do_not_drop_their_comparison():
    """Each helper compares through assert_matches: with that made to reject everything, each rejects its right case."""

    def refuse(*arguments, **options):
        raise AssertionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helpers, "assert_matches", refuse)
        for name, (right, x, _, arguments) in PROPERTIES.items():
            for more in arguments:
                assert rejects(getattr(helpers, name.split()[0]), right, x, *more), name


def test_random_mask_leaves_no_sample_trivial(rng):
    mask = helpers.random_mask(rng, (97, 7))
    assert mask.any(axis=1).all()
    assert not mask.all(axis=1).any()
    assert mask.any(axis=0).all()
