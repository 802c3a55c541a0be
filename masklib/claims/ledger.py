"""The ledger of claims, and the one rule by which a measurement becomes a verdict.

No verdict is typed in anywhere. A notebook records what it observed and what an independent source (NumPy, or the number
that a document prints) expects if the claim is true; `judge` compares the two.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from masklib.claims.words import HOLDS, REFUTED, UNTESTED
from masklib.errors import ClaimError

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib  # type: ignore[import-not-found,no-redef] # where this is checked it is not installed


_LARGEST_EXACT = 2**53
LARGEST_ARRAY = 10_000  # values of one claim; what is larger is to be reduced in the notebook first


SAYS = ("stated", "implied", "asked", "found here")


@dataclass(frozen=True)
class Document:
    """A text about masking whose statements the suite measures.

    Attributes:
        id: such as "003".
        name: what it is called in a sentence, such as "the Keras guide".
        title: its own title.
        author: who wrote it, or of what kind it is.
        date: when, as far as it says.
        address: where it can be read; "" where that is not known.
    """

    id: str
    name: str
    title: str
    author: str
    date: str
    address: str


@dataclass(frozen=True)
class Claim:
    """One checkable statement, of a document or found here.

    Attributes:
        id: such as "rnn-1".
        documents: the ids of the documents that say it; () for what was found here.
        says: how they say it, one of `SAYS`.
        quote: words or code of the first of the documents, with an ellipsis for what is left out; "" for what was found here.
        statement: what is claimed, in the words of this suite.
        decides: the quantity that decides.
        notebook: the notebook that measures it; "" while none does.
    """

    id: str
    documents: tuple[str, ...]
    says: str
    quote: str
    statement: str
    decides: str
    notebook: str

    @property
    def source(self) -> str:
        """Who says it, such as "the Keras guide (implied)"; "found here" for what no document says."""
        if not self.documents:
            return self.says
        names = " and ".join(load_documents()[one].name for one in self.documents)
        return names if self.says == "stated" else f"{names} ({self.says})"


@dataclass(frozen=True)
class Judgement:
    """A verdict with the largest deviation (same unit as the claim; inf where the two cannot be subtracted, NaN untested)."""

    verdict: str
    deviation: float


NOT_TESTED = Judgement(UNTESTED, math.nan)


@cache
def load_claims() -> dict[str, Claim]:
    """Return every claim by its id, in the order of the ledger."""
    return {row["id"]: Claim(**row | {"documents": tuple(row["documents"])}) for row in _ledger()["claim"]}


@cache
def load_documents() -> dict[str, Document]:
    """Return every document by its id."""
    return {row["id"]: Document(**row) for row in _ledger()["document"]}


def _ledger() -> dict[str, Any]:
    """Return what the ledger holds."""
    return tomllib.loads(files("masklib.claims").joinpath("claims.toml").read_text(encoding="utf-8"))


def find_claim(claim_id: str) -> Claim:
    """Return the claim with this id.

    Raises:
        ClaimError: the ledger has no such claim; the message names the nearest.
    """
    claims = load_claims()
    if claim_id in claims:
        return claims[claim_id]
    near = get_close_matches(claim_id, claims, n=3) or list(claims)[:3]
    msg = f"A claim must be in masklib/claims/claims.toml, got {claim_id!r}. Did you mean {', '.join(near)}?"
    raise ClaimError(msg)


def plain(value: Any) -> Any:
    """Return `value` as what JSON can hold: numbers, strings, None, and nested lists of these.

    Arrays of any library become lists; a float keeps every bit.

    Raises:
        ClaimError: `value` is of another kind, or an array of more than `LARGEST_ARRAY` values.
    """
    if isinstance(value, np.generic):  # np.float64 is a float, and compares with a list element by element
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    array = np.asarray(value)
    if array.dtype.kind not in "biufU":
        msg = f"A claim compares numbers, strings, None or lists of them, got {type(value).__name__}. Convert it first."
        raise ClaimError(msg)
    if array.size > LARGEST_ARRAY:
        msg = f"A claim compares at most {LARGEST_ARRAY} values, got shape {array.shape}. Reduce it, e.g. to its largest error."
        raise ClaimError(msg)
    return array.tolist()


def judge(observed: Any, expected: Any, atol: float = 0.0) -> Judgement:
    """Return whether `observed` is what the claim says: equal to `expected` within `atol`, everywhere.

    Numbers and arrays of numbers of one shape are compared by `|observed - expected| <= atol`; a NaN that was observed
    never agrees. Anything else must be equal.

    Args:
        observed: what was measured.
        expected: what an independent source says it is if the claim is true; finite.
        atol: absolute tolerance, in the unit of the two; 0.0 asks for equality.

    Raises:
        ClaimError: `expected` is not finite, or `atol` is negative or not finite.
    """
    observed, expected = plain(observed), plain(expected)
    if not 0 <= atol < math.inf:
        msg = f"atol must be finite and not negative, got {atol!r}."
        raise ClaimError(msg)
    one, other = _as_number(observed), _as_number(expected)
    if one is not None and other is not None and math.isfinite(other):  # as below; a table of ten thousand runs has 600,000
        return _judge_deviation(abs(one - other), atol)
    left, right = _as_numbers(observed), _as_numbers(expected)
    if right is not None and not np.isfinite(right).all():
        msg = f"expected must be finite, got {expected!r}. Claim a boolean instead, such as np.isfinite(observed).all()."
        raise ClaimError(msg)
    if left is None or right is None or left.shape != right.shape:
        return Judgement(HOLDS, 0.0) if observed == expected else Judgement(REFUTED, math.inf)
    return _judge_deviation(float(np.abs(left - right).max(initial=0.0)), atol)


def _judge_deviation(deviation: float, atol: float) -> Judgement:
    """Return whether a deviation is within the tolerance; NaN never is."""
    if math.isnan(deviation):
        return Judgement(REFUTED, math.inf)
    return Judgement(HOLDS if deviation <= atol else REFUTED, deviation)


def decide(parts: Sequence[Judgement]) -> tuple[str, int]:
    """Return the verdict of a claim from those of its parts, and the index of the part that decides.

    A claim holds if every part that was tested holds; it is untested if none was. The first refuted part decides, else the
    one that deviates most.
    """
    refuted = [index for index, part in enumerate(parts) if part.verdict == REFUTED]
    if refuted:
        return REFUTED, refuted[0]
    held = [index for index, part in enumerate(parts) if part.verdict == HOLDS]
    if not held:
        return UNTESTED, 0
    return HOLDS, max(held, key=lambda index: parts[index].deviation)


def count_parts(parts: Sequence[Judgement]) -> str:
    """Return how many parts of a claim did what, such as "3 of 4 hold, 1 untested"."""
    counts = Counter(part.verdict for part in parts)
    found = f"{counts[REFUTED]} of {len(parts)} refuted" if counts[REFUTED] else f"{counts[HOLDS]} of {len(parts)} hold"
    if counts[UNTESTED] == len(parts):
        return f"{len(parts)} of {len(parts)} untested"
    return found + (f", {counts[UNTESTED]} untested" if counts[UNTESTED] else "")


def shorten(value: Any, limit: int = 36) -> str:
    """Return a plain value in at most `limit` characters: floats with six digits, a long list by its beginning."""
    text = value if isinstance(value, str) else json.dumps(_rounded(value))
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _rounded(value: Any) -> Any:
    """Return nested lists with their floats rounded to six digits."""
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _as_number(value: Any) -> float | None:
    """Return a single number as a float; None for anything else, and for an integer that a float may not hold exactly."""
    is_exact = isinstance(value, float) or (isinstance(value, int) and abs(value) <= _LARGEST_EXACT)
    return float(value) if is_exact else None


def _as_numbers(value: Any) -> "np.ndarray[Any, np.dtype[np.float64]] | None":
    """Return a float64 array, or None where `value` is not a number or a regular nested list of numbers."""
    try:
        array = np.asarray(value)
    except ValueError:  # ragged
        return None
    return array.astype(np.float64) if array.dtype.kind in "biuf" else None
