"""One site, made once of a small store, and Chromium to look at it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from masklib.engine.store import Store
from masklib.site.build import Site, build
from tests.site.made import make_checkout

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site of a small store."""
    folder = tmp_path_factory.mktemp("checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return build(Store(make_checkout(folder)))


@pytest.fixture(scope="session")
def root(made: Site) -> Path:
    """The folder of the site, moved away from its store: it needs nothing beside it."""
    moved = made.index.parents[2] / "elsewhere"
    shutil.copytree(made.index.parent, moved, ignore=shutil.ignore_patterns(".build"))
    return moved


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; where it is missing these tests are skipped, but not in CI."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        reason = "no chromium on PATH: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield started
        started.close()


class Visitor:
    """A browser window that remembers what went wrong: messages, failed requests, requests beyond the site, dialogs."""

    def __init__(self, page: Page, root: Path):
        self.page, self.root = page, root
        self.wrong: list[str] = []
        page.on("console", lambda message: self._note(message.type in ("error", "warning"), f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self._note(True, f"error: {error}"))
        page.on("requestfailed", lambda request: self._note(True, f"failed: {request.url}"))
        page.on("request", lambda request: self._note(not self._inside(request.url), f"outside: {request.url}"))
        page.on("dialog", self._dialog)

    def open(self, name: str) -> Page:
        """Open a page of the site, and wait until it is there."""
        self.page.goto(f"{self.root.as_uri()}/{name}", wait_until="load")
        return self.page

    def _inside(self, url: str) -> bool:
        return url.startswith((self.root.as_uri() + "/", "data:"))

    def _note(self, is_wrong: bool, told: str) -> None:
        if is_wrong:
            self.wrong.append(told)

    def _dialog(self, dialog: object) -> None:
        self.wrong.append(f"dialog: {dialog}")
        dialog.dismiss()  # type: ignore[attr-defined]


@pytest.fixture
def visitor(browser: Browser, root: Path) -> Iterator[Visitor]:
    """A window of 1280 pixels."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Visitor(context.new_page(), root)
    context.close()
