"""Whether an output depends on later steps, if the user says that the model is causal or a layer of it is declared causal."""

from collections.abc import Sequence

from masklib.auditing.invariance import causality
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.changes import Change
from masklib.auditing.invariance.outputs import OutputJudge
from masklib.auditing.invariance.results import Leak, Passed, Untested, Verdict
from masklib.auditing.invariance.subject import Subject

NO_TIME = "no output has a time axis"


def on_later_steps(
    judge: OutputJudge, subject: Subject, alternatives: Alternatives, causal: bool | None
) -> tuple[list[Verdict], list[str]]:
    """Return the verdicts on later steps, and notes on outputs that depend on them by design.

    An output leaks if it depends on the later steps of every input: a decoder may use all steps of its encoder.

    Args:
        judge: of the outputs.
        subject: the model, with its batch.
        alternatives: the situations in which it is compared with itself.
        causal: whether outputs must not depend on later steps; None: yes if a layer is declared to be causal.
    """
    if causal is False or not (causal or subject.causal):
        return [], []
    groups = sorted({group for axes in subject.axes.of for group in axes.values() if subject.batch.groups[group].axis == 1})
    found = [one for group in groups for one in alternatives.later(group)]
    tried = [judge.on(Change.LATER_STEPS, [one]) for one in found] or [judge.on(Change.LATER_STEPS, [], NO_TIME)]
    verdicts = [min(of_output, key=_mildness) for of_output in zip(*tried, strict=True)]
    return (verdicts, []) if causal else _without_meant(verdicts, subject)


def _without_meant(verdicts: Sequence[Verdict], subject: Subject) -> tuple[list[Verdict], list[str]]:
    """Return the verdicts on outputs that do not depend on later steps by design, and a note on each of the others."""
    meant = [one for one in verdicts if isinstance(one, Leak) and _is_meant(one, subject)]
    notes = [f"{one.of!r} depends on later steps because of {one.layer!r}, although another layer is causal" for one in meant]
    return [one for one in verdicts if one not in meant], notes


def _is_meant(leak: Leak, subject: Subject) -> bool:
    """Return whether later steps enter at a layer that uses them by design, so that the model as a whole is not causal.

    Attention that looks ahead is not taken as intended if other attention layers of the model are causal.
    """
    at = next((call.operation for call in subject.records if call.path == leak.layer), None)
    if at is None or id(at) in subject.causal or not causality.looks_ahead(at):
        return False
    claims = [call.operation for call in subject.records if id(call.operation) in subject.causal]
    return not (causality.attends(at) and any(map(causality.attends, claims)))


def _mildness(verdict: Verdict) -> tuple[int, float]:
    """Return a key that sorts verdicts: passed, then leaks by size, then untested."""
    return (Passed, Leak, Untested).index(type(verdict)), getattr(verdict, "relative", 0.0)
