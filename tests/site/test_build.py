"""Making the site: quietly, whole, only what changed, and never over another folder."""

import json
import re
import shutil
from html.parser import HTMLParser
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec
import pytest
import tomllib
from bs4 import BeautifulSoup
from click.testing import CliRunner

from masklib.cli.main import main
from masklib.engine.objects import ObjectStore
from masklib.engine.store import Store
from masklib.errors import ArgumentError, StoreError
from masklib.site import api, audit_page
from masklib.site.build import HIDDEN, Site, build
from masklib.site.text import clean, markdown
from masklib.site.writing import Writer
from tests.site.made import EVIL, FIRST, make_checkout, publish, record


class Links(HTMLParser):
    """Where a page leads."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the links and the id of an element."""
        values = dict(attrs)
        self.found += [value for name, value in values.items() if name in ("href", "src") and value]
        self.ids |= {values["id"] or ""} if "id" in values else set()


def few_pages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a store whose site has a small part of the API only, and return it."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(api, "modules", lambda: ["masklib", "masklib.errors"])
    return make_checkout(folder)


def shown(root: Path, page: str) -> str:
    """Return the text of a page, with single blanks."""
    return " ".join(BeautifulSoup((root / page).read_text(), "html.parser").get_text().split())


@pytest.mark.slow
def test_sphinx_has_nothing_to_warn_of(made: Site):
    assert made.warnings == []
    assert made.unreadable == []


def test_every_module_that_an_advice_asks_for_exists():
    told = tomllib.loads(files("masklib.site").joinpath("front.toml").read_text())
    modules = [condition["module"] for entry in told["advice"] for condition in entry["when"] if "module" in condition]

    assert modules
    assert [name for name in modules if find_spec(name) is None] == []


def test_every_link_leads_somewhere(root: Path):
    pages = {path: Links(path.read_text()) for path in root.rglob("*.html")}
    dead = []
    for path, page in pages.items():
        for link in page.found:
            parts = urlsplit(link)
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists() or (parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids):
                dead.append(f"{path.relative_to(root)}: {link}")
    assert len(pages) > 80
    assert dead == []


def test_a_docstring_leads_to_what_it_names(root: Path):
    text = (root / "api" / "masklib.engine.store.html").read_text()
    assert re.search(r'href="masklib\.engine\.record\.html#masklib\.engine\.record\.Record"', text)


def test_a_docstring_is_shown_as_it_is_written(root: Path):
    sweep, weights = (shown(root, f"api/{name}.html") for name in ("masklib.engine.sweep", "masklib.experiments.step_weights"))
    assert "param_<name>" in sweep
    assert 'why the status is not "ok"; "" where it is' in sweep
    assert "The weights that steps may have, by name: 1, those given" in weights  # a property, and no type


def test_what_is_inherited_from_keras_is_not_in_our_api(root: Path):
    text = shown(root, "api/masklib.losses.html")
    assert "class MaskedBinaryCrossentropy" in text
    assert "Computes the binary crossentropy loss" not in text


def test_an_experiment_shows_parameters_versions_key_and_its_files(root: Path):
    text = (root / "experiments" / f"{FIRST}.html").read_text()
    links = Links(text).found
    assert f"{'3151':f<64}" in text
    assert "tensorflow 1.0" in text
    files = [link for link in links if "evidence/" in link]
    assert {Path(link).name for link in files} >= {"source.ipynb", "notebook.ipynb", "record.json", "atlas.csv", "atlas.parquet"}


@pytest.mark.slow
def test_a_site_is_left_alone_until_something_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runs = few_pages(tmp_path, monkeypatch)
    first, again = build(Store(runs)), build(Store(runs))
    assert (first.built, again.built) == (True, False)
    page, other = (runs / "site" / name for name in ("claims/loss-7.html", "api/masklib.errors.html"))
    before = other.stat().st_mtime_ns
    old = f"{'2150':f<64}"
    line = {"kind": "claim", "claim": "loss-7", "part": "", "observed": 1.0, "expected": 3.5, "atol": 0.0}
    shutil.copytree(runs / FIRST / old, runs / FIRST / f"{'a':e<64}")
    publish(runs, record(FIRST, f"{'a':e<64}", "2.15.0", started="2026-02-01T00:00:00+00:00"), [line])
    assert "expected 3.5" not in page.read_text()
    assert build(Store(runs)).built
    assert "expected 3.5" in page.read_text()
    assert other.stat().st_mtime_ns == before  # its source did not change


