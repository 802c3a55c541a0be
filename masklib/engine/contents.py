"""What is read of a run's folder: data, whoever wrote it. A name stays inside the folder, and a file is one that ends."""

import errno
import hashlib
import json
import os
import re
import stat
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from masklib.engine.files import is_local

LARGEST = 2 * 10**9  # bytes of a file of a run that is read
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a link is refused, a pipe not waited for


@lru_cache(maxsize=4096)
def _parts(name: str) -> tuple[str, ...]:
    """Return the folders and the file that a name goes through; () if it leads out of a folder, or is no name."""
    parts = PurePosixPath(name).parts
    stays = parts and ".." not in parts and parts[0] != "/" and "/".join(parts) == name
    return parts if stays and name.isprintable() else ()


def check_name(name: object) -> str:
    """Return the name of a file of a run, relative to its folder and with slashes.

    Raises:
        ValueError: it leads out of the folder, or is no name.
    """
    if not isinstance(name, str) or not _parts(name):
        msg = f"a file of a run must lie in its folder, got {str(name)[:200]!r}"
        raise ValueError(msg)
    return name


def read_inside(folder: Path, name: str, limit: int = LARGEST) -> bytes:
    """Return the content of an ordinary file in a folder of the store.

    Args:
        folder: local, or of an object store.
        name: of the file, relative to the folder.
        limit: of its size in bytes.

    Raises:
        ValueError: the name leads out of the folder, or to a link, a folder, a pipe, a device, or a larger file.
        OSError: it is not there, or cannot be read.
    """
    parts = _parts(check_name(name))
    if not is_local(folder):
        return (folder / name).read_bytes()
    if any(folder.joinpath(*parts[:n]).is_symlink() for n in range(1, len(parts))):
        msg = f"{name} must be an ordinary file, it lies behind a link"
        raise ValueError(msg)
    try:
        with open(f"{folder}/{name}", "rb", buffering=0, opener=_open) as file:
            _check_ordinary(name, os.fstat(file.fileno()), limit)
            return file.readall()
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):  # a link, a folder, a socket
            raise
        msg = f"{name} must be an ordinary file, it is a link, a folder or a socket"
        raise ValueError(msg) from None


def _open(path: str, flags: int) -> int:
    """Open a file for reading, unless it is a link; wait for no writer of a pipe."""
    return os.open(path, flags | _FLAGS)


def _check_ordinary(name: str, found: os.stat_result, limit: int) -> None:
    """Raise a ValueError for a pipe, a device or a file that is larger than the limit."""
    if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
        told = f"it has {found.st_size} bytes" if stat.S_ISREG(found.st_mode) else "it is a pipe or a device"
        msg = f"{name} must be an ordinary file of at most {limit} bytes, {told}"
        raise ValueError(msg)


def parse_json(content: str | bytes) -> Any:
    """Return the values that a text of JSON holds; what is not Unicode is refused, for no table could hold it.

    Raises:
        ValueError: it is no JSON, or no Unicode.
        RecursionError: it is nested too deep.
    """
    text = content if isinstance(content, str) else content.decode()
    values = json.loads(text)
    if _SURROGATE.search(text):
        json.dumps(values, ensure_ascii=False).encode()
    return values


def sum_of(content: bytes) -> str:
    """Return the sha256 of bytes in hex."""
    return hashlib.sha256(content).hexdigest()


def sums_of(folder: Path, names: "list[str] | dict[str, int]") -> dict[str, str]:
    """Return the sums of files of a run, but of what is no ordinary file."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = sum_of(read_inside(folder, name))
        except ValueError:
            continue
    return found
