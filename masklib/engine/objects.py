"""A store of runs on an object store, by any URL of fsspec: `s3://bucket/prefix`, `gs://bucket/prefix`, `memory://`.

```
<root>/<notebook>/<key>/            a run that ended well
<root>/<notebook>/failed/<key>-<t>/ an attempt, begun at time t, that did not
<root>/<notebook>/corrupt/          what could not be read, set aside
<root>/<notebook>/earlier/          runs that ended well, and were executed again since
```
Work happens in a local temporary folder. Its files are uploaded, `record.json` last: a run exists exactly if its record does.

An object store has no locks and no rename. Two machines that are given the same run at the same time both do it; of two equal
runs the first stays, and if they are uploaded at the same moment the last: both hold the same results, which the key names.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from upath import UPath

from masklib.claims.recording import RECORDS
from masklib.engine.files import store_error
from masklib.engine.locks import Lock
from masklib.engine.record import OK, RECORD, RUNNING, CorruptError, Record, parse_record, write_record
from masklib.engine.store import ASIDE, EARLIER, RESERVED, Content, Entry, Store, notebook_at, place_of
from masklib.errors import StoreError

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}  # of masklib, by protocol
BATCH = 256  # folders that are read at once
# For thousands of small files: more connections than s3fs's own ten, and no request for the size of each before it is read.
_S3_OPTIONS = {"config_kwargs": {"max_pool_connections": 50}, "max_concurrency": 1}
_MARKER = ".masklib"


class ObjectStore(Store):
    """Runs under one prefix of an object store.

    Its folders are `UPath`s, which have the methods of a `Path`.

    Args:
        url: of fsspec; credentials and endpoints come from the environment or fsspec's own configuration.

    Raises:
        StoreError: the protocol is unknown, or needs a library that is not installed.
    """

    def __init__(self, url: str):
        root = _open(url)
        self.root = cast("Path", root)
        self._fs: Any = root.fs
        self._base = root.path.rstrip("/")
        self._writable = False

    def exists(self) -> bool:
        """Return whether anything was ever written here."""
        with _told(f"{self.root} cannot be read"):
            return bool(self._fs.exists(self._base))

    def find(self, notebook: str, key: str) -> Record | None:
        """Return the record of a run that ended well, or None; a corrupt one is set aside first."""
        folder = self.folder(notebook, key)
        with _told(f"{folder} cannot be read"):
            content = self._record(f"{place_of(notebook)}/{key}")
        if content is None:
            return None
        try:
            return parse_record(content, folder)
        except CorruptError:
            self.set_aside(folder)
            return None

    def damage(self, notebook: str, keys: Iterable[str]) -> dict[str, CorruptError]:
        """Return {}: a service writes an object whole or not at all."""
        return {}

    def read(self, notebook: str, keys: Iterable[str]) -> Iterator[tuple[str, Record | CorruptError]]:
        """Yield the record of each published run of these keys, or why it cannot be one; many are read at once."""
        entries = [Entry(f"{place_of(notebook)}/{key}", True, "") for key in keys]
        for content in self._contents(entries, [RECORD]):
            key = content.entry.name.rpartition("/")[2]
            if content.error:
                msg = f"{self.folder(notebook, key) / RECORD} cannot be read"
                raise store_error(msg, content.error)
            try:
                yield key, parse_record(content.record or b"", self.folder(notebook, key))
            except CorruptError as error:
                yield key, error

    def lock(self, notebook: str, key: str) -> Lock | None:
        """Return a lock that keeps nobody out: object stores have none."""
        return Lock()

    def begin(self, record: Record) -> Path:
        """Return a new local work folder that holds `record` as running.

        Raises:
            StoreError: no local folder can be made, or the store cannot be written: raised before the work, not after it.
        """
        if not self._writable:
            with _told(f"A run needs a writable store, {self.root} is not"):
                self._fs.pipe_file(f"{self._base}/{_MARKER}", b"runs of masklib\n")
            self._writable = True
        with _told("A run needs a writable folder for temporary files"):
            work = Path(tempfile.mkdtemp(prefix=f"masklib-{record.key[:16]}-"))
            write_record(work, replace(record, status=RUNNING))
        return work

    def finish(self, work: Path, record: Record, *, again: bool = False) -> Path:
        """Upload `work` under its key if the run ended well, among the failed attempts if not; return where it is.

        Where the same run was published meanwhile, that one stays; `again` says that one which is there does not count, and puts
        it among the earlier ones.

        Raises:
            StoreError: a file could not be uploaded; the work folder is kept as it is, and nothing of the run is visible.
        """
        name = f"{place_of(record.notebook)}/{record.key}" if record.status == OK else _attempt_name(record)
        with _told(f"The run could not be published, its work is kept in {work}"):
            write_record(work, record)
            if again and record.status == OK:
                self._move_aside(name, EARLIER)
            if record.status != OK or self._record(name) is None:
                self._upload(work, f"{self._base}/{name}")
        shutil.rmtree(work)
        return self.root / name

    def entries(self) -> list[Entry]:
        """Return the published runs, then the failed attempts, each in order of notebook and key."""
        found = [e for name in self._notebooks() for e in self._listed(name) if e.name.split("/")[1] != EARLIER]
        return [entry for entry in found if entry.published] + [entry for entry in found if not entry.published]

    def earlier(self) -> list[Entry]:
        """Return the runs that were executed again since, in order of notebook and key."""
        return [entry for name in self._notebooks() for entry in self._listed(name, f"/{EARLIER}")]

    def remove(self, entry: Entry) -> None:
        """Remove a run or attempt, its record first: a reader then sees nothing of it."""
        with _told(f"{self.root / entry.name} cannot be removed"):
            self._fs.rm_file(self._path(entry, RECORD))
            rest = self._fs.find(f"{self._base}/{entry.name}")
            if rest:
                self._fs.rm(rest)

    def contents(self, entries: Sequence[Entry]) -> Iterator[Content]:
        """Yield what the folders of `entries` hold, in their order, many read at once; an error is kept there, not raised."""
        return self._contents(entries, [RECORD, RECORDS])

    def _contents(self, entries: Sequence[Entry], files: Sequence[str]) -> Iterator[Content]:
        """Yield some of the files of `entries`, as `contents` does."""
        for some in (entries[start : start + BATCH] for start in range(0, len(entries), BATCH)):
            paths = [self._path(entry, file) for file in files for entry in some if entry.published or file == RECORD]
            with _told(f"{self.root} cannot be read"):  # `cat` would take a * in a name for a pattern
                found = self._fs.cat_ranges(paths, None, None, on_error="return")
            by_path = dict(zip(paths, found, strict=True))
            yield from (self._content(entry, by_path) for entry in some)

    def keys(self, notebook: str) -> set[str]:
        """Return the keys of a notebook's published runs, from one listing."""
        return {entry.name.split("/")[1] for entry in self._listed(notebook) if entry.published}

    def attempts_of(self, notebook: str) -> dict[str, Path]:
        """Return the folder of the newest failed attempt by key, from one listing."""
        failed = [entry.name for entry in self._listed(notebook, "/failed")]
        return {name.rpartition("/")[2].partition("-")[0]: self.root / name for name in failed}

    def set_aside(self, folder: Path) -> Path | None:
        """Move a folder that cannot be read to `corrupt`; return where it is, or None if it is gone already.

        Raises:
            StoreError: it cannot be moved.
        """
        name = cast("UPath", folder).path.removeprefix(f"{self._base}/")
        with _told(f"{folder} cannot be read and cannot be set aside"):
            return self._move_aside(name, "corrupt")

    def _move_aside(self, name: str, aside: str) -> Path | None:
        """Move the objects of a folder below another one of its notebook; return where they are, None if there are none."""
        source = f"{self._base}/{name}"
        target = f"{name.split('/')[0]}/{aside}/{name.rpartition('/')[2]}-{uuid4().hex[:8]}"
        paths = self._fs.find(source)
        if not paths:
            return None
        self._fs.copy(paths, [f"{self._base}/{target}{path.removeprefix(source)}" for path in paths])
        self._fs.rm(paths)
        return self.root / target

    def recover(self) -> list[Path]:
        """Return [], for there is nothing to do: the work of a process that is gone was never here."""
        return []

    def _notebooks(self) -> list[str]:
        """Return the names of the notebooks that have runs here."""
        with _told(f"{self.root} cannot be listed"):
            try:
                found = self._fs.ls(self._base, detail=True)
            except FileNotFoundError:
                return []
        names = [info["name"].rstrip("/").rpartition("/")[2] for info in found if info["type"] == "directory"]
        return sorted(notebook_at(name) for name in names if name not in RESERVED and not name.startswith("."))

    def _listed(self, notebook: str, below: str = "") -> list[Entry]:
        """Return the runs and attempts of a notebook that have their record, from one listing."""
        with _told(f"{self.root / notebook} cannot be listed"):
            found = self._fs.find(f"{self._base}/{place_of(notebook)}{below}", detail=True)
        folders = sorted(path.removesuffix(f"/{RECORD}") for path in found if path.endswith(f"/{RECORD}"))
        stamps = [" ".join(_version(found.get(f"{folder}/{file}", {})) for file in (RECORD, RECORDS)) for folder in folders]
        names = [folder.removeprefix(f"{self._base}/") for folder in folders]
        return [entry for entry in map(_entry, names, stamps) if entry]

    def _record(self, name: str) -> bytes | None:
        """Return the bytes of the record of a folder, or None if the folder is not there."""
        try:
            return bytes(self._fs.cat_file(f"{self._base}/{name}/{RECORD}"))
        except FileNotFoundError:
            return None

    def _upload(self, work: Path, target: str) -> None:
        """Upload the files of `work`, and once all are there the record, which makes them visible."""
        files = [path for path in sorted(work.rglob("*")) if path.is_file() and path != work / RECORD]
        if files:
            self._fs.put(list(map(str, files)), [f"{target}/{path.relative_to(work).as_posix()}" for path in files])
        self._fs.pipe_file(f"{target}/{RECORD}", (work / RECORD).read_bytes())

    def _path(self, entry: Entry, file: str) -> str:
        """Return the path of a file as fsspec names it."""
        return f"{self._base}/{entry.name}/{file}"

    def _content(self, entry: Entry, found: dict[str, Any]) -> Content:
        """Return what a folder holds, from what reading its files gave: bytes, or an error."""
        record, lines = (found.get(self._path(entry, file), FileNotFoundError()) for file in (RECORD, RECORDS))
        errors = [each for each in (record, lines) if isinstance(each, Exception) and not isinstance(each, FileNotFoundError)]
        if errors:
            return Content(entry, error=errors[0])
        return Content(entry, record if isinstance(record, bytes) else None, lines if isinstance(lines, bytes) else b"")


