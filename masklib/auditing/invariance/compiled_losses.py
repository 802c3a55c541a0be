"""Whether padded steps count in the losses and metrics with which a model was compiled, and by what their means divide.

A loss is tried in two ways. In the model: with the model's outputs in every situation. By itself: with unchanged outputs at valid
steps, and with other predictions at padded steps or more padded steps, under the same mask. This distinguishes a loss that counts
padding from one that only shows a leak of the outputs. Some losses find padding in the targets. So, unless the user says what
padded steps of targets hold, a loss is reported only if it does not ignore padding for any value that was tried.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.running import CallError
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.batch_size import BatchSize
from masklib.auditing.invariance.changes import Change, Entry, Quantity
from masklib.auditing.invariance.controls import blind_metrics
from masklib.auditing.invariance.denominators import denominator
from masklib.auditing.invariance.gradients import OfFit
from masklib.auditing.invariance.loss_inputs import LossInputs
from masklib.auditing.invariance.loss_tries import NO_NUMBER, LossTries, judged, measured
from masklib.auditing.invariance.loss_values import LossValues
from masklib.auditing.invariance.packing import Packing, Teaching
from masklib.auditing.invariance.reports import Reports
from masklib.auditing.invariance.results import LOSS, NO_METRICS, Leak, Untested, Verdict
from masklib.auditing.invariance.situations import Situation
from masklib.auditing.invariance.slopes import signless
from masklib.auditing.invariance.subject import Subject
from masklib.auditing.invariance.target_padding import TargetPadding, loss_name
from masklib.auditing.invariance.tries import Try

CLOSE = 1e-4  # relative difference by which `fit` and `evaluate` may differ for the same batch, from rounding
ZERO = "it is 0 in every situation"
CONSTANT = "it is the same for all predictions that were tried"
UNKNOWN_STEPS = "it is not known whether its steps are those of the inputs: give targets, padded as the inputs are"


class Losses:
    """Judges the compiled loss and metrics of a model.

    Args:
        subject: the model, with its batch.
        alternatives: the situations in which it is compared with itself.
        teaching: targets and weights that the user gives.

    Raises:
        ArgumentError: targets or weights do not fit the outputs.
        CallError: the loss cannot be computed.
    """

    entry = Entry.OUTPUTS  # of leaks in the gradients, if the loss does not count padding

    def __init__(self, subject: Subject, alternatives: Alternatives, teaching: Teaching) -> None:
        self._subject = subject
        self._alternatives = alternatives
        self._is_settled = teaching.is_settled
        packing = Packing(subject, teaching)
        self._values, self._reports = LossValues(packing), Reports(packing)
        settled = TargetPadding(self._values, subject, teaching).settle(LossInputs(packing, self._values.takes).predictions())
        self._alone = settled.alone
        self._is_square = settled.is_square
        self._has_targets = teaching.targets is not None
        self._whole = measured(settled.base, self._values, self._reports)
        self._tries = LossTries(self._values, self._reports, subject, self._whole)
        self._noise = self._tries.noise(is_square=settled.is_square)
        self._blind: set[str] = set()

    @property
    def is_silent(self) -> bool:
        """Return whether the loss by itself does not count padding."""
        return not any(one.kind is Quantity.LOSS and self._noise.exceeds(one) for one in self._alone)

    def verdicts(self, of_outputs: Sequence[Verdict]) -> list[Verdict]:
        """Return the verdicts, for each loss and metric and each change.

        Args:
            of_outputs: the verdicts on the outputs, which say where a leak enters that the loss only shows.

        Raises:
            CallError: a loss or metric cannot be computed.
        """
        if not np.isfinite(self._whole.loss):
            return self._on_nan()
        self._blind = blind_metrics(self._whole.metrics, self._values.metrics, self._whole.base, self._subject.seed)
        leaks = [one for one in of_outputs if isinstance(one, Leak)]
        tries = [*self._alone, *([] if self._is_square else self._all_tries(any(one.change.is_of_padding for one in leaks)))]
        layers = {one.change: one.layer for one in leaks}
        names = dict.fromkeys((one.change, one.kind, one.of) for one in tries)
        found = [self._judge([one for one in tries if (one.change, one.kind, one.of) == name], layers) for name in names]
        return [*found, *self._unknown_steps(), *self._without_metrics()]

    def _all_tries(self, outputs_leak: bool) -> list[Try]:
        """Return the tries of the metrics by themselves, and of what `evaluate` reports."""
        situations, longer = self._alternatives.for_training, self._alternatives.longer
        in_model = [one for situation in situations for one in self._of_situation(situation, outputs_leak)]
        in_batches = [] if outputs_leak else [one for situation in longer for one in self._tries.in_two_batches(situation)]
        return [*self._tries.of_metrics(), *in_model, *self._tries.of_zeros(situations), *in_batches]

    def _of_situation(self, situation: Situation, outputs_leak: bool) -> list[Try]:
        """Return what `evaluate` reports in a situation, and how padding gets in if not by an output."""
        tries = self._tries.in_model([situation])
        is_open = [not outputs_leak and self._noise.exceeds(one) for one in tries]
        return [self._with_entry(one, situation) if open_ else one for one, open_ in zip(tries, is_open, strict=True)]

    def _with_entry(self, one: Try, situation: Situation) -> Try:
        """Return a loss or metric that depends on padding while no output does, with how padding gets in."""
        layer = self._penalizing(situation, one) if one.kind is Quantity.LOSS else None
        return replace(one, entry=Entry.PENALTY if layer else Entry.ITSELF, layer=layer)

    def _penalizing(self, situation: Situation, one: Try) -> str | None:
        """Return the layer whose added loss makes up most of the difference in a situation; None if there is none."""
        if not self._values.adds_penalties:
            return None
        first, second = self._values.penalties(None), self._values.penalties(situation)
        apart = {name: abs(second.get(name, 0.0) - value) for name, value in first.items()}
        worst = max(apart, key=lambda name: apart[name], default=None)
        return worst if worst is not None and 2 * apart[worst] > one.size else None

    def _without_metrics(self) -> list[Verdict]:
        """Return that the metrics cannot be tested, where they cannot be computed."""
        if self._whole.metrics or not self._whole.why_not or not compiled.has_metrics(self._subject.model):
            return []
        why = f"{NO_METRICS}: {self._whole.why_not}"
        return [Untested(Change.LONGER_PADDING, Quantity.METRIC, "metric", why)]

    @property
    def notes(self) -> list[str]:
        """What a user may want to know."""
        if not self._whole.why_not:
            return []
        return [f"`evaluate` fails, so the loss is what `compute_loss` makes of the outputs: {self._whole.why_not}"]

    @property
    def assumptions(self) -> list[str]:
        """What was assumed, one sentence each: which targets were made."""
        made = [one for one in self._whole.base if one.loss is not None]
        weighted = f"{', '.join(sorted(self._tries.weighted))}: weights of 1 at valid steps, 0 at others (give sample_weight)"
        targets = [f"made targets for {one.name!r}: {one.kind.phrase} (give targets)" for one in made if not self._has_targets]
        return [*targets, *([weighted] if self._tries.weighted else [])]

    def in_fit(self) -> dict[str, tuple[float, float]]:
        """Return what `evaluate` and `fit` report for the batch as given, by name of the metric, where these differ.

        If the losses differ too, the model computes something else in training, and nothing is returned.
        """
        evaluated = self._whole.reported
        try:
            fitted = self.gradients.first.reported if self._whole.metrics and evaluated else {}
        except CallError:
            return {}
        both = {name: (value, fitted[name]) for name, value in evaluated.items() if name in fitted}
        apart = {name for name, (first, second) in both.items() if not np.isclose(first, second, rtol=CLOSE, atol=0.0)}
        return {} if LOSS in apart or LOSS not in both else {name: both[name] for name in both if name in apart}

    @cached_property
    def gradients(self) -> OfFit:
        """The gradients by which the model is trained."""
        base = self._whole.base
        return OfFit(self._reports, base, signless(self._values.objective(base), base, self._subject.observations.pack))

    def denominators(self) -> dict[str, str]:
        """Return for each loss the count by which its mean divides."""
        base = self._whole.base
        found = {loss_name(base, i): denominator(one) for i, one in enumerate(base) if one.loss is not None}
        return {name: "all steps" if self._only_divides(name) else value for name, value in found.items()}

    def by_batch_size(self) -> dict[str, tuple[float, float]]:
        """Return, by name, each loss or metric that differs between one batch and two: both numbers."""
        return BatchSize(self._values, self._whole, self._noise).differences()

    def _on_nan(self) -> list[Verdict]:
        """Return the verdicts on a loss that is not finite: a leak if it is finite with 0 at padded steps of the targets."""
        first, other = self._whole.loss, self._values.loss([one.padded_with(0) for one in self._whole.base])
        if not np.isfinite(other):
            changes = (Change.LONGER_PADDING, Change.PADDED_CONTENT)
            return [Untested(change, Quantity.LOSS, LOSS, NO_NUMBER) for change in changes]
        leak = Leak(
            change=Change.PADDED_CONTENT,
            kind=Quantity.LOSS,
            of=LOSS,
            size=float("inf"),
            relative=float("inf"),
            tolerance=self._subject.unit,
            example=f"{first:.6g} as given, {other:.6g} with 0 at the padded steps of the targets",
            entry=Entry.ITSELF,
        )
        return [leak]

    def _unknown_steps(self) -> Iterable[Verdict]:
        """Yield outputs with as many steps as the inputs that may be other steps; only given targets can show it."""
        base, sizes = self._whole.base, {group.steps for group in self._subject.batch.groups}
        for index, one in enumerate(() if self._is_settled else base):
            if one.valid is None and one.loss is not None and one.array.ndim > 2 and one.array.shape[1] in sizes:
                yield Untested(Change.PADDED_CONTENT, Quantity.LOSS, loss_name(base, index), UNKNOWN_STEPS)

    def _judge(self, tries: Sequence[Try], layers: dict[Change, str | None]) -> Verdict:
        """Return the verdict on one loss or metric and one change."""
        worst = max(tries, key=self._weight)
        if worst.kind is Quantity.METRIC and not any(one.first or one.second for one in tries):
            return Untested(worst.change, worst.kind, worst.of, ZERO)
        is_blind = worst.kind is Quantity.METRIC and worst.of in self._blind
        layer = layers.get(worst.change) if worst.entry is Entry.OUTPUTS else worst.layer
        return judged(worst, self._noise, layer=layer, entry=self._entry(worst), unmoved=CONSTANT if is_blind else "")

    def _weight(self, one: Try) -> tuple[bool, bool, float]:
        """Return a key by which the most informative try is the largest: of the loss by itself, of one batch, by size."""
        is_own = self._noise.exceeds(one) and one.entry is not Entry.OUTPUTS
        return is_own, is_own and one.entry is not Entry.BATCHES, one.relative

    def _entry(self, worst: Try) -> Entry:
        """Return how padding gets into a loss or metric, if it does."""
        is_divisor = worst.kind is Quantity.LOSS and worst.entry is Entry.ITSELF and self._only_divides(worst.of)
        return Entry.DIVISOR if is_divisor else worst.entry

    def _only_divides(self, name: str) -> bool:
        """Return whether more padded steps change a loss, and other predictions at padded steps do not."""
        changed = {one.change for one in self._alone if one.of == name and self._noise.exceeds(one)}
        return changed == {Change.LONGER_PADDING}
