"""What becomes of a mask in a call, decided from the records of all calls."""

from collections.abc import Sequence

import keras

from masklib.auditing.tracing.calls import CallRecord, Mask
from masklib.auditing.tracing.signature import is_of_keras
from masklib.auditing.tracing.steps import keeps_steps

NONE, MADE, KEPT, CHANGED, MERGED, CONSUMED = "no mask", "made", "kept", "changed", "merged", "consumed"
VALID_STEPS, AGAIN, WITHIN = "lost, but nothing masked passes", "lost, and given again", "lost with the layer it is in"
ALL_VALID, IGNORED = "all valid although masked", "ignored"
WARNED, SILENT = "lost, with a warning", "lost, without a warning"
BAD = (ALL_VALID, IGNORED, WARNED, SILENT)
LOST = (WARNED, SILENT)
# operations of Keras, not layers, that are elementwise
ELEMENTWISE = {
    *(
        "Absolute",
        "Add",
        "Cast",
        "Divide",
        "Erf",
        "Exp",
        "Gelu",
        "LeakyRelu",
        "Log",
        "Maximum",
        "Minimum",
        "Multiply",
        "Negative",
    ),
    *("Power", "Relu", "Rsqrt", "Sigmoid", "Silu", "Sqrt", "Square", "Subtract", "Tanh", "TrueDivide"),
}
OUTCOMES = {
    NONE: "neither the inputs nor the outputs have a mask",
    MADE: "the call makes a mask",
    KEPT: "the outputs have the mask of the inputs",
    CHANGED: "the outputs have another mask than the inputs",
    MERGED: "the masks of several inputs are combined into one",
    CONSUMED: "the call got the mask, and its output needs none",
    VALID_STEPS: "the output has no mask, and the content of masked steps does not reach it",
    AGAIN: "the output has no mask, but the later calls that need the mask get it in another way",
    WITHIN: "the output has no mask, and would not need one if the layer that contains the call passed its own mask on",
    ALL_VALID: "the mask of the output says that every step is valid, although an input had masked steps",
    IGNORED: "the call takes a mask and an input has one, but the call did not get it",
    WARNED: "the output has no mask, and Keras warned",
    SILENT: "the output has no mask, and Keras did not warn",
}


def decide(records: Sequence[CallRecord]) -> list[str]:
    """Return the outcome of each call of a record.

    Args:
        records: what `masklib.auditing.tracing.watch.record` returned.
    """
    outcomes = [_outcome(call) for call in records]
    _decide_those_that_hold(records, outcomes)
    paths = _Paths(records, outcomes)
    for i, outcome in enumerate(outcomes):
        if outcome in LOST and not records[i].holds and paths.is_given_again(i):
            outcomes[i] = WITHIN if paths.is_of_holder(i) else AGAIN
    _decide_those_that_hold(records, outcomes)
    return outcomes


def _decide_those_that_hold(records: Sequence[CallRecord], outcomes: list[str]) -> None:
    """Set the outcome of models and layers that pass no mask on from the calls inside: the mask was lost there, or used."""
    for i in reversed(range(len(records))):
        if not records[i].holds or outcomes[i] not in (*LOST, CONSUMED):
            continue
        inside = [outcomes[j] for j in range(i + 1, len(records)) if records[j].path.startswith(f"{records[i].path}/")]
        if any(outcome in BAD for outcome in inside):
            outcomes[i] = WARNED if records[i].warned else SILENT
        elif not _keeps_steps(records[i]):
            outcomes[i] = next((one for one in (CONSUMED, VALID_STEPS, AGAIN) if one in inside), outcomes[i])


def _outcome(call: CallRecord) -> str:
    """Return the outcome of a single call."""
    got = [mask for mask in call.masks_got if mask is not None]
    before = [mask for mask in call.masks_in if mask is not None] + got
    after = [mask for mask in call.masks_out if mask is not None]
    if not before:
        return MADE if after else NONE
    if after:
        return IGNORED if call.ignores else _handed_on(call, before, after)
    if got and not (call.warned and _keeps_steps(call)):
        return CONSUMED
    if call.ignores and not call.warned:
        return IGNORED
    if call.passing is not None and not call.passing.masked and not (call.passing.any and _keeps_steps(call)):
        return VALID_STEPS
    return WARNED if call.warned else SILENT


def _keeps_steps(call: CallRecord) -> bool:
    """Return whether an output of a call has the steps of a mask of its inputs."""
    masks = [mask for mask in (*call.masks_in, *call.masks_got) if mask is not None]
    passes = call.passing is None or call.passing.masked
    return keeps_steps(call.shapes_in, call.shapes_out, masks, passes=passes)


