"""Inputs for a test of padding: those that the user gives, checked against the model, or ones made from its signature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.running import CallError, explained
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.borrowing.unchanged import unchanged
from masklib.auditing.inputs.batch import SIDES, Batch, valid_of
from masklib.auditing.inputs.reading import read_batch
from masklib.auditing.inputs.settings import DEFAULT, PaddingSettings
from masklib.auditing.tracing.watch import CallRecord, check_model, record
from masklib.errors import ArgumentError

Array = NDArray[Any]

STEPS = 9  # of made inputs where the model does not fix them
SAMPLES = 5
MOST = 32  # samples of given inputs that are tested: a batch of `predict`
FALLBACK_VOCABULARY = 8  # of ids that no Embedding gets


@dataclass(frozen=True)
class Slot:
    """One input of a model's signature.

    Attributes:
        name: of the input.
        shape: with None where it is free.
        dtype: of the input; None if not known.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str | None


@dataclass(frozen=True)
class Use:
    """What layers do with one input, as far as a call shows.

    Attributes:
        rows: the fewest rows of the Embeddings that get it; None if none does.
        mask_value: of the Masking layer that gets it; None if none does.
    """

    rows: int | None = None
    mask_value: float | None = None


def make_inputs(model: Any, settings: PaddingSettings = DEFAULT, *, seed: int = 0) -> Any:
    """Return a batch of padded inputs as a model's signature asks for them.

    Ids lie within the rows of the Embeddings that get them, floats are normally distributed and never pad at valid steps. Lengths
    differ, one sample is full. What is named as a mask or as lengths says where padding is.

    Args:
        model: functional, sequential, or subclassed and built.
        settings: what the user says about padding.
        seed: of the draw.

    Returns:
        array, list or dict of arrays, as the model takes them.

    Raises:
        ArgumentError: the signature is not known, or has no time axis.
    """
    check_model(model)
    slots, pack = _signature(model)
    uses = _uses_of_slots(model, slots, pack)
    rng = np.random.default_rng([seed, 4])
    samples = next((slot.shape[0] for slot in slots if slot.shape[:1] not in ((), (None,))), None) or SAMPLES
    arrays = [_draw(slot, use, samples, settings, rng) for slot, use in zip(slots, uses, strict=True)]
    return pack(arrays)


def prepare(model: Any, inputs: Any, settings: PaddingSettings, *, seed: int) -> tuple[Batch, list[CallRecord]]:
    """Return the batch to test, and its record: the inputs given, at most 32 samples of them, or made ones where none are given.

    Raises:
        ArgumentError: the inputs do not fit the model, or nothing in them is padding, or everything.
    """
    is_made = inputs is None
    if is_made:
        settings = replace(settings, padding_side=settings.padding_side or SIDES[0])
        inputs = make_inputs(model, settings, seed=seed)
    names = check_inputs(model, inputs)
    inputs, chosen = _fewer(_with_declared_ranks(model, inputs))
    records = watched(model, inputs)
    _, arrays, _ = flatten(inputs)
    uses = uses_of(records, [np.asarray(array) for array in arrays])
    is_ids, mask_values = [use.rows is not None for use in uses], [use.mask_value for use in uses]
    batch = read_batch(inputs, settings, names=names, ids=is_ids, mask_values=mask_values)
    note = () if chosen is None else (f"{len(chosen)} samples are tested, spread over the inputs",)
    return replace(batch, notes=(*note, *batch.notes), chosen=chosen, is_made=is_made), records


