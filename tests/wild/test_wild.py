"""The audit is right about models of other projects: no leak is missed, no false alarm, little is left untested."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import pytest

from masklib.engine.environments import find_environment
from tests.wild.judging import ACCUSED, FOLLOWS, FOUND, MISSED, SILENT, UNDERSTATED, UNTESTED, Outcome, Said, examine, judge
from tests.wild.specimens import Specimen, all_specimens
from tests.wild.truth import Measured

ROOT = Path(__file__).parents[2]
OTHER_BACKENDS = 3  # every third specimen is enough there


@pytest.mark.full
@pytest.mark.parametrize("specimen", all_specimens(), ids=lambda one: one.name)
def test_the_audit_says_what_is_true(specimen: Specimen) -> None:
    keras.utils.clear_session()
    outcome = examine(specimen, made=False)
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.verdict in (FOUND, SILENT, UNTESTED), f"{outcome.cells}: {outcome.truth}, said {outcome.said}"


@pytest.mark.full
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_third_of_them_on_other_backends(backend: str) -> None:
    python = python_of(backend)
    names = [one.name for one in all_specimens() if backend in one.backends][::OTHER_BACKENDS]
    command = [python, "-W", "ignore", "-m", "tests.wild", *names]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"KERAS_BACKEND": backend}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"{len(names)} models on {backend}" in done.stdout


def python_of(backend: str) -> str:
    """Return a Python that has the backend, or skip."""
    if backend == "jax":
        pytest.importorskip("jax")
        return sys.executable
    environment = find_environment("keras-3.15-torch")
    if not environment.python.exists():
        pytest.skip("masklib env create keras-3.15-torch")
    return str(environment.python)


@pytest.mark.parametrize(
    ("is_moved", "said", "cell"),
    [
        (True, "leak", FOUND),
        (True, "passed", MISSED),
        (True, "not tested", UNTESTED),
        (False, "leak", ACCUSED),
        (False, "passed", SILENT),
        (False, "not tested", UNTESTED),
    ],
)
def test_what_was_said_is_held_against_what_is_true(is_moved: bool, said: str, cell: str) -> None:
    assert judge(is_moved, said) == cell


MOVED, STEADY = Measured(0.1), Measured(1e-7)


@pytest.mark.parametrize(
    ("truth", "said", "cell", "verdict"),
    [
        ({"output": MOVED, "loss": MOVED}, {"output": "leak"}, FOLLOWS, FOUND),
        ({"output": MOVED, "loss": MOVED}, {"output": "leak", "loss": "passed"}, UNDERSTATED, FOUND),
        ({"output": MOVED, "loss": STEADY}, {"output": "leak", "loss": "leak"}, FOLLOWS, FOUND),
        ({"output": STEADY, "loss": MOVED}, {"output": "passed", "loss": "passed"}, MISSED, MISSED),
        ({"output": STEADY, "loss": STEADY}, {"output": "passed", "loss": "leak"}, ACCUSED, ACCUSED),
        ({"output": STEADY, "loss": STEADY}, {"output": "passed"}, UNTESTED, UNTESTED),
        ({"output": STEADY, "loss": STEADY}, {"output": "passed", "loss": "passed"}, SILENT, SILENT),
    ],
)
def test_a_verdict_is_the_worst_of_its_kinds(truth: Any, said: Any, cell: str, verdict: str) -> None:
    outcome = Outcome(SimpleNamespace(), truth, Said(said))
    assert outcome.cells["loss"] == cell
    assert outcome.verdict == verdict


def test_noise_of_the_model_itself_is_not_a_leak() -> None:
    assert not Measured(5e-4, noise=1e-4).moved
    assert Measured(5e-4, noise=1e-6).moved
