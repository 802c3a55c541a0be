"""Whether a model's outputs at valid steps are the same in every situation."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from masklib.auditing.borrowing.running import CallError
from masklib.auditing.inputs import variants
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.changes import Change, Quantity
from masklib.auditing.invariance.comparing import Distance, ShapeError, apart
from masklib.auditing.invariance.compiling import computes_otherwise_when_compiled
from masklib.auditing.invariance.locating import Follower
from masklib.auditing.invariance.results import Leak, Passed, Place, Untested, Verdict
from masklib.auditing.invariance.situations import Situation
from masklib.auditing.invariance.subject import Subject
from masklib.errors import UntestableError


class OutputJudge:
    """Judges the outputs of a model.

    Args:
        subject: the model, with its batch.
        alternatives: the situations in which it is compared with itself.

    Raises:
        UntestableError: an output is not finite at valid steps.
    """

    def __init__(self, subject: Subject, alternatives: Alternatives) -> None:
        self._subject = subject
        self._alternatives = alternatives
        lengthened = subject.lengthened
        self._follower = Follower(subject.runner, subject.given, lengthened.taken, lengthened.steps)
        self._check_numbers()

    def verdicts(self) -> list[Verdict]:
        """Return the verdicts on every output in every situation except later steps."""
        others = self._alternatives
        found = self._on_longer_padding()
        found += self.on(Change.PADDED_CONTENT, others.contents)
        found += self.on(Change.MASKED_CONTENT, others.injected)
        found += self.on(Change.EMBEDDING_ROW, others.rows, others.pad_rows.why_none)
        found += self.on(Change.BATCH_MATES, others.mates, "the batch has one sample only")
        found += self.on(Change.NO_PADDING, others.unpadded, "no sample has padding of its own")
        return found + self._on_compiling()

    def verdicts_of_two(self) -> list[Verdict]:
        """Return the verdicts on every output with longer padding and without padding."""
        unpadded = self._alternatives.unpadded
        return self._on_longer_padding() + self.on(Change.NO_PADDING, unpadded, "no sample has padding of its own")

    def on(self, change: Change, found: Sequence[Situation], otherwise: str = "") -> list[Verdict]:
        """Return a verdict on a change for each output.

        Args:
            change: the kind of the situations.
            found: the situations.
            otherwise: why there is no situation, if there should be one.
        """
        names = self._subject.observations.names
        if not found:
            return [Untested(change, Quantity.OUTPUT, name, otherwise) for name in names if otherwise]
        return [self._worst(change, index, found) for index in range(len(names))]

    def _on_longer_padding(self) -> list[Verdict]:
        """Return the verdicts on longer padding: one for each output, and one for each group that cannot be made longer."""
        found = self.on(Change.LONGER_PADDING, self._alternatives.longer)
        for situation, why in self._subject.lengthened.refused:
            reason = f"the model does not take more steps of {self._subject.batch.groups[situation.groups[0]].name}: {why}"
            names = self._subject.observations.names
            found += [Untested(Change.LONGER_PADDING, Quantity.OUTPUT, name, reason) for name in names]
        return found

    def _on_compiling(self) -> list[Verdict]:
        """Return the verdicts on the outputs of `predict`, which is compiled, compared with those of an ordinary call.

        This is done for the batch as given and with longer padding, because Keras compiles again for inputs of other shapes.
        """
        observations, found = self._subject.observations, list[Verdict]()
        if observations.why_not_predicted:
            why = f"predict fails, so the model was called instead: {observations.why_not_predicted}"
            return [Untested(Change.COMPILED, Quantity.OUTPUT, name, why) for name in observations.names]
        longer = self._alternatives.longer[:1]
        pairs = [(observations.called, observations.base, "as given")]
        pairs += [(observations.called_in(one), observations.of(one), one.labels[1]) for one in longer]
        for index, name in enumerate(observations.names):
            tried = [(apart(called[index], predicted[index]), label) for called, predicted, label in pairs]
            worst, label = max(tried, key=lambda one: one[0].relative)
            tolerance = max(self._subject.much, self._subject.noise.of[index].tolerance)
            if worst.relative <= tolerance:
                found.append(Passed(Change.COMPILED, Quantity.OUTPUT, name, worst.relative, tolerance))
            else:
                found.append(self._compiled_otherwise(name, worst, tolerance, label))
        return found

    def _compiled_otherwise(self, name: str, worst: Distance, tolerance: float, label: str) -> Leak:
        """Return the leak that `predict` and an ordinary call give different outputs."""
        at = ", ".join(map(str, worst.at))
        element = f"element ({at}): {worst.first:.4g} when called, {worst.second:.4g} by predict" if worst.at else "other shapes"
        return Leak(
            change=Change.COMPILED,
            kind=Quantity.OUTPUT,
            of=name,
            size=worst.size,
            relative=worst.relative,
            tolerance=tolerance,
            layer=self._layer_compiled_otherwise,
            example=f"{element}, {label}",
            is_compiled=True,
        )

    @cached_property
    def _layer_compiled_otherwise(self) -> str | None:
        """The first layer for which `predict` and an ordinary call give different results; None if not known."""
        subject = self._subject
        others = [one.batch.inputs for one in (*self._alternatives.longer, *self._alternatives.unpadded)]
        first = subject.batch.inputs
        return computes_otherwise_when_compiled(subject.model, first, others[0] if others else first, subject.much)

    def _worst(self, change: Change, index: int, found: Sequence[Situation]) -> Verdict:
        """Return the verdict on one output, from the situation that changes it most."""
        name, unknown = self._subject.observations.names[index], self._subject.axes.unknown
        if index in unknown and change is not Change.BATCH_MATES:
            return Untested(change, Quantity.OUTPUT, name, unknown[index])
        tried, reasons = self._tried(index, found)
        if not tried:
            return Untested(change, Quantity.OUTPUT, name, reasons[0])
        situation, apart = max(tried, key=lambda pair: pair[1].relative)
        tolerance = self._subject.noise.of[index].tolerance
        if apart.relative <= tolerance:
            return Passed(change, Quantity.OUTPUT, name, apart.relative, tolerance)
        return self._leak(index, situation, apart, tolerance)

    def _tried(self, index: int, found: Sequence[Situation]) -> tuple[list[tuple[Situation, Distance]], list[str]]:
        """Return how much each situation changes an output, and the reasons why others could not be compared."""
        tried, reasons = [], []
        for situation in found:
            try:
                tried.append((situation, self._subject.apart(index, situation)))
            except (CallError, ShapeError) as error:
                reasons.append(str(error))
        return tried, reasons

    def _leak(self, index: int, situation: Situation, apart: Distance, tolerance: float) -> Leak:
        """Return the leak of an output in a situation, and where it enters."""
        subject = self._subject
        is_compiled = self._is_compiled(index, situation, tolerance)
        layer = self._layer_compiled_otherwise if is_compiled else self._follower.enters(situation, apart, tolerance)
        return Leak(
            change=situation.change,
            kind=Quantity.OUTPUT,
            of=subject.observations.names[index],
            size=apart.size,
            relative=apart.relative,
            tolerance=tolerance,
            layer=layer,
            example=self._example(situation, apart, index),
            is_compiled=is_compiled,
            place=Place(index, situation, subject.batch, subject.axes_of(index), apart.scale, apart.at[0]),
        )

    def _is_compiled(self, index: int, situation: Situation, tolerance: float) -> bool:
        """Return whether `predict` leaks and an ordinary call does not."""
        if situation.is_inside or self._subject.observations.why_not_predicted:
            return False
        called, other = self._subject.observations.called[index], self._subject.observations.called_in(situation)[index]
        try:
            found = situation.compare(called, other, self._subject.axes_of(index), self._subject.batch)
        except ShapeError:
            return False
        return found.size / (self._subject.noise.of[index].scale or 1.0) <= tolerance

    def _example(self, situation: Situation, apart: Distance, index: int) -> str:
        """Return one number of the output as given and in a situation, as a sentence."""
        sample, axes = situation.rows[apart.at[0]], self._subject.axes_of(index)
        names = ["step" if axis in axes else "feature" for axis in range(1, len(apart.at))]
        where = "".join(f", {name} {at}" for name, at in zip(names, apart.at[1:], strict=True))
        return f"sample {sample}{where}: {apart.first:.4g} {situation.labels[0]}, {apart.second:.4g} {situation.labels[1]}"

    def _check_numbers(self) -> None:
        """Raise if an output is not finite at a valid step, unless padding makes it so."""
        observations = self._subject.observations
        for index, (name, array) in enumerate(zip(observations.names, observations.base, strict=True)):
            bad = ~np.isfinite(array) & self._subject.valid_elements(index)
            if bad.any() and not self._is_by_padding(index, set(np.argwhere(bad)[:, 0].tolist())):
                at = [int(i) for i in np.argwhere(bad)[0]]
                msg = f"Output {name!r} must be a finite number at valid steps, it is {array[tuple(at)]} in sample {at[0]}. "
                raise UntestableError(msg + "Look for a division by a count of 0, or a logarithm of 0; nothing was tested.")

    def _is_by_padding(self, index: int, samples: set[int]) -> bool:
        """Return whether an output of these samples is not finite only because of padding: without padding, it is finite."""
        subject, unpadded = self._subject, self._alternatives.unpadded
        found = [one for one in unpadded if set(one.rows) & samples]
        shortest = variants.own_lengths(subject.batch)[sorted(samples)].min(axis=1)
        are_padded = shortest < max(group.steps for group in subject.batch.groups)
        try:
            of_found = [np.isfinite(subject.observations.of(one)[index]).all() for one in found]
        except CallError:
            return False
        return bool(found) and bool(are_padded.all()) and all(of_found)
