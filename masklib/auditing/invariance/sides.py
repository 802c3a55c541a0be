"""Padding at the other side: where nobody said at which it stands, a model is judged at the side for which it was made."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from masklib.auditing.borrowing.running import borrowed
from masklib.auditing.inputs import making
from masklib.auditing.invariance.outputs import Outputs
from masklib.auditing.invariance.results import OF_PADDING, Leak, PaddingCheck, Passed, Untested
from masklib.errors import ArgumentError, UntestableError

ASSUMED = "padding stands before the sequences, where the model is clean; after them it leaks (padding_side='post' tests that)"


def check_other_side(model: Any, *, seed: int = 0, **options: Any) -> list[Leak]:
    """Return the leaks of a model's outputs where padding stands in front of the sequences that `make_inputs` makes.

    Args:
        model: a Keras 3 model.
        seed: of all draws.
        **options: `pad_id`, `mask_value` and `not_a_sequence`, as those of `check_padding`.

    Raises:
        ArgumentError, UntestableError: as `check_padding`.
    """
    with borrowed(model) as runner:
        settings = {"pad_id": None, "mask_value": None, **options, "padding_side": "pre"}
        batch, seen = making.prepare(model, None, seed=seed, **settings)
        verdicts = Outputs(runner, batch, seen, seed).verdicts(causal=False)
    return [one for one in verdicts if isinstance(one, Leak)]


def of_cleaner_side(found: PaddingCheck, model: Any, check: Callable[..., PaddingCheck], **options: Any) -> PaddingCheck:
    """Return the check with padding before made sequences, if outputs leak only where it stands after them.

    Args:
        found: with padding after the sequences.
        model: a Keras 3 model.
        check: checks it, with a `padding_side`.
        **options: of `check_other_side`.
    """
    leaks = _of_padding(found.leaks)
    if not leaks:
        return found
    worst = max(leaks, key=lambda one: one.relative)
    try:
        if _of_padding(check_other_side(model, **options)):
            return found
        other = check(padding_side="pre")
    except (ArgumentError, UntestableError):
        return found
    if not _is_clean(other):
        return found
    told = f"it wants padding before the sequences: with padding after them output {worst.of!r} is off by {worst.size:.3g}, "
    told += f"{worst.relative:.1%} of its scale ({worst.example})"
    assumed = [ASSUMED if one.startswith("padding stands") else one for one in other.assumptions]
    return replace(other, notes=(told, *other.notes), assumptions=tuple(assumed), other_side=found)


def _of_padding(leaks: Iterable[Leak]) -> list[Leak]:
    """Return the leaks of outputs that come from padding."""
    return [one for one in leaks if one.kind == "output" and one.change in OF_PADDING]


def _is_clean(check: PaddingCheck) -> bool:
    """Return whether padding was changed for every output, and none differs."""
    tested = {one.of for one in check.passed if one.kind == "output" and one.change in OF_PADDING}
    verdicts: list[Passed | Untested] = [*check.passed, *check.untested]
    outputs = {one.of for one in verdicts if one.kind == "output"}
    return not _of_padding(check.leaks) and bool(tested) and tested == outputs
