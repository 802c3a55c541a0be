"""A store, a notebook and a drawing of a stranger: shown as text, or set aside with the reason, and the rest is shown."""

import base64
import json
import os
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from masklib.cli.main import main
from masklib.engine.collect import collect
from masklib.engine.contents import sums_of
from masklib.engine.record import RECORD, sizes_of
from masklib.engine.store import Store
from masklib.site import api
from masklib.site.build import build
from masklib.site.single import to_html
from masklib.site.survey import survey
from masklib.site.svg import clean_svg
from tests.site.made import publish, record

SECRET = "TOP-SECRET-9d1"
GOOD, BAD = "a" * 64, "b" * 64
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {}>{}</svg>'
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


def markdown_that_asks_for_more(secret: Path, module: str) -> list[str]:
    """Markdown that, as MyST, reads files, imports modules, writes HTML, or leads away."""
    up = f"../../../../../../../../../..{secret}"
    fences = [
        "{raw} html\n<script>alert(1)</script>",
        f"{{raw}} html\n:file: {secret}",
        f"{{eval-rst}}\n.. raw:: html\n   :file: {secret}",
        f"{{eval-rst}}\n.. include:: {secret}",
        f"{{eval-rst}}\n.. automodule:: {module}",
        f"{{include}} {secret}",
        f"{{literalinclude}} {up}",
        f"{{csv-table}}\n:file: {secret}",
        f"{{figure}} {up}",
        f"{{image}} {secret}",
        f"{{code-block}} python\n:name: {secret}",
        "{toctree}\n:glob:\n\n*",
        f"{{automodule}} {module}",
        "{only} html\n<script>alert(2)</script>",
        "&#123;raw} html\n<script>alert(3)</script>",
        "\\{raw} html\n<script>alert(4)</script>",
    ]
    cells = [f"```{fence}\n```" for fence in fences] + [f"~~~~{fences[0]}\n~~~~", f"> 1. ```{fences[0]}\n>    ```"]
    roles = [f"{{download}}`x <{up}>`", "{raw-html}`<script>alert(5)</script>`", f"{{eval}}`{module}`", "{sub-ref}`today`"]
    links = [f"![picture]({up})", f"![picture]({secret})", f"[link]({up})", f"[link](path:{up})", f"[link](<project:{up}>)"]
    html = ["<script>alert(6)</script>", "a <img src=x onerror=alert(7)>", "[x](javascript:alert(8))", "<javascript:alert(9)>"]
    other = [
        "---\nmyst:\n  html_meta:\n    refresh: 0\n---\n",
        "(target)=\n\ntext",
        "% a comment",
        "+++\n\nbreak",
        "{{ config }}",
    ]
    return [*cells, *roles, *links, *html, f"[link][r]\n\n[r]: {up}", f":::{fences[0]}\n:::", *other]


def outputs_that_do_more() -> list[Any]:
    """Outputs that run, load, or are not what their type says."""
    drawn = SVG.format('onload="alert(10)"', "<script>alert(11)</script><circle r='1'/>")
    data: list[dict[str, str]] = [
        {"image/svg+xml": drawn},
        {"image/svg+xml": "<svg", "text/plain": "no drawing"},
        {"image/png": "!!! no base64", "text/plain": "no picture"},
        {"image/png": base64.b64encode(b"<html>").decode(), "text/plain": "no PNG"},
        {"image/png": PNG},
        {"text/html": "<b>" * 2000 + "deep"},
        {"text/html": "<script>alert(12)</script><svg onload=alert(13)><iframe src=//e.example></iframe>"},
        {"text/markdown": "```{include} /etc/passwd\n```", "text/plain": "markdown"},
        {"application/javascript": "alert(14)"},
        {"text/plain": "x" * 3_000_000},  # a page of it took ten minutes
        {"text/html": "<p>" * 1_000_000, "text/plain": "much"},
    ]
    printed = nbformat.v4.new_output("stream", name="stdout", text="y" * 3_000_000)
    return [printed] + [nbformat.v4.new_output("display_data", data=one) for one in data]


