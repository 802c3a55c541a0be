"""The documents' arrays and printed numbers, and synthetic padded batches. NumPy only; every draw is seeded.

The first three digits of a document's file name it; see the ledger.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklib.checks import check_one_of

Float = NDArray[np.float32]

# 000: `mask_zero` of Embedding.
IDS_TRAILING = np.array([[1, 2, 0, 0]])  # (B, T) = (1, 4)
IDS_ALTERNATING = np.array([[1, 0, 2, 0]])
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
    """Return the mask (B, T) of sequences of these lengths, padded behind ("post") or in front ("pre").

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


def draw_layouts(seed: int, samples: int, steps: int) -> NDArray[np.bool_]:
    """Return random layouts of masked steps, bool (B, T); all valid and all masked are the first two."""
    layouts = np.random.default_rng([seed, 7]).random((samples, steps)) < 0.5
    layouts[0], layouts[1:2] = True, False
    return layouts


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

    Numbers are `mask_value` at masked steps, categories 0; a valid category is 1, 2 or 3.
    """
    rng = np.random.default_rng([seed, 9])
    numbers = np.where(masks[0][..., None], rng.uniform(1.0, 2.0, (*masks[0].shape, 3)) + mask_value, mask_value)
    categories = [np.where(mask, rng.integers(1, 4, mask.shape), 0)[..., None] for mask in masks[1:]]
    return [numbers.astype(np.float32), *categories]


def draw_floats(seed: int, shape: tuple[int, ...]) -> Float:
    """Return normally distributed numbers, such as targets (B, T, F)."""
    drawn: Float = np.random.default_rng([seed, 4]).normal(size=shape).astype(np.float32)
    return drawn


def draw_classes(seed: int, shape: tuple[int, ...], classes: int) -> NDArray[np.int64]:
    """Return class indices from 0 to `classes - 1`."""
    return np.random.default_rng([seed, 5]).integers(0, classes, shape)


def one_hot(indices: NDArray[Any], classes: int) -> Float:
    """Return float32 (..., C) with 1 at each index."""
    return np.eye(classes, dtype=np.float32)[indices]
