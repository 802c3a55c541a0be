"""Padded batches with what goes wrong in them: empty samples, NaN under the mask, real zeros, padding that was scaled.

NumPy only. Notebook 09 feeds them to every layer that uses a mask.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklib.checks import check_one_of

Array = NDArray[Any]


@dataclass(frozen=True)
class Situation:
    """What goes wrong in a batch.

    Attributes:
        name: as tables and figures show it.
        empty: which samples have no valid step: "none", "one" or "all".
        inputs: what stands at masked steps of x; 0.0 where nothing is wrong with it.
        targets: what stands at masked steps of y; None for the targets themselves.
        masking: the value of the `Masking` layer that makes the mask; None for a mask that is given.
        scaled: whether x is scaled, its padding with it: "no", "there and back" or "there".
        real_zeros: whether one valid step is zero in all its features.
    """

    name: str
    empty: str = "none"
    inputs: float = 0.0
    targets: float | None = None
    masking: float | None = None
    scaled: str = "no"
    real_zeros: bool = False


_ALL = (
    Situation("padding of 0"),
    Situation("one sample empty", empty="one"),
    Situation("all samples empty", empty="all"),
    Situation("NaN under the mask", inputs=np.nan),
    Situation("inf under the mask", inputs=np.inf),
    Situation("NaN in masked targets", targets=np.nan),
    Situation("inf in masked targets", targets=np.inf),
    Situation("Masking(0): a real step of zeros", masking=0.0, real_zeros=True),
    Situation("Masking(0): scaled and back", masking=0.0, scaled="there and back"),
    Situation("Masking(0): scaled", masking=0.0, scaled="there"),
    Situation("Masking(nan): NaN as padding", masking=np.nan, inputs=np.nan),
)
_BY_NAME = {situation.name: situation for situation in _ALL}
SITUATIONS = tuple(_BY_NAME)  # names
OF_TARGETS = tuple(situation.name for situation in _ALL if situation.targets is not None)
OF_MASKING = tuple(situation.name for situation in _ALL if situation.masking is not None)
_EMPTY = {"none": slice(0), "one": slice(1, 2), "all": slice(None)}  # samples, by `Situation.empty`


class Spoiled(NamedTuple):
    """A batch, and what its mask is made from.

    Attributes:
        x: float32 (B, T, F).
        y: targets, whose masked steps may be spoiled where they have steps.
        mask: bool (B, T): which steps are data, whatever Keras makes of x.
        source: of the mask that Keras uses, "given" or "Masking".
        mask_value: of that Masking layer.
    """

    x: Array
    y: Array
    mask: Array
    source: str
    mask_value: float

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells this batch from another: two situations, or two recipes, may lead to the same one."""
        return (*(array.tobytes() for array in self[:3]), self.source, str(self.mask_value))


def spoil(situation: str, x: Array, y: Array, mask: Array) -> Spoiled:
    """Return a batch in one of `SITUATIONS`; x (B, T, F) comes padded with 0, and its second sample has a valid step.

    Raises:
        ArgumentError: there is no such situation.
    """
    check_one_of("situation", situation, SITUATIONS)
    wanted = _BY_NAME[situation]
    mask = mask.copy()
    mask[_EMPTY[wanted.empty]] = False
    if wanted.targets is not None:
        y = under_mask(y, mask, wanted.targets)
    x = _inputs(wanted, x, mask)
    if wanted.masking is None:
        return Spoiled(x, y, mask, "given", 0.0)
    return Spoiled(x, y, mask, "Masking", wanted.masking)


def recipe(batch: Spoiled) -> tuple[str, Spoiled]:
    """Return what keeps a batch out of trouble, in words, and the batch after it.

    Samples without a valid step are left out; else inputs and targets get a 0 at masked steps, and Keras gets the mask of the
    lengths in place of one that it makes by comparing values.
    """
    full = batch.mask.any(axis=1)
    if not full.all():
        return "leave empty samples out", batch._replace(x=batch.x[full], y=batch.y[full], mask=batch.mask[full])
    x, y = (under_mask(array, batch.mask, 0.0) for array in (batch.x, batch.y))
    return "0 under the mask, mask by length", batch._replace(x=x, y=y, source="given", mask_value=0.0)


def under_mask(array: Array, mask: Array, value: float) -> Array:
    """Return an array (B, T, ...) with a value at masked steps; one without steps, such as (B, U), as it is."""
    if array.ndim < 3:
        return array
    return np.where(mask[..., np.newaxis], array, np.float32(value))


def scale(x: Array, mask: Array, *, back: bool = False) -> Array:
    """Return x (B, T, F) scaled as a standard scaler does, in float32, by mean and deviation of each feature's valid steps.

    Args:
        x: float32, whose padding is scaled with the rest.
        mask: bool (B, T), True = valid.
        back: whether it is scaled back afterwards, with which nothing but rounding should change.
    """
    mean, deviation = x[mask].mean(axis=0, dtype=np.float32), x[mask].std(axis=0, dtype=np.float32)
    scaled: Array = (x - mean) / deviation
    return scaled * deviation + mean if back else scaled


def raised(error: str) -> dict[str, Any]:
    """Return the row of what raised an error: like one of `reference.masked_layers.compare`, with nothing finite."""
    finite = dict.fromkeys(("finite", "finite under the mask", "gradient finite", "weights' gradient finite"), False)
    return {**finite, "error": math.inf, "gradient error": math.inf, "raised": error}


def is_right(row: Mapping[str, Any], atol: float) -> bool:
    """Return whether a row of `reference.masked_layers.compare` is finite and right, in result and in gradients."""
    finite = row["finite"] and row["gradient finite"] and row["weights' gradient finite"]
    return bool(finite and row["error"] <= atol and row["gradient error"] <= atol)


def tile(row: Mapping[str, Any], atol: float) -> tuple[str, str]:
    """Return how a figure shows a row: a kind of `figures.plot_tiles`, and a text.

    "good": finite and right; "off": the result is right, a gradient is not finite; "bad": finite and wrong; "error": the result
    is not finite, or an error was raised.
    """
    if row["raised"]:
        return "error", row["raised"]
    if not row["finite"]:
        return "error", "NaN"
    if row["error"] > atol:
        percent = 100 * row["error"]
        return "bad", f"off by\n{percent:.0f} %" if percent > 9.5 else f"off by\n{percent:.1f} %"
    if not (row["gradient finite"] and row["weights' gradient finite"]):
        return "off", "gradient\nNaN"
    return ("good", "right") if row["gradient error"] <= atol else ("bad", "gradient\nwrong")


def _inputs(situation: Situation, x: Array, mask: Array) -> Array:
    """Return the inputs (B, T, F) of a situation."""
    x = under_mask(x, mask, situation.inputs)
    if situation.scaled != "no":
        return scale(x, mask, back=situation.scaled == "there and back")
    if situation.real_zeros:
        x = x.copy()
        x[np.flatnonzero(mask.any(axis=1))[0], np.flatnonzero(mask[0])[1]] = 0.0  # the second step of the first sample
    return x
