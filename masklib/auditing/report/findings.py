"""Turns measurements and the trace into findings: a code, a place, the evidence, the cause, and what to write instead.

Every finding about an output, a loss or a metric is based on a measured number that padding changed. The trace only says where
and why. A lost mask that changes no number is not a finding.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from masklib.auditing.invariance.changes import Change, Entry, Quantity
from masklib.auditing.invariance.results import LOSS, Leak, PaddingCheck
from masklib.auditing.report.candidates import IGNORED_MASK, LOST_HERE, NO_MASK, blame, has_masks
from masklib.auditing.report.catalogue import CODES, LEAK, NOTE, RISK, SEVERITIES
from masklib.auditing.report.causes import OF_LENGTH, UNEXPLAINED, Cause, Causes
from masklib.auditing.report.coming import lost_next
from masklib.auditing.report.fixes import Fixes
from masklib.auditing.tracing.calls import Call
from masklib.auditing.tracing.graph import calls_before
from masklib.auditing.tracing.outcomes import IGNORED, MADE
from masklib.auditing.tracing.trace import Trace

OF_ENTRIES = {
    Entry.DIVISOR: "MSK202",
    Entry.SQUARE: "MSK208",
    Entry.OWN_STEP: "MSK205",
    Entry.PENALTY: "MSK206",
}  # codes of losses
WEAK = Change.MASKED_CONTENT  # weak evidence: masked steps would change the output if they held something else


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or good to know.

    Attributes:
        code: of the catalogue, such as "MSK101".
        severity: "leak", "risk" or "note".
        where: the layer, loss or metric.
        evidence: what was measured, one sentence each, the largest first.
        relative: the largest change, relative to the scale of what changed; 0 for a note without a change.
        fix: what to write instead in this model, as lines of code; "" if no code is known to be right.
    """

    code: str
    severity: str
    where: str
    evidence: tuple[str, ...] = field(default=())
    relative: float = 0.0
    fix: str = ""

    @property
    def title(self) -> str:
        """What was found, in one line."""
        return CODES[self.code].title.format(where=self.where)

    @property
    def why(self) -> str:
        """The cause."""
        return CODES[self.code].why

    @property
    def remedy(self) -> str:
        """What to write instead."""
        return CODES[self.code].remedy


def find(check: PaddingCheck, trace: Trace, causes: Causes | None = None, fixes: Fixes | None = None) -> list[Finding]:
    """Return the findings, the worst first.

    Args:
        check: what padding changes.
        trace: of the same model and inputs.
        causes: proves the causes of leaks on the model; None: the causes that the trace suggests are used.
        fixes: returns the code to write instead; None: no code.
    """
    leaks_of: dict[tuple[str, str], list[Leak]] = {}
    proofs: dict[tuple[str, str], tuple[str, ...]] = {}
    others: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}  # causes that must also be fixed
    for leak in sorted(_causing(check.leaks), key=_by_evidence):
        cause = causes.of(leak) if causes and _can_be_proved(leak) else None
        name = (cause.code, repr(cause.where)) if cause else _cause(leak, check, trace)
        leaks_of.setdefault(name, []).append(leak)
        proofs.setdefault(name, _proof(cause) if cause else _of_predictions(name[0], trace))
        others.setdefault(name, cause.after if cause else ())
    found = [_accuse(code, where, leaks, proofs[code, where]) for (code, where), leaks in leaks_of.items()]
    found += _notes(check) + _of_next_keras(check, trace)
    if fixes:
        found = [replace(one, fix=fixes.of(one.code, one.where, others.get((one.code, one.where), ()))) for one in found]
    return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.code, -one.relative))


def _can_be_proved(leak: Leak) -> bool:
    """Return whether an intervention in an ordinary call can prove the cause of a leak."""
    return leak.kind is Quantity.OUTPUT and leak.change.is_of_padding and not leak.is_compiled


