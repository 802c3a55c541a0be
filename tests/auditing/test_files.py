"""A file that would fill the memory, or cannot be read, is refused before anything is unpacked."""

import json
import os
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from masklib.auditing.files import check_model_file, is_in_code, read_arrays
from masklib.errors import ArgumentError

LIMIT = 2**20


def model_file(path: Path, **members: bytes) -> Path:
    """A `.keras` file with the usual members, and these."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"metadata.json": json.dumps({"keras_version": "3.0.0"}).encode(), **members}.items():
            archive.writestr(name, content)
    return path


def encrypt(path: Path) -> Path:
    """Mark all members as encrypted."""
    content = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(magic)
        while start >= 0:
            content[start + at] |= 1
            start = content.find(magic, start + 1)
    path.write_bytes(content)
    return path


def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path):
    bomb = model_file(tmp_path / "bomb.keras", big=bytes(2 * LIMIT))
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(2 * LIMIT, np.uint8))
    assert bomb.stat().st_size < LIMIT / 10

    with pytest.raises(ArgumentError, match=r"may hold at most 0\.00105 GB unpacked.*0\.0021 GB.*--max-size"):
        check_model_file(bomb, LIMIT)
    with pytest.raises(ArgumentError, match=r"--max-size"):
        read_arrays(tmp_path / "bomb.npz", LIMIT)
    assert check_model_file(bomb, 3 * LIMIT) == bomb
    assert read_arrays(tmp_path / "bomb.npz", 3 * LIMIT)["x"].shape == (2 * LIMIT,)


@pytest.mark.parametrize("nested", [True, False])
def test_weights_that_unpack_to_more_than_the_limit_are_refused(tmp_path: Path, nested: bool):
    weights = tmp_path / "model.weights.h5"
    with h5py.File(weights, "w") as file:
        file.create_dataset("layers/dense", (2 * LIMIT,), "u1", chunks=True, compression="gzip")
    path = model_file(tmp_path / "model.keras", **{"model.weights.h5": weights.read_bytes()}) if nested else weights

    with pytest.raises(ArgumentError, match="--max-size"):
        check_model_file(path, LIMIT)
    assert check_model_file(path, 3 * LIMIT) == path


def test_what_is_encrypted_or_cut_is_refused_in_a_sentence(tmp_path: Path):
    np.savez(tmp_path / "x.npz", x=np.arange(9))
    whole = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 255
    (tmp_path / "damaged.npz").write_bytes(damaged)
    with pytest.raises(ArgumentError, match=r"of plain arrays, .* is not"):
        read_arrays(tmp_path / "cut.npz")
    with pytest.raises(ArgumentError, match=r"of plain arrays, .* is not"):
        read_arrays(tmp_path / "damaged.npz")
    with pytest.raises(ArgumentError, match="must not be encrypted"):
        read_arrays(encrypt(tmp_path / "x.npz"))
    with pytest.raises(ArgumentError, match="must not be encrypted"):
        check_model_file(encrypt_but_metadata(tmp_path / "m.keras"))


def encrypt_but_metadata(path: Path) -> Path:
    """A model file of which a part is encrypted."""
    model_file(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")
    content = bytearray(path.read_bytes())
    last = content.rfind(b"PK\x01\x02")
    content[last + 8] |= 1
    (local,) = struct.unpack_from("<I", content, last + 42)
    content[local + 6] |= 1
    path.write_bytes(content)
    return path


def test_an_array_that_declares_more_than_the_file_holds_is_refused(tmp_path: Path):
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (10**6, 10**6)})
    with pytest.raises(ArgumentError, match="is not"):
        read_arrays(tmp_path / "huge.npy")


@pytest.mark.parametrize("metadata", [b"5", b"[1]", b"[" * 200_000, b"", b"\xff"])
def test_a_file_without_the_metadata_of_a_model_is_refused(tmp_path: Path, metadata: bytes):
    with pytest.raises(ArgumentError, match="is something else"):
        check_model_file(model_file(tmp_path / "m.keras", **{"metadata.json": metadata}))


def test_what_is_no_file_is_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.keras")
    for name, match in {"pipe.keras": "no ordinary file", "x" * 300: "cannot be read", "a\0b": "cannot be read"}.items():
        with pytest.raises(ArgumentError, match=match):
            check_model_file(tmp_path / name)
        with pytest.raises(ArgumentError, match=match):
            read_arrays(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:b", True),
        ("a.b:c.d", True),
        ("model.keras", False),
        (":b", False),
        (".x:X", False),
        ("s3://a/b", False),
        ("a:", False),
    ],
)
def test_what_is_made_by_code_is_distinguished_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: bool
):
    monkeypatch.chdir(tmp_path)
    assert is_in_code(text) is expected
    if expected:
        Path(text).touch()
        assert not is_in_code(text)


def test_arrays_in_another_file_are_refused(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"TOP-SECRET")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(9)
    made = {name: tmp_path / f"{name}.h5" for name in ("external", "linked", "virtual")}
    with h5py.File(made["external"], "w") as file:
        file.create_dataset("x", (10,), "u1", external=[(str(secret), 0, 10)])
    with h5py.File(made["linked"], "w") as file:
        file["x"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "x")
    with h5py.File(made["virtual"], "w") as file:
        layout = h5py.VirtualLayout((9,), "i8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (9,))
        file.create_virtual_dataset("x", layout)
    for name, path in made.items():
        nested = model_file(tmp_path / f"{name}.keras", **{"model.weights.h5": path.read_bytes()})
        for one in (path, nested):
            with pytest.raises(ArgumentError, match="x is in another file"):
                check_model_file(one)


def test_a_configuration_that_needs_all_memory_is_refused(tmp_path: Path):
    path = model_file(tmp_path / "m.keras", **{"config.json": b" " * (10**8 + 1)})
    with pytest.raises(ArgumentError, match=r"may hold at most 0\.1 GB unpacked"):
        check_model_file(path)
