"""What `masklib list --claims` shows: the claims with their verdicts, those that were refuted first."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from masklib.claims.words import HOLDS, REFUTED
from masklib.engine.committed import MAIN, newest_first

if TYPE_CHECKING:
    import pandas as pd


WIDTH = 100  # columns of the table where there is no terminal


def show_claims(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print the claims: as JSON a row for each Keras and backend, as a table a row for each claim.

    Args:
        rows: of `claim_rows` or `committed_rows`.
        as_json: whether to print JSON.
    """
    from masklib.claims.verdicts import count_verdicts, refuted_first
    from masklib.cli.console import print_json, print_table

    if as_json:
        print_json(rows)
        return
    claims: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        claims.setdefault(row["claim"], []).append(row)
    shown = refuted_first([_shown(newest_first(of)) for of in claims.values()])
    what = (
        "Verdicts (committed, because nothing was run here yet)"
        if any(row["runs"] == "committed" for row in rows)
        else "Verdicts"
    )
    columns = ("claim", "verdict", "on Keras", "elsewhere", "statement")
    print_table(what, columns, [[row[name] for name in columns] for row in shown], fold=("elsewhere", "statement"), width=WIDTH)
    click.echo(count_verdicts(shown))


def _shown(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of the table for one claim, of its rows with the newest Keras first."""
    first, *rest = rows
    others: dict[str, list[str]] = {}
    for row in reversed(rest):
        if row["verdict"] != first["verdict"] and row["verdict"] in (HOLDS, REFUTED):
            others.setdefault(row["verdict"], []).append(_cell(row))
    elsewhere = "; ".join(f"{verdict} on {', '.join(cells)}" for verdict, cells in others.items())
    return {**first, "on Keras": _cell(first), "elsewhere": elsewhere}


def _cell(row: dict[str, Any]) -> str:
    """Return a Keras, and its backend where that is not the one that is shown first."""
    return row["keras"] if row["backend"] in (MAIN, "") else f"{row['keras']} {row['backend']}"


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
    from masklib.engine.committed import committed_verdicts

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
