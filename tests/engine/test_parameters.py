"""Parameters are read from the notebook's own cell and refused before a kernel starts."""

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from masklib.engine import values
from masklib.engine.declaring import read_parameters
from masklib.engine.parameter_files import read_files
from masklib.engine.parameters import from_text, resolve
from masklib.engine.values import as_json
from masklib.engine.worker import Job
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


def test_all_problems_are_reported_at_once():
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


@pytest.mark.parametrize("line", ["x: int = 'a'", "x: list[int] = 3", "x: Literal['a', 'b'] = 'c'", "x: int | None = 'a'"])
def test_a_default_that_is_not_of_its_type_is_refused(line: str):
    with pytest.raises(
        NotebookError, match=r"Each default in .* must be of the type and in the range that its line says; not so line 2 \("
    ):
        read_parameters(f"seed: int = 0\n{line}")


RANGES = """\
share: float = 0.5  # of the steps that are masked {0.05..0.95}
units: int = 3  # width {1..}
shift: float = 0.0  # added {..1e3}
level: int | None = None  # of the noise { -3 .. 3 }
size: int  # must be given {2..8}
half = size / 2  # computed {1..4}
text: str = "a"  # as the shell writes it {1..5}
kind: str = "a"  # {a, b}, of which there may be {1..2}
flag: bool = True  # {2..3}
"""


def test_the_range_of_a_number_comes_from_the_comment():
    found = {p.name: (p.least, p.most) for p in read_parameters(RANGES)}
    numbers = {
        "share": (0.05, 0.95),
        "units": (1, None),
        "shift": (None, 1000.0),
        "level": (-3, 3),
        "size": (2, 8),
        "half": (1, 4),
    }
    assert found == numbers | dict.fromkeys(("text", "kind", "flag"), (None, None))
    assert read_parameters(RANGES)[7].choices == ("a", "b")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("share", 1.5, "share must be from 0.05 to 0.95, got 1.5"),
        ("share", 0.04, "share must be from 0.05 to 0.95, got 0.04"),
        ("share", float("nan"), "share must be from 0.05 to 0.95, got nan"),
        ("units", 0, "units must be 1 or more, got 0"),
        ("shift", 1001, "shift must be 1000.0 or less, got 1001.0"),
        ("level", -4, "level must be from -3 to 3, got -4"),
        ("size", 9, "size must be from 2 to 8, got 9"),
        ("half", 0.5, "half must be from 1 to 4, got 0.5"),
    ],
)
def test_a_number_outside_its_range_is_refused_in_one_sentence(name: str, value: float, sentence: str):
    with pytest.raises(ParameterError) as caught:
        resolve(read_parameters(RANGES), {"size": 2, name: value})
    assert str(caught.value) == f"Parameters must be those of the notebook: {sentence}."
    declared = read_parameters(RANGES)
    with pytest.raises(ParameterError, match="must be"):
        resolve(declared, {"size": 2} | from_text(declared, {name: str(value)}))


def test_the_ends_of_a_range_and_what_is_no_number_are_allowed():
    ends = {"share": 0.95, "units": 1, "shift": -1e9, "level": 3, "size": 8, "half": 1, "text": "b", "flag": False}
    assert resolve(read_parameters(RANGES), ends) == ends | {"kind": "a"}
    assert resolve(read_parameters(RANGES), {"size": 2, "level": None, "half": "x"})["half"] == "x"


def test_a_default_outside_its_own_range_is_refused():
    with pytest.raises(NotebookError, match=r"not so line 2 \(share: float = 1\.5\): share must be from 0 to 1, got 1\.5\.$"):
        read_parameters("seed: int = 0\nshare: float = 1.5  # {0..1}")


def test_a_cell_that_is_no_python_is_refused():
    with pytest.raises(NotebookError, match="must be Python, line 1 is not"):
        read_parameters("x := <- 3")