def _by_evidence(leak: Leak) -> int:
    """Return a key that sorts leaks so that those that say most about their cause come first."""
    return OF_LENGTH.index(leak.change) if leak.change in OF_LENGTH else len(OF_LENGTH)


def _proof(cause: Cause) -> tuple[str, ...]:
    """Return the proof of a cause, one sentence each."""
    others = ", then ".join(f"{where!r} ({code})" for code, where in cause.after)
    return (*cause.tried, *([f"several causes: fix this one first, then {others}"] if others else []))


def _of_predictions(code: str, trace: Trace) -> tuple[str, ...]:
    """Return where the mask of the predictions was lost, for a loss that counts padding because they have none."""
    ends = [call for call in trace.calls if call.ends]
    if code != "MSK201" or not ends or all(mask is not None for call in ends for mask in call.masks_out):
        return ()
    for call in (one for end in ends for one in (end, *calls_before(end, trace.calls))):
        if call.outcome in LOST_HERE:
            lost, path = blame(call, trace.calls)
            return (f"the predictions have no mask: it is lost at {path!r} ({lost})",)
    return () if has_masks(trace.calls) else ("the predictions have no mask: no layer of the model makes one",)


def sentence_on(leak: Leak) -> str:
    """Return a measured difference as a sentence."""
    name = leak.kind if leak.of == leak.kind else f"{leak.kind} {leak.of!r}"
    if not np.isfinite(leak.size):
        return f"{leak.change}: {name} is no longer a finite number ({leak.example})"
    share = f"{leak.relative:.1%}" if leak.relative >= 0.001 else f"{leak.relative:.1e}"
    return f"{leak.change}: {name} differs by {leak.size:.3g}, {share} of its scale ({leak.example})"


def _causing(leaks: Iterable[Leak]) -> list[Leak]:
    """Return the leaks that do not only follow from another one.

    If an output leaks, the loss, the metrics and the gradients that depend on it change, too; if a loss leaks, its gradients do.
    """
    leaks = list(leaks)
    outputs = [leak for leak in leaks if leak.kind is Quantity.OUTPUT]
    losses = [leak for leak in leaks if leak.kind is Quantity.LOSS]
    kept = outputs + [leak for leak in leaks if leak.kind is Quantity.STATISTICS]
    kept += [leak for leak in (*losses, *_of_kind(leaks, Quantity.METRIC)) if not outputs or leak.alone]
    if not outputs and not losses:
        kept += _of_kind(leaks, Quantity.GRADIENT)
    return kept


def _of_kind(leaks: Iterable[Leak], kind: Quantity) -> list[Leak]:
    """Return the leaks of one kind."""
    return [leak for leak in leaks if leak.kind == kind]


def _cause(leak: Leak, check: PaddingCheck, trace: Trace) -> tuple[str, str]:
    """Return the code and the place of the cause of a leak."""
    where = repr(leak.layer) if leak.layer else f"{leak.kind} {leak.of!r}"
    if leak.kind is Quantity.LOSS:
        of = "the loss" if leak.of == LOSS else f"the loss of {leak.of!r}"
        return OF_ENTRIES.get(leak.entry, "MSK201"), where if leak.entry is Entry.PENALTY else of
    if leak.kind is Quantity.METRIC:
        of = repr(leak.of) if leak.entry is Entry.OWN_STEP else f"metric {leak.of!r}"
        return {**OF_ENTRIES, Entry.BATCHES: "MSK303"}.get(leak.entry, "MSK301"), of
    if leak.kind is Quantity.GRADIENT and leak.entry is Entry.OWN_STEP:
        return "MSK207", "`fit`"
    if leak.kind is Quantity.GRADIENT:
        return "MSK203", repr(leak.of)
    if leak.kind is Quantity.STATISTICS:
        return "MSK401", repr(leak.of)
    if leak.is_compiled:
        return "MSK150", where
    if not leak.change.is_of_padding:
        return ("MSK120" if leak.change is Change.BATCH_MATES else "MSK130"), where
    return _route(leak, check.valid, trace) or (UNEXPLAINED if has_masks(trace.calls) else NO_MASK, where)


