"""What may be the cause of a leak, from what the trace shows, each with the change at a call that removes the leak if it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from masklib import compat
from masklib.auditing.invariance.results import Place
from masklib.auditing.tracing.calls import Call
from masklib.auditing.tracing.graph import calls_after, calls_before
from masklib.auditing.tracing.intervening import Intervention, Kind
from masklib.auditing.tracing.outcomes import ALL_VALID, IGNORED, MADE, SILENT, WARNED

MERGING = (*compat.ELEMENTWISE_MERGING, "Concatenate", "Dot")
LARGEST = ("GlobalMaxPooling1D", "MaxPooling1D", "Max", "Amax")  # layers and operations that take the largest value
PICKING = ("GetItem", "Take", "TakeAlongAxis", "Slice", "Lambda")
LOST_HERE = (WARNED, SILENT, ALL_VALID)
NO_MASK = "MSK106"
IGNORED_MASK = "MSK103"


@dataclass(frozen=True)
class Candidate:
    """A cause that the trace suggests.

    Attributes:
        code: of the finding, if it is the cause.
        where: the path of the call.
        intervention: removes the leak if this is the cause.
    """

    code: str
    where: str
    intervention: Intervention


class Candidates:
    """Suggests the causes of leaks of one model.

    Args:
        calls: of the model with the checked batch, with the ids and boolean arrays in them.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self._occurrences = _occurrences(calls)

    def place_of(self, path: str) -> int:
        """Return the index of a call among all calls."""
        return next((i for i, call in enumerate(self.calls) if call.path == path), len(self.calls))

    def at(self, entry: Call, place: Place, *, is_missing: bool) -> Iterator[Candidate]:
        """Yield possible causes, the likeliest first, for each group of steps.

        Args:
            entry: the call where the difference enters.
            place: of the leak.
            is_missing: whether it is known that passing the mask to several calls removes the leak.
        """
        before = calls_before(entry, self.calls)
        for group in [index for index, one in enumerate(place.batch.groups) if one.axis == 1]:
            yield from self._own_masks(entry, place, group)
            yield from self._lost(entry, before, group)
            yield from self._wrong(entry, before, place, group)
            yield from self._at_entry(entry, before, place, group)
            if not (is_missing and has_masks(before)):
                yield from self._without_masks(entry, before, group)

    def _own_masks(self, entry: Call, place: Place, group: int) -> Iterator[Candidate]:
        """Yield as candidates the masks that the model computes itself and that do not mark the padding."""
        valid = place.batch.groups[group].valid
        for call in self.calls[: self.place_of(entry.path) + 1]:
            for array in call.outputs if makes_booleans(call) else ():
                mask = _as_mask(array, valid.shape)
                if mask is None:
                    continue
                code = "MSK110" if np.array_equal(mask, valid) or np.array_equal(mask, ~valid) else "MSK108"
                for kind, wanted in ((Kind.REPLACE, valid), (Kind.REPLACE_INVERTED, ~valid)):
                    if not np.array_equal(mask, wanted):
                        yield Candidate(code, call.path, self._at(kind, call, group))
        if _has_attention_mask(entry):
            yield Candidate("MSK108", entry.path, self._at(Kind.HAND_ATTENTION, entry, group))

    def _lost(self, entry: Call, before: Sequence[Call], group: int) -> Iterator[Candidate]:
        """Yield the calls that lost a mask, the nearest first, with the mask put back on their output, or passed to `entry`."""
        lost = [call for call in [entry, *before] if call.outcome in LOST_HERE]
        if entry in lost and _takes_one_step(entry):
            yield Candidate("MSK113", entry.path, self._at(Kind.LAST, entry, group))
        yield from (Candidate(*blame(call, self.calls), self._at(Kind.KEEP, call, group)) for call in lost)
        if entry.takes_mask and entry not in lost:
            yield from (Candidate(*blame(call, self.calls), self._at(Kind.HAND, entry, group)) for call in lost[:1])

    def _at_entry(self, entry: Call, before: Sequence[Call], place: Place, group: int) -> Iterator[Candidate]:
        """Yield what may be wrong in the call where the difference enters."""
        if _counts_positions(entry, place):
            yield Candidate("MSK112", entry.path, self._at(Kind.COUNT, entry, group))
        turning = next((call for call in [entry, *before] if _is_turned(call.operation)), None)
        if turning is not None:
            later = self.calls[self.place_of(turning.path) + 1 :]
            at = [self._at(Kind.HAND_TURNED, call, group) for call in later if call.takes_mask]
            yield from (Candidate("MSK114", turning.path, one) for one in at)
        if entry.layer in LARGEST:
            yield Candidate("MSK115", entry.path, self._at(Kind.LOWER_INPUTS, entry, group))
        if _takes_one_step(entry):
            yield Candidate("MSK113", entry.path, self._at(Kind.LAST, entry, group))
        if entry.outcome == IGNORED:
            yield Candidate(IGNORED_MASK, entry.path, self._at(Kind.HAND, entry, group))
        elif entry.takes_mask and not any(mask is not None for mask in entry.masks_got):
            has_mask = any(mask is not None for call in before for mask in call.masks_out)
            yield Candidate(IGNORED_MASK if has_mask else NO_MASK, entry.path, self._at(Kind.HAND, entry, group))

    def _wrong(self, entry: Call, before: Sequence[Call], place: Place, group: int) -> Iterator[Candidate]:
        """Yield the layers that make a mask which does not mark the padding."""
        valid = place.batch.groups[group].valid
        for call in (call for call in before if call.outcome == MADE):
            masks = [mask for mask in call.masks_out if mask is not None]
            if not any(mask.shape == valid.shape and np.array_equal(mask, valid) for mask in masks):
                yield Candidate("MSK108", call.path, self._at(Kind.KEEP, call, group))
                if entry.takes_mask:
                    yield Candidate("MSK108", call.path, self._at(Kind.HAND, entry, group))

    def _without_masks(self, entry: Call, before: Sequence[Call], group: int) -> Iterator[Candidate]:
        """Yield what may help if no mask was lost: masked steps set to 0, or a mask where there was none."""
        got = any(mask is not None for mask in entry.masks_got)
        yield Candidate("MSK107" if got else "MSK116", entry.path, self._at(Kind.CLEAR_INPUTS, entry, group))
        mixing = [call for call in before if call.outcome == WARNED and not call.holds]
        yield from (Candidate("MSK116", call.path, self._at(Kind.CLEAR_INPUTS, call, group)) for call in mixing)
        for call in before:
            if not any(mask is not None for mask in call.masks_out) and not call.holds:
                yield Candidate(NO_MASK, entry.path, self._at(Kind.KEEP, call, group))

    def from_here(self, entry: Call, place: Place) -> Iterator[Candidate]:
        """Yield what may be wrong at each call since the mask was lost, or since `entry`, in their order."""
        group = _group_of_steps(place)
        if group is None:
            return
        start = next((call for call in [entry, *calls_before(entry, self.calls)] if call.outcome in LOST_HERE), entry)
        for call in [start, *calls_after(start, self.calls)]:
            if not call.holds and _has_steps(call, place.batch.groups[group].valid.shape):
                yield from self._likeliest(call, entry, group)

    def _likeliest(self, call: Call, entry: Call, group: int) -> Iterator[Candidate]:
        """Yield the likeliest cause at one call that gets steps; nothing where it gets a mask."""
        if call.layer in LARGEST:
            yield Candidate("MSK115", call.path, self._at(Kind.LOWER_INPUTS, call, group))
        elif _takes_one_step(call):
            yield Candidate("MSK113", call.path, self._at(Kind.LAST, call, group))
        elif not call.takes_mask:
            yield Candidate("MSK116", call.path, self._at(Kind.CLEAR_INPUTS, call, group))
        elif not any(mask is not None for mask in call.masks_got):
            lost = next((one for one in calls_before(call, self.calls) if one.outcome in LOST_HERE), None)
            code, where = (NO_MASK, entry.path) if lost is None else blame(lost, self.calls)
            yield Candidate(code, where, self._at(Kind.HAND, call, group))

    def missing(self, entry: Call, place: Place) -> list[Intervention]:
        """Return interventions that pass the mask to every later call that takes a mask and gets none."""
        later = self.calls[self.place_of(entry.path) :]
        missing = [call for call in later if call.takes_mask and not any(mask is not None for mask in call.masks_got)]
        group = _group_of_steps(place)
        return [] if group is None else [self._at(Kind.HAND, call, group) for call in missing]

    def _at(self, kind: Kind, call: Call, group: int) -> Intervention:
        """Return an intervention at a call."""
        return Intervention(kind, call.path, call.operation, self._occurrences[call.path], group)


