"""Why an output leaks, proved on the model itself: the smallest change that removes the leak.

The trace suggests causes, from the call where the difference enters back to the inputs. Each is tried by an intervention: the
model is called with it on the batch as given and in the situation in which it leaks, and outputs are compared as in the check.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import keras
import numpy as np

from masklib import compat
from masklib.auditing.borrowing.methods import borrowed
from masklib.auditing.borrowing.running import CallError, Runner
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.invariance.changes import Change
from masklib.auditing.invariance.comparing import ShapeError
from masklib.auditing.invariance.results import Leak, Place
from masklib.auditing.invariance.situations import Some
from masklib.auditing.tracing.calls import Call
from masklib.auditing.tracing.hooks import hooked
from masklib.auditing.tracing.intervening import Intervening, Intervention, Kind
from masklib.auditing.tracing.outcomes import ALL_VALID, IGNORED, MADE, SILENT, WARNED

MERGING = (*compat.ELEMENTWISE_MERGING, "Concatenate", "Dot")
LARGEST = ("GlobalMaxPooling1D", "MaxPooling1D", "Max", "Amax")  # layers and operations that take the largest value
PICKING = ("GetItem", "Take", "TakeAlongAxis", "Slice", "Lambda")
LOST_HERE = (WARNED, SILENT, ALL_VALID)
OF_LENGTH = (Change.LONGER_PADDING, Change.NO_PADDING)  # the best evidence: clearing padded steps removes any leak of content
MOST = 24  # candidates that are tried for one leak
MOST_TOGETHER = 4
UNEXPLAINED = "MSK119"
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


@dataclass(frozen=True)
class Cause:
    """The cause of a leak.

    Attributes:
        code: of the finding.
        where: the path of the call.
        tried: what was tried, and how much the output then differed, one sentence each.
        after: other causes, code and path, that must also be fixed to remove the leak.
    """

    code: str
    where: str
    tried: tuple[str, ...] = ()
    after: tuple[tuple[str, str], ...] = ()


class Causes:
    """Finds and proves the causes of the leaks of one model.

    Args:
        model: that leaks.
        calls: of the model with the checked batch, with the ids and boolean arrays in them.
    """

    def __init__(self, model: Any, calls: Sequence[Call]) -> None:
        self._model = model
        self.calls = calls
        self._occurrences = _occurrences(self.calls)
        self._proven: list[tuple[Cause, list[Intervention]]] = []
        self._of_entries: dict[str, Cause] = {}  # by the path of the call where a difference enters

    def of(self, leak: Leak) -> Cause | None:
        """Return the cause of a leak of an output; None if an eager call does not show the leak."""
        place, entry = leak.place, next((call for call in self.calls if call.path == leak.layer), None)
        if place is None or entry is None:
            return None
        with borrowed(self._model) as runner:
            trial = _Trial(runner, place, leak.tolerance)
            if trial.off([]) <= leak.tolerance:
                return None  # the eager call does not leak
            known = (cause for cause, interventions in self._proven if trial.off(interventions) <= leak.tolerance)
            alike = None if leak.change in OF_LENGTH else self._of_entries.get(entry.path)
            cause = next(known, None) or alike or self._prove(entry, leak, trial)
        return self._of_entries.setdefault(entry.path, cause)

    def _prove(self, entry: Call, leak: Leak, trial: "_Trial") -> Cause:
        """Return the cause that an intervention proves; else several that are proved together; else that none was found."""
        handed = self._missing(entry, trial.place)
        is_missing = len(handed) > 1 and trial.off(handed) <= leak.tolerance
        failed: list[tuple[float, Candidate]] = []
        for candidate in islice(self._candidates(entry, trial.place, is_missing=is_missing), MOST):
            off = trial.off([candidate.intervention])
            if off <= leak.tolerance:
                return self._found([candidate], off, leak)
            failed.append((off, candidate))
        if is_missing:
            return self._found_missing(entry, handed, trial.off(handed), leak)
        return self._prove_together(entry, leak, trial, failed)

    def _missing(self, entry: Call, place: Place) -> list[Intervention]:
        """Return interventions that pass the mask to every later call that takes a mask and gets none."""
        later = self.calls[self._place_of(entry.path) :]
        missing = [call for call in later if call.takes_mask and not any(mask is not None for mask in call.masks_got)]
        group = next((index for index, one in enumerate(place.batch.groups) if one.axis == 1), None)
        return [] if group is None else [self._at(Kind.HAND, call, group) for call in missing]

    def _prove_together(self, entry: Call, leak: Leak, trial: "_Trial", failed: Sequence[tuple[float, Candidate]]) -> Cause:
        """Return several causes that explain a leak together, in the order of the calls; else that none was found."""
        chosen: list[Candidate] = []
        least = trial.off([])
        for _, candidate in sorted(failed, key=lambda pair: pair[0]):
            together = [*chosen, candidate]
            off = trial.off([one.intervention for one in together])
            if off < 0.9 * least:
                chosen, least = together, off
            if least <= leak.tolerance:
                break
            if len(chosen) == MOST_TOGETHER:
                break
        if least > leak.tolerance or not chosen:
            return self._unexplained(entry, trial.place)
        return self._found(sorted(chosen, key=lambda one: (self._place_of(one.where), one.code)), least, leak)

    def _found(self, candidates: Sequence[Candidate], off: float, leak: Leak) -> Cause:
        """Return candidates as a cause, and store it, because it may explain other leaks."""
        first, *others = candidates
        changes = " and ".join(str(one.intervention) for one in candidates)
        cause = Cause(first.code, first.where, (_sentence(changes, off, leak),), tuple((one.code, one.where) for one in others))
        self._proven.append((cause, [one.intervention for one in candidates]))
        return cause

    def _found_missing(self, entry: Call, handed: Sequence[Intervention], off: float, leak: Leak) -> Cause:
        """Return the cause that the mask is missing at several calls: the call that lost it, and where it must be passed."""
        lost = (call for call in [entry, *calls_before(entry, self.calls)] if call.outcome in LOST_HERE)
        first = next(lost, None)
        otherwise = IGNORED_MASK if has_masks(calls_before(entry, self.calls)) else NO_MASK
        code, where = blame(first, self.calls) if first else (otherwise, entry.path)
        tried = _sentence(Kind.HAND.value.format(", ".join(repr(one.path) for one in handed)), off, leak)
        cause = Cause(code, where, (tried, f"the mask is missing at {len(handed)} calls: pass it to all of them"))
        self._proven.append((cause, list(handed)))
        return cause

    def _unexplained(self, entry: Call, place: Place) -> Cause:
        """Return the cause if no intervention removed the leak: by what became of the mask at this call and before."""
        if entry.outcome in LOST_HERE:
            return Cause(*blame(entry, self.calls))  # the mask was lost here
        if any(_is_one_of(mask, place) for mask in entry.masks_got):
            return Cause("MSK107", entry.path)
        before = [entry, *calls_before(entry, self.calls)]
        return Cause(UNEXPLAINED if has_masks(before) or any(map(_makes_booleans, before)) else NO_MASK, entry.path)

    def _place_of(self, path: str) -> int:
        """Return the index of a call among all calls."""
        return next((i for i, call in enumerate(self.calls) if call.path == path), len(self.calls))

    def _candidates(self, entry: Call, place: Place, *, is_missing: bool) -> Iterator[Candidate]:
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
        for call in self.calls[: self._place_of(entry.path) + 1]:
            for array in call.outputs if _makes_booleans(call) else ():
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
            later = self.calls[self._place_of(turning.path) + 1 :]
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

    def _at(self, kind: Kind, call: Call, group: int) -> Intervention:
        """Return an intervention at a call."""
        return Intervention(kind, call.path, call.operation, self._occurrences[call.path], group)


class _Trial:
    """Calls a model with interventions, on samples as given and in the situation in which an output leaks.

    Two samples are tried first, one of which is the sample that leaks most. If these do not leak, the whole batch is tried, so
    that no cause is proved by two samples alone.
    """

    def __init__(self, runner: Runner, place: Place, tolerance: float) -> None:
        self._runner = runner
        self.place = place
        self._tolerance = tolerance
        self._two = place.situation.of_two(place.at, place.batch)
        self._whole = Some((), place.batch, place.situation)
        self._known: dict[tuple[Intervention, ...], float] = {}

    def off(self, interventions: Sequence[Intervention]) -> float:
        """Return how much the output differs with these interventions, relative to its scale; inf if one cannot be applied."""
        key = tuple(interventions)
        if key not in self._known:
            of_two = self._measure(key, self._two) if self._two else 0.0
            self._known[key] = of_two if of_two > self._tolerance else self._measure(key, self._whole)
        return self._known[key]

    def _measure(self, interventions: tuple[Intervention, ...], some: Some) -> float:
        """Return how much the output of some samples differs."""
        _, batch, situation = some
        try:
            first = self._output(batch, interventions)
            with situation.changed():
                second = self._output(situation.batch, interventions)
            apart = situation.compare(first, second, self.place.axes, batch)
        except (CallError, ShapeError, _NothingDoneError):
            return float("inf")
        return float(apart.size / (self.place.scale or 1.0))

    def _output(self, batch: Batch, interventions: tuple[Intervention, ...]) -> Any:
        """Return the output for a batch."""
        hook = Intervening(interventions, [group.valid for group in batch.groups])
        with hooked(hook):
            outputs = self._runner.call(batch.inputs)
        if hook.done != set(interventions):
            raise _NothingDoneError
        return np.asarray(keras.ops.convert_to_numpy(flatten(outputs, "output")[1][self.place.index]))


class _NothingDoneError(Exception):
    """An intervention could not be applied, because it found nothing to change."""


def calls_before(entry: Call, calls: Sequence[Call]) -> list[Call]:
    """Return the calls from whose outputs a call is computed, and the layers and models that contain them, the nearest first."""
    found: set[int] = set()
    open_ = [source for source in entry.sources if isinstance(source, int)]
    while open_:
        index = open_.pop()
        if index not in found:
            found.add(index)
            open_ += [source for source in calls[index].sources if isinstance(source, int)]
    paths = {calls[index].path for index in found}
    found |= {i for i, call in enumerate(calls) if _holds_any(call, paths) and not _holds_any(call, {entry.path})}
    return [calls[index] for index in sorted(found, reverse=True)]


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


def _sentence(changes: str, off: float, leak: Leak) -> str:
    """Return a sentence on what was tried, in which situation, and with which result."""
    return f"tried for {str(leak.change)!r}: {changes}, the output differs by {off:.1g} of its scale"


def _occurrences(calls: Sequence[Call]) -> dict[str, int]:
    """Return by path the number of each call among the calls of the same operation, from 0."""
    counts: dict[int, int] = {}
    found = {}
    for call in calls:
        found[call.path] = counts.get(id(call.operation), 0)
        counts[id(call.operation)] = found[call.path] + 1
    return found


def _is_one_of(mask: Any, place: Place) -> bool:
    """Return whether a mask marks the padding of some group of steps."""
    return mask is not None and any(np.array_equal(mask, group.valid) for group in place.batch.groups)


def _holds_any(call: Call, paths: set[str]) -> bool:
    """Return whether a call contains any of the calls with these paths."""
    return call.holds and any(path.startswith(f"{call.path}/") for path in paths)


def _makes_booleans(call: Call) -> bool:
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
