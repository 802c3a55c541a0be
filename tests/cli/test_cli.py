"""The command line: what it prints, where, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner, Result

from masklib.cli.main import main
from tests.engine.conftest import PARAMETERS, START, notebook

COMMANDS = list(main.commands)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def masklib(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "masklib", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder like a checkout, with a suite of two small notebooks."""
    (tmp_path / "notebooks").mkdir()
    suite: dict[str, Any] = {
        "01_first": notebook(START, "run.claim('emb-1', 1.0, 1.0)", "run.metric('m', 2.0)"),
        "02_second": notebook(START, "run.claim('emb-2', 1.0, 2.0)"),
    }
    for name, node in suite.items():
        nbformat.write(node, tmp_path / "notebooks" / f"{name}.ipynb")
    return tmp_path


def test_notebooks_of_other_languages_are_listed_too(checkout: Path):
    node = notebook(parameters="")
    node.cells[1].source = "n=3 # how many\nfor i in 1 2; do echo; done"
    node.metadata["kernelspec"] = {"name": "bash", "display_name": "Bash", "language": "bash"}
    nbformat.write(node, checkout / "notebooks" / "03_third.ipynb")
    listed = masklib(checkout, "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert {row["notebook"] for row in json.loads(listed.stdout)} == {"01_first", "02_second", "03_third"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"Example: masklib {command}" in result.output


def test_help_imports_nothing_heavy():
    heavy = "{'keras', 'tensorflow', 'numpy', 'pandas', 'matplotlib', 'papermill', 'nbformat', 'rich', 'IPython'}"
    code = f"import sys, masklib.cli; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["run", "nowhere.ipynb"], ["there is no 'nowhere.ipynb'"]),
        (["run", "02_rnn_cary_over"], ["Did you mean 02_rnn_carry_over"]),
        (["run", "tiny.ipynb", "-p", "sed", "1"], ["sed is unknown, did you mean seed?"]),
        (
            ["run", "tiny.ipynb", "-p", "seed", "one", "-p", "profile", "huge"],
            ["seed must be int, got 'one'", "profile must be one of"],
        ),
        (["run", "tiny.ipynb", "-p", "seed", "1", "-p", "seed", "2"], ["seed given more often"]),
        (["run", "text.ipynb"], ["text.ipynb must be a Jupyter notebook"]),
        (
            ["run", "bare.ipynb", "-p", "x", "1"],
            ["x is unknown, the notebook has none; tag the cell that assigns it 'parameters'"],
        ),
        (["run", "tiny.ipynb", "-f", "text.ipynb"], ["text.ipynb must give parameters by name"]),
        (["sweep", "tiny.ipynb", "-f", "none.yaml"], ["none.yaml must be a file that can be read"]),
        (["run", "tiny.ipynb", "--cwd", "nowhere"], ["there is no ", "nowhere. See --cwd."]),
    ],
)
def test_bad_input_is_one_clear_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], facts: list[str]
):
    nbformat.write(notebook(START), tmp_path / "tiny.ipynb")
    (tmp_path / "text.ipynb").write_text("text")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")]), tmp_path / "bare.ipynb")
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook(START), tmp_path / "notebooks" / "02_rnn_carry_over.ipynb")
    monkeypatch.chdir(tmp_path)

    result = call(*arguments)

    assert result.exit_code == 2
    assert all(fact in result.stderr for fact in facts)
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_a_missing_value_is_a_usage_error():
    assert call("run", "x.ipynb", "-p", "seed").exit_code == 2


def test_a_store_that_is_a_file_ends_with_status_1(tmp_path: Path):
    path = tmp_path / "tiny.ipynb"
    nbformat.write(notebook(START), path)
    (tmp_path / "file").write_text("")
    result = call("run", path, "--runs", tmp_path / "file")
    assert (result.exit_code, "must be a folder" in result.stderr) == (1, True)


def test_debug_shows_the_traceback(tmp_path: Path):
    result = call("--debug", "run", "nowhere.ipynb")
    assert type(result.exception).__name__ == "NotebookError"


def test_run_prints_where_the_run_is_and_its_claims_as_json(checkout: Path):
    first = masklib(checkout, "run", "01_first", "-p", "seed", 7)
    assert first.returncode == 0
    assert (Path(first.stdout.strip()) / "record.json").exists()
    assert "ok in" in first.stderr

    again = json.loads(masklib(checkout, "run", "01_first", "-p", "seed", 7, "--json").stdout)
    assert (again["status"], again["cached"], again["parameters"]["seed"]) == ("ok", True, 7)
    assert [(c["claim"], c["verdict"]) for c in again["claims"]] == [("emb-1", "holds")]


