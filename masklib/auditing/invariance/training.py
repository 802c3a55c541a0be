"""What is tested after the outputs: the loss and the metrics, the gradients, the statistics of BatchNormalization."""

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
    """The results for a part of a model.

    Attributes:
        verdicts: on this part.
        notes: what a user may want to know, one sentence each.
        denominators: for each loss by name, the count by which its mean divides.
        batch_size: for each loss and metric that depends on the batch size, what `evaluate` reports for one batch and for two.
        in_fit: for each metric for which `fit` and `evaluate` report different numbers, both numbers.
        assumptions: what was assumed because the user did not say it, one sentence each.
    """

    verdicts: Sequence[Verdict] = ()
    notes: Sequence[str] = ()
    denominators: Mapping[str, str] = field(default_factory=dict)
    batch_size: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    assumptions: Sequence[str] = ()
    in_fit: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def leave_out_training(model: Any) -> list[Tested]:
    """Return that the loss, the metrics and the gradients, if a model has them, were not tested because of `quick`."""
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
    """Return the results for the loss and the metrics, for the gradients and for the statistics.

    Args:
        subject: the model, with its batch.
        alternatives: the situations in which it is compared with itself.
        teaching: targets and weights that the user gives.
        of_outputs: the verdicts on the outputs.
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
    """Return the results for the loss and the metrics, and the object that judged them; None if they cannot be computed."""
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
    """Return that the loss cannot be tested, nor the metrics, which are computed together with it."""
    both = [(Quantity.LOSS, LOSS), *([(Quantity.METRIC, "metric")] if compiled.has_metrics(model) else [])]
    return Tested([Untested(change, kind, name, why) for kind, name in both for change in LOSS_CHANGES])


def _of_gradients(subject: Subject, alternatives: Alternatives, losses: Losses | OwnSteps | None) -> Tested:
    """Return the results for the gradients: those of `fit`, if the loss by itself does not count padding."""
    note = "the gradients are those of the mean square of the outputs at valid steps"
    if losses is not None and losses.is_silent:
        entry = Entry.OUTPUTS if compiled.has_own_training(subject.model) else losses.entry
        source = losses.gradients
        why = source.why_not()
        if not why:
            return Tested(Gradients(subject, alternatives, source, entry).verdicts())
        note = f"{note}, because `fit` fails: {why}"
    return Tested(Gradients(subject, alternatives, Squares(subject)).verdicts(), (note,))


def _of_statistics(subject: Subject, alternatives: Alternatives) -> Tested:
    """Return the results for the statistics of BatchNormalization."""
    statistics = Statistics(subject, alternatives)
    note = "statistics are those of one call in training, with dropout off"
    return Tested(statistics.verdicts(), (note,) if statistics.layers else ())
