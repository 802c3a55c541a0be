"""Why an output leaks, proved on the model itself: the smallest change of masks with which the leak vanishes.

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
OF_LENGTH = (Change.LONGER_PADDING, Change.NO_PADDING)  # these say most: where only content changes, clearing it cures all
MOST = 24  # candidates that are tried for one leak
MOST_TOGETHER = 4
UNEXPLAINED = "MSK119"
NO_MASK = "MSK106"
IGNORED_MASK = "MSK103"


@dataclass(frozen=True)
class Candidate:
    """A cause that the trace suggests.

    Attributes:
        code: of the finding that it would be.
        where: the path of the call.
        intervention: with which the leak vanishes if it is the cause.
    """

    code: str
    where: str
    intervention: Intervention


@dataclass(frozen=True)
class Cause:
    """What lets a leak in.

    Attributes:
        code: of the finding.
        where: the path of the call.
        tried: what was tried, and how far the output was off then, a sentence each.
        after: causes that must be mended before this one shows as cured.
    """

    code: str
    where: str
    tried: tuple[str, ...] = ()
    after: tuple[tuple[str, str], ...] = ()


class Causes:
    """Finds and proves the causes of the leaks of one model.

    Args:
        model: that leaks.
        calls: of it with the batch with which it was checked, with the ids and truth values in them.
    """

    def __init__(self, model: Any, calls: Sequence[Call]) -> None:
        self._model = model
        self.calls = calls
        self._occurrences = _occurrences(self.calls)
        self._proven: list[tuple[Cause, list[Intervention]]] = []
        self._of_entries: dict[str, Cause] = {}  # by the path of the call where a difference enters

    def of(self, leak: Leak) -> Cause | None:
        """Return what lets a leak of an output in; None if it cannot be followed through an eager call."""
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
        """Return the cause that an intervention proves, or several that do together, or none."""
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
        """Return the mask handed to every call from where a leak enters on that takes one and gets none."""
        later = self.calls[self._place_of(entry.path) :]
        missing = [call for call in later if call.takes_mask and not any(mask is not None for mask in call.masks_got)]
        group = next((index for index, one in enumerate(place.batch.groups) if one.axis == 1), None)
        return [] if group is None else [self._at(Kind.HAND, call, group) for call in missing]

    def _prove_together(self, entry: Call, leak: Leak, trial: "_Trial", failed: Sequence[tuple[float, Candidate]]) -> Cause:
        """Return several causes that explain a leak together, the first to be mended first; else that nothing explains it."""
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
        """Return the cause that candidates are together, and remember it: it may explain other leaks."""
        first, *others = candidates
        changes = " and ".join(str(one.intervention) for one in candidates)
        cause = Cause(first.code, first.where, (_sentence(changes, off, leak),), tuple((one.code, one.where) for one in others))
        self._proven.append((cause, [one.intervention for one in candidates]))
        return cause

    def _found_missing(self, entry: Call, handed: Sequence[Intervention], off: float, leak: Leak) -> Cause:
        """Return that the mask is missing at several calls: that which lost it first, and where it must come to."""
        lost = (call for call in [entry, *calls_before(entry, self.calls)] if call.outcome in LOST_HERE)
        first = next(lost, None)
        otherwise = IGNORED_MASK if has_masks(calls_before(entry, self.calls)) else NO_MASK
        code, where = blame(first, self.calls) if first else (otherwise, entry.path)
        tried = _sentence(Kind.HAND.value.format(", ".join(repr(one.path) for one in handed)), off, leak)
        cause = Cause(code, where, (tried, f"the mask is missing at {len(handed)} calls: hand it to all of them"))
        self._proven.append((cause, list(handed)))
        return cause

    def _unexplained(self, entry: Call, place: Place) -> Cause:
        """Return that no mask explains a leak; or that there is no mask, where there is none of any kind before the leak."""
        if entry.outcome in LOST_HERE:
            return Cause(*blame(entry, self.calls))  # the mask came here, and went no further
        if any(_is_one_of(mask, place) for mask in entry.masks_got):
            return Cause("MSK107", entry.path)
        before = [entry, *calls_before(entry, self.calls)]
        return Cause(UNEXPLAINED if has_masks(before) or any(map(_makes_booleans, before)) else NO_MASK, entry.path)

    def _place_of(self, path: str) -> int:
        """Return the place of a call among all."""
        return next((i for i, call in enumerate(self.calls) if call.path == path), len(self.calls))

    def _candidates(self, entry: Call, place: Place, *, is_missing: bool) -> Iterator[Candidate]:
        """Yield the causes that are possible, the likeliest first, for each group of steps.

        Args:
            entry: where the difference enters.
            place: of the leak.
            is_missing: whether it is known that the mask is missing at several calls: in a model with masks it was lost.
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
        """Yield the masks that the model computes itself, and that are not that of the padding."""
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
        """Yield the calls that lost a mask, nearest first: put back on what they return, or handed to where it is missed."""
        lost = [call for call in [entry, *before] if call.outcome in LOST_HERE]
        if entry in lost and _takes_one_step(entry):
            yield Candidate("MSK113", entry.path, self._at(Kind.LAST, entry, group))
        yield from (Candidate(*blame(call, self.calls), self._at(Kind.KEEP, call, group)) for call in lost)
        if entry.takes_mask and entry not in lost:
            yield from (Candidate(*blame(call, self.calls), self._at(Kind.HAND, entry, group)) for call in lost[:1])

    def _at_entry(self, entry: Call, before: Sequence[Call], place: Place, group: int) -> Iterator[Candidate]:
        """Yield what the call where the difference enters may do wrong itself."""
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
        """Yield the layers that make a mask which is not that of the padding."""
        valid = place.batch.groups[group].valid
        for call in (call for call in before if call.outcome == MADE):
            masks = [mask for mask in call.masks_out if mask is not None]
            if not any(mask.shape == valid.shape and np.array_equal(mask, valid) for mask in masks):
                yield Candidate("MSK108", call.path, self._at(Kind.KEEP, call, group))
                if entry.takes_mask:
                    yield Candidate("MSK108", call.path, self._at(Kind.HAND, entry, group))

    def _without_masks(self, entry: Call, before: Sequence[Call], group: int) -> Iterator[Candidate]:
        """Yield what would help where no mask is lost: masked steps cleared, or a mask where there was none."""
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

    Two samples are called, that which leaks most among them; where these do not leak, the whole batch, so that no cause is
    proved by two samples alone.
    """

    def __init__(self, runner: Runner, place: Place, tolerance: float) -> None:
        self._runner = runner
        self.place = place
        self._tolerance = tolerance
        self._two = place.situation.of_two(place.at, place.batch)
        self._whole = Some((), place.batch, place.situation)
        self._known: dict[tuple[Intervention, ...], float] = {}

    def off(self, interventions: Sequence[Intervention]) -> float:
        """Return how far the output is off with these interventions, relative to its scale; inf if they change nothing."""
        key = tuple(interventions)
        if key not in self._known:
            of_two = self._measure(key, self._two) if self._two else 0.0
            self._known[key] = of_two if of_two > self._tolerance else self._measure(key, self._whole)
        return self._known[key]

    def _measure(self, interventions: tuple[Intervention, ...], some: Some) -> float:
        """Return how far the output of some samples is off."""
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
    """An intervention found nothing to change."""


def calls_before(entry: Call, calls: Sequence[Call]) -> list[Call]:
    """Return the calls whose outputs a call is computed from, and the layers and models that hold them, the nearest first."""
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
    """Return the code of a call that lost a mask, and the path of the call to blame: one that took the mask off its own input."""
    code = {WARNED: "MSK101", SILENT: "MSK105" if call.kind in MERGING else "MSK102"}.get(call.outcome, "MSK104")
    merged = {source for source in call.sources if isinstance(source, int)}
    takers = (one for one in calls if code == "MSK105" and one.unmasks and merged.intersection(one.sources))
    taker = next(takers, None)
    return (code, call.path) if taker is None else ("MSK109", taker.path)


def has_masks(calls: Sequence[Call]) -> bool:
    """Return whether any call gets or makes a mask of Keras's."""
    return any(mask is not None for call in calls for mask in (*call.masks_in, *call.masks_got, *call.masks_out))


