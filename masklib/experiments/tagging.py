"""A tagging task whose best answer is known: words whose tag depends on how long the sequence is, which the model cannot see."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklib.checks import check_one_of
from masklib.experiments.data import padded_mask

Array = NDArray[Any]

DIVISORS = ("valid steps", "all steps")  # of the loss of a batch
SHORT, LONG = (2, 6), (30, 60)  # steps: from, to


class Sentences(NamedTuple):
    """Padded sequences of words with their tags, half of them short; the short ones come first.

    Attributes:
        ids: int (N, T), from 1 to W; 0 at padded steps.
        tags: int (N, T), 0 or 1; 0 at padded steps.
        mask: bool (N, T), True = valid.
    """

    ids: Array
    tags: Array
    mask: Array


def draw(seed: int, samples: int, words: int) -> Sentences:
    """Return sentences in which a word has tag 1 with probability 0.9 in a short one, and with 0.3 in a long one.

    Args:
        seed: of the draw.
        samples: N, even; half of them are short.
        words: W, all equally frequent.
    """
    rng = np.random.default_rng([seed, 15])
    lengths = np.concatenate([rng.integers(low, high + 1, samples // 2) for low, high in (SHORT, LONG)])
    mask = padded_mask(lengths, LONG[1])
    ids = np.where(mask, rng.integers(1, words + 1, mask.shape), 0)
    often = np.where(np.arange(samples) < samples // 2, 0.9, 0.3)[:, None]
    return Sentences(ids, (mask & (rng.random(mask.shape) < often)).astype("int64"), mask)


def shuffled(sentences: Sentences, seed: int) -> Sentences:
    """Return the sentences in another order, so that every batch has short and long ones."""
    order = np.random.default_rng([seed, 16]).permutation(len(sentences.ids))
    return Sentences(*(array[order] for array in sentences))


def expected_share(sentences: Sentences, batch_size: int, divisor: str) -> float:
    """Return the probability of tag 1, the same for every word, with the least mean of the losses of the batches.

    With `n` valid steps in a batch, `k` of them with tag 1, and divisor d, it is `sum(k / d) / sum(n / d)` over the batches.

    Raises:
        ArgumentError: `divisor` is not one of `DIVISORS`.
    """
    check_one_of("divisor", divisor, DIVISORS)
    tags, mask = (array.reshape(-1, batch_size * array.shape[1]) for array in (sentences.tags, sentences.mask))
    valid = mask.sum(axis=1)
    divisors = valid if divisor == "valid steps" else np.full_like(valid, mask.shape[1])
    return float(((tags * mask).sum(axis=1) / divisors).sum() / (valid / divisors).sum())


def word_ids(words: int, steps: int) -> Array:
    """Return every word once, int (W, T) with the word at the first step, for asking a model what it learned."""
    ids = np.zeros((words, steps), "int64")
    ids[:, 0] = np.arange(1, words + 1)
    return ids
