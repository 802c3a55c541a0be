"""What a store holds: runs, failed attempts, runs that were executed again since; and which of them can go."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from masklib.engine.comparing import Comparison
from masklib.engine.record import OK, Record, parse_record
from masklib.engine.store import EARLIER, Entry, Store, notebook_at
from masklib.errors import ArgumentError, StoreError

SHORT = 12  # digits of a key, as they are shown
STATES = (OK, "failed", "timeout", "died", "interrupted", EARLIER, "unreadable")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Held:
    """A run or a failed attempt that a store holds.

    Attributes:
        entry: its folder.
        record: None if it cannot be read.
        error: why it cannot be read; "" where it can.
    """

    entry: Entry
    record: Record | None
    error: str = ""

    @property
    def state(self) -> str:
        """The status, "earlier" for a run that was executed again since, "unreadable" for what has no status."""
        if self.record is None:
            return "unreadable"
        return EARLIER if f"/{EARLIER}/" in self.entry.name else self.record.status

    @property
    def notebook(self) -> str:
        """The name of its notebook."""
        return notebook_at(self.entry.name.split("/")[0])

    @property
    def key(self) -> str:
        """Its key."""
        *aside, name = self.entry.name.split("/")[1:]
        return name.partition("-")[0] if aside else name

    @property
    def short(self) -> str:
        """The name of its folder with a beginning of its key, by which it is found."""
        return self.entry.name.replace(self.key, self.key[:SHORT])


def holdings(store: Store) -> list[Held]:
    """Return all that a store holds: runs, failed attempts, and runs that were executed again since."""
    held = []
    for content in store.contents([*store.entries(), *store.earlier()]):
        try:
            if content.error:
                raise content.error
            held.append(Held(content.entry, parse_record(content.record or b"", store.root / content.entry.name)))
        except (OSError, StoreError) as error:
            held.append(Held(content.entry, None, str(error)))
    return held


def find(held: Iterable[Held], run: str) -> Held:
    """Return the one that is meant: by its folder, or by its key or a beginning of it, alone or after the notebook's name.

    A run that counts comes before attempts and earlier runs of the same key; of those, the last.

    Raises:
        ArgumentError: there is none, or several keys begin so; the message names them.
    """
    wanted = run.rstrip("/")
    found = [one for one in held if _is_meant(one, wanted)]
    keys = sorted({one.key for one in found})
    if len(keys) != 1:
        told = ", ".join(key[:SHORT] for key in keys[:5]) or "none"
        msg = f"A run is named by its folder, its key, or the beginning of one; {run!r} names {told}. See masklib runs list."
        raise ArgumentError(msg)
    return next((one for one in found if one.entry.published), found[-1])


def _is_meant(one: Held, wanted: str) -> bool:
    """Return whether a text names a run, or the beginning of its key."""
    if one.entry.name == wanted or wanted.endswith(f"/{one.entry.name}"):
        return True
    *folders, key = wanted.split("/")
    *own, _ = one.entry.name.split("/")
    beginning, _, number = key.partition("-")
    is_number = not number or one.entry.name.endswith(f"-{number}")
    return bool(beginning) and own[: len(folders)] == folders and one.key.startswith(beginning) and is_number


def prunable(
    held: Iterable[Held], older: timedelta | None = None, states: Iterable[str] = (), stale: bool = False
) -> list[tuple[Held, list[str]]]:
    """Return what meets every condition that is given, with what has changed since.

    Args:
        held: from `holdings`.
        older: than this; a run without a time is.
        states: of `STATES`; () for any.
        stale: whether something must have changed since.
    """
    wanted, comparison, now = set(states), Comparison(), datetime.now(UTC)
    found = []
    for one in held:
        if (wanted and one.state not in wanted) or (older is not None and _age(one, now) < older):
            continue
        changed = comparison.changes(one.record) if one.record and stale else []
        if changed or not stale:
            found.append((one, changed))
    return found


def parse_age(text: str) -> timedelta:
    """Return the time that a text such as `30d`, `12h` or `2w` names.

    Raises:
        ArgumentError: it names none.
    """
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip())
    if not found:
        msg = f"An age must be a number with m, h, d or w such as 30d, got {text!r}."
        raise ArgumentError(msg)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _age(one: Held, now: datetime) -> timedelta:
    """Return the time since a run began."""
    try:
        return now - datetime.fromisoformat(one.record.started if one.record else "")
    except (ValueError, TypeError):
        return timedelta.max


def check_states(states: Iterable[str]) -> None:
    """Refuse what is no state of a run.

    Raises:
        ArgumentError: it names those that there are.
    """
    unknown = sorted(set(states) - set(STATES))
    if unknown:
        msg = f"A status must be one of {', '.join(STATES)}, got {', '.join(map(repr, unknown))}."
        raise ArgumentError(msg)


def removed(one: Held, store: Store) -> bool:
    """Remove a run or attempt; return False, and leave it, if another process is at the run of its key.

    Raises:
        StoreError: it cannot be removed.
    """
    lock = store.lock(one.notebook, one.key)
    if lock is None:
        return False
    with lock:
        store.remove(one.entry)
    return True
