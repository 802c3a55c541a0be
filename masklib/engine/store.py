"""The store of runs: folders that are complete, or not there.

```
<root>/<notebook>/<key>/            a run that ended well
<root>/<notebook>/failed/<key>-<n>/ the n-th attempt that did not, with all its evidence
<root>/<notebook>/.work-<key>-<id>/ a run in progress
<root>/<notebook>/corrupt/          what could not be read, set aside
```
Work happens in a temporary folder beside the final one; its files are synced to the disk, then one rename publishes it.
"""

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from masklib.errors import StoreError

OK, FAILED, TIMEOUT, DIED, INTERRUPTED, RUNNING = "ok", "failed", "timeout", "died", "interrupted", "running"
RECORD = "record.json"
RESERVED = ("figures", "reference", "specs", "tables")  # folders of `runs/` that hold no runs
_ASIDE = ("failed", "corrupt")


@dataclass(frozen=True)
class Record:
    """What `record.json` holds: the truth about one run.

    Attributes:
        notebook: its name.
        key: the run's identity, hashed.
        status: "ok", "failed", "timeout", "died" or "interrupted"; "running" while it does.
        inputs: the identity itself; see `masklib.engine.identity`.
        launch: how the kernel came to be: "spawn" for a process of its own.
        started: when, ISO 8601, UTC.
        duration_s: wall time, kernel start included, seconds.
        error: None, or what went wrong: ename, evalue, traceback, cell (index), signal, exit_code.
        host: the machine, and `pid` the process that drove the run.
    """

    notebook: str
    key: str
    status: str
    inputs: dict[str, Any]
    launch: str
    started: str
    duration_s: float = 0.0
    error: dict[str, Any] | None = None
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name, defaults filled in."""
        return {name: value for name, (_, value) in self.inputs["parameters"].items()}

    @property
    def keras(self) -> str:
        """The version of Keras."""
        return str(self.inputs["versions"]["keras"])

    @property
    def backend(self) -> str:
        """The backend of Keras."""
        return str(self.inputs["settings"]["KERAS_BACKEND"])


class Store:
    """Runs under one root folder.

    Args:
        root: made when the first run needs it.

    Raises:
        StoreError: `root` is there and is not a folder.
    """

    def __init__(self, root: str | Path = "runs"):
        self.root = Path(root).absolute()
        if self.root.exists() and not self.root.is_dir():
            msg = f"The store must be a folder, {root} is a file. Choose another with --runs."
            raise StoreError(msg)

    def folder(self, notebook: str, key: str) -> Path:
        """Return where a run is, or would be, published."""
        return self.root / notebook / key

    def find(self, notebook: str, key: str) -> Record | None:
        """Return the record of a run that ended well, or None; an unreadable one is set aside first."""
        folder = self.folder(notebook, key)
        if not folder.exists():
            return None
        try:
            return read_record(folder)
        except StoreError:
            self._move(folder, "corrupt")
            return None

    def begin(self, record: Record) -> Path:
        """Return a new work folder that holds `record` as running.

        Raises:
            StoreError: the folder cannot be made or written.
        """
        parent = self.root / record.notebook
        try:
            parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=f".work-{record.key[:16]}-", dir=parent))
            write_record(work, replace(record, status=RUNNING))
        except OSError as error:
            msg = f"A run needs a writable folder {parent}"
            raise store_error(msg, error) from None
        return work

    def finish(self, work: Path, record: Record) -> Path:
        """Publish `work` under its key if the run ended well, among the failed attempts if not; return where it is.

        Where the same run was published meanwhile, that one stays.

        Raises:
            StoreError: the disk is full, or the folder not writable; the work folder is kept as it is.
        """
        try:
            write_record(work, record)
            _sync_tree(work)
            if record.status != OK:
                return self._move(work, "failed", record.key)
            target = self.folder(record.notebook, record.key)
            _rename_or_drop(work, target)
            _sync(target.parent)
        except OSError as error:
            msg = f"The run could not be published, its work is kept in {work}"
            raise store_error(msg, error) from None
        return target

    def runs(self) -> Iterator[Path]:
        """Yield the folders of the published runs, in order of notebook and key."""
        yield from (f for parent in self._notebooks() for f in sorted(parent.iterdir()) if _is_run(f))

    def attempts(self) -> Iterator[Path]:
        """Yield the folders of the failed attempts, in order of notebook and key."""
        yield from (f for parent in self._notebooks() for f in sorted((parent / "failed").glob("*")) if f.is_dir())

    def set_aside(self, folder: Path) -> Path:
        """Move a folder that cannot be read to `corrupt`, and return where it is."""
        return self._move(folder, "corrupt")

    def recover(self) -> list[Path]:
        """Move the work of drivers that are gone to the failed attempts, as interrupted; return where it is."""
        return [
            self._interrupted(work)
            for parent in self._notebooks()
            for work in sorted(parent.glob(".work-*"))
            if _is_abandoned(work)
        ]

    def _interrupted(self, work: Path) -> Path:
        """Publish the work of a driver that is gone among the failed attempts."""
        try:
            record = read_record(work)
        except StoreError:
            return self._move(work, "corrupt")
        error = {"ename": "DriverGone", "evalue": f"process {record.pid} ended before the run did"}
        write_record(work, replace(record, status=INTERRUPTED, error=error))
        return self._move(work, "failed", record.key)

    def _notebooks(self) -> list[Path]:
        """Return the folders that hold runs."""
        if not self.root.exists():
            return []
        return [f for f in sorted(self.root.iterdir()) if f.is_dir() and f.name not in RESERVED]

    def _move(self, folder: Path, aside: str, name: str = "") -> Path:
        """Rename `folder` to the first free number under `failed` or `corrupt`."""
        parent = folder.parent / aside
        parent.mkdir(exist_ok=True)
        number = 1
        while True:
            target = parent / f"{name or folder.name.lstrip('.')}-{number}"
            try:
                if not target.exists():
                    return folder.rename(target)
            except OSError:
                if not target.exists():
                    raise
            number += 1


def read_record(folder: Path) -> Record:
    """Return the record in `folder`.

    Raises:
        StoreError: it is missing, is not JSON, or is not a record.
    """
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return Record(**{f.name: content[f.name] for f in fields(Record)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{folder / RECORD} must be the record of a run"
        raise store_error(msg, error) from None


def write_record(folder: Path, record: Record) -> None:
    """Write `record.json`, whole or not at all."""
    write_atomically(folder / RECORD, json.dumps(asdict(record), indent=1, ensure_ascii=False).encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        OSError: the disk is full, or the folder not writable; the old content stays and nothing is left behind.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # noqa: PTH101 (mkstemp's file is private)
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _rename_or_drop(work: Path, target: Path) -> None:
    """Rename `work` to `target`; where another process published the same run first, that one stays."""
    try:
        work.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(work)


def _is_run(folder: Path) -> bool:
    """Return whether a folder under a notebook is a published run."""
    return folder.is_dir() and not folder.name.startswith(".") and folder.name not in _ASIDE


def _is_abandoned(work: Path) -> bool:
    """Return whether the driver of a work folder, on this machine, is gone."""
    try:
        record = read_record(work)
    except StoreError:
        return False  # being made at this moment, or of another version: leave it
    if record.host != socket.gethostname():
        return False
    try:
        os.kill(record.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _sync_tree(folder: Path) -> None:
    """Flush every file and folder under `folder` to the disk."""
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    """Flush one file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def store_error(what: str, error: Exception) -> StoreError:
    """Return the error of a store operation, with what the system said."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    return StoreError(f"{what}: {reason}.")
