"""Notebooks of others, in real kernels: without our parameters, our recording, our form."""

import datetime
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_notebook

from masklib.cli.main import main
from masklib.engine.collect import collect
from masklib.engine.run import Result, execute_plan, plan_run
from masklib.engine.scraps import read_scraps
from masklib.engine.store import Store
from masklib.engine.summaries import load_results, summarize
from masklib.engine.sweep import sweep
from masklib.errors import NotebookError, ParameterError
from tests.engine.test_folders import printed

SCRAPBOOK = """from IPython.display import display
def glue(name, value):
    scrap = {"name": name, "data": value, "encoder": "json", "version": 1}
    display({"application/scrapbook.scrap.json+json": scrap}, raw=True, metadata={"scrapbook": {"name": name}})
"""


def save(path: Path, *cells: str, parameters: str | None = None, **kernel: str) -> Path:
    """Write a notebook of code cells, the first tagged `parameters` if there is such."""
    first = [] if parameters is None else [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    metadata = {"kernelspec": {"display_name": "", **kernel}} if kernel else {}
    nbformat.write(new_notebook(cells=[*first, *map(new_code_cell, cells)], metadata=metadata), path)
    return path


def run(path: Path, store: Store, parameters: dict[str, Any] | None = None) -> Result:
    return execute_plan(plan_run(path, parameters), store)


def test_a_notebook_without_a_parameters_cell_and_without_a_kernel_of_its_own_runs(tmp_path: Path, store: Store):
    path = save(tmp_path / "plain.ipynb", "print(6 * 7)")
    assert printed(run(path, store)) == ["42"]
    assert collect(store).runs["notebook"].to_list() == ["plain"]
    with pytest.raises(ParameterError, match="x is unknown, the notebook has none; tag the cell that assigns it 'parameters'"):
        plan_run(path, {"x": 1})


def test_two_parameters_cells_are_refused(tmp_path: Path):
    path = save(tmp_path / "two.ipynb", parameters="x = 1")
    node = nbformat.read(path, as_version=4)
    node.cells = [*node.cells, *nbformat.from_dict(node).cells]
    path.write_text(json.dumps(node))
    with pytest.raises(NotebookError, match="at most one code cell tagged 'parameters', it has 2"):
        plan_run(path)


AS_IT_IS = """\
'''A docstring.'''
from datetime import date
day = date(2024, 2, 29)
shape = (2, 3)
options = {"a": None}
half = shape[0] / 2
"""
SHOW = "print(repr(day), shape, options, half)"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "datetime.date(2024, 2, 29) (2, 3) {'a': None} 1.0"),
        (
            {"day": "2025-01-31", "shape": [4], "options": {"b": (1, datetime.date(2020, 1, 1))}, "half": 9},
            "datetime.date(2025, 1, 31) (4,) {'b': (1, datetime.date(2020, 1, 1))} 9",
        ),
    ],
)
def test_parameters_of_every_kind_reach_the_kernel_as_what_they_are(tmp_path: Path, store: Store, given: Any, shown: str):
    path = save(tmp_path / "n.ipynb", SHOW, parameters=AS_IT_IS)
    result = run(path, store, given)
    assert printed(result) == [shown]
    assert run(path, store, given).cached
    assert store.find("n", result.record.key) == result.record


def test_they_are_swept_in_workers_and_collected(tmp_path: Path):
    path = save(tmp_path / "n.ipynb", SHOW, parameters=AS_IT_IS)
    found = sweep(path, {"day": ["2025-01-31", datetime.date(2025, 2, 28)], "shape": "(4,5),[6]"}, runs=tmp_path / "runs", jobs=1)
    assert found.ok, found.to_frame()["reason"].to_list()
    runs = load_results(tmp_path / "runs").runs
    assert sorted(runs["param_day"]) == ["2025-01-31"] * 2 + ["2025-02-28"] * 2
    assert sorted(runs["param_shape"]) == ["(4, 5)"] * 2 + ["(6,)"] * 2
    assert set(runs["param_options"]) == {'{"a": null}'}