def _route(leak: Leak, valid: Sequence[Any], trace: Trace) -> tuple[str, str] | None:
    """Return code and place, from what became of the mask on the way to the call where a leak of an output enters."""
    entry = next((call for call in trace.calls if call.path == leak.layer), None)
    if entry is None:
        return None
    before = calls_before(entry, trace.calls)
    if any(mask is not None and _marks(mask, valid) for mask in entry.masks_got):
        return "MSK107", repr(entry.path)
    for call in [entry, *before]:
        if call.outcome == IGNORED:
            return IGNORED_MASK, repr(call.path)
        if call.outcome in LOST_HERE:
            code, path = blame(call, trace.calls)
            return code, repr(path)
    return _of_makers(before, entry, valid)


def _of_makers(before: Sequence[Call], entry: Call, valid: Sequence[Any]) -> tuple[str, str] | None:
    """Return code and place if masks were made: one that does not mark the padding, or masks that end before the leak."""
    makers = [call for call in before if call.outcome == MADE]
    wrong = [call for call in makers if not any(_marks(mask, valid) for mask in call.masks_out if mask is not None)]
    if wrong:
        return "MSK108", repr(wrong[0].path)
    return ("MSK107", repr(entry.path)) if makers else None


def _marks(mask: Any, valid: Sequence[Any]) -> bool:
    """Return whether a mask marks the padding of some inputs."""
    mask = np.asarray(mask)
    return any(mask.shape == one.shape and bool((mask == one).all()) for one in valid)


def _accuse(code: str, where: str, leaks: Sequence[Leak], proof: Sequence[str] = ()) -> Finding:
    """Return the finding that some leaks prove; with weak evidence only, it is a risk."""
    ordered = sorted(leaks, key=lambda leak: -leak.relative)
    severity = CODES[code].severity
    if severity == LEAK and all(leak.change is WEAK for leak in leaks):
        severity = RISK
    return Finding(code, severity, where, (*map(sentence_on, ordered), *proof), ordered[0].relative)


def _notes(check: PaddingCheck) -> list[Finding]:
    """Return what is good to know and not a leak."""
    found = [
        Finding("MSK140", NOTE, f"output {name!r}", (f"{value} for a sample of only padding",))
        for name, value in check.empty.items()
    ]
    for name, (evaluated, fitted) in check.in_fit.items():
        evidence = f"for the same batch `fit` reports {fitted:.6g}, `evaluate` {evaluated:.6g}"
        found.append(Finding("MSK304", NOTE, f"metric {name!r}", (evidence,), abs(fitted - evaluated) / (abs(evaluated) or 1.0)))
    for name, (whole, parts) in check.batch_size.items():
        differs = f"for the same samples in two batches it differs by {parts - whole:+.2g}"
        is_loss = name == LOSS
        code, where = ("MSK204", "the loss") if is_loss else ("MSK302", f"metric {name!r}")
        evidence = f"evaluate reports {whole:.6g} for one batch; {differs}"
        found.append(Finding(code, NOTE, where, (evidence,), abs(parts - whole) / (abs(whole) or 1.0)))
    return found


def _of_next_keras(check: PaddingCheck, trace: Trace) -> list[Finding]:
    """Return the note on the masks that this model relies on and the next Keras does not hand on; [] if there are none."""
    has_loss = Quantity.LOSS in [one.kind for one in check.passed] + [one.kind for one in check.leaks]
    version, lost = lost_next(trace.calls, has_loss=has_loss)
    where = ", ".join(map(repr, lost))
    evidence = tuple(f"{path!r}: its mask goes to {', '.join(users)}, on Keras {version} to none" for path, users in lost.items())
    return [Finding("MSK501", NOTE, where, evidence)] if lost else []
