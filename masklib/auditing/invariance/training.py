"""What is tested after the outputs: the loss and the metrics, the gradients, the statistics that a model keeps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.running import CallError
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.changes import Change, Entry, Quantity
from masklib.auditing.invariance.compiled_losses import Losses
from masklib.auditing.invariance.gradients import Gradients, Squares
from masklib.auditing.invariance.own_steps import OwnSteps
from masklib.auditing.invariance.packing import Teaching
from masklib.auditing.invariance.results import LOSS, NOT_ASKED, Untested, Verdict
from masklib.auditing.invariance.statistics import Statistics
from masklib.auditing.invariance.subject import Subject

LOSS_CHANGES = (Change.LONGER_PADDING, Change.PADDED_CONTENT)


@dataclass(frozen=True)
class Tested:
    """What was found of a part of a model.

    Attributes:
        verdicts: on it.
        notes: what a user may want to know, one sentence each.
        denominators: for each loss by name, by which count its mean divides.
        batch_size: for each loss and metric that depends on it, what `evaluate` reports of one batch, and of two.
        in_fit: for each metric of which `fit` reports something else than `evaluate`, what both report.
        assumptions: what nobody said and was taken to be so, one sentence each.
    """

    verdicts: Sequence[Verdict] = ()
    notes: Sequence[str] = ()
    denominators: Mapping[str, str] = field(default_factory=dict)
    batch_size: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    assumptions: Sequence[str] = ()
    in_fit: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def leave_out_training(model: Any) -> list[Tested]:
    """Return that the loss, the metrics and the gradients were not asked for, as far as a model has them."""
    found = [_no_loss(model, NOT_ASKED)] if compiled.has_loss(model) else []
    if model.trainable_variables:
        found.append(Tested([Untested(Change.LONGER_PADDING, Quantity.GRADIENT, "all weights", NOT_ASKED)]))
    return found


def check_training(
    subject: Subject,
    alternatives: Alternatives,
    teaching: Teaching,
    of_outputs: Sequence[Verdict],
    say: Callable[[str], object],
) -> list[Tested]:
    """Return what was found of the loss and the metrics, of the gradients and of the statistics.

    Args:
        subject: the model, with its batch.
        alternatives: the situations in which it is compared with itself.
        teaching: targets and weights that the user gives.
        of_outputs: what was found of the outputs.
        say: is called with what is tested next.

    Raises:
        ArgumentError: targets or weights do not fit the outputs.
    """
    if not compiled.has_loss(subject.model):
        say("the gradients")
        no_loss = _no_loss(subject.model, "the model has no loss: compile it")
        found = [no_loss, _of_gradients(subject, alternatives, None)]
    else:
        with compiled.compiled_as_before(subject.model):
            say("the loss and the metrics")
            of_losses, losses = _of_losses(subject, alternatives, teaching, of_outputs)
            say("the gradients")
            found = [of_losses, _of_gradients(subject, alternatives, losses)]
    say("the statistics")
    return [*found, _of_statistics(subject, alternatives)]


def _of_losses(
    subject: Subject, alternatives: Alternatives, teaching: Teaching, of_outputs: Sequence[Verdict]
) -> tuple[Tested, Losses | OwnSteps | None]:
    """Return what was found of the loss and the metrics, and these; None if they cannot be computed."""
    try:
        kind = OwnSteps if compiled.has_own_step(subject.model) else Losses
        losses = kind(subject, alternatives, teaching)
        verdicts = losses.verdicts(of_outputs)
        return Tested(
            verdicts, losses.notes, losses.denominators(), losses.by_batch_size(), losses.assumptions, losses.in_fit()
        ), losses
    except CallError as error:
        which = "made" if teaching.targets is None else "these"
        return _no_loss(subject.model, f"the loss cannot be computed with {which} targets: {error}"), None


def _no_loss(model: Any, why: str) -> Tested:
    """Return that the loss cannot be tested, nor the metrics, which are computed beside it."""
    both = [(Quantity.LOSS, LOSS), *([(Quantity.METRIC, "metric")] if compiled.has_metrics(model) else [])]
    return Tested([Untested(change, kind, name, why) for kind, name in both for change in LOSS_CHANGES])


def _of_gradients(subject: Subject, alternatives: Alternatives, losses: Losses | OwnSteps | None) -> Tested:
    """Return what was found of the gradients: of `fit`, where padding does not count in the loss by itself."""
    note = "the gradients are those of the mean square of the outputs at valid steps"
    if losses is not None and losses.is_silent:
        entry = Entry.OUTPUTS if compiled.has_own_training(subject.model) else losses.entry
        source = losses.gradients
        why = source.why_not()
        if not why:
            return Tested(Gradients(subject, alternatives, source, entry).verdicts())
        note = f"{note}, for `fit` fails: {why}"
    return Tested(Gradients(subject, alternatives, Squares(subject)).verdicts(), (note,))


def _of_statistics(subject: Subject, alternatives: Alternatives) -> Tested:
    """Return what was found of the statistics that BatchNormalization keeps."""
    statistics = Statistics(subject, alternatives)
    note = "statistics are those of one call in training, with dropout off"
    return Tested(statistics.verdicts(), (note,) if statistics.layers else ())