def _group_of_steps(place: Place) -> int | None:
    """Return the index of the first group whose steps are axis 1; None without one."""
    return next((index for index, one in enumerate(place.batch.groups) if one.axis == 1), None)


def _has_steps(call: Call, steps: tuple[int, ...]) -> bool:
    """Return whether a call gets features of steps, (B, T, ...)."""
    return any(len(shape) > 2 and tuple(shape[:2]) == steps for shape in call.shapes_in)


def blame(call: Call, calls: Sequence[Call]) -> tuple[str, str]:
    """Return code and path for a call that lost a mask: its own, or those of a call that removed the mask from its input."""
    code = {WARNED: "MSK101", SILENT: "MSK105" if call.kind in MERGING else "MSK102"}.get(call.outcome, "MSK104")
    merged = {source for source in call.sources if isinstance(source, int)}
    takers = (one for one in calls if code == "MSK105" and one.unmasks and merged.intersection(one.sources))
    taker = next(takers, None)
    return (code, call.path) if taker is None else ("MSK109", taker.path)


def has_masks(calls: Sequence[Call]) -> bool:
    """Return whether any call gets or makes a mask of Keras's."""
    return any(mask is not None for call in calls for mask in (*call.masks_in, *call.masks_got, *call.masks_out))


def _occurrences(calls: Sequence[Call]) -> dict[str, int]:
    """Return by path the number of each call among the calls of the same operation, from 0."""
    counts: dict[int, int] = {}
    found = {}
    for call in calls:
        found[call.path] = counts.get(id(call.operation), 0)
        counts[id(call.operation)] = found[call.path] + 1
    return found


