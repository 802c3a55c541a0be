"""Why an output leaks, proved on the model itself: the smallest change that removes the leak.

The trace suggests causes, from the call where the difference enters back to the inputs. Each is tried by an intervention: the
model is called with it on the batch as given and in the situation in which it leaks, and outputs are compared as in the check.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from masklib.auditing.borrowing.methods import borrowed
from masklib.auditing.invariance.changes import Change
from masklib.auditing.invariance.results import Leak, Place
from masklib.auditing.report.candidates import (
    IGNORED_MASK,
    LOST_HERE,
    NO_MASK,
    Candidate,
    Candidates,
    blame,
    has_masks,
    makes_booleans,
)
from masklib.auditing.report.trials import Trial
from masklib.auditing.tracing.calls import Call
from masklib.auditing.tracing.graph import calls_before
from masklib.auditing.tracing.intervening import Intervention, Kind

OF_LENGTH = (Change.LONGER_PADDING, Change.NO_PADDING)  # the best evidence: clearing padded steps removes any leak of content
MOST = 24  # candidates that are tried for one leak
MOST_TOGETHER = 4
UNEXPLAINED = "MSK119"


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
        self._candidates = Candidates(calls)
        self._proven: list[tuple[Cause, list[Intervention]]] = []
        self._of_entries: dict[str, Cause] = {}  # by the path of the call where a difference enters

    def of(self, leak: Leak) -> Cause | None:
        """Return the cause of a leak of an output; None if an eager call does not show the leak."""
        place, entry = leak.place, next((call for call in self.calls if call.path == leak.layer), None)
        if place is None or entry is None:
            return None
        with borrowed(self._model) as runner:
            trial = Trial(runner, place, leak.tolerance)
            if trial.off([]) <= leak.tolerance:
                return None  # the eager call does not leak
            known = (cause for cause, interventions in self._proven if trial.off(interventions) <= leak.tolerance)
            alike = None if leak.change in OF_LENGTH else self._of_entries.get(entry.path)
            cause = next(known, None) or alike or self._prove(entry, leak, trial)
        return self._of_entries.setdefault(entry.path, cause)

    def _prove(self, entry: Call, leak: Leak, trial: Trial) -> Cause:
        """Return the cause that an intervention proves; else several that are proved together; else that none was found."""
        handed = self._candidates.missing(entry, trial.place)
        is_missing = len(handed) > 1 and trial.off(handed) <= leak.tolerance
        failed: list[tuple[float, Candidate]] = []
        for candidate in islice(self._candidates.at(entry, trial.place, is_missing=is_missing), MOST):
            off = trial.off([candidate.intervention])
            if off <= leak.tolerance:
                return self._found([candidate], off, leak)
            failed.append((off, candidate))
        if is_missing:
            return self._found_missing(entry, handed, trial.off(handed), leak)
        return self._prove_together(entry, leak, trial, failed)

    def _prove_together(self, entry: Call, leak: Leak, trial: Trial, failed: Sequence[tuple[float, Candidate]]) -> Cause:
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
            return self._prove_from_here(entry, leak, trial)
        return self._found(chosen, least, leak)

    def _prove_from_here(self, entry: Call, leak: Leak, trial: Trial) -> Cause:
        """Return causes at this call and at later ones: all that may help, less what turns out not to be needed; else none."""
        needed = list(islice(self._candidates.from_here(entry, trial.place), MOST))
        if not needed or trial.off([one.intervention for one in needed]) > leak.tolerance:
            return self._unexplained(entry, trial.place)
        for candidate in tuple(needed):
            others = [one for one in needed if one is not candidate]
            if others and trial.off([one.intervention for one in others]) <= leak.tolerance:
                needed = others
        return self._found(needed, trial.off([one.intervention for one in needed]), leak)

    def _found(self, candidates: Sequence[Candidate], off: float, leak: Leak) -> Cause:
        """Return candidates as a cause, and store it, because it may explain other leaks."""
        candidates = sorted(candidates, key=lambda one: (self._candidates.place_of(one.where), one.code))
        first, *others = dict.fromkeys((one.code, one.where) for one in candidates)
        *most, last = [str(one.intervention) for one in candidates]
        changes = f"{', '.join(most)} and {last}" if most else last
        cause = Cause(*first, (_sentence(changes, off, leak),), tuple(others))
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
        return Cause(UNEXPLAINED if has_masks(before) or any(map(makes_booleans, before)) else NO_MASK, entry.path)


def _sentence(changes: str, off: float, leak: Leak) -> str:
    """Return a sentence on what was tried, in which situation, and with which result."""
    return f"tried for {str(leak.change)!r}: {changes}, the output differs by {off:.1g} of its scale"


def _is_one_of(mask: Any, place: Place) -> bool:
    """Return whether a mask marks the padding of some group of steps."""
    return mask is not None and any(np.array_equal(mask, group.valid) for group in place.batch.groups)
