"""What is given in a form that it may not have ends in one sentence, at once."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from masklib.cli.main import main
from masklib.engine.collect import collect
from masklib.engine.limits import Limits
from masklib.engine.run import execute_plan, plan_run
from masklib.engine.store import Store
from masklib.errors import ArgumentError
from tests.engine.conftest import START, Write

SOURCE = (
    "seed: int = 0\nprofile: str = 'smoke'\nx: float = 1.0\nl: list = []\nname: str = ''\nb: int = 0\ndata: str = ''  # {file}"
)
CELL = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": SOURCE, "outputs": [], "execution_count": None}
PROSE = {"cell_type": "markdown", "metadata": {}, "source": "text"}


def notebook(**parts: Any) -> str:
    """The text of a notebook file with other parts."""
    return json.dumps({"cells": [CELL], "metadata": {}, "nbformat": 4, "nbformat_minor": 4, **parts})


def with_cell(**parts: Any) -> str:
    """The text of a notebook file whose cell has other parts."""
    return notebook(cells=[{**CELL, **parts}])


NOTEBOOKS = {
    "metadata that are a list": notebook(metadata=[]),
    "metadata that are null": notebook(metadata=None),
    "cells that are null": notebook(cells=None),
    "a cell that is null": notebook(cells=[None, CELL]),
    "a cell that is a number": notebook(cells=[5]),
    "a minor version that is null": notebook(nbformat_minor=None),
    "a version of the future": notebook(nbformat=99),
    "no cells of version 3": json.dumps({"worksheets": None, "metadata": {}, "nbformat": 3, "nbformat_minor": 0}),
    "a source that is null": with_cell(source=None),
    "a source of numbers": with_cell(source=[1]),
    "tags that are null": with_cell(metadata={"tags": None}),
    "tags that are numbers": with_cell(metadata={"tags": [1]}),
    "metadata of a cell that are a list": with_cell(metadata=[]),
    "outputs that are null": with_cell(outputs=None),
    "a surrogate in a cell": with_cell(source=f"{SOURCE}\nz: str = '\ud800'"),
    "a surrogate in prose": notebook(cells=[CELL, {**PROSE, "source": "\udfff"}]),
    "a null character": with_cell(source=f"{SOURCE}\0"),
    "a default that is nested deep": with_cell(source="x: int = " + "-" * 100_000 + "1"),
    "metadata of papermill that are a list": notebook(metadata={"papermill": []}),
    "a kernel that is a list": notebook(metadata={"kernelspec": []}),
    "a list": "[]",
    "nothing": "",
    "NaN": "NaN",
    "lists nested deep": "[" * 200_000,
    "no UTF-8": "\udcff",
}
SPECS = {
    "nested deep": "title='x'\nsweep=" + "[" * 20_000,
    "no UTF-8": "\udcff",
    "too many points": "title='x'\n[[sweep]]\nnotebook='a.ipynb'\n[sweep.grid]\nseed='0:1000000000000000'",
    "a device": "title='x'\n[[sweep]]\nnotebook='/dev/zero'",
    "a null character": "title='x'\n[[sweep]]\nnotebook='a\\u0000b'",
    "dates": "title='x'\n[[sweep]]\nnotebook='a.ipynb'\n[sweep.grid]\nseed=[1979-05-27]",
}
POINTS = [
    ["-g", "seed=0:1000000000000000"],
    ["-g", "seed=0:100000", "-g", "b=0:100"],
    ["-g", "seed=0:999999", "-g", "b=0:999999"],
    ["-g", "seed=0:10:-0"],
    ["-g", f"seed=0:{'9' * 30}"],
    ["-g", f"seed={'9' * 5000}"],
    ["-g", f"l={'[' * 100_000}"],
    ["-g", "name=\udcff"],
    ["-p", "data", "x" * 300],
    ["--timeout", "inf"],
    ["--timeout", "nan"],
    ["--cell-timeout", "1e300"],
    ["--memory", "9" * 400],
    ["--runs", "x" * 300],
    ["--runs", "pipe"],
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a notebook that is right and a pipe."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.ipynb").write_text(notebook())
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def refused(arguments: Sequence[str]) -> Result:
    """The end of a command that must be refused, in a sentence; one that counts for ever is ended by the limit of a test."""
    ended = CliRunner().invoke(main, list(arguments))
    assert isinstance(ended.exception, SystemExit), ended.exception
    assert ended.exit_code in (1, 2)
    assert any(line.startswith(("masklib: ", "Error: ")) for line in ended.stderr.splitlines()), ended.stderr
    return ended


@pytest.mark.filterwarnings("ignore")  # nbformat warns before it refuses
@pytest.mark.parametrize("kind", NOTEBOOKS)
def test_a_notebook(folder: Path, kind: str):
    (folder / "bad.ipynb").write_bytes(NOTEBOOKS[kind].encode("utf-8", "surrogateescape"))
    for command in (["run", "bad.ipynb"], ["sweep", "bad.ipynb", "-g", "seed=0,1"]):
        refused(command)
    assert not (folder / "runs").exists()


def test_a_default_that_is_no_unicode_is_left_to_the_notebook(write: Write, store: Store):
    assert execute_plan(plan_run(write(START, parameters="z: str = '\\ud800'")), store)
    assert collect(store).runs["status"].to_list() == ["ok"]


@pytest.mark.parametrize("kind", SPECS)
def test_a_spec(folder: Path, kind: str):
    (folder / "bad.toml").write_bytes(SPECS[kind].encode("utf-8", "surrogateescape"))
    refused(["sweep", "bad.toml"])


@pytest.mark.parametrize("options", POINTS, ids=lambda options: options[-1][:24].encode("ascii", "backslashreplace").decode())
def test_points_and_limits(folder: Path, options: list[str]):
    refused(["sweep", "a.ipynb", *options])


def test_a_grid_that_is_too_large_is_counted(folder: Path):
    assert "may have 1,000,000 points, got 10,000,000;" in refused(["sweep", "a.ipynb", *POINTS[1]]).stderr
    assert "may have 1,000,000 values, got 1,000,000,000,000,000;" in refused(["sweep", "a.ipynb", *POINTS[0]]).stderr


def test_an_output_that_no_notebook_can_hold_is_left_out(write: Write, store: Store):
    code = "from IPython.display import display\ndisplay({'image/png': 5, 'text/html': [1]}, raw=True)"
    result = execute_plan(plan_run(write(START, code, "run.metric('m', 1.0)")), store)
    assert result is not None
    assert result.record.status == "ok"
    assert "was left out" in (result.folder / "notebook.ipynb").read_text()


@pytest.mark.parametrize(
    "call",
    ["run.metric(5, 1.0)", "run.metric('m', 1.0, unit=5)", "run.metric(chr(0xd800), 1.0)", "run.claim('emb-1', 1, 1, part=5)"],
)
def test_a_name_that_is_no_text_fails_the_cell_and_not_the_store(write: Write, store: Store, call: str):
    result = execute_plan(plan_run(write(START, call)), store)
    assert result is not None
    assert result.record.error is not None
    assert "that is text" in result.record.error.evalue
    assert collect(store).unreadable == []


PATHS = ["run {long}", "run pipe", "run /dev/zero", "run .", "report {long}", "report pipe", "report --out a.ipynb"]


@pytest.mark.parametrize("command", [*PATHS, "collect --runs {long}"])
def test_a_path(folder: Path, command: str):
    (folder / "runs").mkdir()
    refused(command.format(long="x" * 300).split())


@pytest.mark.parametrize("name", ["timeout", "cell_timeout", "memory_bytes"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400, -1, 0, "5"])
def test_a_limit_of_the_library(name: str, value: Any):
    with pytest.raises(ArgumentError, match=f"{name} must be a number above 0"):
        Limits(**{name: value})
