"""Whether padding changes what a model computes: its outputs at valid steps, its loss, metrics and gradients, its statistics.

Nothing is read from Keras's masks for this: sequences are given with more padding, with other content at padded steps, with other
samples beside them, and without padding, and what comes out is compared. What counts as equal is measured on the model itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.running import CallError, borrowed, is_stateful
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.borrowing.unchanged import layers_of
from masklib.auditing.inputs import assumptions, choosing, making
from masklib.auditing.inputs.content import Padding
from masklib.auditing.inputs.given import Given
from masklib.auditing.inputs.text import without_text
from masklib.auditing.inputs.uses import watched
from masklib.auditing.invariance.compiled_losses import Losses
from masklib.auditing.invariance.gradients import Gradients, squares
from masklib.auditing.invariance.outputs import Outputs, Verdict
from masklib.auditing.invariance.results import Leak, PaddingCheck, Passed, Untested
from masklib.auditing.invariance.sides import of_cleaner_side
from masklib.auditing.invariance.statistics import Statistics
from masklib.auditing.tracing.watch import check_model
from masklib.errors import NoPaddingError

__all__ = ["Leak", "PaddingCheck", "Passed", "Untested", "check_padding"]


LOSS_CHANGES = ("longer padding", "padded content")


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
) -> PaddingCheck:
    """Return what padding changes in a model, and what it does not.

    The model is afterwards as it was. The same seed gives the same result.

    Args:
        model: a Keras 3 model: functional, sequential or subclassed; compiled where its loss and metrics are to be tested.
        inputs: padded, as the model takes them: an array, or a list or dict of arrays; rows of several lengths are padded. Or a
            dataset as `fit` takes it, of which the first batches are read. None: made from the model's signature.
        targets: as the model's loss takes them, (B, T, ...). None: those in the dataset, else made from the outputs' shapes and
            the loss.
        sample_weight: as `fit` takes it. None: none.
        mask_value: what padded steps of floats hold. None: that of the Masking layer that gets them, else 0.
        pad_id: what padded ids hold. None: the id that the model's own mask marks, else 0.
        padding_side: "post" or "pre". None: found in the inputs.
        target_pad: what padded steps of the targets hold. None: what the loss says, or what is customary.
        not_a_sequence: names of inputs that are never padded, such as a picture beside a question.
        causal: whether outputs must not depend on later steps. None: if a layer of the model says that it is causal.
        seed: of all draws.

    Raises:
        ArgumentError: this is no model, or inputs that it does not take, or inputs without padding, or nothing but padding.
        UntestableError: the model's output is random, or no number.
    """
    check_model(model)
    cut = without_text(model)
    options: dict[str, Any] = {"pad_id": pad_id, "mask_value": mask_value, "padding_side": padding_side}
    read = choosing.read_for(model, inputs, targets, sample_weight, target_pad=target_pad, **options)
    read, model = choosing.looked_up(read, cut), cut.model
    if inputs is not None and not all(layer.built for layer in layers_of(model)):
        watched(model, read.batches[0].inputs)  # builds it
    options |= {"not_a_sequence": [not_a_sequence] if isinstance(not_a_sequence, str) else list(not_a_sequence), "seed": seed}

    def check(**other: Any) -> PaddingCheck:
        return _check(model, read, causal=causal, target_pad=target_pad, **{**options, **other})

    try:
        found = check()
    except NoPaddingError as error:
        if inputs is not None:
            raise
        return _nothing_to_test(model, str(error))
    if inputs is None and padding_side is None:
        found = of_cleaner_side(found, model, check, **options)
    return replace(found, model=model)


def _check(model: Any, read: Given, *, causal: bool | None, target_pad: float | None, seed: int, **options: Any) -> PaddingCheck:
    """Return what padding changes in a model, with what was read of the user's inputs."""
    with borrowed(model) as runner:
        one, batch, seen = choosing.prepare(model, read, seed=seed, **options)
        outputs = Outputs(runner, batch, seen, seed)
        given = _chosen(one.targets, batch.chosen), _chosen(one.sample_weight, batch.chosen)
        if any(is_stateful(layer) for layer in layers_of(model)):
            outputs.notes.append("each call begins with the states with which stateful layers begin")
        rest = _Rest(outputs, outputs.verdicts(causal), *given, target_pad)
        empty = outputs.of_empty()
        noise = {name: max(one.relative for one in found) for name, found in outputs.sources.items()}
    return PaddingCheck(
        leaks=tuple(one for one in rest.verdicts if isinstance(one, Leak)),
        passed=tuple(one for one in rest.verdicts if isinstance(one, Passed)),
        untested=tuple(one for one in rest.verdicts if isinstance(one, Untested)),
        noise=noise,
        denominators=rest.denominators,
        notes=(*batch.notes, *outputs.notes, *rest.notes),
        assumptions=(*batch.assumptions, *rest.assumptions),
        batch_size=rest.batch_size,
        empty=empty,
        inputs=batch.inputs,
        valid=_distinct([group.valid for group in (*batch.groups, *outputs.batch.groups)]),
    )


