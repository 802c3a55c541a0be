"""What was tested, at a glance: a row for each output, loss and metric, one for all gradients; a column for each change."""

from typing import Any

from masklib.auditing.invariance.changes import Change, Quantity
from masklib.auditing.invariance.results import LOSS, Leak, PaddingCheck, Passed, Untested

LEAKS, SAME, UNTESTED, NOTHING = "leaks", "same", "not tested", ""
TOGETHER = {Quantity.GRADIENT: "gradients", Quantity.STATISTICS: "statistics of BatchNormalization"}  # in one row
_SAYS = {Leak: LEAKS, Passed: SAME, Untested: UNTESTED}
_RANK = (LEAKS, SAME, UNTESTED, NOTHING)  # what a cell says of several


def matrix(check: PaddingCheck) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return the changes that were tried, and for each row its name and what each change did; "" where it was not tried."""
    verdicts: list[Any] = [*check.leaks, *check.passed, *check.untested]
    changes = [change.value for change in Change if any(one.change == change for one in verdicts)]
    cells: dict[str, dict[str, str]] = {}
    for one in sorted(verdicts, key=lambda one: list(Quantity).index(one.kind)):
        row = cells.setdefault(_name(one), {})
        row[one.change] = min(row.get(one.change, NOTHING), _SAYS[type(one)], key=_RANK.index)
    return changes, [(name, [row.get(change, NOTHING) for change in changes]) for name, row in cells.items()]


def as_text(check: PaddingCheck) -> str:
    """Return the matrix as lines."""
    changes, rows = matrix(check)
    table = [["", *changes], *([name, *cells] for name, cells in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(changes) + 1)]
    return "\n".join("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)


def reasons(check: PaddingCheck) -> list[str]:
    """Return why something could not be tested, each reason once."""
    told: dict[str, list[str]] = {}
    for one in check.untested:
        told.setdefault(f"{one.change}: {one.why}", []).append(_name(one))
    return [f"{why} ({', '.join(dict.fromkeys(names))})" for why, names in told.items()]


def divisors(check: PaddingCheck) -> list[str]:
    """Return by which count each loss divides, a sentence each."""
    known = {name: count for name, count in check.denominators.items() if count != "unknown"}
    return [f"{'the loss' if name == LOSS else f'the loss of {name!r}'} divides by {count}" for name, count in known.items()]


def _name(one: Any) -> str:
    """Return the row of a verdict."""
    return TOGETHER.get(one.kind) or (one.kind if one.of == one.kind else f"{one.kind} {one.of!r}")
