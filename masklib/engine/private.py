"""Private folders for what a process needs while it runs: of its user alone, short enough for sockets, and gone with the process.

A process that is killed cannot remove its folder: the next one that makes a folder there does. A folder is in use exactly while
the lock in it is held, which the kernel gives back however its holder ends.
"""

import os
import secrets
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from masklib.engine.locks import Lock, acquire
from masklib.engine.settings import PRIVATE_VARIABLE
from masklib.errors import StoreError

PREFIX = "masklib-"
LONGEST_BYTES = 60  # of the parent's path: a Unix socket's has 107, and `masklib-` and the names of folder and socket follow
YOUNG_S = 60.0  # a folder that was made just now may not have its lock yet
_LOCK = ".lock"


class PrivateFolder:
    """A new folder, mode 0700, until `cleanup` or the end of its `with` block.

    Args:
        parent: where it is made if that can be; by default where the worker that this is, if it is one, removes it.
    """

    def __init__(self, parent: str | None = None):
        self.name = private_path(parent or os.environ.get(PRIVATE_VARIABLE))
        self._lock = make_private(self.name)

    def cleanup(self) -> None:
        """Remove the folder, if it is still there."""
        shutil.rmtree(self.name, ignore_errors=True)
        self._lock.release()

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *error: object) -> None:
        self.cleanup()


def private_path(parent: str | None = None) -> str:
    """Return where a private folder may be made; nothing is there yet.

    Args:
        parent: where, if that is possible; else the folder for temporary files, else `/tmp`.
    """
    chosen = next((one for one in (parent, _temporary()) if one and _is_usable(one)), "/tmp")  # noqa: S108
    return f"{chosen}/{PREFIX}{secrets.token_hex(4)}"


def make_private(path: str) -> Lock:
    """Make the folder at a path, and return the lock that says that it is in use; remove those beside it that are not.

    Raises:
        OSError: it cannot be made.
    """
    _remove_left_behind(Path(path).parent)
    os.mkdir(path, 0o700)  # noqa: PTH102 (a mode)
    with suppress(StoreError):  # no locks here: then nothing is removed, either
        return acquire(Path(path, _LOCK)) or Lock()
    return Lock()


def temporary_file() -> IO[Any]:
    """Return a temporary file that has no name; where the folder for them is gone, one in `/tmp`."""
    return tempfile.TemporaryFile(dir=_temporary() if _is_usable(_temporary()) else "/tmp")  # noqa: S108


def _temporary() -> str:
    """Return the folder for temporary files."""
    return tempfile.gettempdir()


def _is_usable(parent: str) -> bool:
    """Return whether folders with sockets can be made in a folder: their paths count in bytes, and are read as text."""
    try:
        short = len(parent.encode()) <= LONGEST_BYTES
    except UnicodeEncodeError:  # the name of the folder is no UTF-8
        return False
    return short and parent.isprintable() and os.access(parent, os.W_OK | os.X_OK)


def _remove_left_behind(parent: Path) -> None:
    """Remove the private folders of this user whose process is gone."""
    with suppress(OSError):
        for folder in parent.glob(f"{PREFIX}*"):
            about = folder.lstat()
            is_old = time.time() - about.st_mtime > YOUNG_S
            if is_old and about.st_uid == _user() and (folder / _LOCK).exists():
                _remove_unused(folder)


def _user() -> int:
    """Return the id of the user; Windows has none, and no locks."""
    return os.getuid() if hasattr(os, "getuid") else -1


def _remove_unused(folder: Path) -> None:
    """Remove a private folder, unless it is in use."""
    with suppress(OSError, StoreError):
        lock = acquire(folder / _LOCK)
        if lock:
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()
