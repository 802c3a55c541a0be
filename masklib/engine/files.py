"""Files of a store: written whole or not at all, and how an error of the system is reported."""

import os
import secrets
import stat
from pathlib import Path

from masklib.errors import StoreError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        OSError: the disk is full, or the folder not writable; the old content stays and no other file is left.
    """
    if not is_local(path):
        path.write_bytes(content)  # one request, which an object store carries out whole or not at all
        return
    unfinished = path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")
    try:
        with unfinished.open("xb") as file:  # its mode follows the umask; that of a file of `tempfile` does not
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def remove_unfinished(folder: Path) -> None:
    """Remove from a folder the files that a process was writing when it was killed; no other process may write there now."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def is_local(path: Path) -> bool:
    """Return whether a path of a store is one of this machine's file system, not of an object store."""
    return isinstance(path, Path)


def make_folder(folder: Path) -> None:
    """Make a folder of a store and those above it; an object store needs none."""
    if is_local(folder):
        folder.mkdir(parents=True, exist_ok=True)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder under `folder` to the disk; links and pipes hold nothing that could be lost."""
    for path in folder.rglob("*"):
        if stat.S_ISREG(mode := path.lstat().st_mode) or stat.S_ISDIR(mode):
            sync(path)
    sync(folder)


def sync(path: Path) -> None:
    """Flush one file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def store_error(what: str, error: Exception) -> StoreError:
    """Return the error of a store operation, with what the system said."""
    return StoreError(f"{what}: {reason(error)}.")


def reason(error: Exception) -> str:
    """Return what the system said."""
    return error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
