"""Parameters are read from the notebook's own cell and refused before a kernel starts."""

from pathlib import Path
from typing import Any

import pytest

from masklib.engine.parameters import from_text, read_parameters, resolve
from masklib.errors import NotebookError, ParameterError

CELL = """\
cell: str = "lstm"  # recurrent cell {lstm, gru}
units: int = 3  # width
rate: float = 0.5  # learning rate, 1/step
shuffle: bool = False  # order
lengths: list = [1, 2]  # valid steps
text: str = "a#b = c"  # a literal with a hash and an equals sign
plain = 7
path: str  # no default: must be given
"""
GIVEN = {"path": "model.keras"}
DEFAULTS = {
    "cell": "lstm",
    "units": 3,
    "rate": 0.5,
    "shuffle": False,
    "lengths": [1, 2],
    "text": "a#b = c",
    "plain": 7,
    "path": "model.keras",
}


def resolved(**given: Any) -> dict[str, Any]:
    return resolve(read_parameters(CELL), GIVEN | given)


def test_defaults_are_filled_in_in_the_order_of_the_cell():
    assert list(resolved().items()) == list(DEFAULTS.items())


def test_help_and_choices_come_from_the_comment():
    cell = read_parameters(CELL)[0]
    assert (cell.help, cell.choices) == ("recurrent cell {lstm, gru}", ("lstm", "gru"))


def test_all_problems_are_told_at_once():
    with pytest.raises(ParameterError) as caught:
        resolve(read_parameters(CELL), {"unitz": 4, "units": "4", "cell": "rnn", "shuffle": 1})
    message = str(caught.value)
    for fact in (
        "unitz is unknown, did you mean units?",
        "units must be int, got '4' (str)",
        "cell must be one of lstm, gru, got 'rnn'",
        "shuffle must be bool, got 1 (int)",
        "path (str) is missing",
    ):
        assert fact in message


@pytest.mark.parametrize(("name", "value"), [("units", True), ("units", 3.0), ("rate", True), ("lengths", "1"), ("text", 1)])
def test_a_value_of_another_type_is_refused(name: str, value: Any):
    with pytest.raises(ParameterError, match=rf"{name} must be \w+, got"):
        resolved(**{name: value})


def test_an_int_is_taken_for_a_float_and_a_tuple_for_a_list():
    values = resolved(rate=1, lengths=(3,))
    assert (type(values["rate"]), values["lengths"]) == (float, [3])


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("units", "7", 7),
        ("rate", "1e-3", 1e-3),
        ("shuffle", "True", True),
        ("lengths", "[1, 2]", [1, 2]),
        ("lengths", "3,4", [3, 4]),
        ("lengths", "a,b", ["a", "b"]),
        ("text", "7", "7"),
    ],
)
def test_text_of_a_command_line_is_typed_by_the_notebook(name: str, text: str, value: Any):
    assert resolved(**from_text(read_parameters(CELL), {name: text}))[name] == value


@pytest.mark.parametrize(("name", "text"), [("units", "many"), ("units", "1.5"), ("shuffle", "yes"), ("lengths", "[1")])
def test_text_that_is_not_of_the_type_is_refused(name: str, text: str):
    with pytest.raises(ParameterError, match=f"{name} must be"):
        resolved(**from_text(read_parameters(CELL), {name: text}))


@pytest.mark.parametrize(
    "line",
    [
        "x: int = 1 + n",
        "x: int | None = None",
        "import os",
        "x: int = 'a'",
        "x: set = {1}",
        "a = b = 1",
        "x: str = 'c'  # {a, b}",
    ],
)
def test_a_line_that_is_not_a_parameter_is_refused(line: str):
    with pytest.raises(NotebookError, match="line 2"):
        read_parameters(f"seed: int = 0\n{line}")


def test_a_file_must_be_there_and_is_given_to_the_kernel_as_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.keras").write_bytes(b"")
    declared = read_parameters('model: str = ""  # a saved model {file}')

    assert resolve(declared, {}) == {"model": ""}
    assert resolve(declared, {"model": "model.keras"}) == {"model": str(tmp_path / "model.keras")}
    with pytest.raises(ParameterError, match=r"model must be a file, there is no other\.keras"):
        resolve(declared, {"model": "other.keras"})