def _sentence(changes: str, off: float, leak: Leak) -> str:
    """Return what was tried, in which situation, and what came of it."""
    return f"tried for {str(leak.change)!r}: {changes} the output is off by {off:.1g} of its scale"


def _occurrences(calls: Sequence[Call]) -> dict[str, int]:
    """Return by path which call of its operation each call is."""
    counts: dict[int, int] = {}
    found = {}
    for call in calls:
        found[call.path] = counts.get(id(call.operation), 0)
        counts[id(call.operation)] = found[call.path] + 1
    return found


def _is_one_of(mask: Any, place: Place) -> bool:
    """Return whether a mask is that of the padding of some group of steps."""
    return mask is not None and any(np.array_equal(mask, group.valid) for group in place.batch.groups)


def _holds_any(call: Call, paths: set[str]) -> bool:
    """Return whether a call holds any of the calls with these paths."""
    return call.holds and any(path.startswith(f"{call.path}/") for path in paths)


def _makes_booleans(call: Call) -> bool:
    """Return whether a call computes truth values, as of a mask of the model's own."""
    return any(array.dtype == bool for array in call.outputs)


def _as_mask(array: Any, shape: tuple[int, ...]) -> Any:
    """Return a mask (B, T) that an array holds with axes of size 1 between; None if it holds none."""
    inner = [size for size in array.shape[1:] if size != 1]
    return array.reshape(shape) if array.shape[:1] == shape[:1] and inner == [shape[1]] else None


def _has_attention_mask(call: Call) -> bool:
    """Return whether a call is of attention, which may have been given a mask by hand."""
    return isinstance(call.operation, keras.layers.Layer) and "attention_mask" in _argument_names(call.operation)


def _argument_names(layer: Any) -> tuple[str, ...]:
    """Return the names of the arguments of a layer's `call`."""
    code = getattr(type(layer).call, "__code__", None)
    return () if code is None else code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _is_turned(operation: Any) -> bool:
    """Return whether a layer puts the steps out in reverse."""
    backwards = getattr(operation, "go_backwards", False) and getattr(operation, "return_sequences", False)
    return bool(backwards) and isinstance(operation, keras.layers.RNN)


def _takes_one_step(call: Call) -> bool:
    """Return whether a call picks one step of what it is given: (B, ...) of (B, T, ...)."""
    if call.layer not in PICKING or len(call.outputs) != 1:
        return False
    out = call.shapes_out[0]
    return any(len(shape) > 2 and (shape[0], *shape[2:]) == tuple(out) for shape in call.shapes_in)


def _counts_positions(call: Call, place: Place) -> bool:
    """Return whether a call computes the positions of steps: integers that rise by one from step to step."""
    return any(_rises(array, place.batch.groups[0].steps) for array in call.outputs)


def _rises(array: Any, steps: int) -> bool:
    """Return whether the last axis holds integers that rise by one."""
    if array.dtype.kind not in "iu" or array.ndim not in (1, 2) or array.shape[-1] != steps or steps < 2:
        return False
    return bool((np.diff(array, axis=-1) == 1).all())
