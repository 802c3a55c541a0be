"""Holds an audit, and Keras's own warning, against the truth about an animal."""

import warnings
from dataclasses import dataclass
from typing import Any

import keras

import masklib
from masklib.errors import NoPaddingError
from tests.zoo.animals import Animal
from tests.zoo.feeding import Serving, serve

ACCUSATIONS = ("leak", "risk")

# fault: how the codes of the findings begin that are about it
CODES_OF: dict[str, tuple[str, ...]] = {
    "output": ("MSK10", "MSK11"),
    "batch": ("MSK120",),
    "future": ("MSK130",),
    "loss": ("MSK201", "MSK202", "MSK206"),
    "gradient": ("MSK203", "MSK201", "MSK202", "MSK206", "MSK401"),
    "metric": ("MSK301",),
    "batches": ("MSK303",),
    "statistics": ("MSK401",),
}
# A fault that follows from an earlier one of these need not be reported again: a wrong output makes a wrong loss.
BY_DEPTH = ("output", "batch", "future", "loss", "metric", "batches", "statistics", "gradient")


@dataclass(frozen=True)
class Outcome:
    """What was said of an animal.

    Attributes:
        animal: of whom.
        findings: what the audit found, notes too; None if it said that there is nothing to test without padding.
        warned: whether Keras warned that a mask is destroyed, while the model was built and called.
    """

    animal: Animal
    findings: tuple[Any, ...] | None
    warned: bool

    @property
    def accusations(self) -> list[str]:
        """The codes of the findings that say something is wrong."""
        return sorted({finding.code for finding in self.findings or () if finding.severity in ACCUSATIONS})

    @property
    def verdict(self) -> str:
        """What came of it: "found", "missed", "false alarm", "silent" or "no padding".

        A fault is found if a finding is about the deepest one.
        """
        if self.findings is None:
            return "no padding" if not self.animal.faults else "missed"
        if not self.animal.faults:
            return "false alarm" if self.accusations else "silent"
        expected = CODES_OF[deepest(self.animal.faults)]
        return "found" if any(code.startswith(expected) for code in self.accusations) else "missed"

    @property
    def peer_verdict(self) -> str:
        """The same for Keras's warning, about any fault."""
        if self.animal.faults:
            return "found" if self.warned else "missed"
        return "false alarm" if self.warned else "silent"


def deepest(faults: frozenset[str]) -> str:
    """Return the fault that the others may follow from."""
    return next(kind for kind in BY_DEPTH if kind in faults)


def examine(animal: Animal) -> Outcome:
    """Build an animal, call it once, and audit it."""
    model, warned = watch_keras(animal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            findings: tuple[Any, ...] | None = tuple(audit(animal, model))
        except NoPaddingError:
            findings = None
    return Outcome(animal, findings, warned)


def audit(animal: Animal, model: Any, seed: int = 0) -> list[Any]:
    """Return what the audit finds, given no more than a user would give."""
    options = {**animal.options, "seed": seed}
    if animal.given and animal.weighted:
        options["sample_weight"] = animal.weights(Serving())
    inputs = animal.inputs() if animal.inputs else None
    targets = animal.targets() if animal.targets else None
    return list(masklib.audit(model, inputs, targets, **options).findings)


def accused_by_chance(animal: Animal, seed: int) -> list[str]:
    """Return the codes of which a healthy animal with other weights is accused, in whatever the audit draws for the seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            findings = audit(animal, animal.build(seed), seed=seed)
        except NoPaddingError:
            return []
    return sorted({one.code for one in findings if one.severity in ACCUSATIONS})


def watch_keras(animal: Animal) -> tuple[Any, bool]:
    """Return the model, and whether Keras warned about a mask while it was built and called."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = animal.build()
        model(serve(animal.feeds, Serving(), "x"), training=False)
    return model, any("destroy the mask" in str(one.message) for one in caught)


def forget_models() -> None:
    """Let Keras forget the models of before, so that a zoo takes the memory of one."""
    keras.utils.clear_session()
