"""The site in Chromium: it loads, searches, sorts, folds, fits a phone, can be reached by keyboard, and shows names as text."""

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.site.conftest import Visitor
from tests.site.made import EVIL, FAILURES, LONG

pytestmark = pytest.mark.slow

FRONT, EXPERIMENT, SWEEP = "index.html", "experiments/01_first.html", "sweeps/02_swept.html"
VALUES = "div.cell_output table.mk-table:not([data-rows])"  # the table of a notebook whose rows are all there
SERIOUS = ("serious", "critical")


def atlas(root: Path) -> str:
    """The page of the table that has one."""
    (path,) = (root / "tables").glob("*.html")
    return f"tables/{path.name}"


def kinds(root: Path) -> list[str]:
    """A page of each kind."""
    pages = [
        FRONT,
        EXPERIMENT,
        SWEEP,
        atlas(root),
        "claims.html",
        "claims/mask-3.html",
        "api/index.html",
        "api/masklib.losses.html",
        "architecture.html",
        "audit.html",
        "audit/MSK104.html",
    ]
    return [*pages, "search.html?q=concatenate"]


def every_page(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.html"))]


@pytest.fixture
def phone(browser: Browser, root: Path) -> Iterator[Visitor]:
    """A window of 400 pixels, dark."""
    context = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme="dark")
    yield Visitor(context.new_page(), root)
    context.close()


def test_every_page_loads_without_errors_and_asks_for_nothing_beyond_its_folder(visitor: Visitor, root: Path):
    pages = every_page(root)
    assert len(pages) > 80
    for name in pages:
        visitor.open(name)
    assert visitor.wrong == []


def sideways(page: Page) -> list[str]:
    """What can be scrolled sideways but tables and code, which have a frame of their own."""
    found: list[str] = page.evaluate(
        """[...document.querySelectorAll("*")].filter((part) =>
             part.scrollWidth > part.clientWidth + 1 && !part.closest(".mk-scroll, pre, .sidebar-drawer, .toc-drawer")
             && (part === document.documentElement || ["auto", "scroll"].includes(getComputedStyle(part).overflowX))
           ).map((part) => part.tagName + "." + part.className)"""
    )
    return found


def test_a_page_that_asks_for_something_beyond_its_folder_is_found(visitor: Visitor, root: Path):
    page = root / "loads.html"
    page.write_text("<img src='https://example.invalid/x.png'><script>alert(1)</script>")
    try:
        visitor.open("loads.html")
    finally:
        page.unlink()
    assert {told.partition(":")[0] for told in visitor.wrong} >= {"outside", "dialog"}


def test_search_finds_a_claim(visitor: Visitor):
    page = visitor.open(FRONT)
    page.get_by_role("searchbox").or_(page.locator("input[name=q]")).first.fill("concatenate")
    page.keyboard.press("Enter")
    found = page.locator("#search-results li a", has_text="mask-3")
    expect(found.first).to_be_visible()
    found.first.click()
    expect(page.locator("h1")).to_contain_text("mask-3: Concatenate")
    assert visitor.wrong == []


def test_search_shows_excerpts_over_http(browser: Browser, root: Path):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/search.html?q=concatenate")
        expect(page.locator("#search-results li p.context").first).to_contain_text(re.compile("concatenate", re.IGNORECASE))
        context.close()
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    """A web server that writes no log."""

    def log_message(self, *_arguments: Any) -> None:
        """Write nothing."""


def test_a_wide_table_keeps_what_tells_rows_apart_in_sight(phone: Visitor):
    page = phone.open(FRONT)
    scroll = page.locator(".mk-scroll").first
    assert scroll.get_attribute("data-scrolls") is not None
    before = page.locator("table.mk-matrix tbody th").first.bounding_box()
    caption = page.locator("table.mk-matrix caption").first
    scroll.evaluate("part => part.scrollLeft = 200")
    assert caption.evaluate("part => part.clientWidth <= part.closest('.mk-scroll').clientWidth")
    assert caption.bounding_box()["x"] == scroll.bounding_box()["x"]
    assert page.locator("table.mk-matrix tbody th").first.bounding_box() == before
    assert "Scroll sideways" in scroll.evaluate("part => getComputedStyle(part, '::before').content")


def test_a_newcomer_finds_the_two_answers_on_the_front_page(visitor: Visitor):
    page = visitor.open(FRONT)
    concatenate = page.locator("dl > div", has_text="Does Concatenate keep my mask?")
    loss = page.locator("dl > div", has_text="Is my loss counting padding?")
    expect(concatenate).to_contain_text("Not always")
    expect(loss).to_contain_text("It can be")  # loss-7 is refuted in this store
    loss.get_by_role("link").click()
    expect(page.locator("h1")).to_contain_text("loss-7")
    page.get_by_role("link", name="run of loss-7 on Keras 3.15.1 with the TensorFlow backend").click()
    expect(page.locator("h1")).to_contain_text("01 · Does it hold?")


