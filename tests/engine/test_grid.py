"""Grids, lists and spec files become plans, and everything that is wrong with them is reported at once, before anything runs."""

from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from masklib.engine import environments, grid
from masklib.engine.grid import _sample, describe, plan_sweep, varying
from masklib.errors import NotebookError, ParameterError
from tests.engine.conftest import START, Write, notebook

KINDS = "\n".join(
    [
        "n: int = 0  # n",
        "x: float = 0.5  # x",
        'cell: str = "lstm"  # cell',
        "flag: bool = True  # flag",
        "sizes: list = [1]  # sizes",
        'kind: str = "a"  # {a, b}',
    ]
)
SPECS = Path(__file__).parents[2] / "runs" / "specs"


@pytest.fixture
def kinds(write: Write) -> Path:
    """A notebook with a parameter of each type."""
    return write(START, name="kinds", parameters=KINDS)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one notebook, `kinds`, in which the caller stands."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "runs" / "specs").mkdir(parents=True)
    nbformat.write(notebook(START, parameters=KINDS), tmp_path / "notebooks" / "kinds.ipynb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(path: Path | str, name: str, given: Any) -> list[Any]:
    """The values of one parameter along the plan of a grid of it."""
    return [plan.parameters[name] for plan in plan_sweep(path, {name: given}).plans]


def spec(house: Path, text: str, name: str = "mine") -> Path:
    path = house / "runs" / "specs" / f"{name}.toml"
    path.write_text(text)
    return path


def refusal(*arguments: Any, **options: Any) -> str:
    with pytest.raises(ParameterError) as caught:
        plan_sweep(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("n", "3", [3]),
        ("n", "0:3", [0, 1, 2]),
        ("n", "0:100:40, 7", [0, 40, 80, 7]),
        ("n", "3:0:-1", [3, 2, 1]),
        ("n", "-2:0", [-2, -1]),
        ("x", "1, 2.5,1e-3", [1.0, 2.5, 0.001]),
        ("cell", "lstm, gru", ["lstm", "gru"]),
        ("cell", 'a,"b,c"', ["a", "b,c"]),
        ("cell", "0:3", ["0:3"]),
        ("cell", "a=b", ["a=b"]),
        ("flag", "true,False", [True, False]),
        ("sizes", "[1, 2],[3]", [[1, 2], [3]]),
        ("n", [4, 5], [4, 5]),
        ("n", range(2), [0, 1]),
        ("n", np.arange(2), [0, 1]),
        ("x", np.array([0.25, 1]), [0.25, 1.0]),
        ("sizes", [[1, 2], [3]], [[1, 2], [3]]),
    ],
)
def test_values_are_read_by_the_type_of_their_parameter(kinds: Path, name: str, given: Any, expected: list[Any]):
    found = values(kinds, name, given)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_a_grid_has_every_combination_the_last_name_first_and_fixed_values_in_each(kinds: Path):
    plans = plan_sweep(kinds, {"cell": "a,b", "n": "0:2"}, fixed={"x": "2", "flag": False}).plans
    found = [(p.parameters["cell"], p.parameters["n"], p.parameters["x"], p.parameters["flag"]) for p in plans]
    assert found == [("a", 0, 2.0, False), ("a", 1, 2.0, False), ("b", 0, 2.0, False), ("b", 1, 2.0, False)]


def test_lists_advance_together_within_a_grid(kinds: Path):
    plans = plan_sweep(kinds, {"cell": "a,b"}, lists={"n": [1, 2], "x": "0.1,0.2"}).plans
    found = [(p.parameters["n"], p.parameters["x"], p.parameters["cell"]) for p in plans]
    assert found == [(1, 0.1, "a"), (1, 0.1, "b"), (2, 0.2, "a"), (2, 0.2, "b")]


def test_without_a_grid_there_is_one_point(kinds: Path):
    assert len(plan_sweep(kinds).plans) == 1


def test_points_that_are_the_same_run_are_one_and_counted(kinds: Path):
    found = plan_sweep(kinds, {"n": "0,1,0", "x": [1, 1.0]})
    assert ([p.parameters["n"] for p in found.plans], found.duplicates) == ([0, 1], 4)


def test_a_point_is_called_by_the_parameters_that_vary(kinds: Path):
    plans = plan_sweep(kinds, {"n": "0:2", "cell": "a,b", "x": "2"}).plans
    names = varying(plans)
    assert names == {"kinds": ["n", "cell"]}
    assert [describe(plan, names["kinds"]) for plan in plans][1] == "n=0 cell=b"


