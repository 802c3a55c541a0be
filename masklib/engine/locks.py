"""Locks between processes: files that the kernel unlocks when their holder dies, however it dies.

A lock is a POSIX `flock` on a file that is removed on release, so that files of ten thousand runs do not pile up. There are
no process ids and no clocks in it: what a dead process leaves behind is a file that the next one can lock.
"""

import os
from pathlib import Path
from types import TracebackType

from masklib.errors import StoreError

try:
    import fcntl
except ImportError:  # Windows
    SUPPORTED = False
else:
    SUPPORTED = True


class Lock:
    """A lock that this process holds until `release`, the end of its `with` block, or its death.

    Args:
        path: the file that is locked, and removed on release; None for a lock that keeps nobody out.
        descriptor: of the open file.
    """

    def __init__(self, path: Path | None = None, descriptor: int = -1):
        self._path = path
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others take the lock; a second call does nothing."""
        if self._path is None:
            return
        path, self._path = self._path, None
        path.unlink(missing_ok=True)  # while it is held: nobody else can have locked this file
        os.close(self._descriptor)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def acquire(path: Path) -> Lock | None:
    """Return the lock of `path`, or None if another process, or another lock of this one, holds it.

    A child forked without exec shares the lock: it stays held until the child ends too, unless it was released.

    Args:
        path: a file in a folder that exists.

    Raises:
        StoreError: the system or the file system has no locks.
        OSError: the file cannot be made.
    """
    if not SUPPORTED:
        msg = "The store needs file locks (POSIX flock), which Windows does not have. Use WSL, or a store on an object store."
        raise StoreError(msg)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # less the umask; closed on exec, as every descriptor of Python
        try:
            held = _lock(descriptor, path)
            current = held and _is_file(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if current:
            return Lock(path, descriptor)
        os.close(descriptor)
        if not held:
            return None


def _lock(descriptor: int, path: Path) -> bool:
    """Lock an open file without waiting; return whether it could be."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the second: a byte-range lock on NFS
        return False
    except OSError as error:
        msg = f"The store needs a file system with locks, {path.parent} has none: {error.strerror}. Choose another with --runs."
        raise StoreError(msg) from None
    return True


def _is_file(path: Path, descriptor: int) -> bool:
    """Return whether `path` is still the open file; one that was removed between opening and locking protects nothing."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
