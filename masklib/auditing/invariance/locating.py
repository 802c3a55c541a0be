"""Where a difference enters: the first call in a model whose valid steps differ though those of its inputs do not."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from numpy.typing import NDArray

from masklib.auditing.borrowing.running import CallError, Runner, explained
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.invariance.comparing import Axes, ShapeError, grown_axes
from masklib.auditing.invariance.situations import Situation
from masklib.auditing.tracing.watch import CallRecord, record

Array = NDArray[Any]


class Follower:
    """Follows differences through a model; records a situation once, when it is asked for.

    Args:
        runner: of the model.
        batch: as given.
        records: of the calls with it, with their inputs and outputs.
        longer: the situations in which padding is longer, for each group, that the model takes.
        steps: by which it is.
    """

    def __init__(
        self, runner: Runner, batch: Batch, records: Sequence[CallRecord], longer: Sequence[Situation], steps: int
    ) -> None:
        self._runner = runner
        self._batch = batch
        self._records = list(records)
        self._longer = list(longer)
        self._steps = steps
        self._grown: list[tuple[int, Mapping[str, CallRecord]]] | None = None

    def enters(self, situation: Situation, relative: float, tolerance: float) -> str | None:
        """Return the path of the call where a difference enters; None if it cannot be followed."""
        try:
            with situation.changed():
                other = {call.path: call for call in self._record(situation.batch)}
        except CallError:
            return None
        least = math.sqrt(tolerance * min(max(relative, tolerance), 1.0))
        found = [call for call in self._records if call.path in other and self._begins(call, other[call.path], situation, least)]
        return _innermost(found) if found else None

    def _record(self, batch: Batch) -> list[CallRecord]:
        """Return the calls for a batch."""
        with explained():
            return record(self._runner.model, batch.inputs, keep=True)

    def _begins(self, call: CallRecord, other: CallRecord, situation: Situation, least: float) -> bool:
        """Return whether a call's outputs differ, and its inputs do not."""
        if not any(self._differ(call, other, i, situation, least, outputs=True) for i in range(len(call.outputs))):
            return False
        return not any(self._differ(call, other, i, situation, least, outputs=False) for i in range(len(call.inputs)))

    def _differ(
        self, call: CallRecord, other: CallRecord, index: int, situation: Situation, least: float, *, outputs: bool
    ) -> bool:
        """Return whether a tensor differs at valid steps; one that cannot be compared does not."""
        first, second = (call.outputs, other.outputs) if outputs else (call.inputs, other.inputs)
        if index >= len(second) or first[index].ndim == 0 or len(first[index]) != self._batch.samples:
            return False
        axes = self._axes(call, index, outputs=outputs)
        try:
            return situation.compare(first[index], second[index], axes, self._batch).relative > least
        except (ShapeError, IndexError):
            return False

    def _axes(self, call: CallRecord, index: int, *, outputs: bool) -> Axes:
        """Return the time axes of a tensor: those that grow with padding; else those that are as long."""
        found: dict[int, int] = {}
        shape = (call.outputs if outputs else call.inputs)[index].shape
        for group, calls in self._grown_calls():
            longer = calls.get(call.path)
            shapes = () if longer is None else longer.shapes_out if outputs else longer.shapes_in
            if index < len(shapes):
                try:
                    found |= dict.fromkeys(grown_axes(shape, shapes[index], self._steps), group)
                except ShapeError:
                    continue
        return found if self._longer else likely_axes(shape, self._batch)

    def _grown_calls(self) -> list[tuple[int, Mapping[str, CallRecord]]]:
        """Return for each group the calls with longer padding, by path."""
        if self._grown is None:
            records = [(one.groups[0], self._record(one.batch)) for one in self._longer]
            self._grown = [(group, {call.path: call for call in calls}) for group, calls in records]
        return self._grown


def likely_axes(shape: tuple[int, ...], batch: Batch) -> dict[int, int]:
    """Return the axes of a tensor that are as long as the steps of a group, where nothing better is known."""
    found = {}
    for index, group in enumerate(batch.groups):
        if len(shape) > group.axis and shape[group.axis] == group.steps:
            found[group.axis] = index
    return found


def _innermost(calls: Sequence[CallRecord]) -> str:
    """Return the path of the first of these calls, or of the first one inside of it, however deep."""
    first = calls[0]
    while not isinstance(first.operation, keras.layers.Wrapper):
        inside = [call for call in calls if call.path.startswith(f"{first.path}/")]
        if not inside:
            break
        first = inside[0]
    return first.path
