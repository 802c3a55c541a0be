"""Where the verdict of a claim, or what a layer does, is not that of the version of Keras before."""

from collections.abc import Iterable, Iterator

from masklib.claims.ledger import load_claims
from masklib.claims.words import NO_VERDICT
from masklib.engine.committed import Row
from masklib.engine.releases import is_pre_release, released, version_key
from masklib.engine.versions import ERROR, order

KEPT, LOST = "kept", ("gone", "used and gone")  # what becomes of a mask, at the beginning of a verdict on a layer
COLUMNS = ("claim", "backend", "before", "keras", "released", "was", "is")


def changes(rows: Iterable[Row]) -> list[Row]:
    """Return where the verdict of a claim, or the behaviour of a layer, is not that of the version before it.

    Args:
        rows: of a matrix. Versions without a verdict are passed over: a change across them is dated to the first that has one.
            The version before another is the highest below it that was released earlier: 3.0.0 comes after 2.15, not 2.21.

    Returns:
        Rows of `COLUMNS`: `before` and `keras` are the last version with the old and the first with the new behaviour, `was` and
        `is` what changed, `released` when that version was made; "" where that is not known.
    """
    by_row: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["verdict"] not in NO_VERDICT:
            by_row.setdefault((row["claim"], row["backend"]), []).append(row)
    found = []
    for (claim, backend), of in by_row.items():
        for old, new in _neighbours(sorted(of, key=order)):
            if told := _difference(old, new):
                values = (claim, backend, old["keras"], new["keras"], released(new["keras"]), *told)
                found.append(dict(zip(COLUMNS, values, strict=True)))
    return sorted(found, key=lambda row: (version_key(row["keras"]), row["backend"]))


def _neighbours(rows: list[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield the version before each, and itself; one whose date is not known is taken for the newest so far."""
    for place, row in enumerate(rows):
        made = released(row["keras"])
        before = next((old for old in reversed(rows[:place]) if not made or released(old["keras"]) <= made), None)
        if before:
            yield before, row


def _difference(old: Row, new: Row) -> tuple[str, str] | None:
    """Return what a row said before, and says now; None if the same. Of layers other behaviour counts, too."""
    if old["verdict"] != new["verdict"]:
        was, now = (f"{ERROR}: {row['reason']}" if row["verdict"] == ERROR else row["verdict"] for row in (old, new))
        return was, now
    if old["claim"] in load_claims() or old["verdict"] == ERROR:  # one error or another
        return None
    before, after = (dict(part.partition(": ")[::2] for part in row["reason"].split("; ")) for row in (old, new))
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    told = ["; ".join(f"{name}: {row.get(name, '-')}" for name in changed) for row in (before, after)]
    return (told[0], told[1]) if changed else None


def coming(rows: Iterable[Row]) -> tuple[str, list[str]]:
    """Return the newest pre-release among changes, and the layers that hand a mask on until then and not there; "" for none.

    Args:
        rows: as `changes` returns them.
    """
    rows = [row for row in rows if is_pre_release(row["keras"])]
    newest = max((row["keras"] for row in rows), key=version_key, default="")
    lost = [row for row in rows if row["keras"] == newest and row["was"].startswith(KEPT) and row["is"].startswith(LOST)]
    return newest, sorted({row["claim"].partition("(")[0] for row in lost})