def _nothing_to_test(model: Any, why: str) -> PaddingCheck:
    """Return the check of a model without a sequence among its inputs, of which nothing can be said."""
    made = making.make(model, Padding(None, None, "post"), seed=0)
    names = list(getattr(model, "output_names", None) or ["output"])
    untested = tuple(Untested("longer padding", "output", name, "no input is a sequence that could be padded") for name in names)
    told = assumptions.of_made(made.sketches, made.padding)
    return PaddingCheck(untested=untested, inputs=made.inputs, assumptions=told, notes=(why,), model=model)


class _Rest:
    """What is tested behind the outputs: loss and metrics, gradients, statistics.

    Args:
        outputs: of the model.
        verdicts: on them; what is found is added.
        targets: for the samples tested.
        sample_weight: likewise.
        target_pad: what padded steps of the targets hold.
    """

    def __init__(
        self, outputs: Outputs, verdicts: list[Verdict], targets: Any, sample_weight: Any, target_pad: float | None
    ) -> None:
        self.verdicts = verdicts
        self.denominators: dict[str, str] = {}
        self.batch_size: dict[str, tuple[float, float]] = {}
        self.notes: list[str] = []
        self.assumptions: list[str] = []
        self._outputs = outputs
        if not compiled.has_loss(outputs.runner.model):
            self._cannot("the model has no loss: compile it")
            self._differentiate(None)
        else:
            with compiled.compiled_as_before(outputs.runner.model):
                self._differentiate(self._try_losses(targets, sample_weight, target_pad))
        statistics = Statistics(outputs)
        self.verdicts += statistics.verdicts()
        if statistics.layers:
            self.notes.append("statistics are those of one call in training, with dropout off")

    def _try_losses(self, targets: Any, sample_weight: Any, target_pad: float | None) -> Losses | None:
        """Test the loss and the metrics; return them, None if they cannot be computed."""
        try:
            losses = Losses(self._outputs, targets, sample_weight, target_pad)
            found = losses.verdicts(self.verdicts)
            self.denominators, self.batch_size = losses.denominators(), losses.by_batch_size()
            self.assumptions += losses.assumptions
        except CallError as error:
            self._cannot(f"the loss cannot be computed with {'these' if targets is not None else 'made'} targets: {error}")
            return None
        self.verdicts += found
        return losses

    def _cannot(self, why: str) -> None:
        """Say that the loss cannot be tested."""
        self.verdicts += [Untested(change, "loss", "loss", why) for change in LOSS_CHANGES]

    def _differentiate(self, losses: Losses | None) -> None:
        """Test the gradients: of the loss, where padding does not count in it by itself."""
        outputs = self._outputs
        if losses is not None and losses.is_silent:
            self.verdicts += Gradients(outputs, losses.objective).verdicts()
            return
        self.notes.append("the gradients are those of the mean square of the outputs at valid steps")
        self.verdicts += Gradients(outputs, lambda one: squares(outputs, outputs.batch if one is None else one.batch)).verdicts()


def _distinct(masks: Sequence[Any]) -> tuple[Any, ...]:
    """Return masks without those that are there already."""
    return tuple(one for i, one in enumerate(masks) if not any(np.array_equal(one, other) for other in masks[:i]))


def _chosen(structure: Any, chosen: Any) -> Any:
    """Return the chosen samples of targets or weights; all where `chosen` is None."""
    if structure is None or chosen is None:
        return structure
    _, arrays, pack = flatten(structure)
    return pack([None if array is None else np.asarray(array)[chosen] for array in arrays])