def test_the_verdicts_lead_to_the_runs_of_each_keras(visitor: Visitor):
    page = visitor.open(FRONT)
    row = page.locator("table.mk-matrix tbody tr", has=page.get_by_role("link", name="loss-7", exact=True))
    heads = page.locator("table.mk-matrix thead th").all_inner_texts()
    new, old = (next(i for i, head in enumerate(heads) if head.startswith(f"{keras} ")) for keras in ("3.15.1", "2.15.0"))
    cells = row.locator("td, th")
    expect(cells.nth(new)).to_contain_text("refuted")
    expect(cells.nth(old)).to_contain_text("holds")
    assert cells.nth(old).locator("a").get_attribute("href") == "experiments/01_first.keras-2.15.0-tensorflow.html"


def column(page: Page, table: str, index: int) -> list[str]:
    return page.locator(f"{table} tbody tr > :nth-child({index + 1})").all_inner_texts()


def test_a_table_of_a_notebook_sorts_by_number_both_ways(visitor: Visitor):
    page = visitor.open(EXPERIMENT)
    table = VALUES
    assert column(page, table, 2) == ["2.0", "10.0", "1.0"]
    head = page.locator(f"{table} thead th", has_text="value")
    head.get_by_role("button").click()
    assert column(page, table, 2) == ["1.0", "2.0", "10.0"]
    head.get_by_role("button").click()
    assert column(page, table, 2) == ["10.0", "2.0", "1.0"]
    assert head.get_attribute("aria-sort") == "descending"


def test_a_table_of_which_the_notebook_shows_a_part_is_whole_on_its_page(visitor: Visitor):
    page = visitor.open(EXPERIMENT)
    page.get_by_role("searchbox", name="Filter rows of atlas").fill("layer 2498")
    expect(page.locator("div.cell_output table[data-rows] tbody tr")).to_have_count(1)
    assert visitor.wrong == []


def test_the_verdicts_filter_by_text_and_by_verdict(visitor: Visitor):
    page = visitor.open(FRONT)
    shown = page.locator("table.mk-matrix").first.locator("tbody tr")  # of the claims of documents
    total = shown.count()
    page.get_by_label("Filter rows of Verdicts").first.fill("concatenate")
    assert 0 < shown.count() < total
    page.get_by_label("Filter rows of Verdicts").first.fill("")
    page.get_by_label("Verdict on the newest Keras").first.select_option("differs")
    assert "loss-7" in " ".join(shown.all_inner_texts())
    assert shown.count() < total


def test_a_long_table_is_read_when_it_is_asked_for_and_filters_whole(visitor: Visitor, root: Path):
    page = visitor.open(atlas(root))
    rows = page.locator("table tbody tr")
    assert rows.count() == 50
    assert page.locator("script[src*='data/']").count() == 0
    page.get_by_role("button", name="Next").click()
    expect(page.locator("nav.mk-pages")).to_contain_text(f"51\N{EN DASH}100 of {2 * LONG}")  # of two versions of Keras
    page.get_by_role("searchbox", name="Filter rows of").fill("layer 2499")
    expect(rows).to_have_count(0)
    page.get_by_role("searchbox", name="Filter rows of").fill("layer 2498")
    expect(rows).to_have_count(2)
    page.get_by_label("Keras").select_option("2.15.0")
    expect(rows).to_have_count(1)
    assert set(rows.locator("a").evaluate_all("links => links.map((a) => a.getAttribute('href'))")) == {
        "../experiments/01_first.keras-2.15.0-tensorflow.html"
    }
    assert visitor.wrong == []


def test_the_runs_of_a_sweep_show_failures_first_with_reason_and_folded_traceback(visitor: Visitor):
    page = visitor.open(SWEEP)
    groups = page.locator(".mk-failure")
    assert groups.count() == len(FAILURES)
    expect(groups.first).to_contain_text(f"6\N{MULTIPLICATION SIGN} ValueError: {EVIL} in layer")
    traceback = groups.first.locator("pre")
    expect(traceback).not_to_be_visible()
    groups.first.locator("summary").click()
    expect(traceback).to_contain_text(f"Traceback of {EVIL}")
    statuses = column(page, "table", 0)
    assert statuses[:10] == ["failed"] * 9 + ["ok"]
    page.get_by_label("status").select_option("ok")
    expect(page.locator("output.mk-count")).to_have_text("240 of 249 rows")


