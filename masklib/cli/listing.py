"""The rows of `masklib list`: notebooks with their parameters, and claims with their verdicts."""

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def notebook_rows() -> list[dict[str, Any]]:
    """Return a row for each parameter of each notebook of the suite."""
    from masklib.engine.declaring import read_parameters
    from masklib.engine.notebooks import find_parameters_cell, suite

    rows = []
    for path in suite():
        source, language = find_parameters_cell(path)
        for p in read_parameters(source, f"the parameters cell of {path.stem}", language):
            default = "(required)" if p.required else "(computed)" if p.computed else repr(p.default)
            row = {
                "notebook": path.stem,
                "parameter": p.name,
                "type": p.kind,
                "default": default,
                "help": p.help,
            }
            rows.append(row)
    return rows


def claim_rows(store: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a row for each claim of the ledger and each Keras and backend that measured it; `open` where none did.

    The verdict is that of the last run; `runs` counts the verdicts of all its runs.

    Args:
        store: of the runs.

    Returns:
        The rows, and what of the store could not be read.

    Raises:
        StoreError: the store cannot be listed.
    """
    from masklib.claims.ledger import load_claims
    from masklib.engine.collect import collect

    tables = collect(store)
    measured = tables.claims.sort_values("started", kind="stable")
    rows = []
    for claim in load_claims().values():
        found = measured[measured["claim"] == claim.id]
        cells = [frame for _, frame in found.groupby(["keras", "backend"], sort=True)]
        rows += [_claim_row(claim, frame) for frame in cells] or [_claim_row(claim, found)]
    return rows, tables.unreadable


def committed_rows() -> list[dict[str, Any]]:
    """Return the rows of `claim_rows` for the verdicts that masklib was published with; `runs` says "committed"."""
    from masklib.claims.ledger import load_claims
    from masklib.claims.words import OPEN
    from masklib.engine.reproduce import committed_verdicts

    rows = []
    for claim in load_claims().values():
        found = [row for row in committed_verdicts() if row["claim"] == claim.id]
        for row in found or [{"verdict": OPEN, "keras": "", "backend": ""}]:
            measured = {name: row[name] for name in ("verdict", "keras", "backend")}
            rest = {"runs": "committed", "notebook": claim.notebook, "statement": claim.statement}
            rows.append({"claim": claim.id, "source": claim.source, **measured, **rest})
    return rows


def _claim_row(claim: Any, runs: "pd.DataFrame") -> dict[str, Any]:
    """Return one row: a claim with its runs on one Keras and backend, oldest first."""
    from masklib.claims.words import HOLDS, OPEN, REFUTED, UNTESTED

    last = runs.iloc[-1] if len(runs) else {"verdict": OPEN, "keras": "", "backend": ""}
    counts = Counter(runs["verdict"])
    return {
        "claim": claim.id,
        "source": claim.source,
        "verdict": last["verdict"],
        "keras": last["keras"],
        "backend": last["backend"],
        "runs": ", ".join(f"{counts[v]} {v}" for v in (HOLDS, REFUTED, UNTESTED) if v in counts),
        "notebook": claim.notebook,
        "statement": claim.statement,
    }
