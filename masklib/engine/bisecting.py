"""The release of Keras in which an answer changed, found by halving the releases between two that differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from masklib.claims.words import NO_VERDICT
from masklib.engine.releases import is_pre_release, released, releases, version_key
from masklib.errors import ArgumentError

OLDEST = "3.0.0"  # a release of Keras 3 is exchanged alone, an older one has another TensorFlow, too


@dataclass(frozen=True)
class Change:
    """Between which releases an answer changed.

    Attributes:
        before: the last release with the old answer, and `keras` the first with the new one.
        keras: see `before`.
        was: the old answer, and `now` the new one.
        now: see `was`.
        without: releases between the two that gave no answer, with the reason.
    """

    before: str
    keras: str
    was: str
    now: str
    without: dict[str, str]

    @property
    def released(self) -> str:
        """When the first release with the new answer was made; "" if that is not known."""
        return released(self.keras)


def between(good: str, bad: str) -> list[str]:
    """Return the releases of Keras 3 from one to another, the oldest first.

    Raises:
        ArgumentError: one is no release of Keras 3, or both are the same.
    """
    known = [version for version in releases() if version_key(version) >= version_key(OLDEST)]
    for version in (good, bad):
        if version not in known:
            msg = f"A release must be one of {', '.join(known)}, got {version!r}."
            raise ArgumentError(msg)
    first, last = sorted((good, bad), key=version_key)
    if first == last:
        msg = f"Two different releases are needed, got {first} twice."
        raise ArgumentError(msg)
    ends = (first, last)
    inside = (version for version in known if version_key(first) <= version_key(version) <= version_key(last))
    return [version for version in inside if version in ends or not is_pre_release(version)]


def bisect(versions: Sequence[str], answer_of: Callable[[str], tuple[str, str]]) -> Change:
    """Return where an answer changed, with as few answers as halving needs.

    Args:
        versions: from `between`. If the answer changes more than once, one of the changes is found.
        answer_of: gives the verdict on a version, and the reason of it. A version without a verdict is passed over.

    Raises:
        ArgumentError: the answer is the same at both ends, or there is none at one.
    """
    without: dict[str, str] = {}
    was, now = (_end(version, *answer_of(version)) for version in (versions[0], versions[-1]))
    if was == now:
        msg = f"The answer must differ between the two, it is {was!r} on {versions[0]} and on {versions[-1]}."
        raise ArgumentError(msg)
    old, new = 0, len(versions) - 1
    while untried := [index for index in range(old + 1, new) if versions[index] not in without]:
        middle = min(untried, key=lambda index: abs(2 * index - old - new))
        verdict, why = answer_of(versions[middle])
        if verdict in NO_VERDICT:
            without[versions[middle]] = why or verdict
        elif verdict == was:
            old = middle
        else:
            new, now = middle, verdict
    inside = {version: why for version, why in without.items() if version in versions[old:new]}
    return Change(versions[old], versions[new], was, now, inside)


def _end(version: str, verdict: str, why: str) -> str:
    """Return the verdict at an end; there must be one."""
    if verdict in NO_VERDICT:
        msg = f"There must be an answer on Keras {version}, it is {verdict!r}: {why or 'no reason is known'}."
        raise ArgumentError(msg)
    return verdict
