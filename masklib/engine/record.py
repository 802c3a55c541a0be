"""The record of a run: what `record.json` holds."""

import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from masklib.claims.recording import RECORDS
from masklib.engine.contents import parse_json, read_inside, sum_of
from masklib.engine.dependencies import Uses
from masklib.engine.files import reason, store_error, write_atomically
from masklib.engine.schema import check_lines, check_record
from masklib.errors import StoreError

OK, FAILED, TIMEOUT, DIED, INTERRUPTED, RUNNING = "ok", "failed", "timeout", "died", "interrupted", "running"
RECORD = "record.json"
SCHEMA = 3  # of `record.json`; raised when what it holds is read in another way
LARGEST_RECORD = 10**8  # bytes of a `record.json`; a notebook of a hundred cells has some ten thousand
_FIRST = {"schema": 1, "host": "", "pid": 0}  # what a record that lacks them was written by
MISFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)  # what no record raises


class CorruptError(StoreError):
    """A folder of the store does not hold what it must; it can be read, and reading it again helps nothing."""


class NewerError(StoreError):
    """A record was written by a later masklib; it is left where it is."""


@dataclass(frozen=True)
class Failure:
    """Why a run did not end well.

    Attributes:
        status: "failed", "timeout", "died" or "interrupted".
        ename, evalue, traceback: as Jupyter gives them.
        cell: index of the cell in the executed notebook; None if it failed before the first.
        signal: the name of the signal that killed the kernel, such as "SIGKILL".
        exit_code: of the kernel, where it ended by itself.
    """

    status: str
    ename: str
    evalue: str
    traceback: tuple[str, ...] = ()
    cell: int | None = None
    signal: str | None = None
    exit_code: int | None = None

    @property
    def told(self) -> str:
        """The error and where it came, in a line."""
        where = "" if self.cell is None else f" in cell {self.cell}"
        return f"{self.ename}{where}: {self.evalue}"


@dataclass(frozen=True)
class Record:
    """What `record.json` holds: the truth about one run.

    Attributes:
        notebook: its name.
        key: the run's identity, hashed.
        status: "ok", "failed", "timeout", "died" or "interrupted"; "running" while it does.
        inputs: the identity itself, plain JSON of its own schema; see `masklib.engine.identity`.
        launch: how the kernel came to be: "spawn" for a process of its own.
        started: when, ISO 8601, UTC.
        duration_s: wall time, kernel start included, seconds.
        error: why it did not end well; None if it did.
        host: the machine, and `pid` the process that drove the run.
        steps: wall time by step of the run, seconds.
        memory_bytes: the most memory that the kernel held; None where that is not known.
        kernel: what ran, as the kernel said: its language and version, such as "python 3.11.7"; "" if it did not start.
        origin: the folder of the notebook, seen from the one that holds the store if it is below that; "" for masklib's own
            notebooks, None where it is not known.
        files: the size in bytes of each file of the run but logs, by its path in the folder.
        sums: the sha256 of each of these files, in hex; {} in the record of an earlier masklib.
        uses: what it was seen to use besides its inputs; None in records before schema 3, and while it runs.
        schema: of the file that it was read from, or will be written to.
    """

    notebook: str
    key: str
    status: str
    inputs: dict[str, Any]
    launch: str
    started: str
    duration_s: float = 0.0
    error: Failure | None = None
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    steps: dict[str, float] = field(default_factory=dict)
    memory_bytes: int | None = None
    kernel: str = ""
    origin: str | None = None
    files: dict[str, int] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)
    uses: Uses | None = None
    schema: int = SCHEMA

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name, defaults filled in."""
        return {name: value for name, (_, value) in self.inputs["parameters"].items()}

    @property
    def keras(self) -> str:
        """The version of Keras; "" where there is none."""
        return str(self.inputs["versions"].get("keras") or "")

    @property
    def backend(self) -> str:
        """The backend of Keras; "" where there is no Keras."""
        return str(self.inputs["settings"]["KERAS_BACKEND"]) if self.keras else ""

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values; the status is written once, not in the error too."""
        values = asdict(self)
        if self.error:
            del values["error"]["status"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Record":
        """Return the record that plain JSON values hold, those of earlier versions too.

        Raises:
            LookupError, TypeError, ValueError: they are no record.
        """
        values = {**_FIRST, **values}
        check_record(values)
        if values.get("error"):
            error = {"ename": "Error", "evalue": "", **values["error"], "status": values["status"]}
            error["traceback"] = tuple(error.get("traceback") or ())
            values["error"] = Failure(**_known(Failure, error))
        if values.get("uses"):
            values["uses"] = Uses(**_known(Uses, values["uses"]))
        return cls(**_known(cls, values))


def read_record(folder: Path) -> Record:
    """Return the record in `folder`.

    Raises:
        CorruptError: it is missing, is not JSON, or is not a record.
        StoreError: it cannot be read now.
    """
    try:
        content = read_inside(folder, RECORD, LARGEST_RECORD)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError) as error:
        raise _corrupt(folder, error) from None
    except OSError as error:
        msg = f"{folder / RECORD} cannot be read"
        raise store_error(msg, error) from None
    return parse_record(content, folder)


