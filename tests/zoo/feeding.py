"""The data of the models: batches of sequences whose padding can be made longer, shorter, or filled with something else.

A `Feed` says what one input (or target) holds; `serve` makes the arrays. What stands at valid steps depends only on the feed,
the sample and its version, never on the padding: so two servings differ in nothing but what was asked for.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.compat import map_structure

Array = NDArray[Any]

LENGTHS: Mapping[str, tuple[int, ...]] = {"a": (4, 2, 3), "b": (2, 4, 3)}  # of the samples, for each sequence
WORDS = ((3, 1, 2, 2), (2, 3, 1, 1), (1, 2, 3, 2))  # of each sample's sentences
SAMPLES = tuple(range(3))
TOTAL, LONGER = 5, 7  # steps with padding; every sample has some
IDS = 12  # ids run from 2 to 11: 0 and 1 are free to be padding
F = 5  # features of a step


@dataclass(frozen=True)
class Feed:
    """What one input or target holds.

    Attributes:
        kind: "ids" (B, T), "steps" (B, T, F), "documents" (B, S, W), "vector" (B, F), "image" (B, F, F, 1), "lengths" (B,),
            "mask" (B, T); for targets also "classes" (B, T), "binary" (B, T, 1), "class" (B,),
            "flag" and "number" (B, 1).
        sequence: whose lengths count, a key of `LENGTHS`.
        pad: what padded steps hold.
        free: whether they may hold anything, because something else marks the padding.
        side: the side of the padding.
        size: features of a step, or of a vector.
        low: the first class that stands at valid steps.
        shift: name of the content; two feeds of the same name and kind hold the same.
    """

    kind: str
    sequence: str = "a"
    pad: float = 0
    free: bool = False
    side: str = "right"
    size: int = F
    low: int = 0
    shift: str = ""

    @property
    def has_time(self) -> bool:
        """Whether the second axis is time."""
        return self.kind in ("ids", "steps", "documents", "mask", "classes", "binary")


@dataclass(frozen=True)
class Serving:
    """Which batch is wanted.

    Attributes:
        total: steps with padding; None: as many as the longest sample has, no padding where it is alone.
        samples: which ones, in this order.
        versions: of each sample's content; another number is another content.
        garbage: what free padding is filled with, a seed; 0: the pad value.
        changed_from: from this step on valid steps hold something else; None: nowhere.
    """

    total: int | None = TOTAL
    samples: tuple[int, ...] = SAMPLES
    versions: Mapping[int, int] = field(default_factory=dict)
    garbage: int = 0
    changed_from: int | None = None

    def but(self, **changes: Any) -> "Serving":
        """Return this serving with some things changed."""
        return replace(self, **changes)


def serve(feeds: Any, serving: Serving, part: str = "") -> Any:
    """Return the arrays for a structure of feeds, None for None; `part` keeps the content of inputs and targets apart."""
    return None if feeds is None else map_structure(lambda feed: _serve_one(feed, serving, part), feeds)


def valid_steps(feed: Feed, sample: int, total: int) -> Array:
    """Return the indices of a sample's valid steps among `total`."""
    n_valid = LENGTHS[feed.sequence][sample]
    return np.arange(n_valid) + (total - n_valid if feed.side == "left" else 0)


def _serve_one(feed: Feed, serving: Serving, part: str) -> Array:
    """Return the array of one feed."""
    total = serving.total or max(LENGTHS[feed.sequence][sample] for sample in serving.samples)
    rows = [_row(feed, sample, serving, total, part) for sample in serving.samples]
    return np.stack(rows)


def _row(feed: Feed, sample: int, serving: Serving, total: int, part: str) -> Array:
    """Return what one sample holds."""
    length = LENGTHS[feed.sequence][sample]
    if feed.kind == "lengths":
        return np.array(length, dtype="int32")
    if feed.kind == "mask":
        return _placed(feed, np.ones(length, dtype=bool), np.zeros(total, dtype=bool))
    content = _content(feed, _key(feed, part, sample, serving.versions.get(sample, 0)), length)
    if not feed.has_time:
        return content
    if serving.changed_from is not None:
        other = _content(feed, _key(feed, part, sample, 99), length)
        content = np.concatenate([content[: serving.changed_from], other[serving.changed_from :]])
    if feed.kind == "documents":
        n_words = serving.total or max(max(WORDS[one][: LENGTHS[feed.sequence][one]]) for one in serving.samples)
        return _document(content, WORDS[sample], total, n_words)
    return _placed(feed, content, _padding(feed, sample, serving, total, content))


def _key(feed: Feed, part: str, sample: int, version: int) -> int:
    """Return the seed of a content."""
    return zlib.crc32(f"{part}/{feed.kind}/{feed.shift or feed.sequence}/{sample}/{version}".encode())


def _content(feed: Feed, key: int, length: int) -> Array:
    """Return what stands at valid steps, or the vector, image or target of a sample."""
    rng = np.random.default_rng(key)
    match feed.kind:
        case "ids":
            return rng.integers(2, IDS, length).astype("int32")
        case "documents":
            return rng.integers(2, IDS, (length, max(map(max, WORDS)))).astype("int32")
        case "steps":
            return rng.normal(1.0, 1.0, (length, feed.size)).astype("float32")
        case "classes":
            return rng.integers(feed.low, feed.size, length).astype("int32")
        case "binary":
            return rng.integers(0, 2, (length, 1)).astype("float32")
        case "class":
            return np.array(rng.integers(0, feed.size), dtype="int32")
        case "flag":
            return rng.integers(0, 2, 1).astype("float32")
        case "number":
            return rng.normal(0.0, 1.0, 1).astype("float32")
        case "image":
            return rng.normal(0.0, 1.0, (feed.size, feed.size, 1)).astype("float32")
        case "vector":
            return rng.normal(0.0, 1.0, feed.size).astype("float32")
    msg = f"A feed must be of a known kind, got {feed.kind!r}."
    raise ValueError(msg)


def _padding(feed: Feed, sample: int, serving: Serving, total: int, like: Array) -> Array:
    """Return `total` steps of padding."""
    if serving.garbage and feed.free:
        garbage = _content(
            feed, zlib.crc32(f"garbage {serving.garbage} of {feed.shift or feed.sequence}, {sample}".encode()), total
        )
        return garbage.astype(like.dtype)
    return np.full((total, *like.shape[1:]), feed.pad, dtype=like.dtype)


def _placed(feed: Feed, content: Array, padding: Array) -> Array:
    """Return the padding with the content put in at its side."""
    placed = padding.copy()
    where = slice(len(padding) - len(content), None) if feed.side == "left" else slice(0, len(content))
    placed[where] = content
    return placed


def _document(content: Array, words: tuple[int, ...], n_sentences: int, n_words: int) -> Array:
    """Return (S, W) ids, 0 after each sentence's last word and after the last sentence."""
    document = np.zeros((n_sentences, n_words), dtype="int32")
    for sentence, length in zip(range(len(content)), words, strict=False):
        document[sentence, :length] = content[sentence, :length]
    return document
