"""The verdicts of claims as rows, with what decided each: what the command line, the site and the README show."""

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from masklib.claims.ledger import load_claims, shorten
from masklib.claims.words import HOLDS, OPEN, UNTESTED

if TYPE_CHECKING:
    import pandas as pd


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
        return f"{part}off by {row['deviation']:.3g}"
    return f"{part}observed {shorten(observed)}, expected {shorten(expected)}"


def count_verdicts(rows: list[dict[str, Any]], *, whole_ledger: bool = False) -> str:
    """Return how many claims have each verdict, as a sentence; with `whole_ledger` those not in `rows` count as open."""
    counts = Counter(row["verdict"] for row in rows)
    if whole_ledger:
        counts[OPEN] = len(set(load_claims()) - {row["claim"] for row in rows})
    total, claims = sum(counts.values()), {row["claim"] for row in rows}
    what = "claims" if len(claims) == len(rows) else f"verdicts on {len(claims)} claims"
    return f"{total} {what}: " + ", ".join(f"{counts[v]} {v}" for v in sorted(counts)) + "."
