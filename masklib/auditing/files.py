"""Checks of the files that a user gives to the audit, made before anything is unpacked; they do not need Keras.

A compressed file of a few kilobytes may unpack to more than the memory of the machine. So the sizes that the file declares are
read first, and a file above the limit is refused.
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
LIMIT_BYTES = 2 * 10**9  # 500 million weights in float32; with its gradients and a copy, the audit needs about four times that
CONFIG_BYTES = 10**8  # of all JSON in a `.keras`, which takes thirty times that in memory; a thousand layers need a megabyte
METADATA_BYTES = 2**20  # the metadata has some hundred bytes
SAVE = "Save the model by model.save('model.keras'); a SavedModel holds no layers."
ZIP = b"PK"  # the first bytes of an archive
RAISE = "If you expect this size, raise the limit by --max-size."


def is_in_code(given: str | Path) -> bool:
    """Return whether what is given has the form module:name and is not a file."""
    return has_code_form(str(given)) and not Path(given).exists()


def has_code_form(text: str) -> bool:
    """Return whether a text has the form module:name."""
    module, colon, name = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *name.split(".")))


def check_model_file(path: str | Path, limit_bytes: int = LIMIT_BYTES) -> Path:
    """Return the path of a file that may hold a model; only its metadata is unpacked.

    Args:
        path: of a `.keras` file, or of an older `.h5` file.
        limit_bytes: the largest size that it may have unpacked.

    Raises:
        ArgumentError: the path does not exist or is a folder, or the file is of another kind, damaged, encrypted or too large.
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
    """Return the metadata of a `.keras` file; None if it is not such a file."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("metadata.json") as file:
            found = json.loads(file.read(METADATA_BYTES))
    except Exception:  # a damaged, encrypted or foreign file fails in many ways
        return None
    return found if isinstance(found, dict) else None


def read_arrays(path: str | Path, limit_bytes: int = LIMIT_BYTES) -> "dict[str, NDArray[Any]]":
    """Return the arrays of a `.npz` or `.npy` file by name; the array of a `.npy` file is named "x".

    Args:
        path: of the file.
        limit_bytes: the largest size that it may have unpacked.

    Raises:
        ArgumentError: it does not hold plain arrays; or it is damaged, encrypted or too large.
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
        return {
            "x": np.array(np.load(path, mmap_mode="r", allow_pickle=False))
        }  # mapped, so that no more is read than the file holds
    except Exception as error:  # a damaged file fails in many ways
        why = str(error).partition("\n")[0] or type(error).__name__
        msg = f"--inputs must be a .npz or .npy file of plain arrays, {path} is not: {why}. Write it by np.savez(path, x=x)."
        raise ArgumentError(msg) from error


def _check_is_file(path: Path, required: str, remedy: str) -> None:
    """Raise unless a path is that of a file that can be read.

    Raises:
        ArgumentError: it does not exist, is a folder, or may not be read.
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
    """Raise if an archive is encrypted or too large.

    Raises:
        ArgumentError: it is.
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
    """Raise if something is too large once it is unpacked.

    Raises:
        ArgumentError: it is.
    """
    if size > limit_bytes:
        msg = f"{path} may hold at most {in_gb(limit_bytes)} unpacked, it declares {in_gb(size)}. {RAISE}"
        raise ArgumentError(msg)


def _unpacked_of_hdf5(path: Path, file: Any) -> int:
    """Return the bytes that an HDF5 file declares for all its arrays; 0 if it is not such a file, which Keras then reports.

    Raises:
        ArgumentError: one of its arrays is in another file, which could be any file of this machine.
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
        msg = f"{path} must hold all its arrays, {elsewhere[0]} is in another file. Save the model again: model.save(path)."
        raise ArgumentError(msg)
    return sum(sizes)


def in_gb(size: int) -> str:
    """Return a number of bytes as text, for a message."""
    return f"{size / 10**9:.3g} GB"
