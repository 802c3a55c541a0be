"""Where a difference enters: the first call in a model whose outputs differ at valid steps although its inputs do not."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from numpy.typing import NDArray

from masklib.auditing.borrowing.running import CallError, Runner, explained
from masklib.auditing.inputs import variants
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.invariance.changes import Change
from masklib.auditing.invariance.comparing import Axes, Distance, ShapeError, grown_axes
from masklib.auditing.invariance.situations import Situation, Some
from masklib.auditing.tracing.watch import CallRecord, Keep, record

Array = NDArray[Any]
Calls = Mapping[str, CallRecord]  # by path


class Follower:
    """Follows differences through a model.

    Args:
        runner: of the model.
        batch: as given.
        longer: the situations with longer padding that the model takes, one for each group.
        steps: by which the padding is longer.
    """

    def __init__(self, runner: Runner, batch: Batch, longer: Sequence[Situation], steps: int) -> None:
        self._runner = runner
        self._batch = batch
        self._longer = list(longer)
        self._steps = steps
        self._grown: dict[tuple[int, ...], list[tuple[int, Calls]]] = {}  # by rows of the batch

    def enters(self, situation: Situation, apart: Distance, tolerance: float) -> str | None:
        """Return the path of the call where a difference enters; None if it cannot be found.

        Two samples are searched, one of which is the sample that differs most; then the whole batch, if these two show nothing.
        """
        least = math.sqrt(tolerance * min(max(apart.relative, tolerance), 1.0))
        some = [situation.of_two(apart.at[0], self._batch), Some(tuple(range(self._batch.samples)), self._batch, situation)]
        try:
            found = (self._first(one, least) for one in some if one)
            return next((path for path in found if path), None)
        except CallError:
            return None

    def _first(self, some: Some, least: float) -> str | None:
        """Return the path of the first call whose outputs differ and whose inputs do not; in a wrapper, of the inner call."""
        calls = self._record(some.batch)
        with some.situation.changed():
            others = {call.path: call for call in self._record(some.situation.batch)}
        if some.situation.change is Change.LONGER_PADDING and len(self._longer) == 1:
            self._grown[some.rows] = [(self._longer[0].groups[0], others)]
        both = [(call, others[call.path]) for call in calls if call.path in others]
        found: CallRecord | None = None
        while found is None or not isinstance(found.operation, keras.layers.Wrapper):
            inside = (pair for pair in both if found is None or pair[0].path.startswith(f"{found.path}/"))
            first = next((call for call, other in inside if self._begins(call, other, some, least)), None)
            if first is None:
                break
            found = first
        return found.path if found else None

    def _record(self, batch: Batch, keep: Keep = Keep.ALL) -> list[CallRecord]:
        """Return the record of a call with a batch."""
        with explained():
            return record(self._runner.model, batch.inputs, keep=keep)

    def _begins(self, call: CallRecord, other: CallRecord, some: Some, least: float) -> bool:
        """Return whether a call's outputs differ, and its inputs do not."""
        if not any(self._differ(call, other, i, some, least, outputs=True) for i in range(len(call.outputs))):
            return False
        return not any(self._differ(call, other, i, some, least, outputs=False) for i in range(len(call.inputs)))

    def _differ(self, call: CallRecord, other: CallRecord, index: int, some: Some, least: float, *, outputs: bool) -> bool:
        """Return whether a tensor differs at valid steps; False if it cannot be compared."""
        first, second = (call.outputs, other.outputs) if outputs else (call.inputs, other.inputs)
        if index >= len(second) or first[index].ndim == 0 or len(first[index]) != some.batch.samples:
            return False
        axes = self._axes(call, index, some, outputs=outputs)
        try:
            return some.situation.compare(first[index], second[index], axes, some.batch).relative > least
        except (ShapeError, IndexError):
            return False

    def _axes(self, call: CallRecord, index: int, some: Some, *, outputs: bool) -> Axes:
        """Return the time axes of a tensor: those that become longer with padding; else those of the length of a group."""
        found: dict[int, int] = {}
        shape = (call.outputs if outputs else call.inputs)[index].shape
        for group, calls in self._grown_calls(some.rows):
            longer = calls.get(call.path)
            shapes = () if longer is None else longer.shapes_out if outputs else longer.shapes_in
            if index < len(shapes):
                try:
                    found |= dict.fromkeys(grown_axes(shape, shapes[index], self._steps), group)
                except ShapeError:
                    continue
        return found if self._longer else likely_axes(shape, some.batch)

    def _grown_calls(self, rows: tuple[int, ...]) -> list[tuple[int, Calls]]:
        """Return for each group the calls with longer padding for these samples, by path."""
        if rows not in self._grown:
            records = [(one.groups[0], self._record(variants.select(one.batch, rows), Keep.NOTHING)) for one in self._longer]
            self._grown[rows] = [(group, {call.path: call for call in calls}) for group, calls in records]
        return self._grown[rows]


def likely_axes(shape: tuple[int, ...], batch: Batch) -> dict[int, int]:
    """Return the axes of a tensor that have as many elements as a group has steps, if nothing better is known."""
    found = {}
    for index, group in enumerate(batch.groups):
        if len(shape) > group.axis and shape[group.axis] == group.steps:
            found[group.axis] = index
    return found
