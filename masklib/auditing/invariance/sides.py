"""Padding at the other side: if the user does not say the side, a model is judged at the side where it does not leak."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from masklib.auditing.borrowing.methods import borrowed
from masklib.auditing.inputs import making
from masklib.auditing.inputs.settings import PaddingSettings
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.changes import Quantity
from masklib.auditing.invariance.outputs import OutputJudge
from masklib.auditing.invariance.results import Leak, PaddingCheck, Passed, Untested
from masklib.auditing.invariance.subject import examine
from masklib.errors import ArgumentError, UntestableError

ASSUMED = "padding stands before the sequences, where the model is clean; after them it leaks (padding_side='post' tests that)"


def check_other_side(model: Any, settings: PaddingSettings, *, seed: int) -> list[Leak]:
    """Return the leaks of a model's outputs if padding stands before the sequences that `make_inputs` makes.

    Args:
        model: a Keras 3 model.
        settings: what the user says about padding.
        seed: of all random numbers.

    Raises:
        ArgumentError, UntestableError: as for `check_padding`.
    """
    with borrowed(model) as runner:
        batch, records = making.prepare(model, None, replace(settings, padding_side="pre"), seed=seed)
        subject = examine(runner, batch, records, seed)
        verdicts = OutputJudge(subject, Alternatives(subject)).verdicts()
    return [one for one in verdicts if isinstance(one, Leak)]


def of_cleaner_side(
    found: PaddingCheck, model: Any, settings: PaddingSettings, check: Callable[[PaddingSettings], PaddingCheck], *, seed: int
) -> PaddingCheck:
    """Return the check with padding before made sequences, if outputs leak only with padding after them; else `found`.

    Args:
        found: the check with padding after the sequences.
        model: a Keras 3 model.
        settings: what the user says about padding.
        check: checks the model with other settings.
        seed: of all random numbers.
    """
    leaks = _of_padding(found.leaks)
    if not leaks:
        return found
    worst = max(leaks, key=lambda one: one.relative)
    try:
        if _of_padding(check_other_side(model, settings, seed=seed)):
            return found
        other = check(replace(settings, padding_side="pre"))
    except (ArgumentError, UntestableError):
        return found
    if not _is_clean(other):
        return found
    note = f"it needs padding before the sequences: with padding after them, output {worst.of!r} differs by {worst.size:.3g}, "
    note += f"{worst.relative:.1%} of its scale ({worst.example})"
    assumed = [ASSUMED if one.startswith("padding stands") else one for one in other.assumptions]
    return replace(other, notes=(note, *other.notes), assumptions=tuple(assumed), other_side=found)


def _of_padding(leaks: Iterable[Leak]) -> list[Leak]:
    """Return the leaks of outputs that come from padding."""
    return [one for one in leaks if one.kind is Quantity.OUTPUT and one.change.is_of_padding]


def _is_clean(check: PaddingCheck) -> bool:
    """Return whether every output was tested with other padding, and none differs."""
    tested = {one.of for one in check.passed if one.kind is Quantity.OUTPUT and one.change.is_of_padding}
    verdicts: list[Passed | Untested] = [*check.passed, *check.untested]
    outputs = {one.of for one in verdicts if one.kind is Quantity.OUTPUT}
    return not _of_padding(check.leaks) and bool(tested) and tested == outputs