def stranger(runs: Path, key: str, sources: list[str], notebook: str = "strange", **files: bytes) -> Path:
    """Publish a run with a notebook of these Markdown cells; return its folder."""
    folder = runs / notebook / key
    for name, content in {"tables/t.parquet": pd.DataFrame({"x": [1]}).to_parquet(), **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    cells = [nbformat.v4.new_markdown_cell(source) for source in sources]
    code = nbformat.v4.new_code_cell("1", outputs=outputs_that_do_more())
    nbformat.write(nbformat.v4.new_notebook(cells=[*cells, code]), folder / "notebook.ipynb")
    lines = [
        {"kind": "table", "name": "t", "rows": 1, "columns": ["x"]},
        {"kind": "metric", "name": "m", "value": 1.0, "unit": ""},
    ]
    return publish(runs, record(notebook, key), lines)


@pytest.fixture
def few_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a store whose site has few pages of the API; it is the current one, with a file not to be shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "modules", lambda: ["masklib.errors"])
    (tmp_path / "secret").write_text(SECRET)
    return tmp_path / "runs"


@pytest.mark.slow
def test_markdown_of_a_notebook_is_text(few_pages: Path):
    secret, module = few_pages.parent / "secret", "masklib_stranger"
    (few_pages.parent / f"{module}.py").write_text(f"open({str(few_pages.parent / 'RAN')!r}, 'w')\n'''{SECRET}'''\n")
    sources = markdown_that_asks_for_more(secret, module)
    drawing = SVG.format('onload="alert(15)"', "<circle r='1'/>").encode()
    folder = stranger(few_pages, GOOD, [sources[-5], *sources], **{"figures/f.svg": drawing})
    stranger(few_pages, "c" * 64, ["# Title {raw}`x`", *sources], notebook="secret")  # as a file of the current folder is called

    site = build(Store(few_pages))

    assert (site.unreadable, site.warnings) == ([], [])
    inside = {path: path.read_bytes() for path in few_pages.rglob("*") if path.is_file()}
    assert [path for path, content in inside.items() if SECRET.encode() in content] == []
    assert not (few_pages.parent / "RAN").exists()
    for name in ("strange", "secret"):
        html = (few_pages / "site" / "experiments" / f"{name}.html").read_text()
        assert "alert(6)" in html, "it is shown as text"
        assert what_runs_or_loads(html) == []
    assert what_runs_or_loads(to_html(folder)) == []
    assert SECRET not in to_html(folder)
    drawings = [path for path in (few_pages / "site").rglob("*.svg") if b"alert" in path.read_bytes()]
    assert drawings == []
    assert (few_pages / "site" / "evidence" / "strange" / GOOD[:16] / "figures" / "f.svg").is_file()


