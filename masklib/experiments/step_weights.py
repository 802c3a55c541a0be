"""The ways to tell Keras which steps count, and what they weigh: a mask, sample weights, an ignored class, several at once.

NumPy only. What Keras makes of them is measured in notebook 08.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklib.checks import check_one_of
from masklib.experiments import data

Array = NDArray[Any]

NO_WEIGHTS, ZERO_ONE, PER_STEP = "", "weights 0, 1", "weights per step"
COLUMN, FLAT, SQUARE = "weights (B, 1)", "weights (B,), B ≠ T", "weights (B,), B = T"
WEIGHTS = (NO_WEIGHTS, ZERO_ONE, PER_STEP, COLUMN, FLAT, SQUARE)
VALID, KEPT, BOTH, ALL = "valid", "kept", "valid, kept", "all"


class Given(NamedTuple):
    """What a user gives beside inputs and targets.

    Attributes:
        mask: whether the predictions carry the mask of the padding.
        weights: the kind of sample weights, one of `WEIGHTS`.
        ignores: whether the loss ignores a class.
    """

    mask: bool
    weights: str = NO_WEIGHTS
    ignores: bool = False

    @property
    def name(self) -> str:
        """Return it in words."""
        parts = ["mask"] * self.mask + ["ignore_class"] * self.ignores + [self.weights] * bool(self.weights)
        return " + ".join(parts) or "nothing"

    @property
    def wanted(self) -> str:
        """The name of the steps that ought to count, by whatever means: `VALID`, or `BOTH`."""
        return BOTH if self.ignores else VALID

    @property
    def meant(self) -> str:
        """The name of the weights that are meant: "as given", or "1" where there are none."""
        return "as given" if self.weights else "1"

    @property
    def divisor(self) -> str:
        """The name of what a weighted mean divides by: "weights", or the steps that ought to count."""
        return "weights" if self.weights else self.wanted

    @property
    def unweighted(self) -> "Given":
        """The same without weights: what a metric in `metrics` is given."""
        return self._replace(weights=NO_WEIGHTS)

    def ignored(self, classes: int) -> int | None:
        """Return the class that the loss ignores, the last one of `classes`, or None."""
        return classes - 1 if self.ignores else None

    @property
    def is_weighted(self) -> bool:
        """Whether valid steps have weights of their own."""
        return self.weights not in (NO_WEIGHTS, ZERO_ONE)


class Case(NamedTuple):
    """A padded batch, and what is given beside it.

    Attributes:
        ids: int (B, T), 0 at masked steps.
        labels: int (B, T), of which one may be ignored.
        mask: bool (B, T), True = valid.
        kept: bool (B, T), True where the label is not the ignored one.
        answers: int (B, T, 1), labels 0 or 1.
        scores: float32 (B, T, 1), predictions of the answers: 0.05, 0.15, ... 0.95.
        sample_weight: (B, T), (B, 1) or (B,); None for none.
        each: float (B, T) or (B, 1), the weight of each step that the user means; None for 1.
    """

    ids: Array
    labels: Array
    mask: Array
    kept: Array
    answers: Array
    scores: Array
    sample_weight: Array | None
    each: Array | None

    @property
    def every(self) -> dict[str, Array | None]:
        """The steps that may count where nothing is ignored."""
        return {VALID: self.mask, ALL: None}

    @property
    def counts(self) -> dict[str, Array | None]:
        """The steps that may count, by name; kept is what is not ignored; None for all."""
        return {BOTH: self.mask & self.kept, VALID: self.mask, KEPT: self.kept, ALL: None}

    @property
    def weights(self) -> dict[str, Array | None]:
        """The weights that steps may have, by name: 1, those given, what is left of them as integers, or along time.

        "along time" is what broadcasting makes of (B,) where B = T: the weight of sample i on step i of every sample.
        """
        if self.sample_weight is None:
            return {"1": None}
        named = {"1": None, "as given": self.each, "as integers": np.floor(np.asarray(self.each))}
        steps = self.mask.shape[1]
        square = self.sample_weight.shape == (steps,)
        return named | ({"along time": self.sample_weight[np.newaxis]} if square else {})


def every_given() -> list[Given]:
    """Return each kind of weights, without and with a mask; then an ignored class with and without mask and weights."""
    plain = [Given(mask, weights) for mask in (False, True) for weights in WEIGHTS]
    return plain + [Given(mask, weights, True) for mask in (False, True) for weights in (NO_WEIGHTS, PER_STEP)]


def for_metrics() -> list[tuple[str, Given]]:
    """Return how a metric may be given, and what: in `metrics`, which gets no weights, or in `weighted_metrics`."""
    plain = [("metrics", Given(False, ZERO_ONE)), ("metrics", Given(True))]
    return (
        plain
        + [("weighted_metrics", given) for _, given in plain]
        + [("weighted_metrics", Given(True, weights)) for weights in (ZERO_ONE, PER_STEP, COLUMN)]
    )


def draw_cases(
    seed: int,
    given: Given,
    samples: int,
    steps: int,
    further: int,
    *,
    padding: str = "post",
    classes: int = 4,
    vocabulary: int = 9,
) -> list[Case]:
    """Return the same sequences padded to `steps` and to `steps + further`, both with what is given beside them.

    Weights (B,) with B = T are for the first T samples, and without further padding, which would make B and T differ.

    Args:
        seed: of the draw.
        given: what is given.
        samples: B, more than `steps`.
        steps: T; the sequences are no longer.
        further: steps of further padding.
        padding: its side, "pre" or "post".
        classes: C; the label C - 1 is the one that may be ignored.
        vocabulary: of the ids.
    """
    mask = data.padded_mask(data.draw_lengths(seed, samples, steps), steps + further, padding)
    labels = data.draw_labels(seed, mask, classes)
    ids, per_step = data.draw_ids(seed, mask, vocabulary), data.draw_sample_weights(seed, mask.shape)
    drawn, answers = data.draw_scores(seed, mask)
    scores = (np.floor(10 * drawn) + 0.5) / 10  # between the thresholds of AUC, which is exact then
    arrays = (ids, labels, mask, labels != classes - 1, answers, scores.astype("float32"), per_step)
    per_sample = data.draw_sample_weights(seed, (samples, 1))
    narrow = slice(0, steps) if padding == "post" else slice(further, None)
    few, spans = (steps, [narrow]) if given.weights == SQUARE else (samples, [narrow, slice(None)])
    return [_case(given, *(array[:few, span] for array in arrays), per_sample[:few]) for span in spans]


def tile(given: Given, row: Mapping[str, Any]) -> tuple[str, str]:
    """Return how a figure shows a row of `reference.divisors.describe`: a kind of `figures.plot_tiles`, and a text.

    "good": the steps that ought to count, divided by their weights, or by their number where there are none; "fair": by
    their number although there are weights; "off": by more steps; "bad": other steps, or other weights, in the sum;
    "other": not divided; "error": there is no number.
    """
    if np.isnan(row["value"]):
        return "error", "error"
    times = "" if abs(row["over wanted"] - 1) < 1e-4 else f"\n\u00d7{row['over wanted']:.2f}"
    by = {"weights": "Σ weights", "entries": "Σ entries", "": "?"}.get(row["divided by"], row["divided by"])
    if row["counts"] != given.wanted or row["weights"] in ("as integers", "along time"):
        by = row["weights"] if row["weights"] in ("as integers", "along time") else by
        return "bad", by + times
    if row["divided by"] == "1":
        return "other", by + times
    if row["divided by"] not in (given.wanted, "weights"):
        return "off", by + times
    return ("fair" if given.is_weighted and row["divided by"] != "weights" else "good"), by + times


def _case(given: Given, *arrays: Array) -> Case:
    """Return a case of the arrays of its first six fields, weights (B, T) and weights (B, 1): with those that are given."""
    ids, labels, mask, kept, answers, scores, per_step, per_sample = arrays
    check_one_of("weights", given.weights, WEIGHTS)
    zero_one = mask.astype("float32")
    each = {NO_WEIGHTS: None, ZERO_ONE: zero_one, PER_STEP: per_step}.get(given.weights, per_sample)
    flat = given.weights in (FLAT, SQUARE)
    return Case(ids, labels, mask, kept, answers, scores, per_sample[:, 0] if flat else each, each)
