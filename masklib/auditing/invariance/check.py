"""Whether padding changes what a model computes: its outputs at valid steps, its loss, metrics and gradients, its statistics.

The test does not rely on Keras's masks. The same sequences are given with more padding, with other content at padded steps, with
other samples in the batch, and without padding, and the results are compared. What counts as equal is measured on the model.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypedDict

import numpy as np

from masklib.auditing.borrowing.methods import borrowed
from masklib.auditing.borrowing.running import is_stateful
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.borrowing.unchanged import layers_of
from masklib.auditing.inputs import assumptions, choosing, making
from masklib.auditing.inputs.given import Given
from masklib.auditing.inputs.settings import PaddingSettings
from masklib.auditing.inputs.text import without_text
from masklib.auditing.inputs.uses import watched
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.changes import Change, Quantity
from masklib.auditing.invariance.later_steps import on_later_steps
from masklib.auditing.invariance.outputs import OutputJudge
from masklib.auditing.invariance.packing import Teaching
from masklib.auditing.invariance.results import Leak, PaddingCheck, Passed, Untested
from masklib.auditing.invariance.sides import of_cleaner_side
from masklib.auditing.invariance.subject import Subject, examine
from masklib.auditing.invariance.training import Tested, check_training, leave_out_training
from masklib.auditing.tracing.watch import check_model
from masklib.errors import NoPaddingError

__all__ = ["Leak", "PaddingCheck", "Passed", "Untested", "check_padding"]


class Options(TypedDict, total=False):
    """The options beside a model, its inputs and its targets; see `check_padding`."""

    sample_weight: Any
    mask_value: float | None
    pad_id: int | None
    padding_side: str | None
    target_pad: float | None
    not_a_sequence: str | Sequence[str]
    causal: bool | None
    seed: int
    quick: bool
    on_stage: Callable[[str], object] | None


def check_padding(
    model: Any,
    inputs: Any = None,
    targets: Any = None,
    *,
    sample_weight: Any = None,
    mask_value: float | None = None,
    pad_id: int | None = None,
    padding_side: str | None = None,
    target_pad: float | None = None,
    not_a_sequence: str | Sequence[str] = (),
    causal: bool | None = None,
    seed: int = 0,
    quick: bool = False,
    on_stage: Callable[[str], object] | None = None,
) -> PaddingCheck:
    """Return what padding changes in a model, and what it does not.

    The model is restored afterwards. The same seed gives the same result.

    Args:
        model: a Keras 3 model: functional, sequential or subclassed; compiled if its loss and metrics are to be tested.
        inputs: padded, as the model takes them: an array, or a list or dict of arrays; rows of different lengths are padded. Or a
            dataset as `fit` takes it, of which the first batches are read. None: made from the model's signature.
        targets: as the model's loss takes them, (B, T, ...). None: those in the dataset, else made from the outputs' shapes and
            the loss.
        sample_weight: as `fit` takes it. None: no weights.
        mask_value: what padded steps of floats hold. None: the value of the Masking layer that gets them, else 0.
        pad_id: what padded ids hold. None: the id that the model's own mask marks, else 0.
        padding_side: "post" or "pre". None: found in the inputs.
        target_pad: what padded steps of the targets hold. None: the value that the loss ignores, or a usual one.
        not_a_sequence: names of inputs that are never padded, such as a picture beside a question.
        causal: whether outputs must not depend on later steps. None: yes if a layer of the model is declared to be causal.
        seed: of all random numbers.
        quick: whether only the outputs are tested, with longer padding and without padding.
        on_stage: is called with what is tested next, such as "the gradients".

    Raises:
        ArgumentError: `model` is not a model, does not take the inputs, or the inputs hold no padding or only padding.
        UntestableError: the model's output is random or not finite.
    """
    check_model(model)
    names = (not_a_sequence,) if isinstance(not_a_sequence, str) else tuple(not_a_sequence)
    settings = PaddingSettings(
        pad_id=pad_id, mask_value=mask_value, padding_side=padding_side, target_pad=target_pad, not_a_sequence=names
    )
    cut = without_text(model)
    given, model = choosing.looked_up(choosing.read_for(model, inputs, targets, sample_weight, settings), cut), cut.model
    if inputs is not None and not all(layer.built for layer in layers_of(model)):
        watched(model, given.batches[0].inputs)  # builds it
    say = on_stage or (lambda stage: None)

    def check(settings: PaddingSettings) -> PaddingCheck:
        return _check(model, given, settings, causal=causal, seed=seed, quick=quick, say=say)

    try:
        found = check(settings)
    except NoPaddingError as error:
        if inputs is not None:
            raise
        return _nothing_to_test(model, settings, str(error))
    if inputs is None and padding_side is None:
        found = of_cleaner_side(found, model, settings, check, seed=seed)
    return found


def _check(
    model: Any,
    given: Given,
    settings: PaddingSettings,
    *,
    causal: bool | None,
    seed: int,
    quick: bool,
    say: Callable[[str], object],
) -> PaddingCheck:
    """Return what padding changes in a model, for what the user gave."""
    with borrowed(model) as runner:
        say("the inputs")
        one, batch, records = choosing.prepare(model, given, settings, seed=seed)
        say("the outputs")
        subject = examine(runner, batch, records, seed)
        if quick:
            parts, empty = _quickly(subject), {}
        else:
            targets, weights = _chosen(one.targets, batch.chosen), _chosen(one.sample_weight, batch.chosen)
            parts = _fully(subject, Teaching(targets, weights, settings.target_pad), causal, say)
            empty = subject.of_empty_sample()
    return replace(
        _put_together([Tested(notes=batch.notes, assumptions=batch.assumptions), *parts]),
        noise=subject.noise.by_source,
        empty=empty,
        inputs=batch.inputs,
        has_targets=one.targets is not None,
        valid=_distinct([group.valid for group in (*batch.groups, *subject.batch.groups)]),
        calls=tuple(records),
        model=model,
    )


def _put_together(parts: Sequence[Tested]) -> PaddingCheck:
    """Return the results of all parts of a model as one."""
    verdicts = [verdict for part in parts for verdict in part.verdicts]
    return PaddingCheck(
        leaks=tuple(one for one in verdicts if isinstance(one, Leak)),
        passed=tuple(one for one in verdicts if isinstance(one, Passed)),
        untested=tuple(one for one in verdicts if isinstance(one, Untested)),
        denominators={name: count for part in parts for name, count in part.denominators.items()},
        notes=tuple(note for part in parts for note in part.notes),
        assumptions=tuple(one for part in parts for one in part.assumptions),
        batch_size={name: both for part in parts for name, both in part.batch_size.items()},
        in_fit={name: both for part in parts for name, both in part.in_fit.items()},
    )


def _nothing_to_test(model: Any, settings: PaddingSettings, why: str) -> PaddingCheck:
    """Return the check of a model without a sequence among its inputs: everything is untested."""
    made = making.make(model, settings, seed=0)
    names = list(getattr(model, "output_names", None) or ["output"])
    reason = "no input is a sequence that could be padded"
    untested = tuple(Untested(Change.LONGER_PADDING, Quantity.OUTPUT, name, reason) for name in names)
    assumed = assumptions.of_made(made.sketches, made.padding)
    return PaddingCheck(untested=untested, inputs=made.inputs, assumptions=assumed, notes=(why,), model=model)


def _fully(subject: Subject, teaching: Teaching, causal: bool | None, say: Callable[[str], object]) -> list[Tested]:
    """Return the results for the outputs, and for everything that `evaluate` and `fit` compute."""
    alternatives = Alternatives(subject)
    outputs = _of_outputs(subject, alternatives, causal)
    return [outputs, *check_training(subject, alternatives, teaching, outputs.verdicts, say)]


def _of_outputs(subject: Subject, alternatives: Alternatives, causal: bool | None) -> Tested:
    """Return the results for the outputs."""
    judge = OutputJudge(subject, alternatives)
    verdicts = judge.verdicts()
    later, meant = on_later_steps(judge, subject, alternatives, causal)
    return Tested([*verdicts, *later], [*_on_states(subject.model), *meant])


def _quickly(subject: Subject) -> list[Tested]:
    """Return the results for the outputs in two kinds of situations; the rest of the model is not tested."""
    verdicts = OutputJudge(subject, Alternatives(subject)).verdicts_of_two()
    return [Tested(verdicts, _on_states(subject.model)), *leave_out_training(subject.model)]


def _on_states(model: Any) -> list[str]:
    """Return a note on the states of stateful layers, if there are any."""
    if any(is_stateful(layer) for layer in layers_of(model)):
        return ["the states of stateful layers are reset before each call"]
    return []


def _distinct(masks: Sequence[Any]) -> tuple[Any, ...]:
    """Return masks without duplicates."""
    return tuple(one for i, one in enumerate(masks) if not any(np.array_equal(one, other) for other in masks[:i]))


def _chosen(structure: Any, chosen: Any) -> Any:
    """Return the chosen samples of targets or weights; all where `chosen` is None."""
    if structure is None or chosen is None:
        return structure
    _, arrays, pack = flatten(structure)
    return pack([None if array is None else np.asarray(array)[chosen] for array in arrays])
