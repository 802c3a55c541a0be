"""Fixtures shared by all tests: randomness from the test's name, sizes that cannot be confused, Keras on demand."""

import os
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest

# Before the first import of a backend, which reads these once.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

OF_THIS_MACHINE = os.environ.get("MASKLIB_ENVIRONMENTS")  # before a test sets another folder


class Sizes(NamedTuple):
    """Distinct primes, so that swapped axes cannot pass."""

    B: int = 3
    T: int = 7
    F: int = 2
    U: int = 5
    C: int = 11


@pytest.fixture
def sizes() -> Sizes:
    return Sizes()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded from the test's name: the same numbers alone, in any order, and in parallel."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    """Draw the weights of models from the test's name, too, where Keras has been imported."""
    if "keras" in sys.modules and hasattr(sys.modules["keras"].utils, "set_random_seed"):
        sys.modules["keras"].utils.set_random_seed(zlib.crc32(request.node.name.encode()))


@pytest.fixture(scope="session")
def keras() -> ModuleType:
    """Keras, imported by the first test that asks for it, so that tests of pure NumPy stay quick."""
    import keras

    return keras


@pytest.fixture
def with_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of environments that has the one of all releases of Keras 3, where there is one on this machine."""
    from masklib.engine import environments

    monkeypatch.delenv(environments.FOLDER_VARIABLE, raising=False)
    if OF_THIS_MACHINE:
        monkeypatch.setenv(environments.FOLDER_VARIABLE, OF_THIS_MACHINE)
    base = environments.find_environment(environments.RELEASES_ON)
    if not base.exists:
        pytest.skip("needs: make torch")
    there, root = base.folder, tmp_path / "environments"
    root.mkdir()
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(root))
    base.folder.symlink_to(there)
    return root


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where the tests are run that were left out here."""
    left_out = [name for name in ("slow", "full") if f"not {name}" in config.option.markexpr]
    where = {"slow": "make check", "full": "make check-full"}
    if left_out:
        said = "; ".join(f"those marked {name} are run by {where[name]}" for name in left_out)
        terminalreporter.write_line(f"Not all tests were run: {said}.")
