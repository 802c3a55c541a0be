"""Padded batches with what goes wrong in them: empty samples, NaN under the mask, real zeros, padding that was scaled.

NumPy only. Notebook 09 feeds them to every layer that uses a mask.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklib.checks import check_one_of

Array = NDArray[Any]

SITUATIONS = (
    "padding of 0",
    "one sample empty",
    "all samples empty",
    "NaN under the mask",
    "inf under the mask",
    "NaN in masked targets",
    "inf in masked targets",
    "Masking(0): a real step of zeros",
    "Masking(0): scaled and back",
    "Masking(0): scaled",
    "Masking(nan): NaN as padding",
)
OF_TARGETS = SITUATIONS[5:7]
OF_EMPTY = SITUATIONS[1:3]
OF_MASKING = SITUATIONS[7:]


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


def spoil(situation: str, x: Array, y: Array, mask: Array) -> Spoiled:
    """Return a batch in one of `SITUATIONS`; x (B, T, F) comes padded with 0, and its second sample has a valid step.

    Raises:
        ArgumentError: there is no such situation.
    """
    check_one_of("situation", situation, SITUATIONS)
    source = "Masking" if situation in OF_MASKING else "given"
    mask_value = float("nan") if "nan" in situation else 0.0
    mask = mask.copy()
    if situation in OF_EMPTY:
        mask[1 if "one" in situation else slice(None)] = False
    if situation in OF_TARGETS:
        y = under_mask(y, mask, np.nan if "NaN" in situation else np.inf)
    return Spoiled(_inputs(situation, x, mask), y, mask, source, mask_value)


def recipe(batch: Spoiled) -> tuple[str, Spoiled]:
    """Return what keeps a batch out of trouble, in words, and the batch after it.

    Samples without a valid step are left out; else inputs and targets get a 0 at masked steps, and Keras gets the mask of the
    lengths in place of one that it makes by comparing values.
    """
    full = batch.mask.any(axis=1)
    if not full.all():
        return "leave empty samples out", batch._replace(x=batch.x[full], y=batch.y[full], mask=batch.mask[full])
    x, y = (under_mask(array, batch.mask, 0.0) for array in (batch.x, batch.y))
    return "0 under the mask, mask by length", batch._replace(x=x, y=y, source="given")


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


def is_right(row: Mapping[str, Any], atol: float) -> bool:
    """Return whether a row of `reference.consumers.compare` is finite and right, in result and in gradients."""
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


def _inputs(situation: str, x: Array, mask: Array) -> Array:
    """Return the inputs (B, T, F) of a situation."""
    x = under_mask(x, mask, 0.0)
    if "under the mask" in situation or "as padding" in situation:
        return under_mask(x, mask, np.inf if "inf" in situation else np.nan)
    if "scaled" in situation:
        return scale(x, mask, back="back" in situation)
    if "real step of zeros" in situation:
        x = x.copy()
        x[np.flatnonzero(mask.any(axis=1))[0], np.flatnonzero(mask[0])[1]] = 0.0  # the second step of the first sample
    return x
