"""The store of runs: folders that are complete, or not there.

```
<root>/<notebook>/<key>/            a run that ended well
<root>/<notebook>/failed/<key>-<n>/ the n-th attempt that did not, with all its evidence
<root>/<notebook>/.work-<key>-<id>/ a run in progress
<root>/<notebook>/.gone-<id>/       a run that is being removed
<root>/<notebook>/.lock-<key>       held by the process whose run that is
<root>/<notebook>/corrupt/          what could not be read, set aside
<root>/<notebook>/earlier/<key>-<n>/ a run that ended well, and was executed again since
```
A notebook named as a folder that holds no runs, such as `figures`, or as a hidden one, has a folder with a % before its name.

Work happens in a temporary folder beside the final one; its files are synced to the disk, then one rename publishes it.
A process takes the lock of a key before it looks the run up and begins it, so that two sweeps share the work.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from masklib.claims.recording import RECORDS
from masklib.engine.contents import read_inside, sums_of
from masklib.engine.files import is_local, make_folder, store_error, sync, sync_tree, write_atomically
from masklib.engine.locks import Lock, acquire
from masklib.engine.record import (
    DIED,
    FAILED,
    INTERRUPTED,
    OK,
    RECORD,
    RUNNING,
    TIMEOUT,
    CorruptError,
    Failure,
    Record,
    parse_record,
    read_record,
    read_whole,
    sizes_of,
    write_record,
)
from masklib.errors import StoreError

__all__ = [  # with what the record of a run and its files are made of
    "DIED",
    "FAILED",
    "INTERRUPTED",
    "OK",
    "RECORD",
    "RESERVED",
    "RUNNING",
    "TIMEOUT",
    "Content",
    "CorruptError",
    "Entry",
    "Record",
    "Store",
    "is_local",
    "make_folder",
    "notebook_at",
    "parse_record",
    "place_of",
    "read_record",
    "store_error",
    "write_atomically",
    "write_record",
]

RESERVED = ("figures", "reference", "site", "specs", "tables")  # folders of `runs/` that hold no runs
EARLIER = "earlier"
ASIDE = ("failed", "corrupt", EARLIER)  # folders of a notebook that are no runs
_WORK, _LOCK, _GONE = ".work-", ".lock-", ".gone-"
_ESCAPE = "%"


@dataclass(frozen=True)
class Entry:
    """A published run or failed attempt, as a listing shows it.

    Attributes:
        name: of its folder, below the root: "<notebook>/<key>" or "<notebook>/failed/<key>-<n>".
        published: whether it is a run that ended well.
        stamp: is another one if the files that the tables are made of were written again.
        error: None, or why the runs of a notebook cannot be listed; the name is then that of the notebook.
    """

    name: str
    published: bool
    stamp: str
    error: StoreError | None = None


@dataclass(frozen=True)
class Content:
    """The files of a folder that the tables are made of.

    Attributes:
        entry: whose they are.
        record: the bytes of `record.json`; None if it is missing.
        lines: the bytes of `records.jsonl` of a published run.
        error: None, or why the folder could not be read: an OSError now, a ValueError ever.
    """

    entry: Entry
    record: bytes | None = None
    lines: bytes = b""
    error: Exception | None = None


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

    def exists(self) -> bool:
        """Return whether anything was ever written here."""
        return self.root.exists()

    def folder(self, notebook: str, key: str) -> Path:
        """Return where a run is, or would be, published."""
        return self.root / place_of(notebook) / key

    def find(self, notebook: str, key: str) -> Record | None:
        """Return the record of a run that ended well, or None; one that is not whole is set aside first.

        Raises:
            StoreError: the run is there and cannot be read, or is not whole and cannot be moved.
        """
        folder = self.folder(notebook, key)
        if not folder.exists():
            return None
        try:
            return read_whole(folder)
        except CorruptError:
            self.set_aside(folder)
            return None

    def damage(self, notebook: str, keys: Iterable[str]) -> dict[str, CorruptError]:
        """Return which of these published runs are not whole, by key, with the reason.

        Raises:
            StoreError: one cannot be read now.
        """
        return {key: found for key, found in self.read(notebook, keys) if isinstance(found, CorruptError)}

    def read(self, notebook: str, keys: Iterable[str]) -> Iterator[tuple[str, Record | CorruptError]]:
        """Yield the record of each published run of these keys, or why it is not whole.

        Raises:
            StoreError: one cannot be read now.
        """
        for key in keys:
            try:
                yield key, read_whole(self.folder(notebook, key), checked=(RECORDS,))
            except CorruptError as error:
                yield key, error

    def lock(self, notebook: str, key: str) -> Lock | None:
        """Return the lock of a run, without waiting, or None if another process holds it.

        Raises:
            StoreError: the folder is not writable, or its file system has no locks.
        """
        parent = self.root / place_of(notebook)
        try:
            parent.mkdir(parents=True, exist_ok=True)
            return acquire(parent / f"{_LOCK}{key}")
        except StoreError:
            raise
        except OSError as error:
            msg = f"A run needs a writable folder {parent}"
            raise store_error(msg, error) from None

    def begin(self, record: Record) -> Path:
        """Return a new work folder that holds `record` as running.

        Raises:
            StoreError: the folder cannot be made or written.
        """
        parent = self.root / place_of(record.notebook)
        try:
            parent.mkdir(parents=True, exist_ok=True)
            work = parent / f"{_WORK}{record.key}-{secrets.token_hex(4)}"
            work.mkdir()  # its mode follows the umask, as that of all else in the store
            write_record(work, replace(record, status=RUNNING))
        except OSError as error:
            msg = f"A run needs a writable folder {parent}"
            raise store_error(msg, error) from None
        return work

    def finish(self, work: Path, record: Record, *, again: bool = False) -> Path:
        """Publish `work` under its key if the run ended well, among the failed attempts if not; return where it is.

        Where the same run was published meanwhile, that one stays; `again` says that one which is there does not count, and puts
        it among the earlier ones.

        Raises:
            StoreError: the disk is full, or the folder not writable; the work folder is kept as it is.
        """
        try:
            write_record(work, record)
            sync_tree(work)
            if record.status != OK:
                return self._move(work, "failed", record.key)
            target = self.folder(record.notebook, record.key)
            if again and target.exists():
                self._move(target, EARLIER)
            _rename_or_drop(work, target)
            sync(target.parent)
        except OSError as error:
            msg = f"The run could not be published, its work is kept in {work}"
            raise store_error(msg, error) from None
        return target

    def entries(self) -> list[Entry]:
        """Return the published runs, then the failed attempts, each in order of notebook and key."""
        found = [entry for name in self._notebooks() for entry in _entries(self.root, place_of(name))]
        return sorted(found, key=lambda entry: not entry.published)

    def earlier(self) -> list[Entry]:
        """Return the runs that were executed again since, in order of notebook, key and age."""
        found = [(name, _attempts(self.root / name / EARLIER)) for name in map(place_of, self._notebooks())]
        return [Entry(f"{name}/{EARLIER}/{f.name}", False, _stamp(f)) for name, folders in found for f in folders]

    def remove(self, entry: Entry) -> None:
        """Remove a run or attempt; a reader sees all of it, or nothing.

        Raises:
            StoreError: it cannot be removed; it is then as it was, or gone for readers.
        """
        folder = self.root / entry.name
        try:
            gone = Path(tempfile.mkdtemp(prefix=_GONE, dir=self.root / entry.name.split("/")[0]))
            folder.rename(gone / folder.name)
            shutil.rmtree(gone)
        except OSError as error:
            msg = f"{folder} cannot be removed"
            raise store_error(msg, error) from None

    def contents(self, entries: Sequence[Entry]) -> Iterator[Content]:
        """Yield what the folders of `entries` hold, in their order; an error is kept there, not raised."""
        return (_content(self.root, entry) for entry in entries)

    def keys(self, notebook: str) -> set[str]:
        """Return the keys of a notebook's published runs, from one listing."""
        return {folder.name for folder in _published(self.root / place_of(notebook))}

    def attempts_of(self, notebook: str) -> dict[str, Path]:
        """Return the folder of the newest failed attempt by key, from one listing."""
        return {_attempt(folder.name)[0]: Path(folder.path) for folder in _failed(self.root / place_of(notebook))}

    def set_aside(self, folder: Path) -> Path | None:
        """Move a folder that cannot be read to `corrupt`; return where it is, or None if it is gone already.

        Raises:
            StoreError: it cannot be moved.
        """
        try:
            return self._move(folder, "corrupt")
        except OSError as error:
            if not folder.exists():
                return None
            msg = f"{folder} cannot be read and cannot be set aside"
            raise store_error(msg, error) from None

    def recover(self) -> list[Path]:
        """Move the work of processes that are gone to the failed attempts, as interrupted; return where it is.

        Work belongs to a process that is gone exactly if the lock of its key can be taken. What a process that is gone had not
        removed to the end is removed.

        Raises:
            StoreError: such work cannot be read or moved.
        """
        for gone in self.root.glob(f"*/{_GONE}*"):
            shutil.rmtree(gone, ignore_errors=True)
        unfinished = [(name, key) for name in self._notebooks() for key in _unfinished(self.root / place_of(name))]
        return [folder for name, key in unfinished for folder in self._recover(name, key)]

    def _recover(self, notebook: str, key: str) -> list[Path]:
        """Move the work of one key aside, unless its lock is held; return where it is."""
        lock, parent = self.lock(notebook, key), self.root / place_of(notebook)
        if lock is None:
            return []
        try:
            with lock:
                moved = [self._interrupted(work) for work in sorted(parent.glob(f"{_WORK}{key}-*"))]
        except OSError as error:
            msg = f"The work of a run that was interrupted cannot be moved, it is kept in {parent}"
            raise store_error(msg, error) from None
        return [folder for folder in moved if folder]

    def _interrupted(self, work: Path) -> Path | None:
        """Publish the work of a process that is gone among the failed attempts; drop it if nothing was done yet."""
        try:
            record = read_record(work)
        except CorruptError:
            if all(file.name.startswith(".") for file in work.iterdir()):  # at most a record that was being written
                shutil.rmtree(work)
                return None
            return self.set_aside(work)
        error = Failure(INTERRUPTED, "DriverGone", f"process {record.pid} ended before the run did")
        files = sizes_of(work)
        write_record(work, replace(record, status=INTERRUPTED, error=error, files=files, sums=sums_of(work, files)))
        return self._move(work, "failed", record.key)

    def _notebooks(self) -> list[str]:
        """Return the names of the notebooks that have runs here."""
        return [notebook_at(folder.name) for folder in _folders(self.root) if folder.name not in RESERVED]

    def _move(self, folder: Path, aside: str, name: str = "") -> Path:
        """Rename `folder` to the first free number under `failed` or `corrupt` of its notebook."""
        parent = self.root / folder.relative_to(self.root).parts[0] / aside
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