def makes_booleans(call: Call) -> bool:
    """Return whether a call returns booleans, such as a mask that the model computes itself."""
    return any(array.dtype == bool for array in call.outputs)


def _as_mask(array: Any, shape: tuple[int, ...]) -> Any:
    """Return an array as a mask (B, T) without axes of size 1; None if its other axes do not fit."""
    inner = [size for size in array.shape[1:] if size != 1]
    return array.reshape(shape) if array.shape[:1] == shape[:1] and inner == [shape[1]] else None


def _has_attention_mask(call: Call) -> bool:
    """Return whether a call is of an attention layer, which may have been given an `attention_mask`."""
    return isinstance(call.operation, keras.layers.Layer) and "attention_mask" in _argument_names(call.operation)


def _argument_names(layer: Any) -> tuple[str, ...]:
    """Return the names of the arguments of a layer's `call`."""
    code = getattr(type(layer).call, "__code__", None)
    return () if code is None else code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _is_turned(operation: Any) -> bool:
    """Return whether a layer returns the steps in reverse order."""
    backwards = getattr(operation, "go_backwards", False) and getattr(operation, "return_sequences", False)
    return bool(backwards) and isinstance(operation, keras.layers.RNN)


def _takes_one_step(call: Call) -> bool:
    """Return whether a call takes one step of its input: (B, ...) from (B, T, ...)."""
    if call.layer not in PICKING or len(call.outputs) != 1:
        return False
    out = call.shapes_out[0]
    return any(len(shape) > 2 and (shape[0], *shape[2:]) == tuple(out) for shape in call.shapes_in)


def _counts_positions(call: Call, place: Place) -> bool:
    """Return whether a call computes the positions of steps: integers that increase by one from step to step."""
    return any(_rises(array, place.batch.groups[0].steps) for array in call.outputs)


def _rises(array: Any, steps: int) -> bool:
    """Return whether the last axis holds integers that increase by one."""
    if array.dtype.kind not in "iu" or array.ndim not in (1, 2) or array.shape[-1] != steps or steps < 2:
        return False
    return bool((np.diff(array, axis=-1) == 1).all())
