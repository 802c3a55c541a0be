"""Inputs for a test of padding: given by the user and checked against the model, or made from its signature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.inputs import assumptions
from masklib.auditing.inputs.batch import SIDES, Batch
from masklib.auditing.inputs.content import Drawing, Padding, Sketch
from masklib.auditing.inputs.describing import check_numbers, describe
from masklib.auditing.inputs.families import roles_of
from masklib.auditing.inputs.grouping import Hint
from masklib.auditing.inputs.roles import ids_marked_by, masks_in, steps_marked_by
from masklib.auditing.inputs.settings import DEFAULT, PaddingSettings
from masklib.auditing.inputs.signature import declared_inputs, signature
from masklib.auditing.inputs.trying import Trial
from masklib.auditing.inputs.uses import Use, uses_of, watched
from masklib.auditing.tracing.watch import CallRecord, check_model
from masklib.errors import ArgumentError

Array = NDArray[Any]

SAMPLES = 5
MOST = 32  # samples of given inputs that are tested: a batch of `predict`
FEW = 4  # samples for a slow model: as many as the lengths that are tried without padding
HEAVY = 5e9  # weights x samples x steps: about a second for one call on a small machine
KINDS = {"lengths": "lengths", "mask": "mask", "plain": "plain"}  # of leaves, by the role of a made input


@dataclass(frozen=True)
class Made:
    """Inputs that were made.

    Attributes:
        inputs: as the model takes them.
        sketches: what each of them is.
        padding: how they are padded.
    """

    inputs: Any
    sketches: tuple[Sketch, ...]
    padding: Padding

    @property
    def kinds(self) -> list[str | None]:
        """Return the kind of each leaf; None where it is found from the values."""
        return [KINDS.get(one.role.kind) for one in self.sketches]


def make_inputs(model: Any, settings: PaddingSettings = DEFAULT, *, seed: int = 0) -> Any:
    """Return a batch of padded inputs made from a model's signature.

    Ids lie within the rows of the Embeddings that get them. Floats are normally distributed, and never the pad value at valid
    steps. Lengths differ, and one sample is full. The model is tried to find what each input is, and which inputs are padded
    together: a source and a target are padded independently, a mask and lengths say where padding is, a picture is no sequence.

    Args:
        model: functional, sequential, or subclassed and built.
        settings: what the user says about padding; without a side, padding is "post".
        seed: of the random numbers.

    Returns:
        array, list or dict of arrays, as the model takes them.

    Raises:
        ArgumentError: the signature is not known, or has no time axis.
    """
    return make(model, settings, seed=seed).inputs


def make(model: Any, settings: PaddingSettings, *, seed: int) -> Made:
    """Return inputs as `make_inputs` does, and what they are.

    Raises:
        ArgumentError: as `make_inputs`.
    """
    check_model(model)
    slots, pack = signature(model)
    _check_known(settings.not_a_sequence, [slot.name for slot in slots])
    trial = Trial(model, slots, pack).begin()
    roles = roles_of(trial, settings.not_a_sequence)
    ids = _own_pad(trial) if settings.pad_id is None else settings.pad_id
    padding = Padding(ids, settings.mask_value, settings.padding_side or SIDES[0])
    sketches = tuple(Sketch(*one) for one in zip(slots, trial.uses, roles, trial.sizes, strict=True))
    samples = next((slot.shape[0] for slot in slots if slot.shape[:1] not in ((), (None,))), None) or SAMPLES
    return Made(pack(Drawing(sketches, samples, padding, seed).arrays()), sketches, padding)


def prepare(
    model: Any, inputs: Any, settings: PaddingSettings, *, seed: int, weights: Any = None
) -> tuple[Batch, list[CallRecord]]:
    """Return the batch to test, and the record of a call with it: the given inputs, at most 32 samples of them, or made inputs.

    Args:
        model: built, or to be built by a call with the inputs.
        inputs: as the model takes them; None: made.
        settings: what the user says about padding.
        seed: of the random numbers.
        weights: of steps or samples, as the loss gets them.

    Raises:
        ArgumentError: the inputs do not fit the model, or nothing in them is padding, or everything is.
    """
    if inputs is None:
        return _prepare_made(model, make(model, settings, seed=seed), settings)
    names = check_inputs(model, inputs)
    check_numbers(names, flatten(inputs)[1])
    _check_known(settings.not_a_sequence, names)
    inputs, chosen = _fewer(_with_declared_ranks(model, inputs), model.count_params() if model.built else 0)
    records = watched(model, inputs)
    arrays = [np.asarray(array) for array in flatten(inputs)[1]]
    hints = [_hint(*one, records, settings.not_a_sequence) for one in zip(names, arrays, uses_of(records, arrays), strict=True)]
    found = settings.pad_id if settings.pad_id is not None else _marked_id(arrays, records)
    of_steps = [np.asarray(one) if chosen is None else np.asarray(one)[chosen] for one in flatten(weights)[1] if one is not None]
    batch = describe(inputs, replace(settings, pad_id=found), names=names, hints=hints, weights=of_steps)
    note = () if chosen is None else (f"{len(chosen)} samples are tested, spread over the inputs",)
    assumed = assumptions.of_given(batch, hints, found if settings.pad_id is None else None, settings.padding_side)
    return replace(batch, notes=(*note, *batch.notes), chosen=chosen, assumptions=(*batch.assumptions, *assumed)), records


def _prepare_made(model: Any, made: Made, settings: PaddingSettings) -> tuple[Batch, list[CallRecord]]:
    """Return the batch of made inputs, and the record of a call with it."""
    names = check_inputs(model, made.inputs)
    records = watched(model, made.inputs, is_made=True)
    uses = uses_of(records, [np.asarray(array) for array in flatten(made.inputs)[1]])
    hints = [Hint(kind, use.rows is not None, use.mask_value) for kind, use in zip(made.kinds, uses, strict=True)]
    settings = replace(settings, pad_id=made.padding.ids, padding_side=made.padding.side)
    batch = describe(made.inputs, settings, names=names, hints=hints)
    return replace(batch, is_made=True, assumptions=assumptions.of_made(made.sketches, made.padding)), records


def _check_known(not_a_sequence: Sequence[str], names: Sequence[str]) -> None:
    """Raise if the user names an input that does not exist."""
    for name in not_a_sequence:
        if name not in names:
            msg = f"not_a_sequence must name inputs, of {list(names)}, got {name!r}."
            raise ArgumentError(msg)


def _hint(name: str, array: Array, use: Use, records: Sequence[CallRecord], not_a_sequence: Sequence[str]) -> Hint:
    """Return what is known about a given array from the user and from the record."""
    if name in not_a_sequence:
        return Hint("plain")
    is_single = array.size == len(array) and use.rows is None and array.dtype.kind in "iuf"
    marks = steps_marked_by(array, masks_in(records)) if is_single else None
    return Hint("lengths" if marks else None, use.rows is not None, use.mask_value, marks)


def _marked_id(arrays: Sequence[Array], records: Sequence[CallRecord]) -> int | None:
    """Return the id that a mask of the model distinguishes from all others in given ids; None if there is none."""
    masks = masks_in(records)
    ids = (array for array in arrays if array.ndim == 2 and array.dtype.kind in "iu")
    return next((found for one in ids if (found := ids_marked_by(one, masks)) is not None), None)


def _own_pad(trial: Trial) -> int:
    """Return the id that the model's own mask marks as padding; 0 if none does."""
    arrays, records = trial.look_closer()
    both = zip(arrays, trial.uses, trial.slots, strict=False)
    return _marked_id([array.astype(int) for array, use, slot in both if use.rows is not None or slot.is_whole], records) or 0


