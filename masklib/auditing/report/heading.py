"""The conditions of an audit, at the top of its report: the model, date, versions, seed and batch."""

import datetime
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import keras
from packaging.version import Version

from masklib.auditing.invariance.results import PaddingCheck

GIVEN, MADE, NONE = "given", "made", "none"
TESTED = "3.15"  # the Keras on which all tests of masklib run


@dataclass(frozen=True)
class Heading:
    """The conditions of an audit.

    Attributes:
        source: the file of the model, or its name.
        date: of the audit, such as "2026-01-31".
        masklib: version.
        keras: version.
        backend: of Keras.
        seed: of all draws.
        samples: in the batch; 0 if nothing could be padded.
        steps: of each input that has steps, including padded ones, such as "9" or "9 and 5".
        inputs: "given" or "made".
        targets: "given", "made", or "none" if there is no loss.
    """

    source: str
    date: str
    masklib: str
    keras: str
    backend: str
    seed: int
    samples: int
    steps: str
    inputs: str
    targets: str

    def __str__(self) -> str:
        text = f"{self.source}, {self.date}: masklib {self.masklib}, Keras {self.keras} on {self.backend}; seed {self.seed}"
        if self.samples:
            text += f"; batch of {self.samples} samples x {self.steps} steps, {self.inputs}"
            text += f", targets {self.targets}" if self.targets not in (self.inputs, NONE) else ""
        return text + self.caution

    @property
    def caution(self) -> str:
        """A clause that says so if the Keras is another one than that on which masklib is tested; "" if it is that one."""
        is_tested = Version(self.keras).release[:2] == Version(TESTED).release
        return "" if is_tested else f"; masklib is tested on Keras {TESTED}, not on this one"

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict that JSON can hold."""
        return asdict(self)


def heading(model: Any, check: PaddingCheck, *, has_inputs: bool, has_loss: bool, seed: int) -> Heading:
    """Return the conditions of the audit of a model.

    Args:
        model: a Keras model.
        check: what was tested.
        has_inputs: whether the user gave inputs.
        has_loss: whether the model takes targets.
        seed: of all random numbers.
    """
    sizes = [valid.shape for valid in check.valid]
    steps = dict.fromkeys("x".join(map(str, shape[1:])) for shape in sizes)
    return Heading(
        source=str(model.name),
        date=datetime.datetime.now().astimezone().date().isoformat(),
        masklib=_own_version(),
        keras=keras.__version__,
        backend=keras.backend.backend(),
        seed=seed,
        samples=int(sizes[0][0]) if sizes else 0,
        steps=" and ".join(steps),
        inputs=GIVEN if has_inputs else MADE,
        targets=GIVEN if check.has_targets else MADE if has_loss else NONE,
    )


def _own_version() -> str:
    """Return the version of masklib; "from source" if it is not installed, as in the environments of the suite."""
    try:
        return version("masklib")
    except PackageNotFoundError:
        return "from source"
