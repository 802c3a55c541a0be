"""The pages about versions of Keras: what changed in each release, and what the next one changes."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from masklib.claims.ledger import load_claims
from masklib.engine.committed import Row, committed_changes, committed_versions
from masklib.engine.releases import is_pre_release, released, version_key
from masklib.engine.versions import UNKNOWN
from masklib.site.front import raw
from masklib.site.survey import slug
from masklib.site.text import render
from masklib.site.writing import Writer

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def write_versions(source: Writer) -> list[str]:
    """Write the page of what changed from version to version, and that of the next release; return their names, or []."""
    changes, names = committed_changes(), []
    upcoming = [row for row in changes if is_pre_release(row["keras"])]
    if changes:
        names += _write("versions", _TITLE, _ABOUT, [row for row in changes if row not in upcoming], source)
    if upcoming:
        title = _NEXT_TITLE.format(upcoming[0]["keras"].partition(".dev")[0])
        names += _write("next_keras", title, _NEXT, upcoming, source)
    return names


def _write(page: str, title: str, about: str, rows: list[Row], source: Writer) -> list[str]:
    """Write a page of changes; return its name."""
    told = {"releases": _by_release(rows, {*source.pages()}), "columns": _columns(rows)}
    source.write(f"fragments/{page}.html", render("versions.html", **told))
    source.write(f"{page}.md", f"# {title}\n\n{about}\n\n{raw(f'fragments/{page}.html')}")
    return [page]


def changes_of(name: str) -> list[Row]:
    """Return the committed changes of a claim, or of a layer in all its settings, the oldest first, in words of a page."""
    found = [row for row in committed_changes() if name in (row["claim"], row["claim"].partition("(")[0])]
    return [_shown(row) for row in found]


def _by_release(rows: Iterable[Row], pages: set[str]) -> list[dict[str, Any]]:
    """Return the changes by version, the newest first: those of claims, and those of layers."""
    newest = sorted(rows, key=lambda row: version_key(row["keras"]), reverse=True)
    found = []
    for keras, of in groupby(newest, key=lambda row: row["keras"]):
        shown = [_shown(row) for row in of]
        claims = [row for row in shown if row["statement"]]
        layers = _alike((row for row in shown if not row["statement"]), pages)
        found.append({"keras": keras, "released": released(keras), "claims": claims, "layers": layers})
    return found


def _alike(rows: Iterable[Row], pages: set[str]) -> list[dict[str, Any]]:
    """Return what layers do since a version, a row for all layers and settings that do the same."""
    names = ("backend", "before", "was", "is")
    found: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        layer, _, setting = row["claim"].partition("(")
        page = f"layers/{slug(layer)}"
        told = {"name": layer, "page": page if page in pages else "", "settings": []}
        alike = found.setdefault(tuple(row[name] for name in names), {})
        alike.setdefault(layer, told)["settings"] += [setting.removesuffix(")")] * bool(setting)
    return [{**dict(zip(names, of, strict=True)), "layers": list(layers.values())} for of, layers in found.items()]


def _shown(row: Row) -> Row:
    """Return a change as pages show it; `statement` is that of a claim, "" for a layer."""
    claim = load_claims().get(row["claim"])
    return {**row, "backend": BACKENDS.get(row["backend"], row["backend"]), "statement": claim.statement if claim else ""}


def _columns(rows: Iterable[Row]) -> str:
    """Return in a sentence which versions were measured on which backend."""
    shown = {row["keras"] for row in rows}
    columns: dict[str, set[str]] = {}
    for row in committed_versions():
        if row["verdict"] not in UNKNOWN and (not is_pre_release(row["keras"]) or row["keras"] in shown):
            columns.setdefault(BACKENDS.get(row["backend"], row["backend"]), set()).add(row["keras"])
    told = [f"{len(versions)} on {backend} ({_listed(versions)})" for backend, versions in columns.items()]
    return "; ".join(told)


def _listed(versions: set[str]) -> str:
    """Return versions in a few words."""
    ordered = sorted(versions, key=version_key)
    return ", ".join(ordered) if len(ordered) < 9 else f"every release from {ordered[0]} to {ordered[-1]}"


_TITLE = "Which Keras changed what a mask does?"
_ABOUT = (
    "Find the version that you have: what stands above it has changed since. Every version was measured by the same notebooks. "
    "A change is listed with the first measured version that has the new behaviour."
)
_NEXT_TITLE = "What Keras {} changes for padded sequences"
_NEXT = (
    "Measured on a nightly build, before the release: what it does then may still change. Audit a model that relies on what is "
    "listed here before an upgrade: `masklib audit model.keras`."
)
