"""Figures and tables for documents: from stored results alone, the same bytes, and text that is never markup."""

import csv
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from masklib.cli.main import main
from masklib.site import table_files
from tests.engine.conftest import START, notebook

EVIL = "<script>alert(1)</script>|`a`_b_*c*&$x$\\"
FIGURE = (
    "from masklib.figures import plots\n"
    "texts = {'xlabel': 'x', 'ylabel': 'y', 'caption': 'A line.', 'alt': 'It rises.'}\n"
    "run.figure('line', plots.plot_curves, [1, 2], {'a': [1.0, width]}, **texts)"
)
TILES = (
    "run.figure('tiles', plots.plot_tiles, [[('good', 'fine')]], ['r'], ['c'], legend={}, caption='Tiles.', alt='One is fine.')"
)
TABLE = f"import pandas as pd\nrun.table('t', pd.DataFrame({{'x': [0.1 + 0.2, 2.0], 'text': ['a', {EVIL!r}]}}))"
CLAIM = f"run.claim('emb-1', 1.0, 2.0, part={EVIL!r})"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def run_suite(folder: Path, width: float) -> None:
    """Run the notebook of a small suite in which `width` is the default of a parameter."""
    parameters = f'seed: int = 0  # seed\nprofile: str = "smoke"  # {{smoke, full}}\nwidth: float = {width}  # width, m'
    (folder / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook(START, FIGURE, TILES, TABLE, CLAIM, parameters=parameters), folder / "notebooks" / "01_first.ipynb")
    found = call("run", "01_first", "--runs", folder / "runs")
    assert found.exit_code == 0, found.stderr


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose suite has run once; it is the working folder of every test that asks for `checkout`."""
    folder = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        patch.chdir(folder)
        run_suite(folder, 1.5)
    return folder


@pytest.fixture
def checkout(suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the suite in which a test may change things."""
    shutil.copytree(suite, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def test_figures_are_drawn_in_every_form_asked_for_with_a_sidecar(checkout: Path):
    result = call("figures", "line", "--format", "svg,pdf", "--theme", "light,dark", "--width", "column", "--out", "docs")

    assert result.exit_code == 0
    names = [f"line-column{theme}.{kind}" for theme in ("", "-dark") for kind in ("svg", "pdf")]
    assert [Path(line).name for line in result.stdout.splitlines()] == [*names, "line.json"]
    told = json.loads((checkout / "docs" / "line.json").read_text())
    (run,) = (checkout / "runs" / "01_first").glob("[0-9a-f]*")
    assert (told["caption"], told["alt"], told["notebook"]) == ("A line.", "It rises.", "01_first")
    assert told["key"] == run.name
    assert told["files"]["line-column-dark.pdf"]["theme"] == "dark"
    assert set(told["files"]) == set(names)


def test_a_sidecar_lists_the_pictures_of_earlier_calls_that_are_there(checkout: Path):
    for options in (["--format", "svg"], ["--format", "png"], ["--theme", "dark"]):
        call("figures", "line", "--out", "docs", *options)
    (checkout / "docs" / "line.png").unlink()
    call("figures", "line", "--out", "docs", "--format", "pdf")
    told = json.loads((checkout / "docs" / "line.json").read_text())
    assert sorted(told["files"]) == ["line-dark.svg", "line.pdf", "line.svg"]


@pytest.mark.parametrize("arguments", [["figures"], ["figures", "--check", "notebooks"], ["tables"]])
def test_without_results_there_is_nothing_to_show_or_to_check(checkout: Path, arguments: list[str]):
    result = call(*arguments, "--runs", "elsewhere")
    assert (result.exit_code, "Run the suite first" in result.stderr, result.stdout) == (1, True, "")


@pytest.mark.slow
def test_two_processes_draw_the_same_bytes(checkout: Path):
    command = [sys.executable, "-m", "masklib", "figures", "--format", "svg,png,pdf", "--theme", "light,dark", "--out"]
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([*command, f"docs{seed}"], env=environment, check=True, capture_output=True, timeout=120)
    first = {path.name: path.read_bytes() for path in (checkout / "docs1").iterdir()}
    assert first == {path.name: path.read_bytes() for path in (checkout / "docs2").iterdir()}
    assert len(first) == 2 * (3 * 2 + 1)


def test_check_passes_what_is_current_and_finds_what_is_not(checkout: Path):
    docs = checkout / "docs" / "deep"
    call("figures", "--format", "svg,png", "--theme", "light,dark", "--out", docs)
    (docs / "unknown.svg").write_text("<svg/>")
    (docs / "line.txt").write_text("notes")
    (docs / "settings.json").write_text("[]")
    current = call("figures", "--check", "docs")
    assert (current.exit_code, current.stdout) == (0, "")
    assert "10 files of the suite's figures, 0 of them out of date." in current.stderr

    run_suite(checkout, 2.5)
    old = call("figures", "--check", "docs")
    assert old.exit_code == 1
    found = sorted(Path(line.partition(":")[0]).name for line in old.stdout.splitlines())
    assert found == ["line-dark.png", "line-dark.svg", "line.png", "line.svg"], "tiles did not change"
    call("figures", "--format", "svg,png", "--theme", "light,dark", "--out", docs)
    assert call("figures", "--check", "docs").exit_code == 0


def test_check_finds_a_caption_that_is_not_that_of_the_run(checkout: Path):
    call("figures", "line", "--out", "docs")
    path = checkout / "docs" / "line.json"
    path.write_text(path.read_text().replace("A line.", "A curve."))
    result = call("figures", "--check", "docs")
    assert (result.exit_code, "line.json: caption" in result.stdout) == (1, True)


def test_a_table_of_tiles_is_left_out_of_a_column_and_refused_by_name(checkout: Path):
    all_of_them = call("figures", "--width", "column", "--out", "docs")
    assert (all_of_them.exit_code, "tiles is left out for narrower widths: it needs that of a page." in all_of_them.stderr) == (
        0,
        True,
    )
    assert sorted(p.name for p in (checkout / "docs").iterdir()) == ["line-column.svg", "line.json"]
    refused = call("figures", "tiles", "--width", "column")
    assert (refused.exit_code, "needs the width of a page" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["figures", "lin"], "Did you mean line?"),
        (["figures", "--format", "gif"], "must be of svg, png, pdf"),
        (["figures", "--theme", "light,sepia"], "must be of light, dark"),
        (["figures", "--check", "nowhere"], "nowhere is not"),
        (["tables", "verdict"], "Did you mean verdicts?"),
        (["tables", "--columns", "claim,verdikt"], "got verdikt"),
        (["tables", "--format", "pdf"], "must be of markdown, latex, csv, html"),
    ],
)
def test_what_is_not_there_is_a_usage_error(checkout: Path, arguments: list[str], fact: str):
    result = call(*arguments)
    assert (result.exit_code, fact in result.stderr) == (2, True), result.stderr