def check_inputs(model: Any, inputs: Any) -> list[str]:
    """Return the names of the inputs, as the model declares them if it does.

    Raises:
        ArgumentError: their number, names or shapes are not those that a functional model declares.
    """
    declared = list(getattr(model, "inputs", None) or [])
    names, arrays, _ = flatten(inputs)
    if not declared:
        return names
    expected = [tensor.name for tensor in declared]
    if len(arrays) != len(declared):
        msg = f"The model takes {len(declared)} inputs ({', '.join(expected)}), got {len(arrays)}. Give one array for each."
        raise ArgumentError(msg)
    tensors = _in_order(model, inputs, declared, expected)
    wrong = [_misfit(tensor, np.shape(array)) for tensor, array in zip(tensors, arrays, strict=True)]
    if any(wrong):
        raise ArgumentError(" ".join(one for one in wrong if one) + " Give arrays of these shapes.")
    return [tensor.name for tensor in tensors]


def _fewer(inputs: Any, n_weights: int) -> tuple[Any, Array | None]:
    """Return at most `MOST` samples, or `FEW` for a large model, and their indices; None if these are all samples.

    They are spread evenly over the samples sorted by how many zeros they hold, and include the most padded and the fullest one.
    """
    _, arrays, pack = flatten(inputs)
    arrays = [np.asarray(array) for array in arrays]
    samples = min((array.shape[0] for array in arrays if array.ndim), default=0)
    steps = max((array.shape[1] for array in arrays if array.ndim > 1), default=1)
    most = FEW if is_heavy(n_weights, min(samples, MOST) * steps) else MOST
    if samples <= most:
        return pack(arrays), None
    zeros = sum((array[:samples].reshape(samples, -1) == 0).mean(axis=1) for array in arrays if array.ndim > 1)
    order = np.argsort(zeros, kind="stable") if np.ndim(zeros) else np.arange(samples)
    chosen = np.sort(order[np.unique(np.linspace(0, samples - 1, most).astype(int))])
    return pack([array[chosen] for array in arrays]), chosen


