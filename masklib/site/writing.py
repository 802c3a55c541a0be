"""Writing a site: a file is written only when its content changes, and removed when it is no longer made."""

import os
from collections.abc import Iterable
from pathlib import Path

from masklib.engine.files import store_error
from masklib.errors import StoreError


class Writer:
    """Files below one folder.

    Attributes:
        folder: where they are.
        changed: whether anything was written or removed.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.changed = False
        self._kept: set[str] = set()

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file, unless it is there with this content.

        Raises:
            StoreError: the disk is full, or the folder not writable.
        """
        data = content.encode() if isinstance(content, str) else content
        path = self.folder / name
        self._kept.add(name)
        try:
            if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            msg = f"The site cannot be written to {path}"
            raise store_error(msg, error) from None
        self.changed = True

    def keep(self, name: str) -> bool:
        """Return whether a file whose name follows from its content is there already; it is then not removed."""
        self._kept.add(name)
        return (self.folder / name).is_file()

    def pages(self) -> list[str]:
        """Return the names of the pages that were written, without their suffix, in order."""
        return sorted(name.rpartition(".")[0] for name in self._kept if name.endswith((".md", ".ipynb")))

    def prune(self, below: Iterable[str] = (".",)) -> None:
        """Remove the files in these folders that were not written, and the folders that are empty then."""
        for name in below:
            for parent, _, files in os.walk(self.folder / name, topdown=False):
                for file in files:
                    path = Path(parent, file)
                    if path.relative_to(self.folder).as_posix() not in self._kept:
                        path.unlink()
                        self.changed = True
                if not os.listdir(parent):  # noqa: PTH208 (a list, at once)
                    Path(parent).rmdir()


def check_own(out: Path, mark: str) -> None:
    """Raise a StoreError if `out` holds files and no earlier site: it would be overwritten."""
    if out.is_dir() and any(out.iterdir()) and not (out / mark).exists():
        msg = f"The site needs a folder of its own, {out} holds other files. Give another with --out."
        raise StoreError(msg)
