"""What a run was seen to use while it ran, and what of it has changed since.

The key of a run is made of what is known before it. The rest is found by running it, and kept in its record: the local modules
that it imported, the distributions, the files that were declared, the environment variables that it asked for. A run counts
only while all of that is as it was.
"""

import glob
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from masklib.claims.recording import USES, sha256_of, variable_hash
from masklib.engine import distributions
from masklib.engine.environments import find_environment
from masklib.engine.notebooks import Notebook
from masklib.engine.settings import ENVIRONMENT_VARIABLE, KERNEL_VARIABLE, kernel_environment
from masklib.errors import ArgumentError

_PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"


@dataclass(frozen=True)
class Uses:
    """What a run used besides what its key is made of.

    Attributes:
        folder: of the notebook; the paths below are relative to it where they are in it, absolute elsewhere.
        modules: the sha256 of each local module by its path; "" for one that was written after it was imported.
        distributions: the version of each distribution by its name.
        files: the sha256 of each declared file by its path.
        patterns: those that were declared on the command line.
        variables: a hash of each environment variable by its name; "" for one that was not set.
    """

    folder: str
    modules: dict[str, str] = field(default_factory=dict)
    distributions: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    patterns: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


def check_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return patterns of declared files as absolute ones.

    Args:
        patterns: paths with `*`, `?` and `**`, from the current folder; one that names a folder means all files in it.

    Raises:
        ArgumentError: one names no file.
    """
    checked = []
    for pattern in patterns:
        named = glob.escape(pattern) if Path(pattern).exists() else pattern
        checked.append(os.path.normpath(_whole(named, glob.escape(str(Path.cwd())))))
        if not matches(checked[-1]):
            msg = f"A dependency must be a file, or a pattern of files in quotes; {pattern!r} matches no file in {Path.cwd()}."
            raise ArgumentError(msg)
    return tuple(checked)


def matches(pattern: str) -> list[str]:
    """Return the paths of the files that a pattern names, sorted."""
    found = glob.glob(pattern, recursive=True)  # noqa: PTH207 (a Path has no patterns that are absolute)
    inside = [str(file) for path in found if os.path.isdir(path) for file in Path(path).rglob("*")]  # noqa: PTH112
    return sorted({path for path in [*found, *inside] if os.path.isfile(path)})  # noqa: PTH113


class Present:
    """What is there now; a file is read, and a pattern looked up, at most once."""

    def __init__(self) -> None:
        self._hashes: dict[str, str | None] = {}
        self._matches: dict[str, list[str]] = {}
        self._installed: dict[str | None, dict[str, str]] = {}

    def hash_of(self, path: str) -> str | None:
        """Return the sha256 of a file, or None if it is not there."""
        if path not in self._hashes:
            self._hashes[path] = _hash_of(path)
        return self._hashes[path]

    def matches(self, pattern: str) -> list[str]:
        """Return the paths of the files that a pattern names."""
        if pattern not in self._matches:
            self._matches[pattern] = matches(pattern)
        return self._matches[pattern]

    def installed(self, environment: str | None) -> dict[str, str]:
        """Return the versions of what is installed for runs of an environment; None for that of this process."""
        if environment not in self._installed:
            python = find_environment(environment).python if environment else None
            self._installed[environment] = distributions.installed(distributions.site_folders_of(python))
        return self._installed[environment]


def changes(uses: Uses, folder: str, declared: Sequence[str], settings: Mapping[str, str], present: Present) -> list[str]:
    """Return what has changed since a run, a few words each; [] if all that it used is as it was.

    Args:
        uses: of the run.
        folder: where its notebook is now.
        declared: the patterns that are declared now, absolute.
        settings: of the run, see `masklib.engine.settings`.
        present: what is there now.
    """
    then = {**uses.modules, **uses.files}
    told = [_of_file(path, sha, present.hash_of(_whole(path, folder))) for path, sha in then.items()]
    told += [
        f"{path} is new since"
        for pattern in uses.patterns
        for path in (_short(found, folder) for found in present.matches(_whole(pattern, glob.escape(folder))))
        if path not in uses.files
    ]
    asked = [_short(pattern, glob.escape(folder)) for pattern in declared]
    told += [f"{pattern} is declared now, it was not then" for pattern in asked if pattern not in uses.patterns]
    if KERNEL_VARIABLE not in settings:  # what is installed for a kernel of another Python is part of the key
        now = present.installed(settings.get(ENVIRONMENT_VARIABLE))
        told += [f"{name} {v} then, {now.get(name, 'gone')} now" for name, v in uses.distributions.items() if now.get(name) != v]
    if uses.variables:
        values = kernel_environment(settings, Path())
        told += [f"{n} changed since" for n, found in uses.variables.items() if variable_hash(n, values.get(n)) != found]
    return [one for one in told if one]


def declared_patterns(uses: Uses | None, folder: str) -> tuple[str, ...]:
    """Return the patterns that were declared for a run, as absolute ones for where its notebook is now."""
    return tuple(_whole(pattern, glob.escape(folder)) for pattern in (uses.patterns if uses else ()))


def declared_files(patterns: Iterable[str], present: Present) -> dict[str, str]:
    """Return the sha256 of each file that is declared by a pattern, by its path."""
    paths = {path for pattern in patterns for path in present.matches(pattern)}
    return {path: present.hash_of(path) or "" for path in sorted(paths)}


def found(
    notebook: Notebook, imports: Mapping[str, Any] | None, work: Path, declared: Mapping[str, str], patterns: Iterable[str]
) -> Uses:
    """Return what a run has used, once it has ended.

    Args:
        notebook: that was executed.
        imports: as the kernel told it, see `masklib.engine.kernels.imports`; None if it could not.
        work: the folder of the run; the file in it that names what it used is removed.
        declared: from `declared_files`, before the run.
        patterns: those of the declared files.
    """
    folder = str(notebook.path.absolute().parent)
    lines = _read_uses(work / USES)
    files = {**declared, **{line["file"]: line["sha256"] for line in lines if "file" in line}}
    modules, packages = _imported(notebook, imports or {}, str(work))
    return Uses(
        folder,
        {_short(path, folder): sha for path, sha in sorted(modules.items())},
        packages,
        {_short(path, folder): sha for path, sha in sorted(files.items())},
        [_short(pattern, glob.escape(folder)) for pattern in patterns],
        {line["variable"]: line["sha256"] for line in lines if "variable" in line},
    )


def _imported(notebook: Notebook, imports: Mapping[str, Any], work: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the local modules and the distributions that a run has used; masklib's own source is part of its key."""
    outside = (_PACKAGE, f"{work}{os.sep}")
    modules = {path: sha for path, sha in imports.get("files", {}).items() if not path.startswith(outside)}
    sources = [*(cell.source for cell in notebook.code_cells), *map(_text, modules)]
    packages = distributions.used(imports.get("sites", ()), imports.get("packages", {}), sources)
    packages.pop("masklib", None)
    return modules, packages


