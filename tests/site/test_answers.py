"""The page of an experiment begins with its answer, and the page of a claim with its verdict today."""

import json
from dataclasses import replace
from html import escape
from pathlib import Path

import nbformat
import pytest

from masklib.auditing.report.catalogue import CODES
from masklib.claims.ledger import load_claims, load_documents
from masklib.engine.store import Store
from masklib.figures import plots, recipes
from masklib.site import api, claim_pages, front, verdicts
from masklib.site.audit_page import about_findings
from masklib.site.build import write_sources
from masklib.site.claim_pages import Behind, behind, since
from masklib.site.single import to_html
from masklib.site.survey import Survey, survey
from masklib.site.text import sentences
from masklib.site.verdicts import Found
from masklib.site.writing import Writer
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
    folder.mkdir(parents=True, exist_ok=True)
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


def test_the_card_of_a_claim_says_who_says_it_and_what_to_write_instead(few_pages: Path, monkeypatch: pytest.MonkeyPatch):
    said = replace(load_claims()["mask-3"], notebook=FIRST, quote=f"their words {EVIL}")
    own = replace(said, id="own-1", documents=(), says="found here", quote="")
    for module in (claim_pages, verdicts):
        monkeypatch.setattr(module, "load_claims", lambda: load_claims() | {"mask-3": said, "own-1": own})
    publish_notebook(few_pages / "runs", ANSWER, CLAIM)
    source = sources(few_pages)
    names = ("claims/fragments/mask-3", "claims/fragments/own-1", "fragments/claims")
    card, other, listed = ((source / f"{name}.html").read_text() for name in names)

    assert "on Keras 3.15.1 with the TensorFlow backend" in card
    assert "a case: observed 1.0, expected 2.0" in card
    assert "01 · Does it?</a>: <code>Add</code> drops it <em>always</em>" in card
    assert '<a href="../audit/MSK104.html">MSK104' in card
    assert f"<p>{escape(f'their words {EVIL}')}</p>" in card
    assert all(load_documents()[one].title in card for one in said.documents)
    assert "No document says it: it was found here." in other
    assert listed.index("mask-3") < listed.index("Found here") < listed.index("own-1")


def test_a_card_says_since_when_only_if_versions_differ():
    def row(*verdicts: str) -> dict[tuple[str, str], Found]:
        versions = ("2.2.4", "2.10.0", "2.15.0", "3.15.1")
        return {(keras, "tensorflow"): Found(one, "") for keras, one in zip(versions, verdicts, strict=True)}

    assert since(row("holds", "refuted", "refuted", "refuted")) == "holds on 2.2.4, refuted from 2.10.0 on"
    assert since(row("holds", "holds", "holds", "refuted")) == "holds on 2.2.4 to 2.15.0, refuted on 3.15.1"
    assert since(row("untested", "holds", "holds", "holds")) == ""
    assert since({**row("holds", "holds", "holds", "holds"), ("3.15.1", "jax"): Found("refuted", "")}) == ""


def test_every_finding_has_a_title_and_claims_of_the_ledger():
    told = about_findings()

    assert list(told) == list(CODES)
    assert {claim for one in told.values() for claim in one["claims"]} - set(load_claims()) == set()
    assert [code for code, one in told.items() if not one["title"] or "{" in one["title"]] == []


def test_a_finding_has_a_page_with_both_models_and_its_claims(few_pages: Path):
    publish_notebook(few_pages / "runs", CLAIM)
    source = sources(few_pages)
    page = (source / "audit" / "MSK104.md").read_text()

    assert page.startswith("# MSK104: Every step counts as valid after `Concatenate`\n")
    assert page.index("def msk104_failing") < page.index("def msk104_remedied") < page.index("## How it is measured")
    assert "leak" in (source / "audit" / "fragments" / "MSK104.html").read_text()
    assert "claims/mask-3.html" in (source / "audit" / "fragments" / "MSK104.measured.html").read_text()


def test_the_site_of_other_notebooks_is_about_them(few_pages: Path):
    publish_notebook(few_pages / "runs", ANSWER, name="my_model")
    source = sources(few_pages)
    front = (source / "fragments" / "start.html").read_text()

    assert "01 · Does it?</a>" in front
    assert "<code>Add</code> drops it" in front
    assert sorted(path.name for path in source.glob("*") if path.name != "experiments") == ["fragments", "index.md"]


def test_the_figure_that_was_recorded_first_stands_beside_the_answer(few_pages: Path):
    folder = few_pages / "runs" / FIRST / ("a" * 64)
    (folder / "figures").mkdir(parents=True)
    for name in ("a", "z"):
        labels = {"xlabel": "x", "ylabel": "y"}
        values = ([1, 2], {"y": [1.0, 2.0]})
        recipe = recipes.make_recipe(name, plots.plot_curves, values, labels, caption=f"caption {name}", alt=name)
        (folder / "figures" / f"{name}.json").write_text(json.dumps(recipes.as_json(recipe)))
    figures = [{"kind": "figure", "name": name} for name in ("z", "a")]
    publish_notebook(few_pages / "runs", ANSWER, CLAIM, *figures)
    head = (sources(few_pages) / "experiments" / "fragments" / f"{FIRST}.html").read_text()

    assert head.index("Answer.") < head.index("caption z") < head.index("Verdicts of this run")
    assert "caption a" not in head
    assert "caption z" in to_html(folder).partition('id="verdicts"')[0]


def test_an_experiment_that_was_not_run_here_has_its_committed_answer(monkeypatch: pytest.MonkeyPatch):
    row = {"notebook": "06_mask_propagation", "keras": "3.15.1", "backend": "tensorflow", "answer": "It is dropped."}
    monkeypatch.setattr(claim_pages, "committed_answers", lambda: [row])
    here = Survey(None, None, {})  # type: ignore[arg-type] # neither is asked for
    claim = load_claims()["mask-1"]

    assert behind(claim, here, ("3.15.1", "tensorflow")) == Behind("06_mask_propagation", "", "It is dropped.")
    assert behind(claim, here, ("3.15.1", "jax")) == Behind("06_mask_propagation", "", "")
    assert behind(replace(claim, notebook=""), here, ("3.15.1", "jax")) is None


def test_the_front_page_may_answer_in_the_words_of_a_notebook(few_pages: Path, monkeypatch: pytest.MonkeyPatch):
    entry = {"question": "Does it?", "notebook": FIRST, "page": "layers", "evidence": "a page for each"}
    publish_notebook(few_pages / "runs", {"kind": "answer", "text": "`Add` drops it. Others do not."})
    found = survey(Store(few_pages / "runs"))
    answer = front._answer(entry, found, verdicts.matrix(found))
    assert answer == {"question": "Does it?", "text": "`Add` drops it.", "page": "layers.html", "evidence": "a page for each"}
    assert front._answer(entry | {"notebook": "99_other"}, found, verdicts.matrix(found)) is None
    monkeypatch.setattr(front, "_answer", lambda *_: answer)
    front.write_front(found, verdicts.matrix(found), Writer(few_pages / "source"), Writer(few_pages / "site"), {})
    assert "<code>Add</code> drops it." in (few_pages / "source" / "fragments" / "start.html").read_text()
