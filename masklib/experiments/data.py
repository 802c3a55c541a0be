"""The documents' arrays and printed numbers, and synthetic padded batches. NumPy only; every draw is seeded.

The first three digits of a document's file name it; see the ledger.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklib.checks import check_one_of

Float = NDArray[np.float32]

# 000: `mask_zero` of Embedding.
IDS_TRAILING = np.array([[1, 2, 0, 0]])  # (B, T) = (1, 4)
IDS_ALTERNATING = np.array([[1, 0, 2, 0]])
OUTPUT_000 = np.array(  # printed output of Embedding(5, 5, mask_zero=True) for IDS_TRAILING
    [
        [
            [0.02499047, 0.04617121, 0.01586803, 0.0338897, 0.009652],
            [0.04782704, -0.04035913, -0.0341589, 0.03020919, -0.01157228],
            [0.00451764, -0.01433611, 0.02606953, 0.00328832, 0.02650392],
            [0.00451764, -0.01433611, 0.02606953, 0.00328832, 0.02650392],
        ]
    ]
)
LSTM_000 = np.array(  # printed output of an LSTM(3, return_sequences=True) after it, for IDS_ALTERNATING
    [
        [
            [-0.00084503, -0.00413611, 0.00049972],
            [-0.00084503, -0.00413611, 0.00049972],
            [-0.00144554, -0.00115775, -0.00293898],
            [-0.00144554, -0.00115775, -0.00293898],
        ]
    ]
)
TARGETS_000 = np.arange(12).reshape(1, 4, 3)
PREDICTIONS_000 = np.array(
    [
        [
            [0.009682, 0.02505393, -0.00632722],
            [0.01756451, 0.05928303, 0.0153951],
            [-0.00146054, -0.02064196, -0.04356086],
            [-0.00146054, -0.02064196, -0.04356086],
        ]
    ]
)
LOSS_000 = 9.041069030761719  # printed by evaluate
LOSS_000_NUMPY = 9.041070036475277  # printed by the document's own NumPy line

# 001: three inputs merged by Concatenate; steps 1, 3 and 5 masked.
NUM_001 = np.array([[[0, 0, 0], [1, 2, 3], [0, 0, 0], [1, 2, 3], [0, 0, 0]]], dtype=np.float32)  # (1, 5, 3)
CATEGORY_001 = np.array([[[0], [1], [0], [1], [0]]])  # (1, 5, 1), both categorical inputs

# 004: the answer's example, Masking, LSTM(3), mae.
INPUTS_004 = np.array([[[0, 0], [0, 0], [1, 0], [0, 1], [0, 1]], [[0, 0], [0, 1], [1, 0], [0, 1], [0, 1]]], dtype=np.float32)
TARGETS_004 = np.ones((2, 5, 3), dtype=np.float32)
PREDICTIONS_004 = np.array(
    [
        [
            [0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0],
            [-0.11980877, 0.05803877, 0.07880752],
            [-0.00429189, 0.13382857, 0.19167568],
            [0.06817091, 0.19093043, 0.26219055],
        ],
        [
            [0.0, 0.0, 0.0],
            [0.0651961, 0.10283815, 0.12413475],
            [-0.04420842, 0.137494, 0.13727818],
            [0.04479844, 0.17440712, 0.24715884],
            [0.11117355, 0.21645413, 0.30220413],
        ],
    ]
)
LOSS_004 = 0.881977558136  # printed by evaluate
MASKED_LOSS_004, UNMASKED_LOSS_004 = 0.881978, 0.917384  # printed by the document's own NumPy lines

# 004: the question's batch, '##abb' and '#babb'; the padding '#' is [0, 0, 0] in the inputs and [0, 0, 1] in the targets.
LENGTHS_SEQ = (3, 4)
INPUTS_SEQ = np.array(
    [
        [[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]],
        [[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]],
    ],
    dtype=np.float32,
)
PADDING_SEQ = (0, 0, 1)
TARGETS_SEQ = np.array(
    [
        [[0, 0, 1], [0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 0]],
        [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]],
    ],
    dtype=np.float32,
)


class Batch(NamedTuple):
    """A padded batch.

    Attributes:
        x: float32 (B, T, F), 0 at masked steps and never 0 elsewhere.
        mask: bool (B, T), True = valid.
        lengths: int (B,), valid steps of each sample.
    """

    x: Float
    mask: NDArray[np.bool_]
    lengths: NDArray[np.int64]


def padded_mask(lengths: Sequence[int] | NDArray[np.int64], steps: int, padding: str = "post") -> NDArray[np.bool_]:
    """Return the mask (B, T) of sequences of these lengths, padded at the end ("post") or at the beginning ("pre").

    Raises:
        ArgumentError: `padding` is neither.
    """
    check_one_of("padding", padding, ("pre", "post"))
    behind = np.arange(steps)[None, :] < np.asarray(lengths)[:, None]
    return behind if padding == "post" else behind[:, ::-1]


def draw_lengths(seed: int, samples: int, steps: int) -> NDArray[np.int64]:
    """Return `samples` lengths from 1 to `steps`; the first is `steps` and the second 1, so that they always differ."""
    lengths = np.random.default_rng([seed, 1]).integers(1, steps + 1, samples)
    lengths[:2] = np.array([steps, 1])[:samples]
    return lengths


def layouts(steps: int, seed: int) -> NDArray[np.bool_]:
    """Return layouts of masked steps, bool (N, T): every way there is if `steps` is at most 6, else 64 drawn ones.

    All masked is the first, all valid the last, drawn or not.
    """
    if steps <= 6:
        return np.array(list(itertools.product([False, True], repeat=steps)))
    drawn = np.random.default_rng([seed, 7]).random((64, steps)) < 0.5
    drawn[0], drawn[-1] = False, True
    return drawn


def draw_batch(seed: int, samples: int, steps: int, features: int, padding: str = "post") -> Batch:
    """Return a batch of sequences of differing lengths, padded with 0."""
    lengths = draw_lengths(seed, samples, steps)
    mask = padded_mask(lengths, steps, padding)
    x = np.random.default_rng([seed, 2]).uniform(0.1, 1.0, (samples, steps, features)).astype(np.float32)
    return Batch(x * mask[..., None], mask, lengths)


def draw_words(seed: int, mask: NDArray[np.bool_], classes: int) -> tuple[Float, Float]:
    """Return a batch like the question's of 004: one-hot inputs and targets (B, T, C).

    The last class is the padding: inputs are all 0 there, targets one-hot of the last class. It occurs nowhere else.
    """
    words = one_hot(np.random.default_rng([seed, 8]).integers(0, classes - 1, mask.shape), classes)
    padding = np.eye(classes, dtype=np.float32)[-1]
    return words * mask[..., None], np.where(mask[..., None], words, padding)


def draw_ids(seed: int, mask: NDArray[np.bool_], vocabulary: int) -> NDArray[np.int64]:
    """Return word indices (B, T) from 1 to `vocabulary - 1`, 0 at masked steps."""
    return np.where(mask, np.random.default_rng([seed, 3]).integers(1, vocabulary, mask.shape), 0)


def draw_three_inputs(seed: int, masks: Sequence[NDArray[np.bool_]], mask_value: float = 0.0) -> list[NDArray[Any]]:
    """Return inputs like those of 001: numbers (B, T, 3) and two categories (B, T, 1), masked as the three masks (B, T) say.

    Numbers are `mask_value` at masked steps, categories 0; a valid number differs from `mask_value` by 1 to 2, a valid
    category is 1, 2 or 3.
    """
    rng = np.random.default_rng([seed, 9])
    numbers = np.where(masks[0][..., None], rng.uniform(1.0, 2.0, (*masks[0].shape, 3)) + mask_value, mask_value)
    categories = [np.where(mask, rng.integers(1, 4, mask.shape), 0)[..., None] for mask in masks[1:]]
    return [numbers.astype(np.float32), *categories]


def draw_floats(seed: int, shape: tuple[int, ...]) -> Float:
    """Return normally distributed numbers, such as targets (B, T, F)."""
    drawn: Float = np.random.default_rng([seed, 4]).normal(size=shape).astype(np.float32)
    return drawn


def draw_targets(seed: int, mask: NDArray[np.bool_], features: int) -> Float:
    """Return targets (B, T, F) for which it shows what a loss divides by.

    At valid steps they are normally distributed and grow with the length of the sequence, so that a step of a long one
    costs more than a step of a short one; at masked steps they lie 2 away, so that counting them costs.
    """
    length = mask.mean(axis=1)[:, None, None]
    spread, offset = np.where(mask[..., None], 2 * length, 1.0), np.where(mask[..., None], 0.0, 2.0)
    targets: Float = (spread * draw_floats(seed, (*mask.shape, features)) + offset).astype(np.float32)
    return targets


def draw_scores(seed: int, mask: NDArray[np.bool_]) -> tuple[Float, NDArray[np.int64]]:
    """Return scores from 0 to 1 and labels 0 or 1, each (B, T, 1), for which each metric sees whether padding counts.

    At masked steps the score is 0.9 and the label 1. The first two valid steps are a miss and a false alarm, so that
    no metric is perfect on the valid steps alone.
    """
    rng = np.random.default_rng([seed, 5])
    scores = np.where(mask, rng.uniform(size=mask.shape), 0.9)
    labels = np.where(mask, rng.integers(0, 2, mask.shape), 1)
    first = np.flatnonzero(mask)[:2]
    np.put(scores, first, [0.1, 0.8])
    np.put(labels, first, [1, 0])
    return scores[..., None].astype(np.float32), labels[..., None]


def draw_labels(seed: int, mask: NDArray[np.bool_], classes: int) -> NDArray[np.int64]:
    """Return classes (B, T) of which the last one, C - 1, marks steps to ignore: every third valid, every second padded one.

    So what is ignored is neither the padding nor the rest: three valid, or two padded, steps in a row have both kinds.
    """
    sample, step = np.indices(mask.shape)
    drawn = np.random.default_rng([seed, 11]).integers(0, classes - 1, mask.shape)
    return np.where((sample + step) % np.where(mask, 3, 2) == 0, classes - 1, drawn)


def draw_sample_weights(seed: int, shape: tuple[int, ...]) -> Float:
    """Return sample weights from 0.5 to 2, such as (B,) or (B, T)."""
    weights: Float = np.random.default_rng([seed, 10]).uniform(0.5, 2.0, shape).astype(np.float32)
    return weights


def draw_weight_kinds(seed: int, samples: int, steps: int) -> dict[str, Float | None]:
    """Return sample weights by their kind: none, one a step (B, T) or a sample (B, 1), all positive and with every third 0."""
    kinds: dict[str, Float | None] = {"none": None}
    for name, shape in {"per step, (B, T)": (samples, steps), "per sample, (B, 1)": (samples, 1)}.items():
        weights = draw_sample_weights(seed, shape)
        kinds[name] = weights
        kinds[f"{name}, some 0"] = np.where(np.arange(weights.size).reshape(shape) % 3 == 0, np.float32(0), weights)
    return kinds


def one_hot(indices: NDArray[Any], classes: int) -> Float:
    """Return float32 (..., C) with 1 at each index."""
    rows: Float = np.eye(classes, dtype=np.float32)[indices]
    return rows