class Elements(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element."""
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Take the text of a script."""
        if self.cdata_elem == "script":
            self.scripts += data


def what_runs_or_loads(page: str) -> list[Any]:
    """What a page has that a stranger could have put there: handlers, frames, scripts, files that were copied."""
    elements = Elements(page)
    bad: list[Any] = [one for one in elements.found if any(name.startswith("on") for name in one[1])]
    bad += [one for one in elements.found if one[0] in ("iframe", "object", "embed", "base", "form") and "search" not in str(one)]
    bad += [one for one in elements.found if one[0] == "meta" and one[1].get("http-equiv") == "refresh"]
    for _, attributes in elements.found:
        links = [attributes.get(name) or "" for name in ("href", "src")]
        bad += [link for link in links if link.startswith(("javascript:", "file:", "//")) or "_downloads" in link]
    return bad + [elements.scripts] * ("alert" in elements.scripts)


def test_what_runs_would_be_seen():
    page = "<script>alert(1)</script><b onclick=x></b><iframe></iframe><a href=javascript:x></a><meta http-equiv=refresh>"
    assert len(what_runs_or_loads(page)) == 5


@pytest.mark.parametrize(
    ("attributes", "inside"),
    [
        ('onload="alert(1)"', ""),
        ("", "<script>alert(1)</script>"),
        ("", '<g><rect onclick="alert(1)"/></g>'),
        ("", '<foreignObject><script xmlns="http://www.w3.org/1999/xhtml">alert(1)</script></foreignObject>'),
        ("", '<a href="javascript:alert(1)"><text>x</text></a>'),
        ("", '<use xlink:href="http://alert.example/x.svg#a"/>'),
        ("", '<image href="data:image/svg+xml;base64,alert"/>'),
        ("", '<set attributeName="href" to="javascript:alert(1)"/>'),
        ("", "<style>@import 'http://alert.example/x.css';</style>"),
        ("", '<rect style="fill:url(http://alert.example/)"/>'),
        ("", '<x xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></x>'),
    ],
)
def test_nothing_in_a_drawing_runs_or_loads(attributes: str, inside: str):
    drawn = SVG.format(attributes, f"<circle r='1'/>{inside}")
    for content in (drawn.encode(), f'<?xml version="1.0" encoding="utf-16"?>{drawn}'.encode("utf-16")):
        cleaned = clean_svg(content)
        assert b"circle" in cleaned
        assert b"alert" not in cleaned


def test_what_stands_before_a_drawing_is_left_out():
    styled = '<?xml-stylesheet type="text/xsl" href="alert.xsl"?>' + SVG.format("", "")
    listed = '<!DOCTYPE svg [<!ATTLIST svg onload CDATA "alert(1)">]>' + SVG.format("", "")
    assert b"alert" not in clean_svg(styled.encode()) + clean_svg(listed.encode())


@pytest.mark.parametrize(
    "content", [b"", b"<svg", b"<html/>", b'<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG.format("", "&a;").encode()]
)
def test_what_is_no_drawing_is_refused(content: bytes):
    with pytest.raises(ValueError, match="a drawing must be SVG"):
        clean_svg(content)


def test_a_drawing_of_ours_keeps_its_bytes():
    for path in (Path(__file__).parents[2] / "runs" / "reference").glob("*.svg"):
        assert clean_svg(path.read_bytes()) == path.read_bytes()


def rewrite(folder: Path, **changes: Any) -> None:
    """Change fields of a record."""
    told = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({**told, **changes}))


def relink(path: Path, target: str) -> None:
    """Put a link in the place of a file or folder."""
    path.rename(path.with_name(f"{path.name}-was"))
    path.symlink_to(target)


def pipe(path: Path) -> None:
    """Put a named pipe in the place of a file."""
    path.unlink()
    os.mkfifo(path)


def lines(*found: dict[str, Any]) -> str:
    """The text of a records.jsonl."""
    return "".join(json.dumps(line) + "\n" for line in found)


def without(folder: Path, *path: str) -> None:
    """Remove a field of a record."""
    told = json.loads((folder / RECORD).read_text())
    place = told
    for name in path[:-1]:
        place = place[name]
    del place[path[-1]]
    (folder / RECORD).write_text(json.dumps(told))


def bomb() -> bytes:
    """A Parquet file of some kilobytes that holds a hundred million numbers."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    table = pa.table({"x": pa.array(np.zeros(1_000_000))})
    with pq.ParquetWriter(buffer, table.schema, compression="zstd") as writer:
        for _ in range(100):
            writer.write_table(table)
    return buffer.getvalue()


METRIC = {"kind": "metric", "name": "m", "value": 1.0, "unit": ""}
# What a run may be that cannot be read, and a word of the reason.
BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no JSON": (lambda run: (run / RECORD).write_text("{"), "record"),
    "a list": (lambda run: (run / RECORD).write_text("[]"), "record"),
    "nested deep": (lambda run: (run / RECORD).write_text("[" * 200_000), "record"),
    "a surrogate": (lambda run: rewrite(run, started="\ud800"), "surrogates"),
    "no UTF-8": (lambda run: (run / RECORD).write_bytes(b"\xff\xfe"), "record"),
    "no inputs": (lambda run: without(run, "inputs"), "inputs"),
    "no versions": (lambda run: without(run, "inputs", "versions"), "versions"),
    "no status": (lambda run: without(run, "status"), "status"),
    "a status that is none": (lambda run: rewrite(run, status="<script>"), "status"),
    "the status of an attempt": (lambda run: rewrite(run, status="failed"), "status"),
    "a time that is text": (lambda run: rewrite(run, duration_s="long"), "duration_s"),
    "a time beyond all numbers": (lambda run: rewrite(run, duration_s=10**400), "float"),
    "files that are a list": (lambda run: rewrite(run, files=["x"]), "files"),
    "a file above the folder": (lambda run: rewrite(run, files={"../../../secret": len(SECRET)}), "must lie in its folder"),
    "a file at the root": (lambda run: rewrite(run, files={"/etc/passwd": 1}), "must lie in its folder"),
    "another key": (lambda run: rewrite(run, key="../../" + "d" * 64), "its own run"),
    "a link for a record": (lambda run: relink(run / RECORD, "/dev/zero"), "link"),
    "a pipe for a record": (lambda run: pipe(run / RECORD), "pipe"),
    "a folder for a record": (lambda run: [(run / RECORD).unlink(), (run / RECORD).mkdir()], "record"),
    "a link for the lines": (lambda run: relink(run / "records.jsonl", "/dev/zero"), "link"),
    "a changed digit": (
        lambda run: (run / "records.jsonl").write_text((run / "records.jsonl").read_text().replace("1.0", "1.1")),
        "changed",
    ),
    "a metric without a name": (lambda run: republish(run, lines({"kind": "metric", "value": 1.0})), "name"),
    "a metric with a list": (lambda run: republish(run, lines({**METRIC, "name": []})), "name"),
    "a metric beyond all numbers": (lambda run: republish(run, lines({**METRIC, "value": 10**400})), "float"),
    "a line that is a number": (lambda run: republish(run, "5\n"), "object"),
    "a traceback of numbers": (lambda run: rewrite(run, error={"ename": "E", "evalue": "", "traceback": [5]}), "traceback"),
    "a line with a surrogate": (lambda run: republish(run, lines({**METRIC, "name": "\ud800"})), "surrogates"),
}
# What a run may hold that its page cannot show.
UNSHOWN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a table that is none": (lambda run: republish(run, **{"tables/t.parquet": b"PAR1"}), "Parquet"),
    "a table like a bomb": (lambda run: republish(run, **{"tables/t.parquet": bomb()}), "cells"),
    "a drawing that is none": (lambda run: republish(run, **{"figures/f.svg": b"<svg"}), "SVG"),
    "a notebook that is none": (lambda run: republish(run, **{"notebook.ipynb": b"[]"}), "notebook"),
    "a notebook of lists": (
        lambda run: republish(run, **{"notebook.ipynb": b'{"cells": [null], "metadata": [], "nbformat": 4}'}),
        "notebook",
    ),
    "a changed table": (lambda run: change(run / "tables" / "t.parquet"), "changed"),
    "a link for a table": (lambda run: relink(run / "tables" / "t.parquet", "/etc/passwd"), "link"),
    "a link for the tables": (lambda run: relink(run / "tables", "/etc"), "link"),
    "a changed picture": (lambda run: change(with_file(run, "figures/f.png", PNG.encode() * 9)), "changed"),
    "a changed recipe": (lambda run: change(with_file(run, "figures/f.json", b"{}" * 9)), "changed"),
    "a link for a picture": (lambda run: relink(with_file(run, "figures/f.png", b"1"), "/etc/passwd"), "link"),
    "a table that is gone": (lambda run: (run / "tables" / "t.parquet").unlink(), "t.parquet"),
}


def republish(folder: Path, text: str | None = None, **files: bytes) -> None:
    """Give a run other files, named by its record as if they had been its own."""
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    if text is not None:
        (folder / "records.jsonl").write_text(text)
    sizes = sizes_of(folder)
    rewrite(folder, files=sizes, sums=sums_of(folder, sizes))


def with_file(folder: Path, name: str, content: bytes) -> Path:
    """Give a run one more file, and return its path."""
    republish(folder, **{name: content})
    return folder / name


def change(path: Path) -> None:
    """Change one byte of a file."""
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("malice", BROKEN)
def test_a_run_that_cannot_be_read_is_set_aside_and_the_rest_is_collected(few_pages: Path, malice: str):
    damage, word = BROKEN[malice]
    stranger(few_pages, GOOD, ["# Good"])
    damage(stranger(few_pages, BAD, ["# Bad"]))

    tables = collect(Store(few_pages))

    assert tables.runs["key"].to_list() == [GOOD]
    (note,) = tables.unreadable
    assert word in note
    assert (few_pages / "strange" / "corrupt" / f"{BAD}-1").exists()
    tables.write(few_pages / "tables")
    assert collect(Store(few_pages)).unreadable == []


@pytest.mark.parametrize("malice", UNSHOWN)
def test_a_run_that_cannot_be_shown_is_reported_and_the_next_one_is_shown(few_pages: Path, malice: str):
    damage, word = UNSHOWN[malice]
    stranger(few_pages, GOOD, ["# Good"])
    damage(stranger(few_pages, BAD, ["# Bad"]))
    stranger(few_pages, GOOD, ["# Other"], notebook="other")

    found = survey(Store(few_pages))

    assert {name: [one.record.key for one in runs] for name, runs in found.experiments.items()} == {
        "other": [GOOD],
        "strange": [GOOD],
    }
    (note,) = found.tables.unreadable
    assert word in note


def test_a_table_that_a_run_does_not_name_is_not_read(few_pages: Path):
    named = {"kind": "table", "name": "../../../secret", "rows": 500, "columns": [], "page": "Secrets"}
    republish(stranger(few_pages, GOOD, ["# Title"]), lines(named, METRIC))
    assert [one.tables for one in survey(Store(few_pages)).shown()] == [["t"]]
    build(Store(few_pages))
    assert (few_pages / "site" / "experiments" / "strange.html").is_file()


def test_the_folder_names_the_notebook_of_a_run(few_pages: Path):
    rewrite(stranger(few_pages, GOOD, ["# Title"]), notebook="../../elsewhere")
    (few_pages / "strange").rename(few_pages / "renamed")
    tables = collect(Store(few_pages))
    assert (tables.runs["notebook"].to_list(), tables.unreadable) == (["renamed"], [])
    assert list(survey(Store(few_pages)).experiments) == ["renamed"]


def test_a_recipe_that_is_none_leaves_the_drawing(few_pages: Path):
    for index, recipe in enumerate(
        [b"5", b'{"name": 5}', b'{"name":"../../x","plot":"plot_curves","arguments":{},"caption":"","alt":""}']
    ):
        files = {"figures/f.svg": SVG.format("", "").encode(), "figures/f.json": recipe}
        stranger(few_pages, GOOD, ["# Title"], notebook=f"n{index}", **files)
    assert [one.recipe("f") for one in survey(Store(few_pages)).shown()] == [None] * 3


@pytest.mark.slow
def test_a_recipe_that_cannot_be_drawn_leaves_what_the_notebook_showed(few_pages: Path):
    recipe = json.dumps({"name": "f", "plot": "plot_of_a_later_masklib", "arguments": {}, "caption": "c", "alt": "a"}).encode()
    folder = stranger(few_pages, GOOD, ["# Title"], **{"figures/f.json": recipe, "figures/f.png": PNG.encode()})
    site = build(Store(few_pages))
    assert (site.unreadable, site.warnings) == ([], [])
    assert list((few_pages / "site").rglob("f*.svg")) == []
    assert "<h1" in to_html(folder)


@pytest.mark.parametrize("command", ["list --claims", "collect", "report", "tables --list", "tables runs", "figures --list"])
def test_every_command_shows_what_it_can_and_reports_the_rest(few_pages: Path, command: str):
    stranger(few_pages, GOOD, ["# Good"])
    damage, word = BROKEN["a link for a record"]
    damage(stranger(few_pages, BAD, ["# Bad"]))

    ended = CliRunner().invoke(main, [*command.split(), "--runs", str(few_pages)])

    assert ended.exit_code == 1
    assert isinstance(ended.exception, SystemExit)
    (note,) = [line for line in ended.stderr.splitlines() if "set aside" in line]
    assert word in note
    assert ended.stdout or command.startswith("figures")


@pytest.mark.parametrize("command", ["collect", "report", "tables", "figures", "list --claims"])
def test_a_mistyped_path_of_a_store_is_reported_and_not_made(tmp_path: Path, command: str):
    ended = CliRunner().invoke(main, [*command.split(), "--runs", str(tmp_path / "rusn")])
    assert ended.exit_code == 1
    assert f"{tmp_path / 'rusn'} is not there" in ended.stderr
    assert list(tmp_path.iterdir()) == []
