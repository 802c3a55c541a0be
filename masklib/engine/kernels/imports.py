"""What a kernel imports, told by itself. Executed there as text, in any Python from 3.8 on: masklib need not be installed there.

`watch` comes before the first cell and notes when each module is looked for; `told` after the last one says which files and
packages the modules of the kernel come from.
"""

from __future__ import annotations

import hashlib
import json
import os
import site
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any


class Watch:
    """Finds nothing: notes when each module was looked for last, in seconds since the epoch."""

    def __init__(self) -> None:
        self.started = time.time()
        self.times: dict[str, float] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Take note, and let the next finder find the module."""
        self.times[name] = time.time()


def watch() -> None:
    """Note from now on which modules are imported."""
    sys.meta_path.insert(0, Watch())


def told() -> str:
    """Return what the modules of this process come from, as JSON.

    `sites`: the folders of installed packages. `packages`: the top-level names in them, and whether a module of theirs was
    imported since `watch`. `files`: the absolute path of each other file that is not of the standard library, and its sha256;
    "" for one that was written after it was imported, so that what it held is not known.
    """
    noted: Any = next((finder for finder in sys.meta_path if type(finder).__name__ == "Watch"), Watch())
    sites, own = _folders(site_folders()), _folders([sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib")])
    packages: dict[str, bool] = {}
    files: dict[str, str] = {}
    for name, file in _modules():
        if file.startswith(sites):
            top = name.partition(".")[0]
            packages[top] = packages.get(top, False) or name in noted.times
        elif not file.startswith(own):
            files.update(_hashed(_existing(file), noted.times.get(name), noted.started))
    return json.dumps({"sites": [folder[:-1] for folder in sites], "packages": packages, "files": files})


def site_folders() -> list[str]:
    """Return the folders of this Python in which packages are installed."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return list(dict.fromkeys([*site.getsitepackages(), *user]))


def _folders(paths: list[str]) -> tuple[str, ...]:
    """Return the beginnings of the paths of files in some folders, as they are named and as they are."""
    return tuple(dict.fromkeys(folder + os.sep for path in paths for folder in (path, os.path.realpath(path))))


def _modules() -> list[tuple[str, str]]:
    """Return the name and the file of each module that has one, and those of `%run`."""
    found = [(name, getattr(module, "__dict__", {}).get("__file__")) for name, module in list(sys.modules.items())]
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    found += [("", file) for file in getattr(shell, "_main_mod_cache", {})]
    return [(name, os.path.abspath(file)) for name, file in found if isinstance(file, str) and name != "__main__"]  # noqa: PTH100


def _existing(file: str) -> Path:
    """Return the path of a module's file, or of the archive that it is in."""
    path = Path(file)
    above = next((folder for folder in (path, *path.parents) if folder.exists()), path)
    return above if above.is_file() else path


def _hashed(file: Path, imported: float | None, started: float) -> dict[str, str]:
    """Return the sha256 of a module's file by its path; {} for one that the notebook made and loaded by itself."""
    try:
        with file.open("rb") as source:
            content = source.read()
            written = os.fstat(source.fileno()).st_mtime
    except OSError:
        return {} if imported is None else {str(file): ""}
    if imported is None and written >= started:
        return {}
    return {str(file): "" if imported is not None and written > imported else hashlib.sha256(content).hexdigest()}
