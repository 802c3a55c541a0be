"""What a file may be that is given to the audit, checked before anything of it is unpacked; Keras is not needed for it.

A compressed file of a few kilobytes may unpack to all memory there is. So what a file says of its size is read first, and more
than a limit is refused.
"""

import json
import math
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masklib.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".keras", ".h5", ".hdf5")
LIMIT_BYTES = 2 * 10**9  # 500 million weights in float32; the audit holds a model, its gradients and a copy: four times that
CONFIG_BYTES = 10**8  # of all JSON in a `.keras`, which takes thirty times that in memory; a thousand layers have a megabyte
METADATA_BYTES = 2**20  # it is some hundred bytes long
SAVE = "Save the model by model.save('model.keras'); a SavedModel holds no layers."
ZIP = b"PK"  # how an archive begins
RAISE = "If it is what you expect: --max-size."


def is_in_code(given: str | Path) -> bool:
    """Return whether what is given is module:name, and no file."""
    return has_code_form(str(given)) and not Path(given).exists()


def has_code_form(text: str) -> bool:
    """Return whether a text has the form module:name."""
    module, colon, name = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *name.split(".")))


def check_model_file(path: str | Path, limit_bytes: int = LIMIT_BYTES) -> Path:
    """Return the path of a file that may hold a model; nothing of it is unpacked but what it says of itself.

    Args:
        path: of a `.keras` file, or one of the older `.h5`.
        limit_bytes: the most that it may hold once it is unpacked.

    Raises:
        ArgumentError: there is nothing, a folder, or a file that is of another kind, damaged, encrypted or too large.
    """
    path = Path(path)
    _check_is_file(path, "MODEL must be a .keras file", SAVE)
    is_model = metadata(path) is not None if path.suffix == ".keras" else path.suffix in SUFFIXES
    if not is_model:
        msg = f"MODEL must be a .keras file, {path} is something else. {SAVE}"
        raise ArgumentError(msg)
    if path.suffix == ".keras":
        _check_archive(path, limit_bytes)
    else:
        _check_size(path, _unpacked_of_hdf5(path, path), limit_bytes)
    return path


def metadata(path: Path) -> dict[str, Any] | None:
    """Return what a `.keras` file says of itself; None if it is no such file."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("metadata.json") as file:
            told = json.loads(file.read(METADATA_BYTES))
    except Exception:  # a damaged, encrypted or foreign file fails in many ways
        return None
    return told if isinstance(told, dict) else None


def read_arrays(path: str | Path, limit_bytes: int = LIMIT_BYTES) -> "dict[str, NDArray[Any]]":
    """Return the arrays of a `.npz` or `.npy` file by name; that of a `.npy` is "x".

    Args:
        path: of the file.
        limit_bytes: the most that it may hold once it is unpacked.

    Raises:
        ArgumentError: there are no plain arrays in it; or it is damaged, encrypted or too large.
    """
    import numpy as np

    path = Path(path)
    _check_is_file(path, "--inputs must be a .npz or .npy file", "Write one by np.savez('batch.npz', x=x).")
    if zipfile.is_zipfile(path):
        _check_archive(path, limit_bytes)
    else:
        _check_size(path, path.stat().st_size, limit_bytes)
    try:
        with path.open("rb") as file:
            if file.read(len(ZIP)) == ZIP:
                file.seek(0)
                return dict(np.load(file, allow_pickle=False))
        return {"x": np.array(np.load(path, mmap_mode="r", allow_pickle=False))}  # mapped: no more than the file holds
    except Exception as error:  # a damaged file fails in many ways
        why = str(error).partition("\n")[0] or type(error).__name__
        msg = f"--inputs must be a .npz or .npy file of plain arrays, {path} is not: {why}. Write it by np.savez(path, x=x)."
        raise ArgumentError(msg) from error


def _check_is_file(path: Path, required: str, remedy: str) -> None:
    """Refuse what is no file that can be read.

    Raises:
        ArgumentError: there is nothing there, or a folder, or it may not be read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()
    except FileNotFoundError as error:
        msg = f"{required}, there is no {path}. {remedy}"
        raise ArgumentError(msg) from error
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        msg = f"{required}, {path} cannot be read: {getattr(error, 'strerror', None) or error}. {remedy}"
        raise ArgumentError(msg) from error
    if not stat.S_ISREG(mode):
        msg = f"{required}, {path} is {'a folder' if stat.S_ISDIR(mode) else 'no ordinary file'}. {remedy}"
        raise ArgumentError(msg)


def _check_archive(path: Path, limit_bytes: int) -> None:
    """Refuse an archive that is encrypted, or holds too much.

    Raises:
        ArgumentError: it is or does.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(one.flag_bits & 1 for one in members):
            msg = f"{path} must not be encrypted, it is. Unpack it with its password and pack it without one."
            raise ArgumentError(msg)
        _check_size(path, sum(one.file_size for one in members), limit_bytes)
        _check_size(path, sum(one.file_size for one in members if one.filename.endswith(".json")), CONFIG_BYTES)
        for one in members:
            if one.filename.endswith(SUFFIXES[1:]):
                with archive.open(one) as file:
                    _check_size(path, _unpacked_of_hdf5(path, file), limit_bytes)


def _check_size(path: Path, size: int, limit_bytes: int) -> None:
    """Refuse what is too large once it is unpacked.

    Raises:
        ArgumentError: it is.
    """
    if size > limit_bytes:
        msg = f"{path} may hold {in_gb(limit_bytes)} once it is unpacked, it says that it holds {in_gb(size)}. {RAISE}"
        raise ArgumentError(msg)


def _unpacked_of_hdf5(path: Path, file: Any) -> int:
    """Return the bytes of all arrays of a HDF5 file as it declares them; 0 if it is none, which Keras will say.

    Raises:
        ArgumentError: an array of it stands in another file, which could be any of this machine.
    """
    import h5py  # type: ignore[import-untyped] # it publishes no types

    sizes: list[int] = []
    elsewhere: list[str] = []

    def note(name: str, thing: Any) -> None:
        if isinstance(thing, h5py.Dataset):
            sizes.append(math.prod(thing.shape or (0,)) * thing.dtype.itemsize)
            elsewhere.extend([name] if thing.external or thing.is_virtual else [])

    def note_link(name: str, link: Any) -> None:
        elsewhere.extend([name] if isinstance(link, h5py.ExternalLink) else [])

    try:
        with h5py.File(file, "r") as opened:
            opened.visititems(note)
            opened.visititems_links(note_link)
    except Exception:  # a damaged file fails in many ways
        return 0
    if elsewhere:
        msg = (
            f"{path} must hold its arrays itself, {elsewhere[0]} stands in another file. Save the model again: model.save(path)."
        )
        raise ArgumentError(msg)
    return sum(sizes)


def in_gb(size: int) -> str:
    """Return a number of bytes for a message."""
    return f"{size / 10**9:.3g} GB"