def _handed_on(call: CallRecord, before: Sequence[Mask], after: Sequence[Mask]) -> str:
    """Return the outcome of a call that passes masks on."""
    if all(mask.all() for mask in after) and not all(mask.all() for mask in before):
        return ALL_VALID
    is_first = all(_same(mask, before[0]) for mask in after)
    takes_one = len(call.masks_in) == 1 or any(mask is not None for mask in call.masks_got)
    if takes_one or all(_same(mask, before[0]) for mask in before):
        return KEPT if is_first else CHANGED if takes_one else MERGED
    return MERGED


def _same(one: Mask, other: Mask) -> bool:
    """Return whether two masks are equal."""
    return one is other or (one.shape == other.shape and bool((one == other).all()))


class _Paths:
    """The paths from the output of a call, to find whether a mask that it lost is given again before a call needs it."""

    def __init__(self, records: Sequence[CallRecord], outcomes: Sequence[str]) -> None:
        self._records = records
        self._outcomes = outcomes
        self._holders = {call.path: i for i, call in enumerate(records) if call.holds}
        self._users: dict[int, set[int]] = {}
        for user, call in enumerate(records):
            for source in call.sources:
                if isinstance(source, int):
                    self._note_user(source, user)
        self._given_again: dict[int, bool] = {}
        self._of_holder: set[int] = set()
        for i in self._from_the_end():
            self._given_again[i] = self._find(i)

    def is_given_again(self, i: int) -> bool:
        """Return whether, on every path from a call that lost a mask, the mask is given again."""
        return self._given_again[i]

    def _from_the_end(self) -> list[int]:
        """Return the calls in an order in which each is after those that use its output, and after those that contain it."""
        ends = list(range(len(self._records)))
        for i in range(len(self._records)):
            holder = self._holder(i)
            while holder is not None:
                ends[holder] = i
                holder = self._holder(holder)
        return sorted(range(len(ends)), key=lambda i: (-ends[i], self._records[i].depth))

    def _note_user(self, source: int, user: int) -> None:
        """Record which calls use the output of a call; outside a custom layer, they use the output of that layer."""
        holder = self._holder(source)
        is_inside = holder is None or self._records[user].path.startswith(f"{self._records[holder].path}/")
        if is_inside or not self._is_of_own(holder):
            self._users.setdefault(source, set()).add(user)
        if holder is not None and not is_inside:
            self._note_user(holder, user)

    def _holder(self, i: int) -> int | None:
        """Return the model or layer that directly contains a call; None: the traced model does."""
        return self._holders.get(self._records[i].path.rpartition("/")[0])

    def _is_of_own(self, i: int | None) -> bool:
        """Return whether a model or layer is a custom one: its code may do more with tensors than the record shows."""
        return i is not None and not is_of_keras(self._records[i].operation)

    def _find(self, i: int) -> bool:
        """Return whether, on every path from a call, the mask is given again; this is known already for the calls after it."""
        holder = self._holder(i)
        paths = [self._is_good(user, i) for user in self._users.get(i, ())]
        if holder is not None and self._is_of_own(holder):
            is_of_holder = self._records[holder].warned and not self._is_masked_after(holder)
            paths.append(self._is_masked_after(holder) or is_of_holder or self._given_again[holder])
            self._of_holder |= {i} if is_of_holder else set()
        elif self._records[i].ends:
            return self._is_masked_after(i)
        elif holder is not None and not paths:  # nothing else inside uses it, so it is the output
            paths.append(self._given_again[holder])
        return bool(paths) and all(paths)

    def is_of_holder(self, i: int) -> bool:
        """Return whether a call lost a mask that the layer around it does not pass on either, so that Keras warns there."""
        return i in self._of_holder

    def _is_good(self, user: int, source: int) -> bool:
        """Return whether a call that gets an unmasked tensor gets its mask separately, or needs none until it is given again."""
        call = self._records[user]
        if call.holds and is_of_keras(call.operation):
            return True  # the calls in it decide
        gets_one = any(mask is not None for mask in call.masks_got)
        if not gets_one and not call.holds and not (_keeps_to_steps(call) and _as_long(call, self._records[source])):
            return False
        if self._is_masked_after(user):
            return self._outcomes[user] not in BAD
        return (gets_one and self._outcomes[user] == CONSUMED) or self._given_again[user]

    def _is_masked_after(self, i: int) -> bool:
        """Return whether the output of a call has a mask."""
        return any(mask is not None for mask in self._records[i].masks_out)


def _keeps_to_steps(call: CallRecord) -> bool:
    """Return whether the output of a call at a step depends only on this step, so that it needs no mask."""
    if isinstance(call.operation, keras.layers.Layer):
        return bool(call.operation.supports_masking) and not call.takes_mask
    return call.layer in ELEMENTWISE


def _as_long(call: CallRecord, before: CallRecord) -> bool:
    """Return whether the outputs of two calls have equally many samples and steps."""
    return bool(call.shapes_out and before.shapes_out) and call.shapes_out[0][:2] == before.shapes_out[0][:2]
