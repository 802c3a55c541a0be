"""The page of one run: everything is in it, nothing of it runs, and what went wrong stands first."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest

from masklib.engine.run import Result, execute_plan, plan_run
from masklib.engine.store import Store
from masklib.errors import ArgumentError
from masklib.site import look, single
from tests.engine.conftest import START, notebook

WORD = "<script>alert(1)</script>"
PARAMETERS = f'seed: int = 0  # seed\nprofile: str = "smoke"  # {{smoke, full}}\nword: str = "{WORD}"  # a word'
TABLE = "import pandas as pd\nrun.table('t', pd.DataFrame({word: [word, '<img src=x onerror=alert(2)>']}))"
FIGURE = (
    "from masklib.figures import plots\n"
    "run.figure('f', plots.plot_rows, [[1.0]], [word], title=word, caption='Caption ' + word, alt='\" onerror=\"alert(3)')"
)
CLAIMS = "run.claim('rnn-1', 1, 1, part=word)\nrun.claim('emb-1', 1.0, 2.0, part=word)\nprint('said', word)"
HARM = (
    "from IPython.display import HTML, SVG, display\n"
    "display(HTML('<b onclick=alert(4)>bold</b><script>alert(5)</script><style>body{display:none}</style>"
    '<a href="javascript:alert(6)">link</a><iframe src="https://example.org"></iframe>\'))\n'
    'display(SVG(\'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(7)"/>\'))'
)
FAILS = "def f():\n    raise ValueError('no ' + word)\nf()"
PROSE = "**Bold** <script>alert(8)</script> [x](javascript:alert(9)) <img src=x onerror=alert(10)>"


class Page(HTMLParser):
    """What a browser would see of a page: elements with their attributes, and text."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """Take note of an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Take note of text."""
        self.text += data

    @property
    def harmful(self) -> list[tuple[str, str]]:
        """What runs, loads or takes over the page."""
        tags = [
            (tag, "element") for tag, _ in self.elements if tag in {"script", "iframe", "object", "embed", "form", "svg", "link"}
        ]
        handlers = [(tag, name) for tag, attributes in self.elements for name in attributes if name.startswith("on")]
        addresses = [
            (tag, str(value))
            for tag, attributes in self.elements
            for name, value in attributes.items()
            if name in ("src", "srcset", "href") and not re.match(r"data:image/|#|https?://[a-z.]+/?", str(value))
        ]
        return tags + handlers + addresses


def executed(folder: Path, *cells: str) -> Result:
    node = notebook(START, *cells, parameters=PARAMETERS)
    node.cells[0].source = f"# Is {WORD} text?\n\nThe lead."
    node.cells.insert(1, nbformat.v4.new_markdown_cell(PROSE))
    nbformat.write(node, folder / "evil.ipynb")
    return execute_plan(plan_run(folder / "evil.ipynb"), Store(folder / "runs"))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return executed(tmp_path_factory.mktemp("ended"), TABLE, FIGURE, CLAIMS, HARM)


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return executed(tmp_path_factory.mktemp("failed"), CLAIMS, FAILS)


def page_of(result: Result) -> Page:
    return Page(single.to_html(result.folder))


def test_what_is_text_stays_text_and_nothing_runs_or_loads(ended: Result, failed: Result):
    for page in (page_of(ended), page_of(failed)):
        assert page.harmful == []
        assert page.text.count(WORD) >= 4
        assert [tag for tag, _ in page.elements].count("style") == 1


def test_markup_that_got_through_would_be_seen():
    page = Page(look.page("title", f"{WORD}<b onclick=alert(1)>x</b><a href='javascript:alert(2)'>y</a><img src='x.png'>"))
    assert page.harmful == [("script", "element"), ("b", "onclick"), ("a", "javascript:alert(2)"), ("img", "x.png")]


def test_the_page_shows_verdicts_before_parameters_before_the_notebook(ended: Result):
    text = Page(single.to_html(ended.folder).partition("<main>")[2]).text
    places = [
        text.index(part) for part in (f"Is {WORD} text?", "Verdicts", "refuted", "holds", "Parameters", "The lead.", "bold")
    ]
    assert places == sorted(places), "emb-1, refuted, comes before rnn-1 in the ledger"
    assert ended.record.key in text
    assert ended.record.inputs["versions"]["keras"] in text
    assert "said <script>" in text


def test_a_recorded_figure_is_there_in_light_and_dark_with_its_texts(ended: Result):
    elements = page_of(ended).elements
    (source,) = [attributes for tag, attributes in elements if tag == "source"]
    assert source["media"] == "screen and (prefers-color-scheme: dark)"
    shown = [attributes for tag, attributes in elements if tag == "img" and attributes["alt"] == '" onerror="alert(3)']
    assert len(shown) == 1
    assert str(shown[0]["src"]).startswith("data:image/svg+xml;base64,")
    assert source["srcset"] != shown[0]["src"]
    assert f"Caption {WORD}" in page_of(ended).text


def test_code_is_folded(ended: Result):
    tags = [(tag, "open" in attributes) for tag, attributes in page_of(ended).elements if tag == "details"]
    assert len(tags) == 1 + 7, "settings, and each code cell, that of the injected parameters too"
    assert not any(is_open for _, is_open in tags)


def test_a_failed_attempt_shows_its_error_first_and_no_verdict(failed: Result):
    page = page_of(failed)
    places = [page.text.index(part) for part in ("ValueError in cell", f"no {WORD}", "Traceback", "Parameters")]
    assert places == sorted(places)
    assert "Verdicts" not in page.text
    assert "\x1b" not in page.text
    assert [tag for tag, attributes in page.elements if attributes.get("class") == "alarm"] == ["section", "section"]


def test_a_run_without_its_notebook_has_a_page_too(failed: Result, tmp_path: Path):
    (tmp_path / "record.json").write_bytes((failed.folder / "record.json").read_bytes())
    (tmp_path / "notebook.ipynb").write_text('{"cells": [')
    assert "The executed notebook is missing" in single.to_html(tmp_path)


def test_a_run_is_found_by_folder_key_and_beginning(ended: Result, tmp_path: Path):
    root, key = ended.folder.parents[1], ended.record.key
    for given in (ended.folder, key, key[:6], f"evil/{key[:6]}"):
        path = single.write(given, root, tmp_path)
        assert path == tmp_path / f"evil-{key[:12]}.html"
    assert single.write(key, root, tmp_path / "deep" / "page.html").read_text() == path.read_text()


def test_the_last_failed_attempt_is_found_by_its_key(failed: Result):
    assert single.find_run(failed.record.key[:8], Store(failed.folder.parents[2])) == failed.folder


@pytest.mark.parametrize(("run", "fact"), [("", "2 runs"), ("zz", "none"), ("a", "2 runs: aaa, abb")])
def test_a_run_that_is_not_one_is_refused(tmp_path: Path, run: str, fact: str):
    for key in ("aaa", "abb"):
        (tmp_path / "tiny" / key).mkdir(parents=True)
    with pytest.raises(ArgumentError, match=re.escape(fact)):
        single.find_run(run, Store(tmp_path))


def test_the_look_is_for_both_themes_print_and_phones():
    page = look.page("<b>", "")
    assert "<title>&lt;b&gt;</title>" in page
    assert "default-src 'none'" in page
    for rule in ("@media screen and (prefers-color-scheme: dark)", "@media print", "width=device-width"):
        assert rule in page
    assert not re.search(r"url\(|@import|https?:", look.css())
