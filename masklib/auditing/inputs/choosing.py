"""Which of the given batches is tested: the first one that holds padding, or all of them joined if none does."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.borrowing.unchanged import layers_of
from masklib.auditing.inputs import making
from masklib.auditing.inputs.batch import SIDES, Batch
from masklib.auditing.inputs.given import Given, GivenBatch, read
from masklib.auditing.inputs.rows import Filling
from masklib.auditing.inputs.settings import PaddingSettings
from masklib.auditing.inputs.text import Cut
from masklib.auditing.tracing.watch import CallRecord
from masklib.errors import ArgumentError, NoPaddingError


def read_for(model: Any, inputs: Any, targets: Any, sample_weight: Any, settings: PaddingSettings) -> Given:
    """Return what a user gave for a model, as batches of arrays.

    Args:
        model: whose inputs they are.
        inputs: as `predict` takes them, or a dataset as `fit` takes it; None: they will be made.
        targets: for the outputs; None if there are none.
        sample_weight: likewise.
        settings: what the user says about padding; shorter rows are padded by it.

    Raises:
        ArgumentError: as `given.read`.
    """
    value = _masked_value(model) if settings.mask_value is None else settings.mask_value
    filling = Filling(settings.pad_id or 0, value, settings.target_pad or 0.0, settings.padding_side or SIDES[0])
    count, n_outputs = (len(getattr(model, name, None) or []) for name in ("inputs", "outputs"))
    return read(inputs, targets, sample_weight, filling=filling, n_inputs=count, n_outputs=n_outputs)


def looked_up(given: Given, cut: Cut) -> Given:
    """Return what a user gave, with ids in place of text.

    Args:
        given: what was read.
        cut: the model without the layers that read text.

    Raises:
        ArgumentError: these layers do not take the text.
    """
    if cut.lookup is None:
        return given
    batches = tuple(replace(one, inputs=cut.inputs_of(one.inputs)) for one in given.batches)
    return replace(given, batches=batches, notes=(*given.notes, cut.note))


def prepare(model: Any, given: Given, settings: PaddingSettings, *, seed: int) -> tuple[GivenBatch, Batch, list[CallRecord]]:
    """Return the batch that is tested, as it was given and described, and the record of a call with it.

    Args:
        model: whose inputs they are.
        given: what a user gave.
        settings: what the user says about padding.
        seed: of all random numbers.

    Raises:
        ArgumentError: as `making.prepare`; for the first batch.
    """
    first: NoPaddingError | None = None
    for index, one in enumerate(_candidates(given)):
        try:
            batch, records = making.prepare(model, one.inputs, settings, seed=seed, weights=one.sample_weight)
        except NoPaddingError as error:
            first = first or error
            continue
        notes = (*given.notes, *_which(index, len(given.batches), given.filling))
        return one, replace(batch, notes=(*notes, *batch.notes)), records
    assert first is not None
    raise first


def _candidates(given: Given) -> Iterator[GivenBatch]:
    """Yield the given batches, then all of them joined."""
    yield from given.batches
    if len(given.batches) > 1:
        yield joined(given.batches, given.filling)


def _which(index: int, count: int, filling: Filling) -> list[str]:
    """Return a note on which of the batches is tested, if there are several."""
    if count == 1:
        return []
    if index < count:
        return [f"batch {index + 1} of these is tested: {'the first' if index == 0 else 'those before it hold no padding'}"]
    where = "after" if filling.side == "post" else "before"
    return [f"none of these holds padding: they are tested as one batch, with shorter ones padded {where} their steps"]


def joined(batches: Sequence[GivenBatch], filling: Filling) -> GivenBatch:
    """Return batches of different lengths as one batch, with its inputs padded to the longest.

    Targets and weights that would have to be padded for this are left out, because their pad value is not known.

    Raises:
        ArgumentError: they differ in more than their lengths.
    """
    inputs = _concatenated([one.inputs for one in batches], filling)
    if inputs is None:
        msg = "The batches of a dataset must have the same structure and the same features, these differ. Give one batch of them."
        raise ArgumentError(msg)
    targets = _concatenated([one.targets for one in batches], None)
    weights = _concatenated([one.sample_weight for one in batches], None)
    return GivenBatch(inputs, targets, weights if targets is not None else None)


def _concatenated(structures: Sequence[Any], filling: Filling | None) -> Any:
    """Return structures of arrays concatenated, and padded if there is a filling; None if they do not fit."""
    flat = [flatten(one) for one in structures if one is not None]
    if len(flat) < len(structures) or len({tuple(names) for names, _, _ in flat}) > 1:
        return None
    columns = [[np.asarray(one) for one in column] for column in zip(*[arrays for _, arrays, _ in flat], strict=True)]
    done = [_one_after_another(column, filling) for column in columns]
    return None if any(one is None for one in done) else flat[0][2](done)


def _one_after_another(arrays: Sequence[Any], filling: Filling | None) -> Any:
    """Return arrays (B, T, ...) concatenated, padded to the longest; None if they do not fit."""
    if len({array.ndim for array in arrays}) > 1:
        return None
    inner = [array.shape[1:] for array in arrays]
    if len(set(inner)) == 1:
        return np.concatenate(arrays)
    longest = np.max(inner, axis=0)
    if filling is None:
        return None
    return np.concatenate([_grown(array, longest, filling) for array in arrays])


def _grown(array: Any, sizes: Any, filling: Filling) -> Any:
    """Return an array whose axes after the first are padded to these sizes."""
    missing = [(0, 0), *((0, int(size) - have) for size, have in zip(sizes, array.shape[1:], strict=True))]
    widths = missing if filling.side == "post" else [(after, before) for before, after in missing]
    return np.pad(array, widths, constant_values=filling.of(array.dtype))


def _masked_value(model: Any) -> float:
    """Return the value that the model's Masking layers compare with, if all have the same; else 0."""
    values = {float(layer.mask_value) for layer in layers_of(model) if isinstance(layer, keras.layers.Masking)}
    return values.pop() if len(values) == 1 else 0.0