def _of_file(path: str, then: str, now: str | None) -> str:
    """Return what became of a file; "" if nothing did."""
    if not then:
        return f"{path} was written while the run used it"
    if now is None:
        return f"{path} is gone"
    return "" if now == then else f"{path} changed since"


def _short(path: str, folder: str) -> str:
    """Return a path relative to a folder, if it is in it, as text that can be written."""
    beginning = f"{folder}{os.sep}"
    short = path[len(beginning) :].replace(os.sep, "/") if path.startswith(beginning) else path
    return short.encode(errors="backslashreplace").decode()


def _whole(path: str, folder: str) -> str:
    """Return the absolute path of one from `_short`."""
    return os.path.join(folder, path)  # noqa: PTH118 (a Path for each file of ten thousand runs takes longer than the check)


def _hash_of(path: str) -> str | None:
    """Return the sha256 of a file, or None if it cannot be read."""
    try:
        status = os.stat(path)  # noqa: PTH116 (as `_whole`)
        if not stat.S_ISREG(status.st_mode):
            return None  # a record may name a device, which never ends
        return _hash_at(path, status.st_mtime_ns, status.st_size, status.st_ino)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=4096)
def _hash_at(path: str, *version: int) -> str:
    """Return the sha256 of a file that was written then, and has that size."""
    with Path(path).open("rb") as file:
        return sha256_of(file)


def _read_uses(path: Path) -> list[dict[str, str]]:
    """Return what a notebook named, and remove the file; a last line that a kernel could not end is left out."""
    if not path.is_file():
        return []
    *lines, _ = path.read_text(encoding="utf-8").split("\n")
    path.unlink()
    return [json.loads(line) for line in lines]


def _text(path: str) -> str:
    """Return the text of a module; "" where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
