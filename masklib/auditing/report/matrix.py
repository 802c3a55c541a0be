"""What was tested, as a table: a row for each output, loss and metric, one row for all gradients; a column for each change."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from masklib.auditing.invariance.changes import Change, Quantity
from masklib.auditing.invariance.results import LOSS, Leak, PaddingCheck, Passed, Untested

LEAKS, SAME, UNTESTED, NOTHING = "leaks", "same", "not tested", ""
TOGETHER = {Quantity.GRADIENT: "gradients", Quantity.STATISTICS: "statistics of BatchNormalization"}  # in one row
_SAYS = {Leak: LEAKS, Passed: SAME, Untested: UNTESTED}
MEANS = {
    "longer padding": "the same samples with more padded steps",
    "padded content": "other numbers at padded steps",
    "embedding row": "another embedding vector for the id of padding",
    "masked content": "other numbers at masked steps, inside the model",
    "batch mates": "other samples in the batch, another order, or smaller batches",
    "no padding": "each sample without its padding",
    "later steps": "other content at later steps",
    "compiled": "`predict`, which is compiled, compared with an ordinary call of the model",
}
EMPTY = "does not apply, or could not be tried"
_RANK = (LEAKS, SAME, UNTESTED, NOTHING)  # a cell shows the first of these that it contains


def matrix(check: PaddingCheck) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return the changes that were tried, and for each row its name and the result of each change; "" if it was not tried."""
    verdicts: list[Any] = [*check.leaks, *check.passed, *check.untested]
    changes = [change.value for change in Change if any(one.change == change for one in verdicts)]
    cells: dict[str, dict[str, str]] = {}
    for one in sorted(verdicts, key=lambda one: list(Quantity).index(one.kind)):
        row = cells.setdefault(_name(one), {})
        row[one.change] = min(row.get(one.change, NOTHING), _SAYS[type(one)], key=_RANK.index)
    return changes, [(name, [row.get(change, NOTHING) for change in changes]) for name, row in cells.items()]


def reasons(check: PaddingCheck, but: Collection[str] = ()) -> list[str]:
    """Return the reasons why something could not be tested, each once.

    Args:
        check: what was tested.
        but: reasons that are left out.
    """
    found: dict[str, dict[str, list[str]]] = {}  # for each reason its rows, and for each row the changes
    for one in check.untested:
        if one.why not in but:
            found.setdefault(one.why, {}).setdefault(_name(one), []).append(one.change)
    return [f"{_rows(rows)}: {why}" for why, rows in found.items()]


def divisors(check: PaddingCheck) -> list[str]:
    """Return the count by which each loss divides, one sentence each."""
    known = {name: count for name, count in check.denominators.items() if count != "unknown"}
    return [f"{'the loss' if name == LOSS else f'the loss of {name!r}'} divides by {count}" for name, count in known.items()]


def _rows(rows: Mapping[str, Sequence[str]]) -> str:
    """Return rows with their changes; rows with the same changes are joined."""
    together: dict[str, list[str]] = {}
    for name, changes in rows.items():
        together.setdefault(", ".join(dict.fromkeys(changes)), []).append(name)
    return "; ".join(f"{', '.join(names)} ({changes})" for changes, names in together.items())


def _name(one: Any) -> str:
    """Return the name of the row of a verdict."""
    return TOGETHER.get(one.kind) or (
        "metrics" if one.of == "metric" else one.kind if one.of == one.kind else f"{one.kind} {one.of!r}"
    )
