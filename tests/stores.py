"""What is in a store, as tests look at it."""

from pathlib import Path

from masklib.engine.collect import CACHE, Tables, collect
from masklib.engine.store import Store


def runs_in(store: Store) -> list[Path]:
    """The folders of the runs that ended well, in order of notebook and key."""
    return [store.root / entry.name for entry in store.entries() if entry.published]


def attempts_in(store: Store) -> list[Path]:
    """The folders of the failed attempts, in order of notebook, key and number."""
    return [store.root / entry.name for entry in store.entries() if not entry.published]


def read_by(store: Store) -> tuple[Tables, int]:
    """The tables, and how many folders were read for them."""
    kept, read = store.contents, []
    store.contents = lambda entries: (read.append(content) or content for content in kept(entries))
    try:
        return collect(store), len(read)
    finally:
        store.contents = kept


def read_anew(store: Store) -> tuple[Tables, int]:
    """As `read_by`, where nothing was read before."""
    (store.root / CACHE).unlink(missing_ok=True)
    return read_by(store)