def test_parameters_named_as_ours_may_mean_something_else(tmp_path: Path, store: Store):
    path = save(
        tmp_path / "n.ipynb",
        "print(environment, backend, seed)",
        parameters="environment = 'prod'\nbackend = 'postgres'\nseed = 'x'",
    )
    result = run(path, store, {"backend": "sqlite"})
    assert printed(result) == ["prod sqlite x"]
    assert result.record.parameters == {"environment": "prod", "backend": "sqlite", "seed": "x"}


def test_our_recording_needs_neither_seed_nor_profile(tmp_path: Path, store: Store):
    start = "from masklib.claims import recording\nrun = recording.start(globals())\nrun.metric('m', 1)"
    assert run(save(tmp_path / "n.ipynb", start), store).record.status == "ok"
    assert collect(store).measurements["value"].to_list() == [1.0]


def test_numbers_that_scrapbook_records_are_measurements(tmp_path: Path):
    cells = [SCRAPBOOK, "glue('error', n / 10)\nglue('name', 'x')\nglue('scores', {'train': 1, 'valid': 0.5})"]
    path = save(tmp_path / "n.ipynb", *cells, parameters="n = 1")
    assert sweep(path, {"n": "1:3"}, runs=tmp_path / "runs", jobs=1).ok
    measured = load_results(tmp_path / "runs").measurements
    assert sorted(zip(measured["param_n"], measured["name"], measured["value"], strict=True)) == [
        *[(1, "error", 0.1), (1, "scores.train", 1.0), (1, "scores.valid", 0.5)],
        *[(2, "error", 0.2), (2, "scores.train", 1.0), (2, "scores.valid", 0.5)],
    ]
    assert summarize(measured, over="n").set_index("name")["mean"]["error"] == pytest.approx(0.15)


def output(data: dict[str, Any], **metadata: Any) -> Any:
    return nbformat.v4.new_output("display_data", data, metadata=metadata)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([output({"application/papermill.record+json": {"a": 1, "b": "x"}})], {"a": 1.0}),
        ([output({"application/papermill.record/text/plain": "np.float64(2.5)"}, scrapbook={"name": "g"})], {"g": 2.5}),
        ([output({"application/papermill.record/text/plain": "'text'"}, scrapbook={"name": "g"})], {}),
        (
            [output({"application/scrapbook.scrap.json+json": {"name": "a", "data": v, "encoder": "json"}}) for v in (1, True)],
            {"a": 1.0},
        ),
        ([output({"application/scrapbook.scrap.json+json": {"name": "a", "data": [1], "encoder": "pandas"}})], {}),
        ([output({"application/scrapbook.scrap.json+json": "broken"}, scrapbook="broken")], {}),
    ],
)
def test_records_of_other_tools_are_read_where_they_are(outputs: list[Any], expected: dict[str, float]):
    cell = new_code_cell("", outputs=outputs)
    assert read_scraps(new_notebook(cells=[cell])) == expected


def test_files_of_parameters_serve_run_and_sweep_and_options_go_before_them(tmp_path: Path):
    path = save(tmp_path / "n.ipynb", SHOW, parameters=AS_IT_IS)
    (tmp_path / "p.yaml").write_text("day: 2025-01-31\nshape: [4]\noptions: {b: '007'}\n")
    arguments = [str(path), "-f", str(tmp_path / "p.yaml"), "--runs", str(tmp_path / "runs"), "--json"]
    runner = CliRunner()
    one = runner.invoke(main, ["run", *arguments, "-p", "shape", "7,8"])
    many = runner.invoke(main, ["sweep", *arguments, "-g", "half=1,2", "--dry-run"])

    assert one.exit_code == many.exit_code == 0, one.output + many.output
    assert json.loads(one.stdout)["parameters"] == {"day": "2025-01-31", "shape": "(7, 8)", "options": {"b": "007"}}
    points = [point["parameters"] for point in json.loads(many.stdout)]
    assert [(point["day"], point["shape"], point["half"]) for point in points] == [("2025-01-31", [4], 1), ("2025-01-31", [4], 2)]
