"""The page of an experiment begins with its answer, and the page of a claim with its verdict today."""

from pathlib import Path

import nbformat
import pytest

from masklib.engine.store import Store
from masklib.site import api
from masklib.site.build import write_sources
from masklib.site.single import to_html
from masklib.site.text import sentences
from tests.site.made import EVIL, FIRST, publish, record

ANSWER = {"kind": "answer", "text": f"`Add` drops it *always* {EVIL}."}
CLAIM = {"kind": "claim", "claim": "mask-3", "part": "a case", "observed": 1.0, "expected": 2.0, "atol": 0.0}


@pytest.fixture
def few_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a store whose site has few pages of the API; it is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "modules", lambda: ["masklib.errors"])
    return tmp_path


def publish_notebook(runs: Path, *lines: dict[str, object], name: str = FIRST) -> Path:
    """Publish a run of a notebook with a cell of plain Keras and one of the answer; return its folder."""
    folder = runs / name / ("a" * 64)
    folder.mkdir(parents=True)
    told = nbformat.v4.new_output("display_data", data={"text/plain": "THE ANSWER ONCE MORE"})
    cells = [
        nbformat.v4.new_markdown_cell("# 01 · Does it?\n\nWhy it matters."),
        nbformat.v4.new_code_cell("plain = 1", metadata={"tags": ["plain"]}),
        nbformat.v4.new_code_cell("run.answer('x')", metadata={"tags": ["answer"]}, outputs=[told]),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebook.ipynb")
    return publish(runs, record(name, "a" * 64), list(lines))


def sources(root: Path) -> Path:
    """Write the sources of the site of the store in `root`, and return their folder."""
    write_sources(Store(root / "runs"), root / "site")
    return root / "site" / ".build" / "source"


def test_an_answer_is_on_top_and_plain_keras_is_not_folded(few_pages: Path):
    publish_notebook(few_pages / "runs", ANSWER, CLAIM)
    source = sources(few_pages)
    cells = nbformat.read(source / "experiments" / f"{FIRST}.ipynb", 4).cells
    head = (source / "experiments" / "fragments" / f"{FIRST}.html").read_text()

    assert [cell.id for cell in cells[:3]] == ["title", "head", "about"]
    assert head.index("<strong>Answer.</strong>") < head.index("Verdicts of this run")
    plain, answer = (next(cell for cell in cells if cell.source == text) for text in ("plain = 1", "run.answer('x')"))
    assert "hide-input" not in plain.metadata.get("tags", [])
    assert "## In plain Keras" in [cell.source for cell in cells]
    assert answer.metadata.tags == ["hide-input"]
    assert answer.outputs == []


def test_without_an_answer_a_page_begins_as_its_notebook(few_pages: Path):
    publish_notebook(few_pages / "runs")
    source = sources(few_pages)
    cells = nbformat.read(source / "experiments" / f"{FIRST}.ipynb", 4).cells

    assert [cell.id for cell in cells[:3]] == ["title", "about", "head"]
    assert "Answer" not in (source / "experiments" / "fragments" / f"{FIRST}.html").read_text()
    assert "THE ANSWER ONCE MORE" in str(cells)


def test_the_page_of_one_run_begins_with_the_answer(tmp_path: Path):
    page = to_html(publish_notebook(tmp_path, ANSWER, CLAIM))

    assert page.index("<strong>Answer.</strong>") < page.index('id="verdicts"') < page.index("In plain Keras")
    assert "THE ANSWER ONCE MORE" not in page
    assert "<details open><summary>Code: plain" in page


def test_sentences_are_code_emphasis_and_links_into_the_web():
    shown = sentences(f"`a<b` *b* [c](https://keras.io) [d](javascript:x) ![e](https://x/e.png) {EVIL}")

    assert '<code>a&lt;b</code> <em>b</em> <a href="https://keras.io">c</a> [d](javascript:x)' in shown
    assert "<img" not in shown
    assert "<script" not in shown
