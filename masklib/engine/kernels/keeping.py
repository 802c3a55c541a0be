"""Where fork servers live that stay for the next command: a folder of the user alone, with a folder for each of them."""

import json
import os
import secrets
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from masklib.engine.kernels import ServerError
from masklib.engine.locks import acquire
from masklib.errors import StoreError

SOCKET, LOADED = "socket", "loaded"  # files of a server; the second holds what it has imported, see `is_current`
LOCK = ".lock"  # held by the command that starts a server
LONGEST_BYTES = 80  # of the folder's path: a Unix socket's has 107
WAIT_S = 10.0  # for another command that starts a server


def sockets() -> list[Path]:
    """Return the sockets of the kept servers that listen, that which forked last at the end; folders of dead ones are removed."""
    if not sys.platform.startswith("linux"):
        return []
    with suppress(ServerError, OSError):
        folders = sorted((path for path in _home().iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        found = {folder: listens(folder / SOCKET) for folder in folders}
        if not all(found.values()):
            _remove_dead(_home())
        return [folder / SOCKET for folder, is_there in found.items() if is_there]
    return []


def _remove_dead(home: Path) -> None:
    """Remove the folders in which no server listens, unless one is being started: its folder comes before its socket."""
    with suppress(StoreError):
        lock = acquire(home / LOCK)
        if lock:
            with lock:
                for folder in (path for path in home.iterdir() if path.is_dir() and not listens(path / SOCKET)):
                    shutil.rmtree(folder, ignore_errors=True)


def listens(path: Path) -> bool:
    """Return whether a server listens at a socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


def is_current(path: Path) -> bool:
    """Return whether the files of everything that the server at a socket has imported are as they were then."""
    try:
        loaded = json.loads(path.with_name(LOADED).read_bytes())
        return all(about == list(stamp(file)) for file, about in loaded.items())
    except (OSError, ValueError):
        return False


def stamp(file: str) -> tuple[int, int]:
    """Return the time of the last change of a file, in ns, and its size.

    Raises:
        OSError: it is not there.
    """
    about = os.stat(file)  # noqa: PTH116 (thousands of them)
    return about.st_mtime_ns, about.st_size


@contextmanager
def only_starter() -> Iterator[Path]:
    """Be the only command of the user that starts a server to keep; yield where its new folder may be made.

    Raises:
        ServerError: the folder of the user cannot be had, or another command takes too long.
    """
    home, until = _home(make=True), time.monotonic() + WAIT_S
    try:
        while (lock := acquire(home / LOCK)) is None:
            if time.monotonic() > until:
                msg = f"Another command has been starting a fork server for {WAIT_S:g} s. Try again, or leave --keep-warm out."
                raise ServerError(msg)
            time.sleep(0.02)
    except (OSError, StoreError) as error:
        msg = f"{home} must be a folder for sockets and locks: {error}. Set XDG_RUNTIME_DIR to one."
        raise ServerError(msg) from None
    with lock:
        yield home / secrets.token_hex(4)


def _home(*, make: bool = False) -> Path:
    """Return the folder of this user's kept servers.

    Raises:
        ServerError: it belongs to others, too, or its path is too long for sockets.
    """
    home = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/runtime-{os.getuid()}", "masklib")  # noqa: S108 (checked below)
    if make:
        with suppress(OSError):
            home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            home.mkdir(mode=0o700, exist_ok=True)
    try:
        about, above = home.lstat(), home.parent.lstat()
    except OSError as error:
        msg = (
            f"Fork servers are kept in {home}, which cannot be used: {error.strerror}. Set XDG_RUNTIME_DIR to a folder of yours."
        )
        raise ServerError(msg) from None
    is_ours = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o077
    if not is_ours or above.st_uid not in (0, os.getuid()) or len(os.fsencode(home)) > LONGEST_BYTES:
        msg = (
            f"Fork servers are kept in {home}, which must be a folder of yours alone (mode 0700) with a path of at most "
            f"{LONGEST_BYTES} bytes, it is not. Set XDG_RUNTIME_DIR to one."
        )
        raise ServerError(msg)
    return home
