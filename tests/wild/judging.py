"""Holds an audit against the truth about a specimen, kind by kind."""

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import masklib
from masklib.errors import MasklibError
from tests.wild.specimens import Specimen
from tests.wild.truth import KINDS, Measured, Truth

LEAK, PASSED, UNTESTED = "leak", "passed", "not tested"  # as a row of a report says it
FOUND, MISSED, ACCUSED, SILENT, SKIPPED = "found", "missed", "accused", "silent", "skipped"
FOLLOWS, UNDERSTATED = "follows", "said to be the same"  # of what moves because something else does
GOOD = (FOUND, SILENT)

KIND_OF = {"output": "output", "loss": "loss", "metric": "metric", "gradient": "fit", "statistics": "fit"}
# What moves with what, and need not be reported again: a wrong output makes a wrong loss.
SOURCES = {"output": (), "loss": ("output",), "metric": ("output",), "fit": ("output", "loss")}


@dataclass(frozen=True)
class Said:
    """What an audit said.

    Attributes:
        kinds: for each kind "leak", "passed" or "not tested".
        codes: of the findings that accuse.
        reasons: why something was not tested, or the error that ended the audit.
        verdict: of the report; "error" where there is none.
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    verdict: str = "error"


@dataclass(frozen=True)
class Outcome:
    """The outcome for one specimen.

    Attributes:
        specimen: which one.
        truth: by brute force.
        said: by the audit, with the batch of the specimen.
        made: by the audit, with inputs that it made itself.
        refused: the methods of the model that raise, by name, and the error.
        skipped: why it could not be built here.
        seconds: that the audit took.
    """

    specimen: Specimen
    truth: Mapping[str, Measured] = field(default_factory=dict)
    said: Said = field(default_factory=Said)
    made: Said = field(default_factory=Said)
    refused: Mapping[str, str] = field(default_factory=dict)
    skipped: str = ""
    seconds: float = 0.0

    @property
    def cells(self) -> dict[str, str]:
        """For each kind that was measured, the outcome."""
        found: dict[str, str] = {}
        for kind, measured in self.truth.items():
            cell = judge(measured.moved, self.said.kinds.get(kind, UNTESTED))
            if cell in (UNTESTED, ACCUSED, MISSED) and any(found.get(one) == FOUND for one in SOURCES[kind]):
                cell = UNDERSTATED if cell == MISSED else FOLLOWS
            found[kind] = cell
        return found

    @property
    def verdict(self) -> str:
        """The worst of the cells; what is not tested counts only where nothing was found."""
        if self.skipped:
            return SKIPPED
        cells = set(self.cells.values())
        order = (MISSED, ACCUSED, FOUND, UNTESTED)
        return next((one for one in order if one in cells), SILENT)


def judge(moved: bool, said: str) -> str:
    """Return the outcome for one kind, from what is true and what was said."""
    if said == UNTESTED:
        return UNTESTED
    if moved:
        return FOUND if said == LEAK else MISSED
    return ACCUSED if said == LEAK else SILENT


def examine(specimen: Specimen, *, made: bool = True) -> Outcome:
    """Measure the truth about a specimen, and audit it.

    Args:
        specimen: which one.
        made: whether it is audited with made inputs, too.
    """
    if reason := specimen.missing():
        return Outcome(specimen, skipped=reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        measuring = Truth(specimen)
        found = measuring.measure()
        truth = {kind: found[kind] for kind in KINDS if kind in found}
        start = time.perf_counter()
        said = audit(specimen)
        seconds = time.perf_counter() - start
        made_up = audit(specimen, made=True) if made else Said()
    return Outcome(specimen, truth, said, made_up, measuring.refused, seconds=seconds)


def audit(specimen: Specimen, *, made: bool = False) -> Said:
    """Return what the audit says of a specimen, given what a user would give, or nothing."""
    model, batch, options = specimen.build(), specimen.feed(), dict(specimen.options)
    if batch.weights is not None and not made:
        options["sample_weight"] = batch.weights
    try:
        report = masklib.audit(model, *((None, None) if made else (specimen.give(batch.x), batch.y)), **options)
        return said_by(report)
    except MasklibError as error:
        return Said(reasons=(f"{type(error).__name__}: {error}",))
    except Exception as error:  # a crash is a finding about the audit, and must not end the table
        return Said(reasons=(f"crash, {type(error).__name__}: {error}"[:300],))


def said_by(report: Any) -> Said:
    """Return what a report says, kind by kind."""
    told = report.to_dict()
    rows: dict[str, list[str]] = {}
    for row in told["tested"]:
        rows.setdefault(KIND_OF[row["kind"]], []).append(row["verdict"])
    kinds = {kind: next(one for one in (LEAK, PASSED, UNTESTED) if one in found) for kind, found in rows.items()}
    codes = {one["code"] for one in told["findings"] if one["severity"] in ("leak", "risk")}
    reasons = {f"{row['kind']} {row['of']}: {row['told']}" for row in told["tested"] if row["verdict"] == UNTESTED}
    return Said(kinds, tuple(sorted(codes)), tuple(sorted(reasons)), told["verdict"])
