"""Which masks do not fit the tensor to which they are attached, such as that of a recurrent layer that goes backwards.

A mask does not fit if it calls a step masked that follows from valid steps of the inputs, and calls another one valid that does
not. What follows from valid steps is measured: their content is changed, while the padding stays as it is. A mask that did not
fit stays in doubt while layers hand it on, because after a layer that mixes the steps each step follows from all.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.running import CallError, explained
from masklib.auditing.inputs import variants
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.invariance.comparing import distance
from masklib.auditing.tracing.watch import CallRecord, Keep, record

Array = NDArray[Any]
Mask = NDArray[np.bool_]

SAMPLES = 4  # of different lengths: all tensors of the model are held for them
TRIES = 3  # other contents: a step that follows from some may not show it, such as after a ReLU


def calls_in_doubt(model: Any, batch: Batch, least: float) -> frozenset[str]:
    """Return the paths of the calls that get or hand on a mask that does not fit, or did not fit on its way.

    Args:
        model: that gets the batch.
        batch: as given.
        least: the relative difference from which a step follows from what was changed.
    """
    some = _few(batch)
    calls = _recorded(model, some)
    if not calls:  # a model may take no other number of samples
        some, calls = batch, _recorded(model, batch)
    masked = [_masked_tensors(call) for call in calls]
    follows = [[np.zeros(mask.shape, bool) for mask, _ in tensors] for tensors in masked]
    for by in range(1, TRIES + 1):
        others = {call.path: _masked_tensors(call) for call in _recorded(model, variants.moved_on(some, by))}
        for call, tensors, found in zip(calls, masked, follows, strict=True):
            for steps, (mask, tensor), (_, other) in zip(found, tensors, others.get(call.path, []), strict=False):
                steps |= _differing(tensor, other, mask.ndim, least)
    in_doubt: set[Any] = set()
    for index, (call, tensors, found) in enumerate(zip(calls, masked, follows, strict=True)):
        is_handed = any(mask is not None and source in in_doubt for mask, source in zip(call.masks_in, call.sources, strict=True))
        if is_handed or not all(fits(mask, steps) for (mask, _), steps in zip(tensors, found, strict=True)):
            in_doubt.add(index)
    return frozenset(calls[index].path for index in in_doubt)


def fits(mask: Mask, follows: Mask) -> bool:
    """Return whether a mask fits a tensor, as far as is known.

    Args:
        mask: (B, T), True = valid.
        follows: (B, T), which steps follow from valid steps of the inputs.
    """
    axes = tuple(range(1, mask.ndim))
    is_wrong = (follows & ~mask).any(axis=axes) & (mask & ~follows).any(axis=axes)
    return not is_wrong.any()


def _few(batch: Batch) -> Batch:
    """Return padded samples of different lengths, at least two samples if there are."""
    rows = [samples[0] for samples in variants.by_length(batch, SAMPLES)]
    others = [row for row in range(batch.samples) if row not in rows]
    return variants.select(batch, rows + others[: max(0, 2 - len(rows))])


def _recorded(model: Any, batch: Batch) -> list[CallRecord]:
    """Return the record of a call with a batch; [] if the model does not take it."""
    try:
        with explained():
            return record(model, batch.inputs, keep=Keep.ALL)
    except CallError:
        return []


def _masked_tensors(call: CallRecord) -> list[tuple[Mask, Array]]:
    """Return the inputs and outputs of a call that have masks, with these."""
    both = zip((*call.masks_in, *call.masks_out), (*call.inputs, *call.outputs), strict=True)
    return [(mask, array) for mask, array in both if mask is not None and array.shape[: mask.ndim] == mask.shape]


def _differing(first: Array, second: Array, n_axes: int, least: float) -> Mask | bool:
    """Return which steps differ, with the first axes of the tensors; False if the tensors cannot be compared."""
    if first.shape != second.shape:
        return False
    with np.errstate(invalid="ignore"):
        apart = np.abs(first.astype(np.float64) - second.astype(np.float64))
    steps = apart.reshape(*first.shape[:n_axes], -1).max(axis=-1, initial=0.0)
    return np.asarray(steps > least * distance(first, first).scale)
