"""Japanese Vowels: what is in the file, that another file is refused, and that the wheel gives the same bytes."""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from masklib.errors import ArgumentError
from masklib.experiments import vowels


def test_the_utterances_are_those_of_the_source():
    training, testing = vowels.load()
    lengths = [len(frames) for frames in training.frames + testing.frames]
    assert (min(lengths), max(lengths)) == (7, vowels.LONGEST)
    assert {frames.shape[1] for frames in training.frames + testing.frames} == {vowels.COEFFICIENTS}
    assert np.bincount(training.speakers).tolist() == [30] * vowels.SPEAKERS
    assert np.bincount(testing.speakers).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]  # as the source says
    frames = np.concatenate(training.frames).astype("float64")
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-5)


def test_the_file_is_the_one_that_the_checksum_names():
    assert hashlib.sha256(vowels.PATH.read_bytes()).hexdigest() == vowels.SHA256


def test_no_frame_looks_like_padding():
    assert all(frames.any(axis=1).all() for part in vowels.load() for frames in part.frames)


@pytest.mark.parametrize("damage", ["missing", "one byte", "cut"])
def test_another_file_is_refused_in_one_sentence(tmp_path: Path, damage: str):
    content = bytearray(vowels.PATH.read_bytes())
    path = tmp_path / "vowels.npz"
    if damage == "one byte":
        content[1000] ^= 1
    if damage != "missing":
        path.write_bytes(content[:5000] if damage == "cut" else content)
    with pytest.raises(ArgumentError, match=f"vowels.npz must be there with SHA-256 {vowels.SHA256}") as caught:
        vowels.load(path)
    assert ("missing" in str(caught.value)) == (damage == "missing")


@pytest.mark.parametrize(("padding", "start"), [("pre", 51), ("post", 0)])
def test_padding_stands_on_its_side_and_moves_nothing(padding: str, start: int):
    frames = [np.full((7, 2), 3.0, "float32"), np.full((29, 2), 5.0, "float32")]
    batch = vowels.pad(frames, 2, padding)
    assert batch.shape == (2, 58, 2)
    np.testing.assert_array_equal(batch[0, start : start + 7], frames[0])
    assert batch.sum() == 7 * 2 * 3 + 29 * 2 * 5


@pytest.mark.parametrize(("factor", "padding"), [(0, "post"), (1, "both")])
def test_a_factor_below_1_and_an_unknown_side_are_refused(factor: int, padding: str):
    with pytest.raises(ArgumentError, match=r"factor must be from 1 to 100, got 0|padding must be one of 'pre', 'post'"):
        vowels.pad([np.ones((7, 2), "float32")], factor, padding)


def as_text(part: vowels.Utterances) -> str:
    """Utterances as the source has them, one a line."""
    lines = (":".join([*(",".join(map(str, c)) for c in one.T.tolist()), str(s + 1)]) for one, s in zip(*part, strict=True))
    return "\n".join(["# a comment", "@data", *lines])


def test_the_script_reads_the_text_of_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    frames = [np.array([[1.5, -2.0], [0.25, 3.0]], "float32"), np.array([[0.1, 0.2]], "float32")]
    parts = [vowels.Utterances(frames, np.array([0, 8])), vowels.Utterances(frames[:1], np.array([4]))]
    wheel = tmp_path / vowels.WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        for member, part in zip(vowels.MEMBERS, parts, strict=True):
            archive.writestr(member, as_text(part))
    monkeypatch.setattr(vowels, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())

    made = vowels.make(wheel)

    assert made == vowels.make(wheel)
    with np.load(io.BytesIO(made)) as arrays:
        assert arrays["lengths"].tolist() == [2, 1, 2]
        assert arrays["speakers"].tolist() == [0, 8, 4]
        np.testing.assert_array_equal(arrays["frames"], np.concatenate([*frames, frames[0]]))


def test_another_wheel_is_refused(tmp_path: Path):
    wheel = tmp_path / vowels.WHEEL
    wheel.write_bytes(b"other")
    with pytest.raises(
        ArgumentError, match=r"The data are made of aeon-1.6.0-py3-none-any.whl with SHA-256 .* Download that one\."
    ):
        vowels.make(wheel)