def _open(url: str) -> UPath:
    """Return the root of a store; listings are not cached, for others write there too."""
    protocol = url.partition("://")[0]
    options: dict[str, Any] = {"use_listings_cache": False}
    if protocol in ("s3", "s3a"):
        options |= _S3_OPTIONS
    try:
        root: UPath = UPath(url, **options)
        root.fs  # noqa: B018 (made on first use)
    except ImportError as error:
        extra = f'pip install "masklib[{EXTRAS[protocol]}]"' if protocol in EXTRAS else str(error)
        msg = f"A store at {protocol}:// needs a library that is not installed: {extra}."
        raise StoreError(msg) from None
    except ValueError as error:
        msg = f"The store must be a folder or a URL that fsspec knows, got {url!r}: {error}."
        raise StoreError(msg) from None
    return root


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Raise any error of fsspec as a StoreError: each protocol's library has classes of its own."""
    try:
        yield
    except Exception as error:
        raise store_error(what, error) from error


def _attempt_name(record: Record) -> str:
    """Return the folder of a failed attempt: sorted by when it began, and never one of another machine."""
    begun = "".join(filter(str.isdigit, record.started))[:17]
    return f"{place_of(record.notebook)}/failed/{record.key}-{begun}-{uuid4().hex[:8]}"


def _version(info: dict[str, Any]) -> str:
    """Return what changes when an object is written again, as its service reports it; "" if it is not there."""
    return next((str(info[field]) for field in ("ETag", "etag", "md5Hash", "updated", "created", "mtime") if field in info), "")


def _entry(name: str, stamp: str) -> Entry | None:
    """Return the entry of a folder that holds a record; None for one that is neither run nor attempt."""
    match name.split("/"):
        case [_, key] if key not in ASIDE:
            return Entry(name, True, stamp)
        case [_, "failed" | "earlier", _]:
            return Entry(name, False, stamp)
        case _:
            return None
