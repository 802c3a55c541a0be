"""The verdicts of claims as rows, with what decided each: what the command line, the site and the README show."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from masklib.claims.ledger import load_claims, shorten
from masklib.claims.words import HOLDS, OPEN, REFUTED, UNTESTED

if TYPE_CHECKING:
    import pandas as pd

_ORDER = (REFUTED, UNTESTED, OPEN, HOLDS)
_VERBS = {  # for one claim, and for several
    HOLDS: ("holds", "hold"),
    REFUTED: ("is refuted", "are refuted"),
    UNTESTED: ("could not be tested", "could not be tested"),
    OPEN: ("is open", "are open"),
}


def verdict_rows(claims: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return a row for each measured claim, in the order of the ledger, with what decided it."""
    return [
        {"claim": claim.id, "verdict": row["verdict"], "decided by": reason(row), "statement": claim.statement}
        for claim in load_claims().values()
        for row in claims[claims["claim"] == claim.id].to_dict("records")
    ]


def reason(row: Any) -> str:
    """Return what decided a verdict, in a few words, from a row of the claims table."""
    if row["verdict"] == UNTESTED:
        return str(row["reason"])
    if row["verdict"] == HOLDS:
        untested = f", {row['untested_parts']} untested" if row["untested_parts"] else ""
        return f"{row['parts'] - row['untested_parts']} of {row['parts']} parts hold{untested}"
    part = f"{row['part']}: " if row["part"] else ""
    observed, expected = json.loads(row["observed"]), json.loads(row["expected"])
    if isinstance(observed, list) and row["deviation"] < math.inf:
        found = np.asarray(observed)
        if found.dtype == bool:
            return f"{part}{np.count_nonzero(found != np.asarray(expected))} of {found.size} values differ"
        return f"{part}off by {row['deviation']:.3g}"
    return f"{part}observed {shorten(observed)}, expected {shorten(expected)}"


def refuted_first(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of claims in the order in which a reader wants them: refuted, then untested and open, then what holds."""
    return sorted(rows, key=lambda row: _ORDER.index(row["verdict"]))


def count_verdicts(rows: list[dict[str, Any]], *, whole_ledger: bool = False) -> str:
    """Return how many claims have each verdict, such as "34 claims hold, 1 is refuted.".

    Args:
        rows: one for each claim.
        whole_ledger: whether claims that are not in `rows` count as open.
    """
    counts = Counter(row["verdict"] for row in rows)
    if whole_ledger:
        counts[OPEN] = len(set(load_claims()) - {row["claim"] for row in rows})
    first, *rest = count_phrases(counts) or ["0 hold"]
    number, _, verb = first.partition(" ")
    return ", ".join([f"{number} claim{'' if number == '1' else 's'} {verb}", *rest]) + "."


def count_phrases(counts: Mapping[str, int]) -> list[str]:
    """Return how many claims have each verdict that occurs, such as ["34 hold", "1 is refuted"]."""
    return [f"{counts[one]} {_VERBS[one][counts[one] > 1]}" for one in _VERBS if counts.get(one)]
