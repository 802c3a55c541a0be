"""The audit finds what is wrong with the faulty animals, and accuses none of the healthy ones."""

from typing import Any, NamedTuple

import pytest

from tests.zoo.animals import Animal, all_animals
from tests.zoo.keeping import Outcome, examine, watch_keras
from tests.zoo.marks import marks_of


def each(animals: list[Animal]) -> list[Any]:
    """Parameters of a test; the herd takes a minute, and those outside it take minutes together."""
    return [pytest.param(one, id=one.name, marks=marks_of(one.name)) for one in animals]


# Nothing in them is a sequence, and the audit says so.
WITHOUT_PADDING = {"mlp", "mlp-with-batch-norm", "dense-autoencoder", "dicts-in-and-out"}

FAULTY = each([one for one in all_animals() if one.faults])
HEALTHY = each([one for one in all_animals() if not one.faults])


@pytest.mark.parametrize("animal", FAULTY)
def test_what_is_wrong_is_found(animal: Animal) -> None:
    outcome = examine(animal)
    assert outcome.verdict == "found", f"{sorted(animal.faults)}: {animal.why} Accused of {outcome.accusations}."


@pytest.mark.parametrize("animal", HEALTHY)
def test_what_is_healthy_is_not_accused(animal: Animal) -> None:
    outcome = examine(animal)
    told = [(finding.code, finding.where, finding.evidence) for finding in outcome.findings or ()]
    assert outcome.verdict == ("no padding" if animal.name in WITHOUT_PADDING else "silent"), f"{animal.why} Accused: {told}"


class Said(NamedTuple):
    """A finding as the verdict sees it."""

    code: str
    severity: str


@pytest.mark.parametrize(
    ("faults", "said", "verdict"),
    [
        ("output loss gradient", Said("MSK101", "leak"), "found"),
        ("output loss gradient", Said("MSK201", "leak"), "missed"),
        ("output", Said("MSK101", "note"), "missed"),
        ("future", Said("MSK130", "risk"), "found"),
        ("metric", Said("MSK301", "leak"), "found"),
        ("gradient statistics", Said("MSK401", "leak"), "found"),
        ("", Said("MSK204", "note"), "silent"),
        ("", Said("MSK130", "risk"), "false alarm"),
    ],
)
def test_a_verdict_needs_a_finding_about_the_fault(faults: str, said: Said, verdict: str) -> None:
    animal = Animal("made-up", "", "tagger", False, lambda: None, None, faults=frozenset(faults.split()))
    assert Outcome(animal, (said,), warned=False).verdict == verdict


def test_nothing_said_or_nothing_tested_is_missed_or_silent() -> None:
    animal = Animal("made-up", "", "tagger", False, lambda: None, None, faults=frozenset({"loss"}))
    assert Outcome(animal, None, warned=False).verdict == "missed"
    assert Outcome(animal, (), warned=False).verdict == "missed"
    assert Outcome(animal, (), warned=True).peer_verdict == "found"


def test_the_warning_of_keras_is_heard() -> None:
    animals = {one.name: one for one in all_animals()}
    assert watch_keras(animals["flatten-to-dense"])[1]
    assert not watch_keras(animals["residual-plus-before-pooling"])[1]
