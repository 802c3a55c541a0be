"""A lock keeps every other process out, until it is released or its holder dies."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from masklib.engine import locks
from masklib.engine.locks import acquire
from masklib.errors import StoreError

ACQUIRE = (
    "import sys, time; from pathlib import Path; from masklib.engine.locks import acquire; lock = acquire(Path(sys.argv[1]));"
)
HOLD = ACQUIRE + "print(lock is not None, flush=True); time.sleep(60)"
HOLD_WITH_CHILD = (
    ACQUIRE + "import subprocess; child = subprocess.Popen(['sleep', '60'], close_fds=False); "
    "print(child.pid, flush=True); time.sleep(60)"
)
COUNT = """
import sys
from pathlib import Path
from masklib.engine.locks import acquire
path, counter = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(300):
    while (lock := acquire(path)) is None:
        pass
    with lock:
        counter.write_text(str(int(counter.read_text()) + 1))
"""


@contextmanager
def process(code: str, *arguments: Path) -> Iterator[Any]:
    """A process that runs `code` and is killed at the end."""
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def test_a_held_lock_keeps_others_out_until_it_is_released(tmp_path: Path):
    path = tmp_path / "lock"
    with acquire(path) as first:
        assert first is not None
        assert acquire(path) is None
        with process(HOLD, path) as other:
            assert other.stdout.readline() == "False\n"
    with process(HOLD, path) as other:
        assert other.stdout.readline() == "True\n"
        assert acquire(path) is None


def test_a_released_lock_leaves_no_file(tmp_path: Path):
    lock = acquire(tmp_path / "lock")
    assert lock
    lock.release()
    assert list(tmp_path.iterdir()) == []
    taken_by_another = acquire(tmp_path / "lock")
    lock.release()
    assert taken_by_another
    assert acquire(tmp_path / "lock") is None


def test_a_lock_is_free_once_its_holder_is_killed(tmp_path: Path):
    with process(HOLD, tmp_path / "lock") as holder:
        assert holder.stdout.readline() == "True\n"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert acquire(tmp_path / "lock") is not None


def test_a_program_started_by_the_holder_does_not_hold_the_lock_on(tmp_path: Path):
    with process(HOLD_WITH_CHILD, tmp_path / "lock") as holder:
        child = int(holder.stdout.readline())
        try:
            holder.kill()
            holder.wait()
            assert acquire(tmp_path / "lock") is not None
        finally:
            os.kill(child, signal.SIGKILL)


def test_many_processes_that_take_and_remove_the_lock_exclude_each_other(tmp_path: Path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    running = [subprocess.Popen([sys.executable, "-c", COUNT, tmp_path / "lock", counter]) for _ in range(4)]
    assert [each.wait() for each in running] == [0] * 4
    assert counter.read_text() == "1200"


def test_a_file_that_was_removed_while_it_was_opened_is_not_taken_for_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "lock"
    flock = locks.fcntl.flock
    removals = iter([path.unlink])

    def removed_before(descriptor: int, operation: int) -> None:
        next(removals, lambda: None)()
        flock(descriptor, operation)

    monkeypatch.setattr(locks.fcntl, "flock", removed_before)
    lock = acquire(path)

    assert lock
    assert path.exists()
    assert acquire(path) is None


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with pytest.raises(StoreError, match=rf"{tmp_path} has none: No locks available. Choose another"):
        acquire(tmp_path / "lock")


def test_a_system_without_flock_can_import_the_store_and_is_told_what_to_use(tmp_path: Path):
    code = """
import sys
sys.modules["fcntl"] = None
from masklib.engine.store import Store
try:
    Store(sys.argv[1]).lock("nb", "key")
except OSError as error:
    print(type(error).__name__, error)
"""
    told = subprocess.run([sys.executable, "-c", code, tmp_path / "runs"], capture_output=True, text=True, check=True).stdout
    assert told.startswith("StoreError The store needs file locks")
    assert "Use WSL" in told
