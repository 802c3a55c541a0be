"""The record of a run: what `record.json` holds."""

import json
import os
import socket
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from masklib.engine.files import reason, store_error, write_atomically
from masklib.errors import StoreError

OK, FAILED, TIMEOUT, DIED, INTERRUPTED, RUNNING = "ok", "failed", "timeout", "died", "interrupted", "running"
RECORD = "record.json"
_UNKNOWN = {"host": "", "pid": 0}  # what a record that lacks them was written by


class CorruptError(StoreError):
    """A folder of the store does not hold what it must; it can be read, and reading it again helps nothing."""


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
        steps: wall time by step of the run, seconds.
        memory_bytes: the most memory that the kernel held; None where that is not known.
        files: the size in bytes of each file of the run but logs, by its path in the folder.
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
    steps: dict[str, float] = field(default_factory=dict)
    memory_bytes: int | None = None
    files: dict[str, int] = field(default_factory=dict)

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


def read_record(folder: Path) -> Record:
    """Return the record in `folder`.

    Raises:
        CorruptError: it is missing, is not JSON, or is not a record.
        StoreError: it cannot be read now.
    """
    try:
        content = (folder / RECORD).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise _corrupt(folder, error) from None
    except OSError as error:
        msg = f"{folder / RECORD} cannot be read"
        raise store_error(msg, error) from None
    return parse_record(content, folder)


def read_whole(folder: Path) -> Record:
    """Return the record in `folder`, whose files are as long as it says.

    Raises:
        CorruptError: as `read_record`, or a file is missing, cut off, or longer.
        StoreError: it cannot be read now.
    """
    record = read_record(folder)
    for name, size in record.files.items():
        found = _size(f"{folder}/{name}")
        if found != size:
            told = "is missing" if found is None else f"has {found} bytes"
            msg = f"{folder / name} must have {size} bytes, it {told}."
            raise CorruptError(msg)
    return record


def sizes_of(folder: Path) -> dict[str, int]:
    """Return the sizes of the files in `folder` but its record, and logs, which what a kernel left running may still write."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path.stat().st_size for name, path in files.items() if name != RECORD and path.suffix != ".log"}


def parse_record(content: bytes, folder: Path) -> Record:
    """Return the record that the bytes of a `record.json` hold; fields with a default may be missing.

    Raises:
        CorruptError: they are not JSON, or not a record; the message names `folder`.
    """
    try:
        values = _UNKNOWN | json.loads(content)
        return Record(**{f.name: values[f.name] for f in fields(Record) if f.name in values})
    except (ValueError, TypeError, RecursionError) as error:
        raise _corrupt(folder, error) from None


def _size(path: str) -> int | None:
    """Return the size of a file, or None if it is not there."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 (a Path for each file of ten thousand runs takes longer than the call)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        msg = f"{path} cannot be read"
        raise store_error(msg, error) from None


def _corrupt(folder: Path, error: Exception) -> CorruptError:
    """Return the error of a folder without a readable record."""
    return CorruptError(f"{folder / RECORD} must be the record of a run: {reason(error)}.")


def write_record(folder: Path, record: Record) -> None:
    """Write `record.json`, whole or not at all."""
    write_atomically(folder / RECORD, json.dumps(asdict(record), indent=1, ensure_ascii=False).encode())