def read_whole(folder: Path, checked: Iterable[str] | None = None) -> Record:
    """Return the record in `folder`, whose files are as it says.

    Args:
        folder: of a published run.
        checked: the names of the files whose content is compared with their sums; None for all. Of the others the length is.

    Raises:
        CorruptError: as `read_record`, or it is of another run, or a file is missing, cut off, longer, or changed.
        StoreError: it cannot be read now.
    """
    record = read_record(folder)
    check_key(record, folder.name)
    for name, size in record.files.items():
        found = _size(f"{folder}/{name}")
        if found != size:
            raise _other_length(folder, name, size, found)
    for name in record.sums if checked is None else record.sums.keys() & checked:
        read_file(folder, record, name)
    return record


def read_file(folder: Path, record: Record, name: str) -> bytes:
    """Return the content of a file of a run, checked.

    Args:
        folder: of the run, local or of an object store.
        record: of the run.
        name: of the file, as the record has it.

    Raises:
        CorruptError: the run has no such file, or it is a link, or not as the record says.
        StoreError: it cannot be read now.
    """
    if name not in record.files:
        msg = f"{folder} must hold the file {name!r}, its record does not name it."
        raise CorruptError(msg)
    try:
        content = read_inside(folder, name)
    except (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        msg = f"{folder} must hold the file {name!r}: {reason(error)}."
        raise CorruptError(msg) from None
    except OSError as error:
        msg = f"{folder / name} cannot be read"
        raise store_error(msg, error) from None
    check_content(folder, record, name, content)
    return content


def check_content(folder: Path, record: Record, name: str, content: bytes) -> None:
    """Check that a file of a run holds what it held when the run was published; what the record does not name is not checked.

    Raises:
        CorruptError: it does not.
    """
    size = record.files.get(name, len(content))
    if len(content) != size:
        raise _other_length(folder, name, size, len(content))
    if name in record.sums and sum_of(content) != record.sums[name]:
        msg = f"{folder / name} must hold what the run wrote, it was changed since."
        raise CorruptError(msg)


def check_key(record: Record, name: str) -> None:
    """Check that a record is of the run, or of the failed attempt, in whose folder it is.

    Args:
        record: as read.
        name: of the folder: a key, or one with what numbers an attempt.

    Raises:
        CorruptError: it is of another one.
    """
    if name != record.key and not name.startswith(f"{record.key}-"):
        msg = f"{name} must hold the record of its own run, it holds that of {record.key[:64]!r}."
        raise CorruptError(msg)


def read_lines(content: bytes) -> list[dict[str, Any]]:
    """Return the records that the bytes of a `records.jsonl` hold.

    Raises:
        CorruptError: a line is no record.
    """
    try:
        texts = [line for line in content.decode().split("\n") if line]
        lines = parse_json(f"[{','.join(texts)}]")  # at once, which takes half the time of one after another
        if len(lines) != len(texts):
            msg = f"it has {len(texts)} lines, and {len(lines)} records"
            raise ValueError(msg)
        check_lines(lines)
    except MISFORMED as error:
        msg = f"{RECORDS} must hold the records of a run: {reason(error)}."
        raise CorruptError(msg) from None
    return cast("list[dict[str, Any]]", lines)


def sizes_of(folder: Path) -> dict[str, int]:
    """Return the sizes of the files in `folder` but its record, and logs, which what a kernel left running may still write."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path.stat().st_size for name, path in files.items() if name != RECORD and path.suffix != ".log"}


def parse_record(content: bytes, folder: Path) -> Record:
    """Return the record that the bytes of a `record.json` hold; fields with a default may be missing.

    Raises:
        CorruptError: they are not JSON, or not a record; the message names `folder`.
        NewerError: a later masklib wrote them.
    """
    try:
        values = parse_json(content)
        schema = int(values.get("schema", 1))
        if schema <= SCHEMA:
            return Record.from_json(values)
    except MISFORMED as error:
        raise _corrupt(folder, error) from None
    msg = f"{folder / RECORD} must have schema {SCHEMA} or an earlier one, it has {schema}. Use a later masklib."
    raise NewerError(msg)


def _known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values that are fields of a dataclass."""
    return {f.name: values[f.name] for f in fields(kind) if f.name in values}


def _other_length(folder: Path, name: str, size: int, found: int | None) -> CorruptError:
    """Return the error of a file that is missing, or has another length."""
    told = "is missing" if found is None else f"has {found} bytes"
    return CorruptError(f"{folder / name} must have {size} bytes, it {told}.")


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
    write_atomically(folder / RECORD, json.dumps(record.to_json(), indent=1, ensure_ascii=False).encode())