def test_a_file_must_be_there_and_is_given_to_the_kernel_as_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.keras").write_bytes(b"")
    declared = read_parameters('model: str = ""  # a saved model {file}')

    assert resolve(declared, {}) == {"model": ""}
    assert resolve(declared, {"model": "model.keras"}) == {"model": str(tmp_path / "model.keras")}
    with pytest.raises(ParameterError, match=r"model must be a file, there is no other\.keras"):
        resolve(declared, {"model": "other.keras"})


AS_THEY_EXIST = """\
'''What this notebook needs.'''
%matplotlib inline
import datetime
from datetime import date
from typing import Literal, Optional

msg = None
rate: Optional[float] = None
steps: "int | None" = 10
mode: Literal["fast", "slow"] = "fast"
options = {"a": 1, "b": [1, 2]}
shape: tuple[int, ...] = (2, 3)
day = date(2024, 2, 29)
at: datetime.datetime = datetime.datetime(2024, 2, 29, 12, 30)
hour = 60 * 60
tiny = 10**-3
name = 'lr'  # the {name} of it
kind: str = "c"  # one of {a, b}
sizes: list = [
    1,
    2,
]  # over several lines
half = hour / 2
files = sorted(globals())
first, second = 1, "b"
left = right = 0
if hour > 3:
    extra = 1
"""


def test_cells_as_people_write_them_are_read():
    found = {p.name: p for p in read_parameters(AS_THEY_EXIST)}
    defaults = {name: p.default for name, p in found.items() if not p.computed}
    assert defaults == {
        "msg": None,
        "rate": None,
        "steps": 10,
        "mode": "fast",
        "options": {"a": 1, "b": [1, 2]},
        "shape": (2, 3),
        "day": date(2024, 2, 29),
        "at": datetime(2024, 2, 29, 12, 30),
        "hour": 3600,
        "tiny": 0.001,
        "name": "lr",
        "kind": "c",
        "sizes": [1, 2],
        "first": 1,
        "second": "b",
        "left": 0,
        "right": 0,
    }
    assert {name for name, p in found.items() if p.computed} == {"half", "files", "extra"}
    assert (found["mode"].choices, found["kind"].choices, found["sizes"].help) == (("fast", "slow"), (), "over several lines")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("msg", "hello", "hello"),
        ("msg", 3, 3),
        ("rate", 1, 1.0),
        ("rate", None, None),
        ("steps", None, None),
        ("mode", "slow", "slow"),
        ("options", {"c": (1,)}, {"c": (1,)}),
        ("shape", [4], (4,)),
        ("day", "2025-01-31", date(2025, 1, 31)),
        ("day", date(2025, 1, 31), date(2025, 1, 31)),
        ("at", pd.Timestamp("2025-01-31 10:00"), datetime(2025, 1, 31, 10)),
        ("half", 7, 7),
        ("extra", 2, 2),
        ("sizes", np.arange(2), [0, 1]),
        ("sizes", [np.float32(0.5), np.int64(3), np.bool_(True)], [0.5, 3, True]),
        ("hour", np.int64(5), 5),
        ("name", np.str_("x"), "x"),
    ],
)
def test_values_of_every_kind_are_taken_and_come_through_a_job(name: str, value: Any, expected: Any):
    found = resolve(read_parameters(AS_THEY_EXIST), {name: value})[name]
    assert (type(found), found) == (type(expected), expected)
    job = Job("n", "", "", "", {name: found}, {}, {}, "", "")
    again = Job.from_json(job.to_json()).parameters[name]
    assert (type(again), again) == (type(expected), expected)
    json.dumps(as_json(found))


