"""The form of every notebook: sections in order, parameters, no outputs, no paths."""

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from masklib.claims.ledger import load_claims
from masklib.engine.declaring import read_parameters
from masklib.engine.notebooks import read_notebook, tags

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# One letter a cell: T title, Q question, M method, L limits; k, p, s, e, c, t, f, v, a the tags of code cells.
ORDER = re.compile(r"TkQpsM(e+ct+f+){1,2}vaL")
MARKDOWN = {"# ": "T", "**Question.": "Q", "**Method.": "M", "**Limits": "L"}
TAGS = {t: t[0] for t in ("parameters", "setup", "experiment", "check", "table", "figure", "verdict", "answer")}
TAGS["plain"] = "k"  # lines of plain Keras that show the answer
DOCUMENT = re.compile(r"\b[Dd]ocuments? 00\d|(?<![\d.])\b00[0-4]\b")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|tmp|usr|work|Users)/\w")


def letter(cell: Any) -> str:
    """The letter of a cell; "?" for one that has no place in the form."""
    if cell.cell_type == "code":
        (tag,) = tags(cell) or ["?"]
        return TAGS.get(tag, "?")
    return next((letter for start, letter in MARKDOWN.items() if cell.source.startswith(start)), "?")


def problems(node: Any) -> list[str]:
    """What is wrong with the form of a notebook."""
    code = [cell for cell in node.cells if cell.cell_type == "code"]
    experiments = [cell for cell in code if "experiment" in tags(cell)]
    plain = [cell.source for cell in code if "plain" in tags(cell)]
    ids = [cell.id for cell in node.cells]
    found = {
        "order of cells": not ORDER.fullmatch("".join(map(letter, node.cells))),
        "more than 22 cells": len(node.cells) > 22,
        "lines that are not plain Keras": any("masklib" in source for source in plain),
        "more than 12 lines of plain Keras": any(sum(map(bool, source.split("\n"))) > 12 for source in plain),
        "a document that a reader does not know by its number": any(DOCUMENT.search(cell.source) for cell in node.cells),
        "the title asks no question": not node.cells[0].source.splitlines()[0].endswith("?"),
        "an experiment of more than 25 lines": any(len(cell.source.splitlines()) > 25 for cell in experiments),
        "outputs or counts": any(cell.outputs or cell.execution_count for cell in code),
        "metadata beside tags": any(set(cell.metadata) - {"tags"} for cell in node.cells),
        "a path of a machine": any(MACHINE_PATH.search(cell.source) for cell in node.cells),
        "ids that repeat or say nothing": len(set(ids)) < len(ids) or any(re.fullmatch("[0-9a-f]{8}", i) for i in ids),
        "an install": any(re.search(r"^[!%]", cell.source, re.MULTILINE) for cell in code),
        "a figure or table after the verdict": letter(node.cells[-1]) != "L",
    }
    return [name for name, wrong in found.items() if wrong]


def test_there_are_notebooks_and_they_are_numbered():
    numbers = [p.name[:3] for p in NOTEBOOKS]
    assert all(re.fullmatch(r"[0-9]{2}_", number) for number in numbers)
    assert len(set(numbers)) == len(numbers)
    assert len(NOTEBOOKS) >= 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_has_the_form(path: Path):
    node = nbformat.read(path, as_version=4)
    nbformat.validate(node)
    assert problems(node) == []
    assert node.metadata.kernelspec.name == "python3"
    assert node.nbformat_minor >= 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_has_seed_and_profile_and_help_for_every_parameter(path: Path):
    parameters = {p.name: p for p in read_parameters(read_notebook(path).parameters_source)}
    assert parameters["seed"].type is int
    assert parameters["profile"].choices == ("smoke", "full")
    assert all(p.help for p in parameters.values())


def test_the_claims_of_the_ledger_name_the_notebooks_that_measure_them():
    for claim in load_claims().values():
        if claim.notebook:
            source = (FOLDER / f"{claim.notebook}.ipynb").read_text()
            assert claim.id in source, f"{claim.id} is not in {claim.notebook}"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda n: n.cells.pop(3), "order of cells"),
        (lambda n: n.cells.insert(4, n.cells.pop()), "order of cells"),
        (lambda n: n.cells[3].metadata.update(tags=["other"]), "order of cells"),
        (lambda n: n.cells[6].update(source="x\n" * 26), "an experiment of more than 25 lines"),
        (lambda n: n.cells[3].update(execution_count=1), "outputs or counts"),
        (lambda n: n.cells[3].metadata.update(papermill={}), "metadata beside tags"),
        (lambda n: n.cells[5].update(source="**Method.** See /tmp/x"), "a path of a machine"),
        (
            lambda n: n.cells[5].update(source="**Method.** As document 001 says"),
            "a document that a reader does not know by its number",
        ),
        (lambda n: n.cells[1].update(id=n.cells[0].id), "ids that repeat or say nothing"),
        (lambda n: n.cells[4].update(source="!pip install x"), "an install"),
        (lambda n: n.cells[0].update(source="# A statement"), "the title asks no question"),
        (lambda n: n.cells[1].update(source="import masklib"), "lines that are not plain Keras"),
        (lambda n: n.cells[1].update(source="x\n" * 13), "more than 12 lines of plain Keras"),
        (lambda n: n.cells.extend([n.cells[6]] * 20), "more than 22 cells"),
    ],
)
def test_the_lint_can_fail(change: Any, problem: str):
    node = nbformat.read(NOTEBOOKS[0], as_version=4)
    change(node)
    assert problem in problems(node)


def figure_names(source: str) -> list[tuple[str, str]]:
    """The names of the figures that a cell records, each with what draws it."""
    calls = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and ast.unparse(node.func) == "run.figure"
    ]
    return [(ast.literal_eval(call.args[0]), ast.unparse(call.args[1])) for call in calls]


def test_every_figure_of_the_suite_can_be_drawn_again_and_has_a_name_of_its_own():
    cells = [cell for path in NOTEBOOKS for cell in read_notebook(path).code_cells if "figure" in tags(cell)]
    found = [figure for cell in cells for figure in figure_names(cell.source)]
    assert len(found) >= len(cells) >= len(NOTEBOOKS)
    assert [name for name, plot in found if not plot.startswith("plots.plot_")] == []
    assert len({name for name, _ in found}) == len(found)


def test_a_figure_that_a_notebook_draws_itself_would_be_seen():
    assert figure_names("fig = plt.figure()\nrun.figure('f', fig)") == [("f", "fig")]