@pytest.mark.slow
def test_reproduce_runs_the_suite_then_finds_it_and_says_so(checkout: Path):
    first = masklib(checkout, "reproduce")
    second = masklib(checkout, "reproduce")
    front = checkout / "runs" / "site" / "index.html"

    assert (first.returncode, second.returncode) == (0, 0)
    assert "emb-1  holds" in first.stdout
    assert "emb-2  refuted" in first.stdout
    assert "49 claims: 1 holds, 47 open, 1 refuted." in first.stdout
    assert "Every run was already there; nothing was executed." in second.stdout
    assert "already there" in second.stderr
    assert front.is_file()
    assert [result.stdout.splitlines()[-1] for result in (first, second)] == [f"The site: {front}"] * 2
    assert "Making the site" in first.stderr
    assert "Making the site" not in second.stderr  # nothing to do
    tables = checkout / "runs" / "tables"
    assert {f.name for f in tables.iterdir()} == {
        f"{n}.{s}" for n in ("runs", "claims", "measurements") for s in ("parquet", "csv")
    }


@pytest.mark.slow
def test_reproduce_ends_with_status_1_and_names_the_verdict_that_differs(checkout: Path):
    assert masklib(checkout, "reproduce", "--no-site", "--update-reference").returncode == 0
    path = checkout / "runs" / "reference" / "verdicts.csv"
    assert masklib(checkout, "reproduce", "--no-site").returncode == 0
    path.write_text(path.read_text().replace("refuted", "holds"))

    result = masklib(checkout, "reproduce", "--no-site")

    assert result.returncode == 1
    assert "emb-2: measured refuted, the reference says holds" in result.stderr


@pytest.mark.slow
def test_reproduce_ends_with_status_1_and_names_the_run_that_failed_and_runs_the_rest(checkout: Path):
    nbformat.write(notebook(START, "1 / 0"), checkout / "notebooks" / "01_first.ipynb")
    result = masklib(checkout, "reproduce", "--no-site")

    assert result.returncode == 1
    assert "01_first failed" in result.stderr
    assert "ZeroDivisionError" in result.stderr
    assert "emb-2  refuted" in result.stdout


def test_reproduce_checks_every_notebook_before_it_runs_one(checkout: Path):
    nbformat.write(
        notebook(START, parameters=PARAMETERS.replace("profile", "profil")), checkout / "notebooks" / "02_second.ipynb"
    )
    result = masklib(checkout, "reproduce", "--no-site")
    assert result.returncode == 2
    assert "profile is unknown, did you mean profil?" in result.stderr
    assert not (checkout / "runs").exists()


def test_a_verdict_does_not_change_with_prose(checkout: Path):
    masklib(checkout, "reproduce", "--no-site")
    path = checkout / "notebooks" / "02_second.ipynb"
    node = nbformat.read(path, as_version=4)
    node.cells[0].source = "# emb-2 holds"
    nbformat.write(node, path)
    result = masklib(checkout, "reproduce", "--no-site")
    assert "emb-2  refuted" in result.stdout
    assert "nothing was executed" in result.stdout


def test_list_shows_parameters_and_claims_with_their_last_verdicts(checkout: Path):
    rows = json.loads(masklib(checkout, "list", "--json").stdout)
    assert {"notebook": "01_first", "parameter": "width", "type": "float", "default": "1.5", "help": "width, m"} in rows

    before = masklib(checkout, "list", "--claims")
    assert "49 claims: 49 open." in before.stdout
    masklib(checkout, "reproduce", "--no-site")
    claims = {row["claim"]: row for row in json.loads(masklib(checkout, "list", "--claims", "--json").stdout)}
    assert (claims["emb-1"]["verdict"], claims["emb-1"]["runs"], claims["emb-3"]["verdict"]) == ("holds", "1 holds", "open")


def test_collect_reports_what_it_could_not_read(checkout: Path):
    masklib(checkout, "run", "01_first")
    assert masklib(checkout, "collect").returncode == 0
    (record,) = (checkout / "runs").glob("01_first/*/record.json")
    record.write_text("{")
    result = masklib(checkout, "collect")
    assert result.returncode == 1
    assert "set aside" in result.stderr


def test_what_changed_since_a_run_is_said_and_force_executes_it_again(checkout: Path):
    (checkout / "helper.py").write_text("x = 1")
    (checkout / "data.csv").write_text("1")
    own = notebook(START, f"import sys\nsys.path.insert(0, {str(checkout)!r})\nimport helper\nrun.metric('m', helper.x)")
    nbformat.write(own, checkout / "own.ipynb")
    first = masklib(checkout, "run", "own.ipynb", "-d", "*.csv")
    (checkout / "helper.py").write_text("x = 20")
    (checkout / "data.csv").write_text("2")
    planned = masklib(checkout, "sweep", "own.ipynb", "--dry-run")
    second = masklib(checkout, "run", "own.ipynb", "--json")
    third = masklib(checkout, "run", "own.ipynb")
    forced = masklib(checkout, "run", "own.ipynb", "--force")
    nothing = masklib(checkout, "run", "own.ipynb", "-d", "*.txt")

    assert first.returncode == 0, first.stderr
    assert "to run: helper.py changed since; data.csv changed since" in " ".join(planned.stdout.split())
    assert "[1/1] own is executed again: helper.py changed since; data.csv changed since\n" in second.stderr
    assert json.loads(second.stdout)["cached"] is False
    assert "already there" in third.stderr
    assert "ok in" in forced.stderr
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    assert "'*.txt' is none in" in nothing.stderr