def check_inputs(model: Any, inputs: Any) -> list[str]:
    """Return the names of the inputs, where the model has some.

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


def uses_of(records: Sequence[CallRecord], arrays: Sequence[Array]) -> list[Use]:
    """Return what Embedding and Masking layers do with arrays that were the inputs of a recorded call with `keep`."""
    return [_use(records, array) for array in arrays]


def is_embedding(call: CallRecord) -> bool:
    """Return whether a call is that of an Embedding."""
    return isinstance(call.operation, keras.layers.Embedding)


def reads(call: CallRecord, array: Array) -> bool:
    """Return whether the first input of a call holds the very numbers of an array, in whatever shape."""
    if not call.inputs or call.inputs[0].size != array.size:
        return False
    return bool(np.array_equal(call.inputs[0].ravel().astype(float), array.ravel().astype(np.float32).astype(float)))


def _use(records: Sequence[CallRecord], array: Array) -> Use:
    """Return what layers do with one array."""
    rows = [call.operation.input_dim for call in records if is_embedding(call) and reads(call, array)]
    values = [
        call.operation.mask_value for call in records if isinstance(call.operation, keras.layers.Masking) and reads(call, array)
    ]
    return Use(min(rows, default=None), float(values[0]) if values else None)


def watched(model: Any, inputs: Any) -> list[CallRecord]:
    """Return the calls in a model for given inputs, with their numbers; the model is built afterwards.

    Raises:
        ArgumentError: the model does not take these inputs.
    """
    try:
        with explained():
            return record(model, inputs, keep=True)
    except CallError as error:
        msg = f"The model does not take these inputs: {error} Give inputs as `predict` takes them."
        raise ArgumentError(msg) from error


def _fewer(inputs: Any) -> tuple[Any, Array | None]:
    """Return at most `MOST` samples, spread evenly, and which they are; None if all are."""
    _, arrays, pack = flatten(inputs)
    samples = min((np.shape(array)[0] for array in arrays if np.shape(array)), default=0)
    if samples <= MOST:
        return pack([np.asarray(array) for array in arrays]), None
    chosen = np.unique(np.linspace(0, samples - 1, MOST).astype(int))
    return pack([np.asarray(array)[chosen] for array in arrays]), chosen


def _with_declared_ranks(model: Any, inputs: Any) -> Any:
    """Return inputs with the last axis of size 1 that the model declares, and Keras adds where it is left out."""
    _, arrays, pack = flatten(inputs)
    declared = list(getattr(model, "inputs", None) or [])
    if not declared:
        return inputs
    tensors = _in_order(model, inputs, declared, [tensor.name for tensor in declared])
    both = zip(tensors, map(np.asarray, arrays), strict=True)
    return pack([array[..., None] if array.ndim == len(tensor.shape) - 1 else array for tensor, array in both])


def _in_order(model: Any, inputs: Any, declared: list[Any], expected: list[str]) -> list[Any]:
    """Return the declared inputs in the order of the given ones."""
    if not isinstance(inputs, Mapping):
        return declared
    by_key = dict(zip(expected, declared, strict=True))
    if isinstance(_declared(model), Mapping):
        by_key = dict(_declared(model))
    if set(inputs) != set(by_key):
        difference = f"missing: {sorted(set(by_key) - set(inputs))}, unknown: {sorted(set(inputs) - set(by_key))}"
        msg = f"The model's inputs are named {sorted(by_key)}, {difference}. Rename the arrays."
        raise ArgumentError(msg)
    return [by_key[key] for key in sorted(inputs, key=str)]


def _misfit(tensor: Any, shape: tuple[int, ...]) -> str:
    """Return how an array does not fit a declared input; "" if it does."""
    declared = tuple(tensor.shape)
    shape = (*shape, 1) if len(shape) == len(declared) - 1 and declared[-1] == 1 else shape  # as Keras does
    fits = len(declared) == len(shape) and all(size in (None, found) for size, found in zip(declared, shape, strict=True))
    return "" if fits else f"Input {tensor.name!r} must have shape {declared}, got {shape}."


def _signature(model: Any) -> tuple[list[Slot], Any]:
    """Return the inputs that a model declares, or was built with, and what puts arrays together as it takes them."""
    if getattr(model, "inputs", None):
        _, tensors, pack = flatten(_declared(model))
        return [Slot(one.name, tuple(one.shape), str(one.dtype)) for one in tensors], pack
    config = model.get_build_config() if model.built else None
    shapes = (config or {}).get("input_shape")
    if not shapes:
        msg = "Inputs can be made only from a signature, and this model has none: it was not built with one shape."
        raise ArgumentError(msg + " Give inputs.")
    if isinstance(shapes, (tuple, list)) and all(size is None or isinstance(size, int) for size in shapes):
        return [_built_with("inputs", shapes)], lambda arrays: arrays[0]
    keys = list(shapes) if isinstance(shapes, Mapping) else list(range(len(shapes)))
    slots = [_built_with(key if isinstance(key, str) else f"inputs_{key}", shapes[key]) for key in keys]
    if isinstance(shapes, Mapping):
        return slots, lambda arrays: dict(zip(keys, arrays, strict=True))
    return slots, list


def _built_with(name: str, shape: Sequence[int | None]) -> Slot:
    """Return an input of a model that was built by a call; how many samples it had then says nothing."""
    return Slot(name, (None, *shape[1:]), None)


def _declared(model: Any) -> Any:
    """Return the inputs that a model declares in the structure that it takes; a sequential one declares a list."""
    try:
        return model.input
    except AttributeError:
        return model.inputs[0] if len(model.inputs) == 1 else list(model.inputs)


def _uses_of_slots(model: Any, slots: Sequence[Slot], pack: Any) -> list[Use]:
    """Return what the model does with each input, from a call with zeros and ones, in a pattern of its own for each."""
    rng = np.random.default_rng(5)
    for values in (2, 1):  # an Embedding of one row takes zeros only
        arrays = [rng.integers(0, values, _sizes(slot, 2)).astype(slot.dtype or "int32") for slot in slots]
        try:
            with explained(), unchanged(model):
                return uses_of(record(model, pack(arrays), keep=True), arrays)
        except CallError:
            continue
    return [Use() for _ in slots]


def _sizes(slot: Slot, samples: int) -> tuple[int, ...]:
    """Return the shape of an array for an input."""
    fixed = slot.shape[0] if slot.shape and slot.shape[0] else samples
    inner = [STEPS if size is None else size for size in slot.shape[1:]]
    return (
        int(fixed),
        *(
            4 if axis == 0 and len(inner) > 1 and slot.shape[1] is None and slot.shape[2] is None else size
            for axis, size in enumerate(inner)
        ),
    )


def _draw(slot: Slot, use: Use, samples: int, settings: PaddingSettings, rng: np.random.Generator) -> Array:
    """Return an array for one input."""
    shape, side, pad_id = _sizes(slot, samples), settings.padding_side or SIDES[0], settings.pad_id
    dtype = slot.dtype or ("int32" if use.rows is not None or (len(shape) == 2 and _is_free(slot)) else "float32")
    single = len(shape) == 1 or shape[1:] == (1,)
    if single and "len" in slot.name.lower():
        return made_lengths(shape[0], STEPS).reshape(shape).astype(dtype)
    if len(shape) == 1:
        return _content(shape, use, pad_id, dtype, rng)
    valid = valid_of(made_lengths(shape[0], shape[1]), shape[1], side)
    if dtype == "bool" or (len(shape) == 2 and "mask" in slot.name.lower()):
        return np.broadcast_to(valid.reshape(*valid.shape, *[1] * (len(shape) - 2)), shape).astype(dtype)
    content = _content(shape, use, pad_id, dtype, rng)
    is_ids = use.rows is not None or np.dtype(dtype).kind in "iu"
    if len(shape) == 2 and not is_ids:
        return content
    pad = pad_id if is_ids else settings.pad_of_floats(use.mask_value)
    inner = _inner(shape, side, valid) if is_ids and len(shape) == 3 and slot.shape[2] != 1 else valid
    return np.where(inner.reshape(*inner.shape, *[1] * (len(shape) - inner.ndim)), content, pad).astype(dtype)


def made_lengths(samples: int, steps: int) -> Array:
    """Return the lengths of made sequences (B,): one full, one short, others between."""
    shares = np.resize([1.0, 0.25, 0.6, 0.8, 0.45], samples)
    return np.asarray(np.maximum(1, np.ceil(shares * steps)).astype(int))


def _inner(shape: tuple[int, ...], side: str, valid: Array) -> Array:
    """Return which ids (B, S, T) of valid sentences (B, S) are valid."""
    lengths = np.resize(made_lengths(5, shape[2]), shape[:2])
    return np.asarray(valid_of(lengths, shape[2], side) & valid[..., None])


def _content(shape: tuple[int, ...], use: Use, pad_id: int, dtype: str, rng: np.random.Generator) -> Array:
    """Return content without padding: ids, or floats that are never exactly a pad value."""
    if use.rows is None and np.dtype("float32" if dtype == "bfloat16" else dtype).kind == "f":
        return rng.normal(0.0, 1.0, shape)
    rows = use.rows or FALLBACK_VOCABULARY
    values = np.array([row for row in range(rows) if row != pad_id] or [pad_id])
    return values[rng.integers(0, len(values), shape)]


def _is_free(slot: Slot) -> bool:
    """Return whether the last axis of an input is free, as only time is."""
    return slot.shape[-1] is None
