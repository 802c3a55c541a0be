"""What a reported number was divided by: every number that it could be, and which of them it is.

A mean is `sum(w l) / D`: l is the loss of a step, w its weight, the sum runs over the steps that count. Three choices
make it: which steps count, which weights they have, and D. Each choice has a name, and the reported number shows which
were taken. One number may fit two choices by chance; so the same choices must fit several numbers, such as the loss of
the same data with less and with more padding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklib.checks import check_mask, check_steps
from masklib.errors import ArgumentError
from masklib.reference.masks import Mask

Array = NDArray[np.float64]

WEIGHTS, ENTRIES, NOTHING = "weights", "entries", "1"
SAME = 1e-9  # two float64 programs for the same number differ by less, relatively


class Candidate(NamedTuple):
    """One number that a mean could be.

    Attributes:
        counts: the name of the steps that count.
        weights: the name of their weights.
        divisor: what the sum is divided by: the name of the steps that are counted; `WEIGHTS`, the sum of the weights of the
            steps that count; `ENTRIES`, the sum of the array of weights as it is, in which the weight of a sample stands
            once; or `NOTHING`.
        value: float64 array, or a number.
    """

    counts: str
    weights: str
    divisor: str
    value: Any


class Match(NamedTuple):
    """The candidate that fits what was reported.

    Attributes:
        counts: as of the candidate.
        weights: as of the candidate.
        divisor: as of the candidate.
        error: its largest distance from what was reported, relative to the latter.
        margin: the same of the nearest candidate that is another number; inf if there is none.
    """

    counts: str
    weights: str
    divisor: str
    error: float
    margin: float


def of_mean(values: ArrayLike, steps: Mapping[str, Mask | None], weights: Mapping[str, ArrayLike | None]) -> list[Candidate]:
    """Return every mean of these values: `sum(w l) / D` for each choice of steps, weights and D.

    Args:
        values: float array (B, T, ...), of each step its loss, or the gradient of its loss; what does not count may be NaN.
        steps: by name, which steps count: bool (B, T), or None for all. D may be the count of each of them.
        weights: by name, float (B,), (B, 1) or (B, T), or None for 1.

    Returns:
        The candidates, in the order of the choices; a value is 0 where D is 0.

    Raises:
        MaskShapeError: `values` has no time axis, or a mask is not bool (B, T).

    Example:
        >>> [round(float(c.value), 2) for c in of_mean([[3.0, 6.0]], {"valid": [[True, False]], "all": None}, {"none": None})]
        [3.0, 1.5, 3.0, 3.0, 9.0, 4.5, 4.5, 9.0]

    Source: definition of this project.
    """
    values = np.asarray(check_steps("values", values), dtype=np.float64)
    masks = {name: check_mask(None if mask is None else np.asarray(mask), values.shape[:2]) for name, mask in steps.items()}
    sizes = {name: float(mask.sum()) for name, mask in masks.items()}
    found = []
    for (counts, mask), (kind, given) in _pairs(masks, weights):
        each = _per_step(given, mask.shape)[mask]
        total = np.tensordot(each, values[mask], axes=1)
        divisors = {**sizes, WEIGHTS: float(each.sum())}
        divisors |= {} if given is None else {ENTRIES: float(np.sum(given, dtype=np.float64))}
        divisors[NOTHING] = 1.0
        found += [Candidate(counts, kind, name, total / by if by else 0.0 * total) for name, by in divisors.items()]
    return found


def of_function(
    function: Callable[[Any, Any], float], steps: Mapping[str, Mask | None], weights: Mapping[str, ArrayLike | None]
) -> list[Candidate]:
    """Return what a metric is for each choice of steps and weights.

    Args:
        function: a metric of `masklib.reference.metrics` as a function of mask and sample weights.
        steps: as of `of_mean`.
        weights: as of `of_mean`.

    Returns:
        The candidates; a metric divides by what it likes, so their divisor is `WEIGHTS`, or the steps where there are none.
    """
    found = []
    for (counts, mask), (kind, given) in _pairs(steps, weights):
        value = function(mask, None if given is None else _flat(np.asarray(given, dtype=np.float64)))
        found.append(Candidate(counts, kind, counts if given is None else WEIGHTS, value))
    return found


def match(reported: Sequence[ArrayLike], candidates: Sequence[Sequence[Candidate]], *, rtol: float) -> Match | None:
    """Return the choices that fit everything that was reported.

    Args:
        reported: numbers or arrays, such as the losses of several batches.
        candidates: for each of them, the candidates, all in one order.
        rtol: how far a candidate may be, relative to the largest absolute value of what was reported.

    Returns:
        The first that fits all; None if none does, or something that was reported is not finite.

    Raises:
        ArgumentError: there is not one list of candidates for each number that was reported.

    Example:
        >>> tried = of_mean([[3.0, 6.0]], {"valid": [[True, False]], "all": None}, {"none": None})
        >>> match([1.5], [tried], rtol=1e-6)[:3]
        ('valid', 'none', 'all')
    """
    if len(reported) != len(candidates) or not reported:
        msg = f"candidates must be one list for each number that was reported, {len(reported)}, got {len(candidates)}."
        raise ArgumentError(msg)
    rows = list(zip(*candidates, strict=True))
    errors = [_distance(reported, row) for row in rows]
    first = next((i for i, error in enumerate(errors) if error <= rtol), None)
    if first is None:
        return None
    others = [error for error, row in zip(errors, rows, strict=True) if _distance([c.value for c in rows[first]], row) > SAME]
    counts, weights, divisor, _ = rows[first][0]
    return Match(counts, weights, divisor, errors[first], min(others, default=np.inf))


def pick(candidates: Sequence[Candidate], counts: str, weights: str, divisor: str) -> Any:
    """Return the value of the candidate with these choices.

    Raises:
        ArgumentError: there is none.
    """
    for candidate in candidates:
        if candidate[:3] == (counts, weights, divisor):
            return candidate.value
    msg = f"There must be a candidate {(counts, weights, divisor)}, got {sorted({c[:3] for c in candidates})}. Name one of them."
    raise ArgumentError(msg)


def describe(
    whole: Sequence[float], several: float, candidates: Sequence[Sequence[Candidate]], wanted: float, *, rtol: float
) -> dict[str, Any]:
    """Return what is known of one reported number, as a row of a table.

    Args:
        whole: what was reported of the data as one batch, for each padded length; [] if that raised an error.
        several: what was reported of it in several batches; NaN if that raised an error.
        candidates: for each padded length, as of `match`.
        wanted: what the number would be on the valid steps alone.
        rtol: as of `match`.

    Returns:
        `value`; the `counts`, `weights` and `divided by` that fit, "" if nothing does, with `error` and `margin`; the value
        `over wanted`; whether the `control fits`, the same a thousandth larger; and whether the value `moves with batches`
        or `moves with padding` by more than `rtol`.
    """
    value = whole[0] if whole else np.nan
    found = match(whole, candidates, rtol=rtol) if len(whole) == len(candidates) else None
    row: dict[str, Any] = {"value": value, "counts": "", "weights": "", "divided by": "", "error": np.nan, "margin": np.nan}
    if found:
        row |= dict(zip(row, (value, *found), strict=True))
    row["over wanted"] = value / wanted if wanted else np.nan
    row["control fits"] = match([1.001 * one for one in whole], candidates, rtol=rtol) is not None if found else False
    row["moves with batches"] = bool(whole) and not np.isclose(several, value, rtol=rtol, atol=0.0)
    row["moves with padding"] = any(not np.isclose(other, value, rtol=rtol, atol=0.0) for other in whole[1:])
    return row


def _pairs(steps: Mapping[str, Any], weights: Mapping[str, Any]) -> list[tuple[tuple[str, Any], tuple[str, Any]]]:
    """Return each choice of steps with each choice of weights, by name."""
    return [(one, other) for one in steps.items() for other in weights.items()]


def _per_step(weights: ArrayLike | None, shape: tuple[int, ...]) -> Array:
    """Return weights (B, T): those of a sample for each of its steps, 1 where there are none."""
    given = np.ones(()) if weights is None else np.asarray(weights, dtype=np.float64)
    return np.broadcast_to(given[:, np.newaxis] if given.ndim == 1 else given, shape)


def _flat(weights: Array) -> Array:
    """Return weights (B, 1), one a sample, as (B,); others as they are."""
    return weights[:, 0] if weights.ndim == 2 and weights.shape[1] == 1 else weights


def _distance(reported: Sequence[ArrayLike], row: Sequence[Any]) -> float:
    """Return the largest distance of candidates from what was reported, relative to it; inf where that is not finite."""
    distances = []
    for one, candidate in zip(reported, row, strict=True):
        wanted = np.asarray(one, dtype=np.float64)
        value = np.asarray(candidate.value if isinstance(candidate, Candidate) else candidate, dtype=np.float64)
        size = float(np.abs(wanted).max()) or 1.0
        distances.append(float(np.abs(wanted - value).max()) / size)
    largest = max(distances)
    return largest if np.isfinite(largest) else np.inf
