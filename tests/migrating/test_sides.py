"""Names and versions of the two sides."""

from dataclasses import replace
from pathlib import Path

import pytest

from masklib.engine import environments
from masklib.engine.environments import ABOUT, find_environment
from masklib.errors import ArgumentError, UnavailableError
from masklib.migrating import sides
from masklib.migrating.sides import Side, find_sides

TODAY = Side("today", "3.15.1", "tensorflow")


@pytest.fixture
def some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This Python has Keras 3.15.1 on TensorFlow; some environments were made."""
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(sides, "today", lambda: replace(TODAY))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    of_two_backends = ("keras-3.9-jax", "keras-3.9", "keras-3.13-jax", "keras-3.13")
    for name in (*of_two_backends, "keras-3.15-torch", "keras-2.15", "keras-2.12", "keras@3.4.1", "keras@3.4.0"):
        folder = find_environment(name).folder
        folder.mkdir()
        (folder / ABOUT).write_text('{"bytes": 1}')


def found(source: str | None, target: str) -> tuple[str, str]:
    return tuple(side.name for side in find_sides(source, target))  # type: ignore[return-value]


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    ("source", "target", "names"),
    [
        (None, "keras-2.15", ("today", "keras-2.15")),
        ("today", "3.4", ("today", "keras@3.4.1")),  # the newest of these
        ("2.15", "3.15", ("keras-2.15", "today")),  # TensorFlow, as the other side
        ("keras@3.4.1", "3.15", ("keras@3.4.1", "keras-3.15-torch")),  # PyTorch, as the other side
        ("3.15", "keras@3.4.0", ("keras-3.15-torch", "keras@3.4.0")),
        ("3.9", "3.13", ("keras-3.9", "keras-3.13")),  # as this Python, where either side has a choice
        ("3.9", "keras-3.13-jax", ("keras-3.9-jax", "keras-3.13-jax")),
        ("keras-3.15-torch", "today", ("keras-3.15-torch", "today")),  # one version, two backends
        ("2.15", "keras-2.15", ("keras-2.15", "keras-2.15")),  # one environment twice: nothing may differ
        ("2.1", "today", None),  # 2.12 and 2.15 are not 2.1
    ],
)
def test_a_side_is_an_environment_a_version_or_today(source: str | None, target: str, names: tuple[str, str] | None):
    if names is None:
        with pytest.raises(UnavailableError, match=r"Keras 2\.1, none was made"):
            found(source, target)
        return
    assert found(source, target) == names


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    ("source", "target", "error", "told"),
    [
        ("2.10", "today", UnavailableError, "masklib env create keras-2.10"),
        ("3.99.0", "today", UnavailableError, "masklib env create keras@3.99.0"),
        ("4", "today", UnavailableError, "Choose one of masklib env list"),
        ("keras-3.11", "today", UnavailableError, "masklib env create keras-3.11"),
        ("nope", "today", ArgumentError, "'nope'"),
    ],
)
def test_what_is_not_there_is_refused_with_what_to_make(source: str, target: str, error: type[Exception], told: str):
    with pytest.raises(error) as raised:
        found(source, target)
    assert told in str(raised.value)
