"""Audits a model: what padding changes, and where and why, as text, table, JSON and HTML."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.running import quietly
from masklib.auditing.inputs.settings import PaddingSettings
from masklib.auditing.invariance.changes import Quantity
from masklib.auditing.invariance.check import Options, check_padding
from masklib.auditing.invariance.results import PaddingCheck
from masklib.auditing.invariance.sides import check_other_side
from masklib.auditing.report import page, text
from masklib.auditing.report.candidates import IGNORED_MASK
from masklib.auditing.report.catalogue import LEAK, NOTE, RISK
from masklib.auditing.report.causes import Causes
from masklib.auditing.report.coverage import OUTPUTS, PARTS, Gap, gaps, listed, phrase
from masklib.auditing.report.findings import Finding, find
from masklib.auditing.report.fixes import Fixes
from masklib.auditing.report.heading import Heading, heading
from masklib.auditing.tracing.outcomes import IGNORED
from masklib.auditing.tracing.trace import Trace, trace, trace_of
from masklib.checks import check_one_of
from masklib.errors import ArgumentError, UntestableError
from masklib.extras import imported

if TYPE_CHECKING:
    import pandas as pd

NO_LEAK, NOT_TESTED = "no leak found", "not tested"
PYTEST_INDENT = 4  # columns that pytest puts before each line of an error
SCHEMA = 1  # of the JSON; it changes if the meaning of a name in it changes
FAIL_ON = (LEAK, RISK, "never")


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        model: its name.
        findings: the worst first.
        check: what was tested, with numbers.
        trace: the path of the masks.
        heading: the conditions of the audit: versions, seed, batch.
        parts: those of `coverage.PARTS` that the model has.
        allowed: those of `coverage.PARTS` that need not be tested.
    """

    model: str
    findings: list[Finding]
    check: PaddingCheck
    trace: Trace
    heading: Heading
    parts: tuple[str, ...] = PARTS
    allowed: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """The worst severity, "leak" or "risk"; else "no leak found", or "not tested" if a part was not tested that must be."""
        worst = [finding.severity for finding in self.findings if finding.severity != NOTE]
        if worst:
            return worst[0]
        return NOT_TESTED if any(gap.part not in self.allowed for gap in self.gaps) else NO_LEAK

    @property
    def gaps(self) -> list[Gap]:
        """What was not tested with other padding, of outputs, loss, metrics and gradients; and why."""
        return gaps(self.check, self.parts, has_targets=self.check.has_targets)

    def exit_status(self, fail_on: str = LEAK) -> int:
        """Return the exit status of a command: 1 if it fails, 2 if a part was not tested that must be, else 0.

        Args:
            fail_on: as for `fails`.
        """
        if self.fails(fail_on):
            return 1
        is_open = any(gap.part not in self.allowed for gap in self.gaps)
        return 2 if is_open and self.verdict != LEAK else 0

    def fails(self, on: str) -> bool:
        """Return whether there is a finding of this severity or worse.

        Args:
            on: "leak", "risk", which includes leaks, or "never".

        Raises:
            ArgumentError: `on` is something else.
        """
        check_one_of("fail_on", on, FAIL_ON)
        accused = {LEAK: (LEAK,), RISK: (LEAK, RISK)}.get(on, ())
        return any(finding.severity in accused for finding in self.findings)

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per finding: code, severity, where, title, relative (to the scale of what changed), remedy."""
        names = ["code", "severity", "where", "title", "relative", "remedy"]
        rows = [[getattr(finding, name) for name in names] for finding in self.findings]
        frame: pd.DataFrame = imported("pandas", "plot").DataFrame(rows, columns=names)
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict that JSON can hold; numbers that are not finite are null."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            **self.heading.to_dict(),
            "verdict": self.verdict,
            "not_tested": [{**asdict(gap), "allowed": gap.part in self.allowed} for gap in self.gaps],
            "findings": [_plain(finding) for finding in self.findings],
            "tested": [_finite(row) for row in self.check.rows()],
            "denominators": dict(self.check.denominators),
            "notes": list(self.check.notes),
            "assumptions": list(self.check.assumptions),
            "trace": [_finite(row) for row in self.trace.rows()],
        }

    def __str__(self) -> str:
        """The findings, then what was tested and what was not, in the width of the terminal."""
        return text.as_text(self)

    @property
    def headline(self) -> str:
        """The verdict in one line: what was found, and what was not tested."""
        counts = [(sum(one.severity == name for one in self.findings), name) for name in (LEAK, RISK, NOTE)]
        found = [f"{count} {name}{'s' if count > 1 else ''}" for count, name in counts if count]
        if not any(finding.severity != NOTE for finding in self.findings):
            found = [self._no_leak(), *found]
        return "; ".join([f"{self.model}: {', '.join(found)}", *filter(None, [phrase(self.gaps)])])

    def _no_leak(self) -> str:
        """Return for which parts no leak was found."""
        open_ = {gap.part for gap in self.gaps}
        if not open_:
            return NO_LEAK
        tested = [part for part in (OUTPUTS, *self.parts) if part not in open_]
        return f"{NO_LEAK} in the {listed(tested)}" if OUTPUTS in tested else NOT_TESTED

    def _repr_html_(self) -> str:
        """The report for a notebook; names are text, not markup."""
        return page.fragment(self)


def audit(
    model: Any, inputs: Any = None, targets: Any = None, *, allow_untested: str | Iterable[str] = (), **options: Unpack[Options]
) -> Report:
    """Test whether padding changes what a model computes, and say where it enters and what to write instead.

    The model is restored afterwards.

    Args:
        model: any Keras 3 model: functional, sequential or subclassed.
        inputs: a padded batch as the model takes it: an array, or a list or dict of arrays; rows of different lengths are padded.
            Or a dataset as `fit` takes it: tf.data, a generator, a PyDataset, a DataLoader. None: made from the model's
            signature.
        targets: for the model's outputs; None: those in the dataset, else made from its outputs and losses.
        allow_untested: which of "loss", "metrics" and "gradients" may be untested for the verdict "no leak found".
        **options: of `check_padding`: sample_weight, mask_value, pad_id, padding_side, target_pad, not_a_sequence, causal,
            seed, quick. With quick, only the outputs are tested.

    Returns:
        Report: print it, or show it in a notebook; it has the verdict and the findings, also as a table and as JSON.

    Raises:
        ArgumentError: `model` is not a model, it does not take the inputs, or `allow_untested` names something else.
        UntestableError: the model's output is random or not finite.

    Example:
        >>> import keras, masklib
        >>> ids = keras.Input((None,), dtype="int32")
        >>> model = keras.Model(ids, keras.layers.LSTM(4)(keras.layers.Embedding(9, 4)(ids)))
        >>> masklib.audit(model).verdict
        'leak'
    """
    allowed = _allowed(allow_untested)
    with quietly():
        check = check_padding(model, inputs, targets, **options)
        tested, other = check.model, check.other_side
        traced = _traced(check)
        if check.leaks and (say := options.get("on_stage")):
            say("the causes")
        fixes = Fixes(tested, traced.calls, check)
        findings = find(check, traced, Causes(tested, traced.calls) if check.leaks else None, fixes)
        if inputs is None and not options.get("padding_side") and not any(one.code == IGNORED_MASK for one in findings):
            findings += _of_other_side(tested, check, traced, options)
        if other is not None:
            of_other = _traced(other)
            found = find(other, of_other, Causes(tested, of_other.calls))
            findings += _as_notes(found, "harmless if padding stands before the sequences; after them: ")
    parts = _parts_of(model, check)
    about = heading(model, check, has_inputs=inputs is not None, has_loss="loss" in parts, seed=options.get("seed", 0))
    return Report(str(model.name), findings, check, traced, about, parts, PARTS if options.get("quick") else allowed)


def assert_padding_invariant(
    model: Any, inputs: Any = None, targets: Any = None, *, allow_untested: str | Iterable[str] = (), **options: Unpack[Options]
) -> None:
    """Raise AssertionError, with the report as its message, if padding changes what a model computes; for tests.

    Arguments and other errors are those of `audit`. It also raises if the model could not be tested, or if its loss, metrics or
    gradients could not be tested and `allow_untested` does not name them.

    Example:
        >>> import keras, masklib
        >>> ids = keras.Input((None,), dtype="int32")
        >>> x = keras.layers.Embedding(9, 4, mask_zero=True)(ids)
        >>> masklib.assert_padding_invariant(keras.Model(ids, keras.layers.LSTM(4)(x)))
    """
    __tracebackhide__ = True  # pytest shows the line of the user's test
    failure = failure_of(audit(model, inputs, targets, allow_untested=allow_untested, **options))
    if failure:
        raise failure


def failure_of(report: Report) -> AssertionError | None:
    """Return the error of a test whose model leaks, or could not be tested; None for any other."""
    return None if report.verdict == NO_LEAK else AssertionError(text.as_text(report, text.width() - PYTEST_INDENT))


def _allowed(parts: str | Iterable[str]) -> tuple[str, ...]:
    """Return the parts that may be untested.

    Raises:
        ArgumentError: one is not in `coverage.PARTS`.
    """
    names = [part.strip() for part in parts.split(",")] if isinstance(parts, str) else list(parts)
    return tuple(check_one_of("allow_untested", part, PARTS) for part in names)


def _parts_of(model: Any, check: PaddingCheck) -> tuple[str, ...]:
    """Return the parts that a model has besides its outputs; its own `test_step` may report no loss."""
    kinds = [one.kind for several in (check.leaks, check.passed, check.untested) for one in several]
    has = {
        "loss": compiled.has_loss(model) and (Quantity.LOSS in kinds or not compiled.has_own_step(model)),
        "metrics": compiled.has_metrics(model),
        "gradients": bool(model.trainable_variables),
    }
    return tuple(part for part in PARTS if has[part])


def _traced(check: PaddingCheck) -> Trace:
    """Return the trace for the tested inputs; the model is called again if the check has no records."""
    return trace_of(check.calls, str(check.model.name)) if check.calls else trace(check.model, check.inputs)


def _of_other_side(model: Any, check: PaddingCheck, traced: Trace, options: Options) -> list[Finding]:
    """Return a note for each layer that ignores its mask, if only padding before the sequences shows it."""
    if not any(call.outcome == IGNORED for call in traced.calls):
        return []
    settings = PaddingSettings(pad_id=options.get("pad_id"), mask_value=options.get("mask_value"))
    try:
        other = replace(check, leaks=check_other_side(model, settings, seed=options.get("seed", 0)))
    except (ArgumentError, UntestableError):
        return []
    found = [finding for finding in find(other, traced) if finding.code == IGNORED_MASK]
    return _as_notes(found, "harmless if padding stands after the sequence; before it: ")


def _as_notes(findings: Sequence[Finding], where: str) -> list[Finding]:
    """Return findings with padding at the other side, as notes."""
    accused = [one for one in findings if one.severity != NOTE]
    return [replace(one, severity=NOTE, evidence=(where + one.evidence[0],)) for one in accused]


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as what JSON can hold: numbers that are none are null."""
    return {name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in row.items()}


def _plain(finding: Finding) -> dict[str, Any]:
    """Return a finding as a dict that JSON can hold."""
    names = ("code", "severity", "where", "title", "evidence", "why", "remedy", "fix")
    relative = finding.relative if np.isfinite(finding.relative) else None
    return {**{name: getattr(finding, name) for name in names}, "relative": relative}