@pytest.mark.slow
def test_a_run_that_is_gone_takes_its_page_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runs = few_pages(tmp_path, monkeypatch)
    build(Store(runs))
    page = runs / "site" / "experiments" / f"{FIRST}.keras-2.15.0-tensorflow.html"
    assert page.exists()
    shutil.rmtree(runs / FIRST / f"{'2150':f<64}")
    assert build(Store(runs)).warnings == []
    assert not page.exists()
    assert not list((runs / "site" / "evidence" / FIRST).glob("2150*/*"))


def test_a_folder_with_other_files_is_refused(tmp_path: Path):
    publish(tmp_path / "runs", record(FIRST, "0" * 64), [])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match="needs a folder of its own"):
        build(Store(tmp_path / "runs"), tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_without_a_store_the_command_says_what_to_do(tmp_path: Path):
    result = CliRunner().invoke(main, ["report", "--runs", str(tmp_path / "none")])
    assert result.exit_code == 1
    assert "Run a notebook first" in result.output


def test_a_remote_store_needs_a_folder_here():
    with pytest.raises(ArgumentError, match="--out"):
        build(ObjectStore("memory://runs"))


@pytest.mark.slow
def test_the_site_of_a_remote_store_is_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runs = few_pages(tmp_path, monkeypatch)
    fsspec.filesystem("memory").put(f"{runs}/", "/site-test/runs", recursive=True)
    made_here = build(ObjectStore("memory://site-test/runs"), tmp_path / "out")
    assert made_here.warnings == []
    assert "Atlas of" in made_here.index.read_text()
    assert (tmp_path / "out" / "experiments" / f"{FIRST}.html").exists()


def test_the_command_prints_the_front_page(made: Site, monkeypatch: pytest.MonkeyPatch):
    runs = made.index.parents[1]
    monkeypatch.chdir(runs.parent)
    result = CliRunner().invoke(main, ["report"])
    assert result.exit_code == 0
    assert result.stdout.strip() == str(made.index)


def test_what_a_notebook_puts_out_is_cleaned():
    shown = clean(f"<table><tr><td onclick='x()'>{EVIL}</td></tr></table><style>b{{}}</style><a href='javascript:x()'>a</a>")
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert not re.search("onclick|<style|javascript:", shown)


def test_markdown_of_a_text_is_that_text():
    from markdown_it import MarkdownIt

    text = "*a* _b_ [c](d) <i>e</i> `f*` #g &amp; {h}`i` $j$"
    shown = "<p>*a* _b_ [c](d) &lt;i&gt;e&lt;/i&gt; <code>f*</code> #g &amp;amp; {h}<code>i</code> $j$</p>\n"
    assert MarkdownIt().render(markdown(text)) == shown


def test_records_name_the_page_of_a_table(tmp_path: Path):
    import pandas as pd

    from masklib.claims.recording import Run

    Run(tmp_path).table("t", pd.DataFrame({"x": [1]}), page="A page")
    assert json.loads((tmp_path / "records.jsonl").read_text())["page"] == "A page"


def test_the_sources_stay_out_of_what_is_published(made: Site):
    assert (made.index.parent / HIDDEN / "source" / "index.md").exists()
    assert [path for path in (made.index.parent / "_sources").rglob("*") if path.is_file()] == []


class Finding:
    """A finding as the audit's catalogue has it."""

    title, severity = f"A layer loses the mask {EVIL}", "error"
    why, remedy = f"because `x` {EVIL}", "give it `mask=`"


def test_findings_of_the_audit_have_a_page_with_both_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told = {"CODES": {"M001": Finding()}, "source_of": lambda code: (f"bad = {code!r}\n```", "good = 1")}
    monkeypatch.setattr(audit_page, "_attribute", lambda _module, name: told[name])
    source = Writer(tmp_path)
    assert audit_page.write_audit(source) == ["audit"]
    page, fragment = (tmp_path / "audit" / name for name in ("M001.md", "fragments/M001.html"))
    assert "````python\nbad = 'M001'\n```\n````" in page.read_text()
    assert "good = 1" in page.read_text()
    assert not re.search(r"(?<!\\)<script", page.read_text() + fragment.read_text())


def test_without_an_audit_there_is_no_page_about_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit_page, "CATALOGUE", "masklib.none.of.this")
    assert audit_page.write_audit(Writer(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
