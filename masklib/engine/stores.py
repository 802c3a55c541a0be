"""The store at an address: a folder, or an object store."""

from pathlib import Path

from masklib.engine.store import Store


def open_store(url: str | Path = "runs") -> Store:
    """Return the store at a folder, or at a URL of fsspec such as `s3://bucket/prefix`.

    Args:
        url: a path or `file://` URL gives a `Store`; any other URL an `ObjectStore`, see `masklib.engine.objects`.

    Raises:
        StoreError: it is a file, or needs a library that is not installed.
    """
    text = str(url)
    for scheme in ("file://", "local://"):
        text = text.removeprefix(scheme)
    if "://" not in text:
        return Store(text)
    from masklib.engine.objects import ObjectStore  # fsspec is imported where it is needed

    return ObjectStore(text)