@pytest.mark.parametrize(
    ("name", "value", "fact"),
    [
        ("sizes", [{1}], r"sizes: a parameter holds numbers, .* got \{1\} \(set\)"),
        ("sizes", {1}, r"sizes: a parameter holds numbers, .* got \{1\} \(set\)"),
        ("msg", object, r"msg: a parameter holds numbers"),
        ("name", "\ud800", r"name: a text must be one that UTF-8 can hold, got '\\ud800'"),
        ("options", {1: 2}, r"options: the keys of a dict must be texts, got 1 \(int\)"),
        ("hour", 1 << 5000, r"hour: an int must have at most 4096 bits"),
        ("hour", None, r"hour must be int, got None"),
        ("day", "31.1.2025", r"day must be date, got '31.1.2025' \(str\)"),
        ("mode", "medium", r"mode must be one of fast, slow, got 'medium'"),
        ("rate", "x", r"rate must be float or None, got 'x'"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_one_sentence(name: str, value: Any, fact: str):
    with pytest.raises(ParameterError, match=fact) as caught:
        resolve(read_parameters(AS_THEY_EXIST), {name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rate", "None", None),
        ("rate", "0.5", 0.5),
        ("shape", "4,5", (4, 5)),
        ("options", "{'x': 1}", {"x": 1}),
        ("day", "2025-01-31", date(2025, 1, 31)),
        ("half", "2.5", 2.5),
        ("half", "True", True),
        ("half", "None", None),
        ("half", "some words", "some words"),
    ],
)
def test_text_of_a_command_line_is_read_for_every_kind(name: str, text: str, value: Any):
    declared = read_parameters(AS_THEY_EXIST)
    assert resolve(declared, from_text(declared, {name: text}))[name] == value


@pytest.mark.parametrize("text", ["9**9**9", "'a' * 10**9", "__import__('os')", "[x for x in ()]", "{1: 2}", "1j", "open('x')"])
def test_what_would_run_code_or_fill_the_memory_is_no_value(text: str):
    with pytest.raises(ValueError, match=r"."):
        values.read(text)
    assert read_parameters(f"x = {text}")[0].computed


def test_a_parameter_of_another_language_is_one_that_its_cell_assigns():
    r = "alpha <- 0.5  # rate\nn = 3L\nx == 2\nprint(n)"
    assert [p.name for p in read_parameters(r, language="R")] == ["alpha", "n"]
    assert [p.name for p in read_parameters('export WHO="me"\nn=3', language="bash")] == ["WHO", "n"]


def test_files_give_typed_values_and_the_last_one_wins(tmp_path: Path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.json"
    first.write_text("msg: '007'\nday: 2025-01-31\nshape: [1, 2]\nsteps: null\nhour: 1")
    second.write_text('{"hour": 2, "options": {"k": 1.5}}')
    declared = read_parameters(AS_THEY_EXIST)
    found = resolve(declared, read_files((first, second)))
    assert {name: found[name] for name in ("msg", "day", "shape", "steps", "hour", "options")} == {
        "msg": "007",
        "day": date(2025, 1, 31),
        "shape": (1, 2),
        "steps": None,
        "hour": 2,
        "options": {"k": 1.5},
    }
    assert type(found["msg"]) is str


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"- 1", "must give parameters by name, such as `seed: 3` on a line; it holds list"),
        (b"1: 2", "must give parameters by name"),
        (b"", "it holds NoneType"),
        (b"a: [", "must be YAML or JSON"),
        (b"a: !!python/object:os.system x", "must be YAML or JSON"),
        (b"\xff\xfe", "must be YAML or JSON"),
        (None, "must be a file that can be read: No such file"),
    ],
)
def test_a_file_that_gives_no_parameters_is_refused(tmp_path: Path, content: bytes | None, fact: str):
    path = tmp_path / "p.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ParameterError, match=fact) as caught:
        read_files((path,))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_a_default_is_beside_the_notebook(tmp_path: Path):
    (tmp_path / "data.csv").write_text("")
    declared = read_parameters('data: str = "data.csv"  # what is read {file}')
    assert resolve(declared, {}, tmp_path) == {"data": str(tmp_path / "data.csv")}
    with pytest.raises(ParameterError, match=r"data must be a file, there is no data\.csv"):
        resolve(declared, {}, tmp_path / "elsewhere")