def test_every_problem_of_a_grid_is_reported_at_once(kinds: Path):
    message = refusal(
        kinds,
        [("n", "1,two"), ("cel", "lstm"), ("kind", "a,c"), ("x", ""), ("flag", 3), ("cell", "a")],
        fixed=[("cell", "b")],
        lists={"sizes": "[1],2", "m": [1]},
    )
    assert message.startswith("The sweep cannot be planned, ")
    facts = [
        "n must be int, got 'two' (str)",
        "cel is unknown, did you mean cell?",
        "kind must be one of a, b, got 'c'",
        "x has no values, got ''",
        "flag must be a list of values or a text such as 0:20, got 3",
        "cell is given more than once",
        "sizes must be list, got 2 (int)",
        "lists advance together and must be of equal length: sizes has 2, m has 1",
        "m is unknown",
    ]
    assert [fact for fact in facts if fact not in message] == []


@pytest.mark.parametrize("given", ["5:0", "1:1", [], "0:5:0", "a:b"])
def test_a_range_without_values_or_that_is_none_is_refused(kinds: Path, given: Any):
    assert "n has no values" in (message := refusal(kinds, {"n": given})) or f"n must be int, got {given!r}" in message


def test_a_parameter_that_is_required_must_be_given(write: Write):
    path = write(START, parameters="n: int  # needed")
    assert "n (int) is missing" in refusal(path)
    assert values(path, "n", "1,2") == [1, 2]


def test_a_spec_has_several_notebooks_each_with_its_own_grid(house: Path, write: Write):
    path = write(START, name="other")
    spec(
        house,
        f"""
        title = "Two notebooks"
        [[sweep]]
        notebook = "kinds"
        [sweep.grid]
        n = "0:2"
        cell = ["a", "b"]
        [sweep.fixed]
        x = 3
        [[sweep]]
        notebook = "{path}"
        [sweep.lists]
        seed = [1, 2, 3]
        width = [1, 2.5, 3]
        """,
    )
    found = plan_sweep("mine")
    assert found.title == "Two notebooks"
    assert [p.notebook.name for p in found.plans] == ["kinds"] * 4 + ["other"] * 3
    assert [p.parameters["width"] for p in found.plans[4:]] == [1.0, 2.5, 3.0]
    assert [p.key for p in plan_sweep("runs/specs/mine.toml").plans] == [p.key for p in found.plans]


def test_a_notebook_goes_before_a_spec_of_its_name(house: Path):
    spec(house, "nonsense", name="kinds")
    assert plan_sweep("kinds").title == "kinds"


def test_what_is_neither_a_notebook_nor_a_spec_is_refused_with_what_there_is(house: Path):
    spec(house, "")
    with pytest.raises(NotebookError, match=r"there is no 'kindz'. Did you mean kinds\? Specs in runs/specs: mine\."):
        plan_sweep("kindz")


def test_every_problem_of_a_spec_is_reported_at_once(house: Path):
    spec(
        house,
        """
        titel = "A title"
        [[sweep]]
        notebook = "kindz"
        [[sweep]]
        grid = {n = [1]}
        [[sweep]]
        notebook = "kinds"
        gird = {n = [1]}
        lists = 3
        [[sweep]]
        notebook = "kinds"
        grid = {n = ["x"], m = [1]}
        """,
    )
    message = refusal("mine", {"n": "1"})
    facts = [
        "mine.toml: titel is unknown, did you mean title? (known: title, sweep)",
        "mine.toml: title is missing",
        "there is no 'kindz'. Did you mean kinds?",
        "sweep 2: notebook is missing",
        "sweep 3: gird is unknown, did you mean grid?",
        "sweep 3: lists must be a table, got 3",
        "kinds: n must be int, got 'x' (str)",
        "m is unknown",
        "mine.toml has its own parameters, more cannot be given with it",
    ]
    assert [fact for fact in facts if fact not in message] == []


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("title = ", "must be TOML: Invalid value"),
        ('title = "t"', "mine.toml: sweep is missing"),
        ('title = "t"\nsweep = []', "mine.toml: sweep is missing or empty"),
        ('title = "t"\n[sweep]\nnotebook = "kinds"', r"sweep must be written as \[\[sweep\]\]"),
        ('title = "t"\nsweep = [1]', "sweep 1 must be a table, got 1"),
    ],
)
def test_a_file_that_is_no_spec_is_refused(house: Path, text: str, fact: str):
    spec(house, text)
    with pytest.raises(ParameterError, match=fact):
        plan_sweep("mine")


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_committed_spec_can_be_planned(path: Path):
    found = plan_sweep(path)
    assert len(found.plans) > 1
    assert found.duplicates == 0


