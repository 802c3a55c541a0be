"""The role of each input of a model, and which inputs have the same steps: found by trying."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.inputs.roles import Role, attended_pairs, is_picture, masks_in, steps_marked_by
from masklib.auditing.inputs.signature import Slot
from masklib.auditing.inputs.trying import LENGTHS, Trial, within
from masklib.auditing.inputs.uses import Use
from masklib.auditing.tracing.watch import CallRecord

Array = NDArray[Any]
MOST_TOGETHER = 3  # inputs that are tried together, before all are tried


def roles_of(trial: Trial, not_a_sequence: Sequence[str] = ()) -> list[Role]:
    """Return the role of each input.

    Args:
        trial: after `begin`.
        not_a_sequence: names of inputs that are not sequences, as the user says.
    """
    arrays, records = trial.look_closer()
    found = [_role(trial, index, arrays, records, not_a_sequence) for index in range(len(trial.slots))]
    found = _without_fixed_features(trial, found, arrays, records)
    families = _families(trial, [i for i, role in enumerate(found) if role.is_of_steps])
    done = [replace(role, family=families.get(i, -1)) for i, role in enumerate(found)]
    done = _apart_by_attention(done, attended_pairs(arrays, records))
    done = [_with_its_sequence(trial, i, role, done) if role.kind == "mask" else role for i, role in enumerate(done)]
    return _with_lengths(trial, done)


def _role(
    trial: Trial, index: int, arrays: Sequence[Array], records: Sequence[CallRecord], not_a_sequence: Sequence[str]
) -> Role:
    """Return the role of one input, as far as it can be found without the others."""
    slot, rows = trial.slots[index], trial.uses[index].rows
    if slot.name in not_a_sequence:
        return Role("plain", -1, "you say so")
    if slot.is_single:
        is_marked = bool(arrays) and rows is None and steps_marked_by(arrays[index], masks_in(records)) is not None
        why = "a mask is made from it" if is_marked else "its name says so" if "len" in slot.name.lower() else ""
        return Role("lengths" if why else "plain", -1, why)
    if len(slot.shape) < 2 or (len(slot.shape) == 2 and rows is None and not _has_steps(slot)):
        return Role("plain", -1)
    if arrays and is_picture(arrays[index], records, _free(slot)):
        return Role("plain", -1, "it is a picture")
    if trial.is_of_pairs(index):
        return Role("pairs")
    return Role("mask" if _is_mask(slot) else "sequence")


def _has_steps(slot: Slot) -> bool:
    """Return whether an input of two axes holds ids or a mask; an input of features has a float dtype and a fixed size."""
    return slot.dtype is None or slot.is_whole or _is_mask(slot)


def _is_mask(slot: Slot) -> bool:
    """Return whether an input is a mask."""
    return slot.dtype == "bool" or (len(slot.shape) == 2 and "mask" in slot.name.lower())


def _free(slot: Slot) -> tuple[bool, bool]:
    """Return whether the first two axes after the samples are free; a missing axis is not."""
    first, second = (*slot.shape[1:3], 0, 0)[:2]
    return first is None, second is None


def _without_fixed_features(
    trial: Trial, roles: Sequence[Role], arrays: Sequence[Array], records: Sequence[CallRecord]
) -> list[Role]:
    """Return the roles; floats of a fixed length beside a sequence are plain, unless masked or padded with a sequence."""
    fixed = [i for i, role in enumerate(roles) if role.kind == "sequence" and _is_fixed(trial, i)]
    fixed = [i for i in fixed if not (arrays and _is_masked(arrays[i], records))]
    others = [i for i, role in enumerate(roles) if role.is_of_steps and i not in fixed]
    apart = [i for i in fixed if others and not any(_go_together(trial, i, j, roles) for j in others)]
    alone = Role("plain", -1, "its length is fixed, and no other input is padded with it")
    return [alone if i in apart else role for i, role in enumerate(roles)]


def _is_fixed(trial: Trial, index: int) -> bool:
    """Return whether an input has floats and a fixed length, and no layer looks for ids or padding in it."""
    slot = trial.slots[index]
    return not slot.is_free and trial.uses[index] == Use() and not slot.is_whole and slot.dtype is not None


def _is_masked(array: Array, records: Sequence[CallRecord]) -> bool:
    """Return whether the model makes a mask from the zeros at the end of floats."""
    valid = within(np.resize([array.shape[1], *LENGTHS], len(array)), array.shape[1])
    return any(
        mask.shape == valid.shape and (np.array_equal(mask, valid) or np.array_equal(mask, ~valid)) for mask in masks_in(records)
    )


def _go_together(trial: Trial, one: int, other: int, roles: Sequence[Role]) -> bool:
    """Return whether two inputs with equally many steps belong together: as sequence and mask, or because of their lengths."""
    if trial.sizes[one][0] != trial.sizes[other][0]:
        return False
    return roles[other].kind == "mask" or (not trial.takes_other_steps([other]) and trial.takes_other_steps([one, other]))


def _families(trial: Trial, which: Sequence[int]) -> dict[int, int]:
    """Return the family of each input of steps: inputs whose number of steps can be changed only together are one family."""
    found: dict[int, int] = {}
    rest = list(which)
    while rest:
        family = _family(trial, rest)
        found |= dict.fromkeys(family, len(set(found.values())))
        rest = [index for index in rest if index not in family]
    return found


def _family(trial: Trial, rest: Sequence[int]) -> Sequence[int]:
    """Return the smallest set with the first of these inputs whose number of steps can be changed; all if none is found."""
    first, *others = rest
    for count in range(min(MOST_TOGETHER, len(others))):
        for more in combinations(others, count):
            if trial.takes_other_steps((first, *more)):
                return (first, *more)
    return rest


def _apart_by_attention(roles: Sequence[Role], pairs: Collection[frozenset[int]]) -> list[Role]:
    """Return the roles; a sequence that attends to another one gets its own lengths, and equally many steps."""
    done = list(roles)
    for i, role in enumerate(roles):
        before = [one for one in range(i) if roles[one].family == role.family and role.kind == "sequence"]
        looks = [one for one in before if frozenset({one, i}) in pairs]
        if looks and all(one in looks for one in before):
            done[i] = replace(role, family=max(one.family for one in done) + 1, tied=role.family)
    return done


def _with_its_sequence(trial: Trial, index: int, role: Role, roles: Sequence[Role]) -> Role:
    """Return the role of a mask; one whose family has no sequence joins a sequence with equally many steps."""
    sequences = [i for i, one in enumerate(roles) if one.kind in ("sequence", "pairs")]
    if any(roles[i].family == role.family for i in sequences):
        return role
    alike = [i for i in sequences if trial.sizes[i][0] == trial.sizes[index][0]]
    return replace(role, family=roles[_named_alike(trial, index, alike)].family) if alike else role


def _with_lengths(trial: Trial, roles: Sequence[Role]) -> list[Role]:
    """Return the roles; lengths join the family of the steps that they mark, else of the input with the most similar name."""
    sequences = [i for i, one in enumerate(roles) if one.kind == "sequence"]
    lengths = [i for i, one in enumerate(roles) if one.kind == "lengths"]
    if not sequences or not lengths:
        return list(roles)
    families = {roles[i].family for i in sequences}
    steps = {family: trial.sizes[next(i for i in sequences if roles[i].family == family)][0] + 2 * family for family in families}
    arrays, records = trial.look_closer({i: steps[role.family] for i, role in enumerate(roles) if role.is_of_steps})
    done = list(roles)
    for index in lengths:
        marked = steps_marked_by(arrays[index], masks_in(records)) if arrays else None
        named = roles[_named_alike(trial, index, sequences)].family
        done[index] = replace(roles[index], family=next((f for f, n in steps.items() if n == marked), named))
    return done


def _named_alike(trial: Trial, index: int, among: Sequence[int]) -> int:
    """Return which of some inputs has the name most similar to that of a given input."""
    own = trial.slots[index].name.lower()
    return max(among, key=lambda i: _alike(own, trial.slots[i].name.lower()))


def _alike(one: str, other: str) -> int:
    """Return the number of letters that two names have in common at the beginning or at the end."""
    return max(_common(one, other), _common(one[::-1], other[::-1]))


def _common(one: Iterable[str], other: Iterable[str]) -> int:
    """Return the number of letters that two names have in common at the beginning."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
