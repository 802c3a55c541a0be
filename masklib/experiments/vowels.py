"""Japanese Vowels: 640 utterances of 7 to 29 frames by nine speakers, kept beside this module as `vowels.npz`.

*Source*: M. Kudo, J. Toyama, M. Shimbo, Multidimensional Curve Classification Using Passing-Through Regions, Pattern Recognition
Letters 20 (11-13), 1999, 1103-1111; UCI Machine Learning Repository, https://doi.org/10.24432/C5NS47. *Licence*: Creative Commons
Attribution 4.0 International (CC BY 4.0). *Changes*: numbers are float32, and the frames of all utterances stand in one array.

The file was made of the wheel of aeon on PyPI, which holds the data as text. These two lines make the same bytes again:

```
pip download --no-deps aeon==1.6.0
python -m masklib.experiments.vowels aeon-1.6.0-py3-none-any.whl vowels.npz
```
"""

import hashlib
import io
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklib.checks import check_between
from masklib.errors import ArgumentError
from masklib.experiments.data import padded_mask

Array = NDArray[Any]

PATH = Path(__file__).with_name("vowels.npz")
SHA256 = "5cb3074165bb92906735598189a8ece278cba0ae4468084824be56f54ed08a9b"
WHEEL = "aeon-1.6.0-py3-none-any.whl"
WHEEL_SHA256 = "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409"
MEMBERS = tuple(f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts" for part in ("TRAIN", "TEST"))
TRAINING, TESTING = 270, 370  # utterances; the source divides them so
SPEAKERS, COEFFICIENTS, LONGEST = 9, 12, 29


class Utterances(NamedTuple):
    """Some utterances.

    Attributes:
        frames: N arrays, float32 (length, F); each coefficient has mean 0 and standard deviation 1 over all frames of training.
        speakers: int (N,), from 0 to 8.
    """

    frames: list[Array]
    speakers: Array


def load(path: Path = PATH) -> tuple[Utterances, Utterances]:
    """Return the utterances for training, 270, and for testing, 370.

    Args:
        path: of the file.

    Raises:
        ArgumentError: the file is missing, or is not the one that was made of the source.
    """
    content = path.read_bytes() if path.is_file() else None
    found = "it is missing" if content is None else hashlib.sha256(content).hexdigest()
    if content is None or found != SHA256:
        msg = f"The data of {path.name} must be there with SHA-256 {SHA256}, {found}. Install masklib anew, or make it again."
        raise ArgumentError(msg)
    with np.load(io.BytesIO(content)) as arrays:
        frames, lengths, speakers = (arrays[name] for name in ("frames", "lengths", "speakers"))
    known = frames[: lengths[:TRAINING].sum()].astype("float64")
    scaled = ((frames - known.mean(axis=0)) / known.std(axis=0)).astype("float32")
    each = np.split(scaled, np.cumsum(lengths)[:-1])
    return Utterances(each[:TRAINING], speakers[:TRAINING]), Utterances(each[TRAINING:], speakers[TRAINING:])


def pad(frames: list[Array], factor: int, padding: str) -> Array:
    """Return utterances as one batch float32 (N, T, F), T = factor x 29, padded with 0 before ("pre") or after them ("post").

    Raises:
        ArgumentError: `factor` is below 1 or above 100, or `padding` is neither.
    """
    check_between("factor", factor, 1, 100)
    mask = padded_mask([len(one) for one in frames], factor * LONGEST, padding)
    batch = np.zeros((*mask.shape, frames[0].shape[1]), "float32")
    batch[mask] = np.concatenate(frames)
    return batch


def make(wheel: Path) -> bytes:
    """Return the content of `vowels.npz`, made of the wheel of aeon.

    Raises:
        ArgumentError: it is another wheel.
    """
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if (wheel.name, digest) != (WHEEL, WHEEL_SHA256):
        msg = f"The data are made of {WHEEL} with SHA-256 {WHEEL_SHA256}, got {wheel.name} with {digest}. Download that one."
        raise ArgumentError(msg)
    with zipfile.ZipFile(wheel) as archive:
        lines = [line for member in MEMBERS for line in archive.read(member).decode().splitlines()]
    read = [_utterance(line) for line in lines if line.strip() and line[0] not in "#@"]
    frames, speakers = zip(*read, strict=True)
    lengths = np.array([len(one) for one in frames], "int64")
    buffer = io.BytesIO()
    np.savez(buffer, frames=np.concatenate(frames), lengths=lengths, speakers=np.array(speakers, "int64"))
    return buffer.getvalue()


def _utterance(line: str) -> tuple[Array, int]:
    """Return the frames (length, F) and the speaker, from 0, of a line `c,c,...:c,c,...:speaker`."""
    *coefficients, speaker = line.strip().split(":")
    return np.array([one.split(",") for one in coefficients], "float32").T, int(speaker) - 1


def main() -> None:
    """Write the file, from the wheel that is the first argument to the path that is the second."""
    wheel, path = map(Path, sys.argv[1:3])
    path.write_bytes(make(wheel))


if __name__ == "__main__":
    main()
