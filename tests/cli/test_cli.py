"""The command line: what it prints, where, and how it ends."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import nbformat
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from masklib.claims.ledger import load_claims
from masklib.claims.verdicts import count_verdicts
from masklib.cli import listing_view
from masklib.cli.main import main
from masklib.engine.committed import first_sentence
from tests.engine.conftest import PARAMETERS, START, notebook

COMMANDS = list(main.commands)
ANSWER = "run.answer('Nothing, measured here. More of it.')"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def masklib(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "masklib", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder like a checkout, with a suite of two small notebooks."""
    (tmp_path / "notebooks").mkdir()
    suite: dict[str, Any] = {
        "01_first": notebook(START, "run.claim('emb-1', 1.0, 1.0)", "run.metric('m', 2.0)", ANSWER),
        "02_second": notebook(START, "run.claim('emb-2', 1.0, 2.0)"),
    }
    for name, node in suite.items():
        node.cells[0].source = f"# {name[:2]} · What is {name[3:]}?\n\nA sentence."
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


def test_help_and_list_import_nothing_heavy(checkout: Path):
    heavy = {"keras", "tensorflow", "numpy", "pandas", "matplotlib", "papermill", "nbformat", "IPython"}
    for arguments, libraries in {("--help",): heavy | {"rich"}, ("list",): heavy, ("list", "01"): heavy}.items():
        code = "import sys, atexit; from masklib.cli import main; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
        command = [sys.executable, "-c", f"{code}; main({arguments!r})"]
        found = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
        assert libraries & set(found.stderr.split()) == set(), arguments