def from_markdown(text: str) -> list[list[str]]:
    lines = text.strip().splitlines()
    rows = [re.split(r"(?<!\\) \| ", line.strip().removeprefix("| ").removesuffix(" |")) for line in [lines[0], *lines[2:]]]
    return [[re.sub(r"\\(.)", r"\1", cell) for cell in row] for row in rows]


def from_latex(text: str) -> list[list[str]]:
    rows = [line.removesuffix(r" \\") for line in text.splitlines() if line.endswith(r"\\")]
    named = {r"\textbackslash ": "\\", r"\textasciitilde ": "~", r"\textasciicircum ": "^"}
    cells = [re.split(r"(?<!\\) & ", row) for row in rows]
    plain = [[re.sub(r"\\([&%$#_{}])", r"\1", cell) for cell in row] for row in cells]
    for command, letter in named.items():
        plain = [[cell.replace(command, letter).replace(command.rstrip(), letter) for cell in row] for row in plain]
    return plain


class Cells(HTMLParser):
    """The cells of a table, and every tag."""

    def __init__(self, text: str):
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """Take note of a tag."""
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        """Take note of the text of a cell."""
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n ") if data.isspace() else data


READERS: dict[str, Any] = {
    "markdown": from_markdown,
    "latex": from_latex,
    "csv": lambda text: list(csv.reader(io.StringIO(text))),
    "html": lambda text: Cells(text).rows,
}


@pytest.mark.parametrize("kind", READERS)
def test_a_table_reads_back_as_what_was_recorded(checkout: Path, kind: str):
    result = call("tables", "t", "--format", kind)
    assert result.exit_code == 0, result.stderr
    exact = "0.30000000000000004" if kind == "csv" else "0.3"
    two = "2.0" if kind == "csv" else "2"
    assert [[cell.strip() for cell in row] for row in READERS[kind](result.stdout)] == [["x", "text"], [exact, "a"], [two, EVIL]]


def test_html_holds_no_tag_but_those_of_a_table(checkout: Path):
    assert Cells(call("tables", "t", "--format", "html").stdout).tags == {"table", "thead", "tbody", "tr", "th", "td"}


