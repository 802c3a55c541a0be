"""The pages of what changed between versions of Keras: all of it, in order, with links that lead somewhere."""

import re
from pathlib import Path

import pytest

from masklib.engine import committed
from masklib.engine.releases import is_pre_release, version_key
from masklib.engine.versions import COLUMNS, FAILED
from masklib.site import changes, changes_markdown, version_pages
from masklib.site.writing import Writer

LAYERS = ("LSTM", "LSTM(go_backwards=True)", "Bidirectional")


def change(claim: str, keras: str = "3.4.0", was: str = "kept", now: str = "gone", backend: str = "torch") -> committed.Row:
    return {"claim": claim, "backend": backend, "before": "3.3.3", "keras": keras, "released": "", "was": was, "is": now}


@pytest.fixture
def source(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[committed.Row]:
    """Changes in place of the committed ones."""
    given = [change(name) for name in LAYERS] + [change("mask-3", "3.10.0", "refuted", "holds")]
    for module in (changes, changes_markdown, version_pages):
        monkeypatch.setattr(module, "committed_changes", lambda: given)
    monkeypatch.setattr(changes, "_measured", lambda: {("mask-3", "torch"): ["3.3.3", "3.4.0", "3.9.0", "3.10.0"]})
    return given


def test_the_newest_version_stands_first_and_alike_layers_together(rows: list[committed.Row]):
    newest, older = changes.by_release(rows)
    assert (newest["keras"], older["keras"]) == ("3.10.0", "3.4.0")
    assert [(row["claim"], row["before"]) for row in newest["claims"]] == [("mask-3", "3.3.3; no verdict on 2 between")]
    (alike,) = older["layers"]
    assert [layer["name"] for layer in alike["layers"]] == ["LSTM", "Bidirectional"]
    assert alike["layers"][0]["settings"] == ["as it is", "go_backwards=True"]
    assert alike["layers"][1]["settings"] == []
    assert (alike["was"], alike["is"]) == ("keeps the mask", "drops the mask")


def test_a_layer_has_a_link_only_where_the_site_has_its_page(source: Writer, rows: list[committed.Row]):
    source.write("layers/LSTM.md", "")
    assert version_pages.write_versions(source) == ["versions"]
    html = (source.folder / "fragments" / "versions.html").read_text()
    assert re.findall(r'href="(layers/[^"]+)"', html) == ["layers/LSTM.html"]
    assert 'href="claims/mask-3.html"' in html


def test_what_a_pre_release_changes_has_a_page_of_its_own(source: Writer, rows: list[committed.Row]):
    rows.append(change("state-1", "3.99.0.dev2026010101", "refuted", "holds"))
    assert version_pages.write_versions(source) == ["versions", "next_keras"]
    assert "# What Keras 3.99.0 changes" in (source.folder / "next_keras.md").read_text()
    assert 'href="claims/state-1.html"' not in (source.folder / "fragments" / "versions.html").read_text()
    assert "(a nightly build: it may still change)" in changes_markdown.page()


def test_without_changes_there_is_no_page(source: Writer, rows: list[committed.Row]):
    rows.clear()
    assert version_pages.write_versions(source) == []


def test_a_failure_names_the_versions_the_error_and_the_claims_and_is_no_change(monkeypatch: pytest.MonkeyPatch):
    versions = ["3.3.3", "3.4.0", "3.4.1", "3.5.0", "3.6.0"]
    verdicts = {"3.4.0": FAILED, "3.4.1": FAILED, "3.6.0": FAILED}
    cells = [
        dict(zip(COLUMNS, (claim, v, "torch", verdicts.get(v, "holds"), "TypeError: size"), strict=True))
        for v in reversed(versions)
        for claim in ("mask-3", "mask-4")
    ]
    monkeypatch.setattr(changes, "committed_versions", lambda: cells)
    assert changes.failures() == [
        {"backend": "PyTorch", "reason": "TypeError: size", "claims": "mask-3, mask-4", "versions": "3.4.0 to 3.4.1, 3.6.0"}
    ]


def test_the_committed_page_has_every_version_that_changed_anything_in_order():
    headings = re.findall(r"^## Keras (\S+?),", changes_markdown.page(), re.MULTILINE)
    found = {row["keras"] for row in committed.committed_changes()}
    assert headings == sorted(found, key=version_key, reverse=True)
    assert any(map(is_pre_release, headings))
    assert changes_markdown.page() == (committed.reference_folder() / changes_markdown.PAGE).read_text(encoding="utf-8")