def test_code_is_folded_and_opens_alone_and_all_at_once(visitor: Visitor):
    page = visitor.open(EXPERIMENT)
    code = page.locator("div.cell_input, div.cell details .highlight")
    assert [part.is_visible() for part in code.all()] == [False] * code.count()
    page.get_by_text("Code: experiment").first.click()
    expect(page.locator(".highlight", has_text="print('experiment')")).to_be_visible()
    page.get_by_role("button", name="Show all code").click()
    assert all(part.is_visible() for part in page.locator("div.cell details .highlight").all())


def test_figures_are_vectors_for_light_and_dark_pages(visitor: Visitor):
    page = visitor.open(EXPERIMENT)
    shown = page.locator("figure.mk-figure img")
    assert [str(img.get_attribute("src")).rpartition("/")[2] for img in shown.all()] == ["line.svg", "line.dark.svg"]
    assert [img.is_visible() for img in shown.all()] == [True, False]
    assert shown.first.get_attribute("alt") == EVIL
    page.emulate_media(color_scheme="dark")
    expect(shown.nth(0)).not_to_be_visible()
    page.locator("figure.mk-figure").scroll_into_view_if_needed()
    expect(shown.nth(1)).to_be_visible()  # it is read when it comes into view


def brightness(page: Page) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_dark_mode_follows_the_system_and_can_be_chosen(visitor: Visitor):
    page = visitor.open(FRONT)
    assert brightness(page) > 200
    page.emulate_media(color_scheme="dark")
    assert brightness(page) < 60
    page.emulate_media(color_scheme="light")
    for _ in range(3):  # auto, light, dark
        if brightness(page) < 60:
            break
        page.locator("button.theme-toggle:visible").first.click()
    assert brightness(page) < 60


def test_nothing_scrolls_sideways_on_a_phone(phone: Visitor, root: Path):
    assert {name: found for name in kinds(root) if (found := sideways(phone.open(name)))} == {}
    page = phone.open(FRONT)
    page.evaluate("document.querySelector('article').insertAdjacentHTML('beforeend', '<div style=\"width: 900px\">wide</div>')")
    assert sideways(page)  # what is too wide would be seen
    assert phone.wrong == []


def test_nothing_scrolls_sideways_on_a_small_laptop(visitor: Visitor, root: Path):
    visitor.page.set_viewport_size({"width": 1100, "height": 800})
    assert {name: found for name in kinds(root) if (found := sideways(visitor.open(name)))} == {}


def test_a_page_can_be_reached_by_keyboard(visitor: Visitor):
    page = visitor.open(EXPERIMENT)
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.className + ' ' + document.activeElement.tagName"))
    assert any("mk-sort" in told for told in reached)
    assert any("SUMMARY" in told for told in reached)
    page.locator("summary", has_text="Parameters, versions, files").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="executed notebook")).to_be_visible()
    page.locator("div.cell_output .mk-sort", has_text="value").focus()
    page.keyboard.press("Enter")
    assert column(page, VALUES, 2) == ["1.0", "2.0", "10.0"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(visitor: Visitor, root: Path, scheme: Any):
    visitor.page.emulate_media(color_scheme=scheme)
    faults = {}
    for name in kinds(root):
        page = visitor.open(name)
        for part in page.locator("article details").all():
            part.evaluate("part => part.open = true")
        found = Axe().run(page).response["violations"]
        serious = [fault for fault in found if fault["impact"] in SERIOUS]
        if serious:
            faults[name] = [(fault["id"], [node["html"][:120] for node in fault["nodes"][:3]]) for fault in serious]
    assert faults == {}


def test_axe_would_find_a_fault(visitor: Visitor, root: Path):
    page = visitor.open(FRONT)
    page.evaluate("document.querySelector('article').insertAdjacentHTML('beforeend', '<img src=\"_static/plus.png\">')")
    found = Axe().run(page).response["violations"]
    assert "image-alt" in {fault["id"] for fault in found if fault["impact"] in SERIOUS}


def test_names_and_messages_are_shown_as_text_wherever_they_are(visitor: Visitor, root: Path):
    for name, least in ((EXPERIMENT, 5), (SWEEP, 3), (atlas(root), 2), ("claims/mask-3.html", 1)):
        page = visitor.open(name)
        text = page.evaluate("document.body.textContent")
        assert text.count(EVIL) >= least, name
        assert page.locator("[onclick], [onerror]").count() == 0
        assert page.evaluate("[...document.scripts].filter((s) => s.textContent.includes('alert')).length") == 0
    page = visitor.open(SWEEP)
    page.get_by_label("label").select_option(EVIL)
    expect(page.locator("output.mk-count")).to_have_text("120 of 249 rows")
    assert visitor.wrong == []


def test_no_page_is_large(root: Path):
    sizes = {path.name: path.stat().st_size for path in root.rglob("*") if path.suffix in (".html", ".js")}
    assert {name: size for name, size in sizes.items() if size > 1_500_000} == {}
