"""Audits a model: what padding changes, where its masks go, what follows from both, as text, table, JSON and HTML."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from masklib.auditing.invariance.check import check_padding
from masklib.auditing.invariance.results import OF_PADDING, PaddingCheck, Passed, Untested
from masklib.auditing.invariance.sides import check_other_side
from masklib.auditing.report import matrix, page
from masklib.auditing.report.catalogue import LEAK, NOTE, RISK
from masklib.auditing.report.causes import Causes
from masklib.auditing.report.findings import Finding, find
from masklib.auditing.tracing.outcomes import IGNORED
from masklib.auditing.tracing.trace import Trace, trace
from masklib.checks import check_one_of
from masklib.errors import ArgumentError, UntestableError

if TYPE_CHECKING:
    import pandas as pd

NO_LEAK, NOT_TESTED = "no leak found", "not tested"
IGNORED_CODE = "MSK103"
FAIL_ON = (LEAK, RISK, "never")


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        model: its name.
        findings: the worst first.
        check: what was tested, with numbers.
        trace: the way of the masks.
    """

    model: str
    findings: list[Finding]
    check: PaddingCheck
    trace: Trace

    @property
    def verdict(self) -> str:
        """The worst severity, "leak" or "risk"; else "no leak found", or "not tested" if an output never met other padding."""
        worst = [finding.severity for finding in self.findings if finding.severity != NOTE]
        if worst:
            return worst[0]
        verdicts: list[Passed | Untested] = [*self.check.passed, *self.check.untested]
        outputs = {one.of for one in verdicts if one.kind == "output"}
        tested = {one.of for one in self.check.passed if one.kind == "output" and one.change in OF_PADDING}
        return NO_LEAK if tested and tested == outputs else NOT_TESTED

    def fails(self, on: str) -> bool:
        """Return whether there is a finding of this severity or a worse one.

        Args:
            on: "leak", "risk", which a leak is too, or "never".

        Raises:
            ArgumentError: `on` is something else.
        """
        check_one_of("fail_on", on, FAIL_ON)
        accused = {LEAK: (LEAK,), RISK: (LEAK, RISK)}.get(on, ())
        return any(finding.severity in accused for finding in self.findings)

    def to_frame(self) -> "pd.DataFrame":
        """Return a row a finding: code, severity, where, title, relative (of the scale of what changed), remedy."""
        import pandas as pd

        names = ["code", "severity", "where", "title", "relative", "remedy"]
        return pd.DataFrame([[getattr(finding, name) for name in names] for finding in self.findings], columns=names)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as what JSON can hold; numbers that are none are null."""
        tested = self.check.to_frame()
        return {
            "model": self.model,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            "verdict": self.verdict,
            "findings": [_plain(finding) for finding in self.findings],
            "tested": json.loads(tested.to_json(orient="records")),
            "denominators": dict(self.check.denominators),
            "notes": list(self.check.notes),
            "assumptions": list(self.check.assumptions),
            "trace": json.loads(self.trace.to_frame().to_json(orient="records")),
        }

    def __str__(self) -> str:
        """The findings, then what was tested and what was not."""
        lines = [self.headline, ""]
        for finding in self.findings:
            lines += [f"{finding.severity.upper():<5} {finding.code}  {finding.title}"]
            lines += [f"      {sentence}" for sentence in finding.evidence]
            lines += [f"      why: {finding.why}", f"      do:  {finding.remedy}", ""]
        lines += ["What was tested:", matrix.as_text(self.check)]
        lines += [f"not tested: {reason}" for reason in matrix.reasons(self.check)]
        lines += [f"assumed: {one}" for one in self.check.assumptions]
        return "\n".join([*lines, *(f"note: {note}" for note in (*matrix.divisors(self.check), *self.check.notes))])

    @property
    def headline(self) -> str:
        """The verdict, in a line."""
        counts = [(sum(one.severity == name for one in self.findings), name) for name in (LEAK, RISK, NOTE)]
        told = [f"{count} {name}{'s' if count > 1 else ''}" for count, name in counts if count]
        if self.verdict in (NO_LEAK, NOT_TESTED):
            told = [self.verdict, *told]
        told += ["not all was tested"] if self.check.untested and self.verdict != NOT_TESTED else []
        return f"{self.model} (Keras {keras.__version__}, {keras.backend.backend()}): {', '.join(told)}"

    def _repr_html_(self) -> str:
        """The report for a notebook; names are text, never markup."""
        return page.fragment(self)


def audit(model: Any, inputs: Any = None, targets: Any = None, **options: Any) -> Report:
    """Test whether padding changes what a model computes, and say where it enters and what to write instead.

    The model is afterwards what it was.

    Args:
        model: any Keras 3 model: functional, sequential or subclassed.
        inputs: a padded batch as the model takes it: an array, or a list or dict of arrays; rows of several lengths are padded.
            Or a dataset as `fit` takes it: tf.data, a generator, a PyDataset, a DataLoader. None: made from the model's
            signature.
        targets: for the model's outputs; None: those in the dataset, else made from its outputs and losses.
        **options: of `check_padding`: sample_weight, mask_value, pad_id, padding_side, target_pad, not_a_sequence,
            causal, seed.

    Returns:
        Report: print it, or show it in a notebook; it holds the verdict and the findings, and gives them as a table and as JSON.

    Raises:
        ArgumentError: `model` is no model, or the inputs are not its own.
        UntestableError: the model's output is random, or not a number.

    Example:
        >>> import keras, masklib
        >>> ids = keras.Input((None,), dtype="int32")
        >>> model = keras.Model(ids, keras.layers.LSTM(4)(keras.layers.Embedding(9, 4)(ids)))
        >>> masklib.audit(model).verdict
        'leak'
    """
    check = check_padding(model, inputs, targets, **options)
    tested, other = check.model, check.other_side
    seen = trace(tested, check.inputs)
    findings = find(check, seen, Causes(tested, check.inputs) if check.leaks else None)
    if inputs is None and not options.get("padding_side") and not any(one.code == IGNORED_CODE for one in findings):
        findings += _of_other_side(tested, check, seen, options)
    if other is not None:
        found = find(other, trace(tested, other.inputs), Causes(tested, other.inputs))
        findings += _as_notes(found, "harmless where padding stands before the sequences; after them: ")
    return Report(str(model.name), findings, check, seen)


def assert_padding_invariant(model: Any, inputs: Any = None, targets: Any = None, **options: Any) -> None:
    """Raise AssertionError, with the findings as its text, if padding changes what a model computes; for tests.

    Arguments and other errors are those of `audit`. A model that could not be tested fails too.

    Example:
        >>> import keras, masklib
        >>> ids = keras.Input((None,), dtype="int32")
        >>> x = keras.layers.Embedding(9, 4, mask_zero=True)(ids)
        >>> masklib.assert_padding_invariant(keras.Model(ids, keras.layers.LSTM(4)(x)))
    """
    report = audit(model, inputs, targets, **options)
    if report.verdict != NO_LEAK:
        raise AssertionError(str(report))


def _of_other_side(model: Any, check: PaddingCheck, seen: Trace, options: Mapping[str, Any]) -> list[Finding]:
    """Return a note for each layer that ignores its mask, harmless behind a sequence, and would not be in front of one."""
    if not any(call.outcome == IGNORED for call in seen.calls):
        return []
    given = {name: options[name] for name in ("pad_id", "mask_value", "seed") if name in options}
    try:
        other = replace(check, leaks=check_other_side(model, **given))
    except (ArgumentError, UntestableError):
        return []
    found = [finding for finding in find(other, seen) if finding.code == IGNORED_CODE]
    return _as_notes(found, "harmless where padding stands after the sequence; in front of it: ")


def _as_notes(findings: Sequence[Finding], told: str) -> list[Finding]:
    """Return what was found with padding at the other side."""
    accused = [one for one in findings if one.severity != NOTE]
    return [replace(one, severity=NOTE, evidence=(told + one.evidence[0],), relative=one.relative) for one in accused]


def _plain(finding: Finding) -> dict[str, Any]:
    """Return a finding as what JSON can hold."""
    names = ("code", "severity", "where", "title", "evidence", "why", "remedy")
    relative = finding.relative if np.isfinite(finding.relative) else None
    return {**{name: getattr(finding, name) for name in names}, "relative": relative}
