"""Installed distributions, read from the folders in which a Python keeps them: whose modules they are, and their versions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from masklib.engine.kernels.imports import site_folders

_SUFFIXES = (".dist-info", ".egg-info")
_REQUIRES = re.compile(r"^Requires-Dist: ([\w.-]+)(.*)$", re.MULTILINE)
KERNEL = "ipykernel"
_WORD = re.compile(r"\w+")


def site_folders_of(python: Path | None = None) -> tuple[str, ...]:
    """Return the folders of a Python in which packages are installed; by default of the one that runs this."""
    if python is None:
        return _own_folders()
    own = sorted(python.parent.parent.glob("lib/python*/site-packages"))
    return tuple(map(str, [*own, *(Path(line) for folder in own for line in _added(folder))]))


def _added(folder: Path) -> list[str]:
    """Return the folders of packages that the .pth files of another one add to it."""
    lines = [line for path in sorted(folder.glob("*.pth")) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line.endswith("site-packages") and Path(line).is_dir()]


@cache
def _own_folders() -> tuple[str, ...]:
    """Return the folders of the Python that runs this."""
    return tuple(site_folders())


def installed(folders: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions in some folders, by name; the first folder that has one counts."""
    found: dict[str, str] = {}
    for folder in folders:
        found = {name: version for name, (version, _) in _listed(folder).items()} | found
    return found


def stamp(folders: Iterable[str]) -> tuple[int, ...]:
    """Return what is another one once something was installed into, or removed from, one of the folders."""
    return tuple(map(_changed_ns, folders))


def used(folders: Sequence[str], packages: Mapping[str, bool], sources: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that a notebook has used, by name.

    A warm kernel has imported more than its notebook asks for, and every kernel what it is made of. What counts is named in the
    code, or was imported after the first cell began and is no part of the kernel; and what that requires.

    Args:
        folders: of the kernel, in which packages are installed.
        packages: top-level names of what was imported from there, and whether that was after the first cell began.
        sources: the code of the notebook and of the modules beside it.
    """
    words = {word for source in sources for word in _WORD.findall(source)}
    owners = {top: {name for folder in folders for name in _owners(folder).get(top, ())} for top in packages}
    loaded = set().union(*owners.values())
    of_kernel = _closure(folders, {KERNEL} & loaded, loaded, extras=set())
    named = {name for top in owners for name in owners[top] if top in words}
    new = {name for top in owners for name in owners[top] - of_kernel if packages[top]}
    versions = installed(folders)
    return {name: versions[name] for name in sorted(_closure(folders, named | new, loaded, extras=loaded - of_kernel))}


def _closure(folders: Sequence[str], roots: set[str], loaded: set[str], extras: set[str]) -> set[str]:
    """Return the names of distributions with those that they require.

    Args:
        folders: in which they are installed.
        roots: where it begins.
        loaded: those that may be part of it.
        extras: those that are part of it if only an extra of another one requires them.
    """
    found: set[str] = set()
    wanted = list(roots)
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.add(name)
            required = [each for folder in folders for each in _requirements(folder, name)]
            wanted += [each for each, of_extra in required if each in (extras if of_extra else loaded)]
    return found


def normalized(name: str) -> str:
    """Return the name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _listed(folder: str) -> dict[str, tuple[str, Path]]:
    """Return the version and the metadata folder of each distribution in a folder, by name."""
    return _listed_at(folder, _changed_ns(folder))


def _owners(folder: str) -> dict[str, set[str]]:
    """Return the names of the distributions that have files below each top-level name of a folder."""
    return _owners_at(folder, _changed_ns(folder))


def _requirements(folder: str, name: str) -> list[tuple[str, bool]]:
    """Return the names of the distributions that one in a folder requires, and whether an extra of it does."""
    return _requirements_at(folder, name, _changed_ns(folder))


@lru_cache(maxsize=32)
def _listed_at(folder: str, changed_ns: int) -> dict[str, tuple[str, Path]]:
    """As `_listed`, for a folder that was changed then."""
    found = {}
    for path in sorted(Path(folder).glob("*")) if changed_ns else ():
        if path.suffix in _SUFFIXES:
            name, _, version = path.stem.partition("-")
            found[normalized(name)] = (version.partition("-")[0], path)
    return found


@lru_cache(maxsize=32)
def _owners_at(folder: str, changed_ns: int) -> dict[str, set[str]]:
    """As `_owners`, for a folder that was changed then."""
    found: dict[str, set[str]] = {}
    for name, (_, path) in _listed_at(folder, changed_ns).items():
        files = _text(path / "RECORD") or _text(path / "top_level.txt")
        for line in files.splitlines():
            top = line.partition(",")[0].partition("/")[0].partition(".")[0]
            found.setdefault(top, set()).add(name)
    return found


@lru_cache(maxsize=1024)
def _requirements_at(folder: str, name: str, changed_ns: int) -> list[tuple[str, bool]]:
    """As `_requirements`, for a folder that was changed then."""
    listed = _listed_at(folder, changed_ns).get(name)
    found = _REQUIRES.findall(_text(listed[1] / "METADATA")) if listed else []
    return [(normalized(required), "extra" in condition) for required, condition in found]


def _changed_ns(folder: str) -> int:
    """Return when something was last added to or removed from a folder; 0 if it is not there."""
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0


def _text(path: Path) -> str:
    """Return the text of a file; "" if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