def every_command(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command with its name, those of groups, too."""
    for name, command in group.commands.items():
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from every_command(command, f"{path}{name} ")


@pytest.mark.parametrize("name", dict(every_command(main)))
def test_every_help_text_is_a_sentence(name: str):
    command = dict(every_command(main))[name]
    helps = {option.opts[0]: option.help for option in command.params if isinstance(option, click.Option)}
    first = (command.help or "").split("\n\n")[0]
    helps |= {"the command": " ".join(first.split()), "its line in the list": command.get_short_help_str(100)}

    assert {what: text for what, text in helps.items() if not re.fullmatch(r"[A-Z](?s:.)*[A-Za-z0-9)]\.", text or "")} == {}


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
        (["run", "tiny.ipynb", "-p", "seed", "1", "-p", "seed", "2"], ["seed is given more often"]),
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
    assert f"1 claim holds, 1 is refuted, {len(load_claims()) - 2} are open." in first.stdout
    assert "Every run was already there; nothing was executed." in second.stdout
    assert "already there" in second.stderr
    assert front.is_file()
    for result in (first, second):
        *_, site, title, _, refuted, rest = result.stdout.splitlines()
        assert (site, title) == (f"The site: {front}", "Refuted")
        assert (refuted.split()[0], rest[:5], "observed 1.0, expected 2.0" in refuted) == ("emb-2", " " * 5, True)
    assert "emb-1" not in first.stdout
    assert re.search(r"Making the site: reading the runs, \d s\n(.*\n)*Making the site: made in \d+ s", first.stderr)
    assert "Making the site" not in second.stderr  # nothing to do
    tables = checkout / "runs" / "tables"
    assert {f.name for f in tables.iterdir()} == {
        "answers.csv",
        *(f"{n}.{s}" for n in ("runs", "claims", "measurements") for s in ("parquet", "csv")),
    }
    answers = {line.split()[0]: line for line in masklib(checkout, "list").stdout.splitlines()}
    assert answers["01_first"] == "01_first   What is first?  Nothing, measured here."


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
    assert result.stdout.splitlines()[-2].startswith("emb-2")


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
    assert f"1 claim holds, 1 is refuted, {len(load_claims()) - 2} are open." in result.stdout
    assert "nothing was executed" in result.stdout


def test_list_shows_each_notebook_with_its_question_and_the_beginning_of_its_committed_answer(checkout: Path):
    commit(checkout, ("01_first", "3.9.2", "Old."), ("01_first", "3.10.1", "No. Seven of nine do, e.g. `LSTM`. The rest do not."))
    lines = masklib(checkout, "list").stdout.splitlines()

    assert lines == [
        "01_first   What is first?  No. Seven of nine do, e.g. `LSTM`.",
        "02_second  What is second?",
    ]


def test_list_of_one_notebook_shows_its_whole_answer_and_its_parameters(checkout: Path):
    commit(checkout, ("01_first", "3.10.1", "Seven of nine layers do. The rest do not."))
    text = masklib(checkout, "list", "01").stdout
    (row,) = json.loads(masklib(checkout, "list", "01", "--json").stdout)
    rows = json.loads(masklib(checkout, "list", "--json").stdout)

    question, answer, title, *table = text.splitlines()
    assert question == "What is first?"
    assert answer == "Seven of nine layers do. The rest do not. (Keras 3.10.1 on tensorflow, committed)"
    assert title == "Parameters of 01_first"
    assert [line.split()[0] for line in table] == ["parameter", "seed", "profile", "width"]
    assert {"parameter": "width", "type": "float", "default": "1.5", "help": "width, m"} in row["parameters"]
    assert (row["keras"], row["backend"], row["source"]) == ("3.10.1", "tensorflow", "committed")
    assert rows[0] == row


def test_list_takes_the_answers_of_the_store_and_folds_them_on_a_terminal(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    text = "Seven layers of nine do. " * 2
    commit(checkout, ("01_first", "3.10.1", "Old and committed."), ("02_second", "3.10.1", text))
    (checkout / "runs" / "tables").mkdir()
    own = "notebook,keras,backend,answer\n01_first,2.2.4,tensorflow,New and mine."
    (checkout / "runs" / "tables" / "answers.csv").write_text(own)
    shown = io.StringIO()
    monkeypatch.chdir(checkout)
    monkeypatch.setattr(listing_view, "out", Console(file=shown, force_terminal=True, width=30, color_system=None))
    assert call("list").exit_code == 0

    assert [line.rstrip() for line in shown.getvalue().splitlines()] == [
        "01_first   What is first?",
        "           New and mine.",
        "02_second  What is second?",
        "           Seven layers of",
        "           nine do.",
        "Answers: Keras 2.2.4 on",
        "tensorflow (runs), Keras",
        "3.10.1 on tensorflow",
        "(committed). More of one:",
        "masklib list NOTEBOOK",
    ]


def commit(checkout: Path, *answers: tuple[str, str, str]) -> None:
    """Write committed answers of notebooks, each on a Keras."""
    folder = checkout / "runs" / "reference"
    folder.mkdir(parents=True)
    lines = [f'{name},{keras},tensorflow,"{text}"' for name, keras, text in answers]
    (folder / "answers.csv").write_text("\n".join(["notebook,keras,backend,answer", *lines]))


def test_the_beginning_of_a_name_is_enough_where_one_notebook_has_it(checkout: Path):
    found = masklib(checkout, "run", "01", "--json")
    swept = masklib(checkout, "sweep", "02", "-g", "seed=0:2", "--dry-run", "--json")
    nbformat.write(notebook(START), checkout / "notebooks" / "01_other.ipynb")
    refused = [masklib(checkout, *command, "01") for command in (["run"], ["sweep"], ["list"])]

    assert json.loads(found.stdout)["notebook"] == "01_first"
    assert [row["notebook"] for row in json.loads(swept.stdout)] == ["02_second"] * 2
    assert {result.returncode for result in refused} == {2}
    assert all("begin with '01', 2 do: 01_first, 01_other." in result.stderr for result in refused)


def test_a_spec_of_a_name_comes_before_a_notebook_that_begins_so(checkout: Path):
    specs = checkout / "runs" / "specs"
    specs.mkdir(parents=True)
    (specs / "01.toml").write_text('title = "Mine"\n[[sweep]]\nnotebook = "02_second"\ngrid = {seed = "0:3"}\n')
    swept = masklib(checkout, "sweep", "01", "--dry-run", "--json")
    assert [row["notebook"] for row in json.loads(swept.stdout)] == ["02_second"] * 3


def test_list_claims_fits_100_columns_with_refuted_first_and_json_keeps_every_keras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)  # without runs: the committed verdicts
    text = call("list", "--claims").stdout
    verdicts = [line.split()[1] for line in text.splitlines()[2:] if re.match(r"[a-z]+-\d+ ", line)]
    rows = json.loads(call("list", "--claims", "--json").stdout)

    assert text.startswith("Verdicts (committed, because nothing was run here yet)\n")
    assert max(map(len, text.splitlines())) <= 100
    assert verdicts == sorted(verdicts, key=["refuted", "untested", "open", "holds"].index)
    assert len(verdicts) == len(load_claims()) <= len({(row["claim"], row["keras"], row["backend"]) for row in rows})


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("No. It\ndrops it. More.", "No. It drops it."),
        ("`evaluate` divides by all, e.g. `B`. `fit` too.", "`evaluate` divides by all, e.g. `B`."),
        ("Keras 3.15.1 drops it", "Keras 3.15.1 drops it"),
        ("", ""),
    ],
)
def test_an_answer_is_shortened_to_its_first_sentence(answer: str, sentence: str):
    assert first_sentence(answer) == sentence


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        (["holds"] * 34 + ["refuted"] * 14 + ["untested"], "34 claims hold, 14 are refuted, 1 could not be tested."),
        (["holds"], "1 claim holds."),
        (["refuted", "open", "open"], "1 claim is refuted, 2 are open."),
        ([], "0 claims hold."),
    ],
)
def test_verdicts_are_counted_in_a_sentence(verdicts: list[str], sentence: str):
    assert count_verdicts([{"claim": str(i), "verdict": verdict} for i, verdict in enumerate(verdicts)]) == sentence


def test_list_claims_shows_the_last_verdicts(checkout: Path):
    before = masklib(checkout, "list", "--claims")
    assert f"{len(load_claims())} claims are open." in before.stdout
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
    assert "'*.txt' matches no file in" in nothing.stderr
