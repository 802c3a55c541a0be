"""What is read of a run's folder: data, whoever wrote it. A name stays inside the folder, and a file is one that ends."""

import hashlib
import json
import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import Any

from masklib.engine.files import is_local

LARGEST = 2 * 10**9  # bytes of a file of a run that is read
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a link is refused, a pipe not waited for


def check_name(name: object) -> str:
    """Return the name of a file of a run, relative to its folder and with slashes.

    Raises:
        ValueError: it leads out of the folder, or is no name.
    """
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    if not parts or ".." in parts or parts[0] == "/" or "/".join(parts) != name or not str(name).isprintable() or "\\" in parts:
        msg = f"a file of a run must lie in its folder, got {str(name)[:200]!r}"
        raise ValueError(msg)
    return str(name)


def read_inside(folder: Path, name: str, limit: int = LARGEST) -> bytes:
    """Return the content of an ordinary file in a folder of the store.

    Args:
        folder: local, or of an object store.
        name: of the file, relative to the folder.
        limit: of its size in bytes.

    Raises:
        ValueError: the name leads out of the folder, or to a link, a pipe, a device, or a larger file.
        OSError: it is not there, or cannot be read.
    """
    path = folder / check_name(name)
    if not is_local(path):
        return path.read_bytes()
    above = [folder.joinpath(*PurePosixPath(name).parts[:n]) for n in range(1, len(PurePosixPath(name).parts))]
    if any(parent.is_symlink() for parent in above) or path.is_symlink():
        msg = f"{name} must be an ordinary file, it is a link or lies behind one"
        raise ValueError(msg)
    descriptor = os.open(path, _FLAGS)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            told = f"it has {found.st_size} bytes" if stat.S_ISREG(found.st_mode) else "it is a folder, a pipe or a device"
            msg = f"{name} must be an ordinary file of at most {limit} bytes, {told}"
            raise ValueError(msg)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


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
