"""The site of a store: `masklib report`.

The pages are written as sources that Sphinx reads, each only if its content changed, so that a site is made again in the time
that its changes take. If nothing changed at all, nothing is done.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from masklib.engine.committed import ANSWERS, CHANGES, VERDICTS, VERSIONS, reference_folder
from masklib.engine.files import is_local
from masklib.engine.identity import source_hash
from masklib.engine.notebooks import notebooks_folder
from masklib.engine.store import Store
from masklib.errors import ArgumentError, RunError, StoreError
from masklib.site.writing import Writer, check_own

if TYPE_CHECKING:
    from masklib.site.survey import Survey

FOLDER, HIDDEN, STAMP = "site", ".build", ".build/stamp"
OWN = ("data", "evidence", "figures")  # folders of the site that are written here; the others are Sphinx's
LIBRARIES = ("sphinx", "myst-nb", "furo", "bleach", "defusedxml", "matplotlib", "pandas", "keras")


@dataclass(frozen=True)
class Site:
    """A site that was made.

    Attributes:
        index: its front page.
        warnings: what Sphinx said about the pages that it made now.
        unreadable: folders of the store that could not be read, with the reason.
        built: whether anything was to be done.
    """

    index: Path
    warnings: list[str]
    unreadable: list[str]
    built: bool


def site_folder(store: Store, out: str | Path | None = None) -> Path:
    """Return where the site of a store goes: `site` in its folder, unless another one is given.

    Raises:
        ArgumentError: the store is not a folder of this machine, and none is given.
    """
    if out is not None:
        return Path(out).absolute()
    if not is_local(store.root):
        msg = f"The site of a remote store needs a folder of this machine, the store is {store.root}. Give one with --out."
        raise ArgumentError(msg)
    return store.root / FOLDER


def build(store: Store, out: str | Path | None = None, *, on_start: Callable[[], object] | None = None) -> Site:
    """Make the site of a store, or bring it up to date.

    Args:
        store: of the runs; it may be remote, and is only read.
        out: the folder of the site, by default `site` in that of the store.
        on_start: called if there is something to do.

    Raises:
        ArgumentError: the store is remote and `out` is not given.
        RunError: Sphinx failed.
        StoreError: there is no store, it cannot be read, or the site cannot be written.
    """
    folder = site_folder(store, out)
    if not store.exists():
        msg = f"The site is made of a store of runs, {store.root} is not there. Run a notebook first: masklib reproduce."
        raise StoreError(msg)
    index, mark = folder / "index.html", _stamp(store)
    if index.is_file() and _read(folder / STAMP) == mark:
        return Site(index, [], [], built=False)
    check_own(folder, HIDDEN)
    if on_start:
        on_start()
    (folder / STAMP).unlink(missing_ok=True)
    unreadable, pages = write_sources(store, folder)
    warnings = _run_sphinx(folder, whole=_pages_changed(folder, pages))
    if not unreadable:  # else it is told again the next time
        (folder / STAMP).write_text(mark)
    return Site(index, warnings, unreadable, built=True)


def write_sources(store: Store, folder: Path) -> tuple[list[str], list[str]]:
    """Write what Sphinx reads, and the files beside its pages; return what could not be read, and the names of the pages."""
    from masklib.site import experiments, front, result_pages, sweeps
    from masklib.site.survey import survey

    source, out = Writer(folder / HIDDEN / "source"), Writer(folder)
    found = survey(store)
    links = {"Results": result_pages.write_results(found, source, out)}
    links["Experiments"] = experiments.write_experiments(found, source, out)
    links["Sweeps and other runs"] = sweeps.write_sweeps(found, source, out)
    if found.has_suite:
        _write_suite(found, source, out, links)
    else:
        front.write_own_front(found, source, links)
    source.prune()
    out.prune(OWN)
    return found.tables.unreadable, source.pages()


def _write_suite(found: "Survey", source: Writer, out: Writer, links: dict[str, list[str]]) -> None:
    """Write the pages that are about masklib: the claims, the findings, the reference, and the front page that leads to them."""
    from masklib.site import api, architecture, audit_page, claim_pages, front, layer_pages, version_pages
    from masklib.site.verdicts import matrix

    verdicts = matrix(found)
    measured = [*layer_pages.write_layers(found, source), *version_pages.write_versions(source), *links["Results"]]
    links["Results"] = ["claims", *measured, *audit_page.write_audit(source, verdicts)]
    links["Reference"] = [*api.write_api(source), *architecture.write_architecture(source)]
    claim_pages.write_claims(found, verdicts, source)
    front.write_front(found, verdicts, source, out, links)


def _stamp(store: Store) -> str:
    """Return what changes when the site would: the runs, the notebooks, the committed verdicts, and what makes the pages."""
    digest = hashlib.sha256(source_hash().encode())
    for library in LIBRARIES:
        digest.update(f"{library} {version(library)}\n".encode())
    here = Path(__file__).parent
    files = [p for name in ("assets", "templates") for p in sorted((here / name).rglob("*")) if p.is_file()]
    committed = (ANSWERS, VERDICTS, CHANGES, VERSIONS)
    files += [*sorted(notebooks_folder().glob("*.ipynb")), *(reference_folder() / name for name in committed)]
    for path in files:
        digest.update(f"{path.name}\0".encode() + (path.read_bytes() if path.is_file() else b""))
    for entry in store.entries():
        digest.update(f"{entry.name}\0{entry.published}\0{entry.stamp}\n".encode())
    return digest.hexdigest()


def _read(path: Path) -> str:
    """Return the text of a file, "" if it is not there."""
    return path.read_text() if path.is_file() else ""


def _pages_changed(folder: Path, pages: list[str]) -> bool:
    """Return whether the site has other pages than before, and remove those that are gone."""
    listed = folder / HIDDEN / "pages.json"
    before = json.loads(_read(listed) or "[]")
    for name in set(before) - set(pages):
        (folder / f"{name}.html").unlink(missing_ok=True)
    listed.write_text(json.dumps(pages))
    return bool(before) and before != pages


def _run_sphinx(folder: Path, *, whole: bool) -> list[str]:
    """Let Sphinx make the pages; return its warnings.

    Args:
        folder: of the site.
        whole: whether every page is written again, because the list of pages changed.

    Raises:
        RunError: Sphinx failed.
    """
    hidden, conf = folder / HIDDEN, Path(__file__).parent
    told = hidden / "warnings.txt"
    told.unlink(missing_ok=True)
    options = ["-b", "html", "-q", "-j", "auto", "-c", str(conf), "-d", str(hidden / "doctrees"), "-w", str(told)]
    command = [sys.executable, "-P", "-m", "sphinx", *options, *(["-a"] if whole else []), str(hidden / "source"), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        msg = f"The site was not made, Sphinx ended with status {ended.returncode}: {ended.stderr.strip()[-2000:]}"
        raise RunError(msg)
    return [line for line in _read(told).splitlines() if line.strip()]
