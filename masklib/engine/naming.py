"""Names for notebooks in tables: their own, with as much of their folder as it takes to tell them apart."""

from collections.abc import Iterable, Mapping
from pathlib import PurePath

Origin = tuple[str, str | None]  # a notebook's name, and its folder as `masklib.engine.record.Record` has it


def tell_apart(origins: Iterable[Origin]) -> Mapping[Origin, str]:
    """Return a name for each notebook: `study`, or `first/study` and `second/study` where two folders have one of this name."""
    found = set(origins)
    folders: dict[str, set[str]] = {}
    for name, folder in found:
        if folder is not None:
            folders.setdefault(name, set()).add(folder)
    return {(name, folder): _label(name, folder, folders.get(name, set())) for name, folder in found}


def _label(name: str, folder: str | None, folders: set[str]) -> str:
    """Return the name of one notebook, with the last parts of its folder that no other folder ends with."""
    if not folder or len(folders) == 1:
        return name
    parts = PurePath(folder).parts
    others = [PurePath(other).parts for other in folders if other != folder]
    count = next((n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in others)), len(parts))
    return "/".join([*parts[-count:], name])
