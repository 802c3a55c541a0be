"""Puts other content at masked steps where a layer makes a mask or loses it, to find whether later layers use it.

This is done where the inputs cannot show it: at layers that make a mask and are not an Embedding, and, in a model of a fixed
length, at layers that lose the mask. A layer that is given a mask does not make one: what an RNN holds at masked steps is the
state of the last valid one. Content that is zero stays zero, because later layers may rely on that. But what a layer without a
mask computes from it, such as its bias, is replaced.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.running import patched
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.inputs.uses import is_embedding
from masklib.auditing.invariance.changes import Change
from masklib.auditing.invariance.situations import Situation
from masklib.auditing.tracing.watch import CallRecord

Array = NDArray[Any]
Mask = NDArray[np.bool_]


def masked_content(batch: Batch, records: Sequence[CallRecord], seed: int, *, is_fixed: bool) -> Iterator[tuple[str, Situation]]:
    """Yield situations with other content at masked steps, one layer after another, each with the path of the call.

    Args:
        batch: as given.
        records: of the calls with it, with their inputs and outputs.
        seed: of the random numbers.
        is_fixed: whether the model has a fixed length; then layers that lose a mask are tried, too.
    """
    for call in records:
        if isinstance(call.operation, str) or sum(other.operation is call.operation for other in records) > 1:
            continue
        if _makes(call):
            yield call.path, _situation(batch, call, call.outputs[0], call.masks_out[0], seed, at_inputs=False)
        elif is_fixed and _loses(call):
            at_inputs = _is_content(call.inputs[0], call.masks_in[0])
            if at_inputs or _is_content(call.outputs[0], call.masks_in[0]):
                array = call.inputs[0] if at_inputs else call.outputs[0]
                yield call.path, _situation(batch, call, array, call.masks_in[0], seed, at_inputs=at_inputs)


def _makes(call: CallRecord) -> bool:
    """Return whether a layer makes a mask for content that is not zero."""
    is_given = any(mask is not None for mask in (*call.masks_in, *call.masks_got))
    if is_given or is_embedding(call) or isinstance(call.operation, keras.layers.Masking):
        return False
    return len(call.outputs) == 1 and _is_content(call.outputs[0], call.masks_out[0]) and not call.holds


def _loses(call: CallRecord) -> bool:
    """Return whether a layer that does not use a mask gets a masked input and returns no mask."""
    is_one = len(call.inputs) == len(call.outputs) == 1 and not call.holds
    return is_one and not any(mask is not None for mask in (*call.masks_got, *call.masks_out))


def _is_content(array: Array, mask: Mask | None) -> bool:
    """Return whether an array holds floats that are not all zero at masked steps."""
    if mask is None or mask.all() or array.shape[: mask.ndim] != mask.shape or array.ndim <= mask.ndim:
        return False
    return array.dtype.kind == "f" and bool(array[~mask].any())


def _situation(batch: Batch, call: CallRecord, array: Array, mask: Any, seed: int, *, at_inputs: bool) -> Situation:
    """Return the situation with random numbers at masked steps of one tensor."""
    rng = np.random.default_rng([seed, 9])
    garbage = rng.normal(0.0, 3.0 * (float(array[mask].std()) or 1.0), array.shape).astype(array.dtype)
    samples = tuple(range(batch.samples))
    where = "into" if at_inputs else "out of"
    labels = ("as given", f"with other content at masked steps {where} {call.path!r}")
    valid = mask.reshape(*mask.shape, *[1] * (array.ndim - mask.ndim))
    context = _replaced(call.operation, valid, garbage, at_inputs)
    return Situation(Change.MASKED_CONTENT, batch, samples, samples, labels, context, is_inside=True)


def _replaced(operation: Any, valid: Mask, garbage: Array, at_inputs: bool) -> Callable[[], AbstractContextManager[Any]]:
    """Return a context that replaces masked steps of a layer's input, or of its output."""

    def mixed(tensor: Any) -> Any:
        return keras.ops.where(valid, tensor, keras.ops.cast(garbage, tensor.dtype))

    def wrap(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        def changed(first: Any, *args: Any, **kwargs: Any) -> Any:
            return call(mixed(first), *args, **kwargs) if at_inputs else mixed(call(first, *args, **kwargs))

        return changed

    return lambda: patched([operation], wrap)