def place_of(notebook: str) -> str:
    """Return the name of the folder that holds a notebook's runs: its own, unless that would hide them or lead elsewhere."""
    return f"{_ESCAPE}{notebook}" if notebook in RESERVED or notebook.startswith((".", _ESCAPE)) else notebook


def notebook_at(place: str) -> str:
    """Return the name of the notebook whose runs a folder holds."""
    return place.removeprefix(_ESCAPE)


def _rename_or_drop(work: Path, target: Path) -> None:
    """Rename `work` to `target`; where another process published the same run first, that one stays."""
    try:
        work.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(work)


def _folders(parent: Path) -> list[os.DirEntry[str]]:
    """Return the folders in `parent` that are not hidden, in order; [] if it is not there."""
    try:
        with os.scandir(parent) as found:
            folders = [entry for entry in found if not entry.name.startswith(".") and entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        msg = f"The store needs a readable folder {parent}"
        raise store_error(msg, error) from None
    return sorted(folders, key=lambda entry: entry.name)


def _entries(root: Path, name: str) -> list[Entry]:
    """Return the runs and the failed attempts of a notebook; where they cannot be listed, one entry that says so."""
    parent = root / name
    try:
        runs = [Entry(f"{name}/{folder.name}", True, _stamp(folder)) for folder in _published(parent)]
        return runs + [Entry(f"{name}/failed/{folder.name}", False, _stamp(folder)) for folder in _failed(parent)]
    except StoreError as error:
        return [Entry(name, True, "", error)]


def _published(parent: Path) -> list[os.DirEntry[str]]:
    """Return the folders of a notebook's published runs."""
    return [folder for folder in _folders(parent) if folder.name not in ASIDE]


def _failed(parent: Path) -> list[os.DirEntry[str]]:
    """Return the folders of a notebook's failed attempts, by key, oldest first."""
    return _attempts(parent / "failed")


def _attempts(parent: Path) -> list[os.DirEntry[str]]:
    """Return numbered folders by key and number."""
    return sorted(_folders(parent), key=lambda folder: _attempt(folder.name))


def _attempt(name: str) -> tuple[str, int]:
    """Return the key and the number of a failed attempt from the name of its folder."""
    key, _, number = name.rpartition("-")
    return (key, int(number)) if number.isdigit() else (name, 0)


def _unfinished(parent: Path) -> list[str]:
    """Return the keys of a notebook for which there is work in progress or a lock file."""
    names = sorted(entry.name for entry in parent.iterdir())
    works = [name.removeprefix(_WORK).rpartition("-")[0] for name in names if name.startswith(_WORK)]
    return list(dict.fromkeys(works + [name.removeprefix(_LOCK) for name in names if name.startswith(_LOCK)]))


def _stamp(folder: os.DirEntry[str]) -> str:
    """Return what changes when the files that the tables are made of are not the same any more."""
    return " ".join(_version(f"{folder.path}/{file}") for file in (RECORD, RECORDS))


def _version(path: str) -> str:
    """Return what changes when a file is written or replaced; "" if it is not there."""
    try:
        status = os.stat(path)  # noqa: PTH116 (a Path for each of ten thousand runs takes longer than the call)
    except OSError:
        return ""
    return f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"


def _content(root: Path, entry: Entry) -> Content:
    """Return what a folder holds."""
    if entry.error:
        return Content(entry, error=entry.error)
    folder = root / entry.name
    try:
        lines = _bytes(folder, RECORDS) if entry.published else None
        return Content(entry, _bytes(folder, RECORD), lines or b"")
    except (OSError, ValueError) as error:
        return Content(entry, error=error)


def _bytes(folder: Path, name: str) -> bytes | None:
    """Return the content of a file, or None if it is not there."""
    try:
        return read_inside(folder, name)
    except FileNotFoundError:
        return None
