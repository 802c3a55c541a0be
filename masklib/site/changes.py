"""What changed from one Keras to the next, as pages show it: by release, alike layers together, in the words of the claims."""

import re
from collections.abc import Collection, Iterable
from functools import cache
from itertools import groupby
from typing import Any

from masklib.claims.ledger import load_claims
from masklib.claims.words import FAILED, NO_VERDICT
from masklib.engine.committed import Row, committed_changes, committed_versions
from masklib.engine.releases import is_pre_release, released, releases, version_key
from masklib.engine.versions import USED_AND_GONE
from masklib.site.survey import slug

WORDS = {  # for the verdicts of layers
    "kept": "keeps the mask",
    "gone": "drops the mask",
    "changed": "changes the mask",
    "made": "makes a mask",
    "used and ended": "uses the mask and hands none on",
    USED_AND_GONE: "uses the mask and drops it",
    "none": "no mask",
    "dropped": "drops the masks",
    "AND": "valid where all inputs are",
    "OR": "valid where one input is",
    "AND or OR": "merges the masks",
    "error": "raises an error",
}
AS_IT_IS = "as it is"  # a layer without a setting, beside others
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def changes_of(name: str) -> list[Row]:
    """Return the committed changes of a claim, or of a layer in all its settings, the oldest first, in words of a page."""
    found = [row for row in committed_changes() if name in (row["claim"], row["claim"].partition("(")[0])]
    return [_shown(row) for row in found]


def by_release(rows: Iterable[Row], pages: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the changes by version, the newest first: those of claims, and those of layers.

    Args:
        rows: of the committed changes.
        pages: names of the pages of the site; a layer has a link to its own if it is there.
    """
    newest = sorted(rows, key=lambda row: version_key(row["keras"]), reverse=True)
    found = []
    for keras, of in groupby(newest, key=lambda row: row["keras"]):
        shown = [_shown(row) for row in of]
        claims = [row for row in shown if row["statement"]]
        layers = _alike((row for row in shown if not row["statement"]), pages)
        found.append({"keras": keras, "released": released(keras), "claims": claims, "layers": layers})
    return found


def _alike(rows: Iterable[Row], pages: Collection[str]) -> list[dict[str, Any]]:
    """Return what layers do since a version, a row for all layers and settings that do the same."""
    names = ("backend", "before", "was", "is")
    found: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        layer, _, setting = row["claim"].partition("(")
        page = f"layers/{slug(layer)}"
        told = {"name": layer, "page": page if page in pages else "", "settings": []}
        alike = found.setdefault(tuple(row[name] for name in names), {})
        alike.setdefault(layer, told)["settings"].append(setting.removesuffix(")") or AS_IT_IS)
    for layers in found.values():
        for one in layers.values():
            one["settings"] = [] if one["settings"] == [AS_IT_IS] else one["settings"]
    return [{**dict(zip(names, of, strict=True)), "layers": list(layers.values())} for of, layers in found.items()]


def _shown(row: Row) -> Row:
    """Return a change as pages show it; `statement` is that of a claim, "" for a layer."""
    claim = load_claims().get(row["claim"])
    words = {} if claim else {name: _in_words(row[name]) for name in ("was", "is")}
    told = {"backend": BACKENDS.get(row["backend"], row["backend"]), "statement": claim.statement if claim else ""}
    return {**row, **words, **told, "before": _until(row)}


def _until(row: Row) -> str:
    """Return up to which version it was otherwise, and how many versions after it have no verdict."""
    gap = sum(
        version_key(row["before"]) < version_key(keras) < version_key(row["keras"])
        for keras in _measured().get((row["claim"], row["backend"]), ())
    )
    return f"{row['before']}; no verdict on {gap} between" if gap else row["before"]


@cache
def _measured() -> dict[tuple[str, str], list[str]]:
    """Return the versions that were tried, by claim or layer, and backend."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in committed_versions():
        found.setdefault((row["claim"], row["backend"]), []).append(row["keras"])
    return found


def titles() -> dict[str, str]:
    """Return the titles of the pages about versions, by name; {} if nothing is known of them."""
    changes = committed_changes()
    upcoming = sorted((row["keras"] for row in changes if is_pre_release(row["keras"])), key=version_key)
    found = {"versions": "Which Keras changed what a mask does?"} if changes else {}
    name = upcoming[-1].partition(".dev")[0] if upcoming else ""
    return {**found, "next_keras": f"What Keras {name} changes for padded sequences"} if upcoming else found


def _in_words(verdict: str) -> str:
    """Return what a layer does in words; other behaviour, such as "warns: no", stays."""
    first = re.split("[,:]", verdict)[0]
    return WORDS.get(first, first) + verdict[len(first) :]


def failures() -> list[Row]:
    """Return what could not be measured since a notebook failed: `claims`, `backend`, `versions` and `reason`."""
    cells = sorted(committed_versions(), key=lambda row: version_key(row["keras"]))
    failed: dict[tuple[str, str, str], list[str]] = {}  # claims, by where and why
    for row in cells:
        if row["verdict"] == FAILED:
            failed.setdefault((row["backend"], row["reason"], row["keras"]), []).append(row["claim"])
    alike: dict[tuple[str, str, str], list[str]] = {}  # versions, by where, why and the claims
    for (backend, why, keras), claims in failed.items():
        alike.setdefault((backend, why, ", ".join(claims)), []).append(keras)
    found = []
    for (backend, why, names), versions in alike.items():
        measured = list(dict.fromkeys(row["keras"] for row in cells if row["backend"] == backend))
        told = {"backend": BACKENDS[backend], "reason": why, "claims": names}
        found.append({**told, "versions": _spans(versions, measured)})
    return found


def _spans(versions: list[str], all_of_them: list[str]) -> str:
    """Return versions in a few words: neighbours of all that were measured as "3.4.0 to 3.8.0"."""
    places = [all_of_them.index(version) for version in versions]
    spans = [list(of) for _, of in groupby(enumerate(places), key=lambda pair: pair[1] - pair[0])]
    ends = [(all_of_them[span[0][1]], all_of_them[span[-1][1]]) for span in spans]
    return ", ".join(first if first == last else f"{first} to {last}" for first, last in ends)


def measured_columns(rows: Iterable[Row]) -> str:
    """Return in a sentence which versions were measured on which backend."""
    shown = {row["keras"] for row in rows}
    columns: dict[str, set[str]] = {}
    for row in committed_versions():
        if row["verdict"] not in NO_VERDICT and (not is_pre_release(row["keras"]) or row["keras"] in shown):
            columns.setdefault(BACKENDS.get(row["backend"], row["backend"]), set()).add(row["keras"])
    told = [f"{len(versions)} on {backend} ({_listed(versions)})" for backend, versions in columns.items()]
    return "; ".join(told)


def _listed(versions: set[str]) -> str:
    """Return versions in a few words."""
    ordered = sorted(versions, key=version_key)
    inside = [version for version in releases() if version_key(ordered[0]) <= version_key(version) <= version_key(ordered[-1])]
    whole = {*inside} - {version for version in inside if is_pre_release(version)} <= versions
    return f"every release from {ordered[0]} to {ordered[-1]}" if whole and len(ordered) > 3 else ", ".join(ordered)
