"""What the layers of a model do with its inputs, as far as the record of a call shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.running import CallError, explained
from masklib.auditing.tracing.watch import CallRecord, Keep, record
from masklib.errors import ArgumentError

Array = NDArray[Any]


@dataclass(frozen=True)
class Use:
    """What layers do with one input, as far as the record of a call shows.

    Attributes:
        rows: the smallest number of rows of the Embeddings that get it; None if none does.
        mask_value: of the Masking layer that gets it; None if none does.
    """

    rows: int | None = None
    mask_value: float | None = None


def uses_of(records: Sequence[CallRecord], arrays: Sequence[Array]) -> list[Use]:
    """Return what Embedding and Masking layers do with arrays that were the inputs of a recorded call."""
    return [_use(records, array) for array in arrays]


def is_embedding(call: CallRecord) -> bool:
    """Return whether a call is that of an Embedding."""
    return isinstance(call.operation, keras.layers.Embedding)


def reads(call: CallRecord, array: Array) -> bool:
    """Return whether the first input of a call holds the same numbers as an array, in any shape."""
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


def watched(model: Any, inputs: Any, *, is_made: bool = False) -> list[CallRecord]:
    """Return the record of a call of a model; the model is built afterwards.

    Args:
        model: functional, sequential or subclassed.
        inputs: as the model takes them.
        is_made: whether they were made, for the error message.

    Raises:
        ArgumentError: the model does not take these inputs.
    """
    try:
        with explained():
            return record(model, inputs, keep=Keep.MARKS)
    except CallError as error:
        msg = f"The model does not take these inputs: {error} Give inputs as `predict` takes them."
        if is_made:
            msg = f"The model does not take the inputs made from its signature: {error} Give inputs."
        raise ArgumentError(msg) from error