def is_heavy(n_weights: int, n_steps: int) -> bool:
    """Return whether a call is slow for a model with this number of weights and this number of steps in all samples together."""
    return n_weights * n_steps > HEAVY


def _with_declared_ranks(model: Any, inputs: Any) -> Any:
    """Return inputs with the last axis of size 1 that the model declares; Keras adds it too, if it is missing."""
    _, arrays, pack = flatten(inputs)
    declared = list(getattr(model, "inputs", None) or [])
    if not declared:
        return inputs
    tensors = _in_order(model, inputs, declared, [tensor.name for tensor in declared])
    both = zip(tensors, map(np.asarray, arrays), strict=True)
    return pack([array[..., None] if array.ndim == len(tensor.shape) - 1 else array for tensor, array in both])


def _in_order(model: Any, inputs: Any, declared: list[Any], expected: list[str]) -> list[Any]:
    """Return the declared inputs in the order of the given inputs."""
    if not isinstance(inputs, Mapping):
        return declared
    by_key = dict(zip(expected, declared, strict=True))
    if isinstance(declared_inputs(model), Mapping):
        by_key = dict(declared_inputs(model))
    if set(inputs) != set(by_key):
        wrong = f"missing: {sorted(set(by_key) - set(inputs))}, unknown: {sorted(set(inputs) - set(by_key))}"
        msg = f"The model's inputs are named {sorted(by_key)}, {wrong}. Rename the arrays."
        raise ArgumentError(msg)
    return [by_key[key] for key in sorted(inputs, key=str)]


def _misfit(tensor: Any, shape: tuple[int, ...]) -> str:
    """Return why an array does not fit a declared input; "" if it fits."""
    declared = tuple(tensor.shape)
    shape = (*shape, 1) if len(shape) == len(declared) - 1 and declared[-1] == 1 else shape  # as Keras does
    fits = len(declared) == len(shape) and all(size in (None, found) for size, found in zip(declared, shape, strict=True))
    return "" if fits else f"Input {tensor.name!r} must have shape {declared}, got {shape}."