def test_a_point_outside_the_range_of_its_parameter_is_refused_before_anything_runs(write: Write):
    path = write("raise SystemExit", parameters="share: float = 0.5  # masked {0.05..0.95}\nn: int = 1  # {1..}")
    assert refusal(path, {"share": "0.1,1.5,0.9", "n": "0:3"}).splitlines()[1:] == [
        "- tiny: share must be from 0.05 to 0.95, got 1.5",
        "- tiny: n must be 1 or more, got 0",
    ]
    assert [plan.parameters["n"] for plan in plan_sweep(path, {"share": "0.05,0.95"}).plans] == [1, 1]


def test_there_are_committed_specs():
    assert list(SPECS.glob("*.toml"))


GRID = {"seed": "0:1000", "width": [0.5, 1.0, 2.0]}


def points_of(path: Path, **options: Any) -> list[tuple[int, float]]:
    plans = plan_sweep(path, GRID, **options).plans
    return [(plan.parameters["seed"], plan.parameters["width"]) for plan in plans]


def test_a_sample_is_drawn_from_the_grid_by_its_seed(write: Write):
    path = write()
    drawn = points_of(path, sample=50, seed=1)
    assert len(set(drawn)) == 50
    assert set(drawn) < set(points_of(path))
    assert drawn == sorted(drawn), "in the order of the grid"
    assert drawn == points_of(path, sample=50, seed=1)
    assert drawn != points_of(path, sample=50, seed=2)
    assert len({width for _, width in drawn}) == 3
    assert points_of(path, sample=3000, seed=1) == points_of(path, sample=9999) == points_of(path)


def test_a_sample_of_several_tables_is_drawn_from_all_of_them(write: Write, tmp_path: Path):
    for name in ("one", "two"):
        write(f"'{name}'", name=name)
    spec = tmp_path / "spec.toml"
    tables = [f'[[sweep]]\nnotebook = "{tmp_path}/{name}.ipynb"\ngrid = {{seed = "0:100"}}\n' for name in ("one", "two")]
    spec.write_text('title = "Both"\n' + "".join(tables))
    drawn = [(p.notebook.name, p.parameters["seed"]) for p in plan_sweep(spec, sample=40, seed=3).plans]
    assert len(drawn) == len(set(drawn)) == 40
    assert {name for name, _ in drawn} == {"one", "two"}
    assert drawn == sorted(drawn)


def test_a_sample_of_a_grid_that_is_larger_than_any_list_is_drawn_at_once(write: Write):
    path = write(parameters="\n".join(f"p{number}: int = 0" for number in range(10)))
    drawn = plan_sweep(path, {f"p{number}": "0:1000" for number in range(10)}, sample=5, seed=1).plans
    assert len({plan.key for plan in drawn}) == 5


def test_every_point_of_a_grid_is_drawn_about_as_often():
    counts = Counter(index for seed in range(400) for index in _sample(10, 5, seed))
    assert set(counts) == set(range(10))
    assert all(150 < count < 250 for count in counts.values()), counts  # 200 each; the deviation is 10


def test_an_empty_sample_is_refused(write: Write):
    with pytest.raises(ParameterError, match="one point or more, got 0"):
        plan_sweep(write(), sample=0)


def test_a_star_stands_for_every_environment_that_was_made_and_has_what_the_notebook_is_about(monkeypatch: pytest.MonkeyPatch):
    known = environments.load_environments()
    made = [known["keras-3.15-torch"], environments.find_environment("keras@3.9.2"), known["keras-2.10"]]
    monkeypatch.setattr(environments.Environment, "exists", True)
    monkeypatch.setattr(environments.Environment, "python_full_version", "3.11.7")
    monkeypatch.setattr(grid, "made", lambda: made)
    for values in ("current,*", ["current", "*"]):
        plans = plan_sweep("11_initial_state", {"environment": values}).plans
        assert [plan.parameters.get("environment", "current") for plan in plans] == ["current", *(one.name for one in made)]
    left_out = plan_sweep("09_empty_and_nan", {"environment": "*"}).plans
    assert [plan.parameters["environment"] for plan in left_out] == ["keras-3.15-torch", "keras@3.9.2"]


@pytest.mark.parametrize("values", [5, None, {"a": 1}])
def test_environments_that_are_no_list_are_a_problem_and_no_crash(values: Any):
    with pytest.raises(ParameterError, match="environment"):
        plan_sweep("11_initial_state", {"environment": values})


def test_a_star_is_a_plain_value_where_the_notebook_has_an_environment_of_its_own(write: Write):
    own = write("print(environment)", parameters='environment: str = "a"')
    assert [plan.parameters["environment"] for plan in plan_sweep(own, {"environment": ["*"]}).plans] == ["*"]