def test_a_word_that_is_markup_would_be_seen():
    bare = pd.DataFrame({"text": [EVIL]}).to_html(index=False, escape=False)
    assert "script" in Cells(bare).tags


def test_verdicts_are_judged_from_the_results(checkout: Path):
    rows = list(csv.DictReader(io.StringIO(call("tables", "--format", "csv").stdout)))
    assert [(row["claim"], row["verdict"]) for row in rows] == [("emb-1", "refuted")]
    assert EVIL in rows[0]["decided by"]


def test_tables_are_written_as_files_and_their_names_listed(checkout: Path):
    result = call("tables", "verdicts", "01_first/t", "--format", "markdown,html", "--out", "docs", "--runs", "runs")
    assert sorted(p.name for p in (checkout / "docs").iterdir()) == [
        "01_first-t.html",
        "01_first-t.md",
        "verdicts.html",
        "verdicts.md",
    ]
    assert result.stdout.splitlines() == [
        f"docs/{name}" for name in ("verdicts.md", "verdicts.html", "01_first-t.md", "01_first-t.html")
    ]
    assert call("tables", "--list").stdout.split() == ["verdicts", "runs", "claims", "measurements", "01_first/t"]


def test_the_collected_tables_have_all_their_rows(checkout: Path):
    text = call("tables", "runs", "--format", "csv").stdout
    frame = pd.read_csv(io.StringIO(text))
    assert (len(frame), frame["notebook"][0], frame["param_width"][0]) == (1, "01_first", 1.5)


def test_missing_values_and_line_breaks_stay_in_their_cell():
    frame = pd.DataFrame({"a\nb": pd.array([None, "x\ny"], dtype="string"), "n": [float("nan"), 1 / 3]})
    assert from_markdown(table_files.to_text(frame, "markdown")) == [["a b", "n"], ["", "NaN"], ["x y", "0.333333"]]
    assert html.unescape(table_files.to_text(frame, "html")).count("<tr") == 3


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of somebody's notebook, which no suite holds: three points of a sweep, none as declared."""
    folder = tmp_path_factory.mktemp("swept")
    parameters = "width: float = 1.5"
    nbformat.write(notebook(START, FIGURE, TABLE, parameters=parameters), folder / "mine.ipynb")
    found = call("sweep", folder / "mine.ipynb", "-g", "width=1,2,3", "--jobs", 1, "--runs", folder / "runs")
    assert found.exit_code == 0, found.stderr
    return folder / "runs"


def test_figures_of_any_notebook_are_drawn_for_one_run_and_for_all_points_of_a_sweep(swept: Path, tmp_path: Path):
    one = call("figures", "--runs", swept, "--out", tmp_path / "one")
    every = call("figures", "line", "--all", "--runs", swept, "--out", tmp_path / "every")
    assert (one.exit_code, every.exit_code) == (0, 0), one.output + every.output
    assert {Path(path).name for path in one.stdout.split()} == {"line.svg", "line.json"}

    told = [json.loads(path.read_text()) for path in sorted((tmp_path / "every").glob("*.json"))]
    assert sorted(each["parameters"]["width"] for each in told) == [1.0, 2.0, 3.0]
    assert len({path.read_bytes() for path in (tmp_path / "every").glob("*.svg")}) == 3
    key = told[0]["key"]
    chosen = call("figures", f"line@{key[:6]}", "--runs", swept, "--out", tmp_path / "chosen")
    assert {Path(path).stem for path in chosen.stdout.split()} == {f"line-{key[:12]}"}
    assert call("figures", "line@ffff", "--runs", swept).exit_code == 2


def test_tables_of_any_notebook_are_printed_for_one_run_and_for_all_points_of_a_sweep(swept: Path):
    every = call("tables", "t", "--all", "--format", "csv", "--runs", swept)
    rows = list(csv.DictReader(io.StringIO(every.stdout)))
    assert [(row["notebook"], row["param_width"], row["x"]) for row in rows] == [
        ("mine", width, x) for width in ("1.0", "2.0", "3.0") for x in ("0.30000000000000004", "2.0")
    ]
    one = call("tables", f"mine/t@{rows[0]['key'][:8]}", "--columns", "x", "--format", "csv", "--runs", swept)
    assert one.stdout.split() == ["x", "0.30000000000000004", "2.0"]
    for wrong in (["u", "--all"], ["verdicts", "--all"], ["t@ffff"], ["t@"]):
        found = call("tables", *wrong, "--runs", swept)
        assert (found.exit_code, found.stderr.count("\n")) == (2, 1), found.output
