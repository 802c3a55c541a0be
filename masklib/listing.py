"""Rows that the command line and the README show: notebooks, claims, verdicts."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masklib.ledger import HOLDS, OPEN, REFUTED, UNTESTED, load_claims, shorten

if TYPE_CHECKING:
    import pandas as pd


def notebook_rows() -> list[dict[str, Any]]:
    """Return a row for each parameter of each notebook of the suite."""
    from masklib.engine.notebooks import read_notebook, suite
    from masklib.engine.parameters import read_parameters

    rows = []
    for path in suite():
        notebook = read_notebook(path)
        for p in read_parameters(notebook.parameters_source, f"the parameters cell of {path}"):
            default = "(required)" if p.required else repr(p.default)
            row = {
                "notebook": notebook.name,
                "parameter": p.name,
                "type": p.type.__name__,
                "default": default,
                "help": p.help,
            }
            rows.append(row)
    return rows


def claim_rows(root: str | Path) -> list[dict[str, Any]]:
    """Return a row for each claim of the ledger and each Keras and backend that measured it; `open` where none did.

    The verdict is that of the last run; `runs` counts the verdicts of all its runs.
    """
    from masklib.engine.collect import collect
    from masklib.engine.store import Store

    measured = collect(Store(root)).claims.sort_values("started", kind="stable")
    rows = []
    for claim in load_claims().values():
        found = measured[measured["claim"] == claim.id]
        cells = [frame for _, frame in found.groupby(["keras", "backend"], sort=True)]
        rows += [_claim_row(claim, frame) for frame in cells] or [_claim_row(claim, found)]
    return rows


def _claim_row(claim: Any, runs: "pd.DataFrame") -> dict[str, Any]:
    """Return one row: a claim with its runs on one Keras and backend, oldest first."""
    last = runs.iloc[-1] if len(runs) else {"verdict": OPEN, "keras": "", "backend": ""}
    counts = Counter(runs["verdict"])
    return {
        "claim": claim.id,
        "document": claim.document,
        "verdict": last["verdict"],
        "keras": last["keras"],
        "backend": last["backend"],
        "runs": ", ".join(f"{counts[v]} {v}" for v in (HOLDS, REFUTED, UNTESTED) if v in counts),
        "notebook": claim.notebook,
        "statement": claim.statement,
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
        return f"{part}off by {row['deviation']:.3g}"
    return f"{part}observed {shorten(observed)}, expected {shorten(expected)}"


def count_verdicts(rows: list[dict[str, Any]], *, whole_ledger: bool = False) -> str:
    """Return how many claims have each verdict, as a sentence; with `whole_ledger` those not in `rows` count as open."""
    counts = Counter(row["verdict"] for row in rows)
    if whole_ledger:
        counts[OPEN] = len(set(load_claims()) - {row["claim"] for row in rows})
    total = sum(counts.values())
    return f"{total} claims: " + ", ".join(f"{counts[v]} {v}" for v in sorted(counts)) + "."
