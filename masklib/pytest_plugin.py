"""The pytest plugin: a fixture that asserts that padding changes nothing, and keeps the report of a failure as a page.

pytest finds it by its entry point; nothing of masklib is imported before a test uses the fixture.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FIXTURE, MARK = "assert_padding_invariant", "audit"
LONGEST = 150  # letters of a page's name


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--masklib-report`."""
    group = parser.getgroup("masklib")
    group.addoption("--masklib-report", metavar="DIR", help="Keep an HTML report of each failed audit in this folder.")


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, and make the folder of the reports, so that one that cannot be is known before a test runs."""
    config.addinivalue_line("markers", f"{MARK}: audits a model by the fixture {FIXTURE}; -m 'not {MARK}' leaves them out")
    folder = config.getoption("--masklib-report")
    if folder:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"--masklib-report must be a folder that can be made, {folder} cannot: {error.strerror}."
            raise pytest.UsageError(msg) from None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that audit a model."""
    for item in items:
        if FIXTURE in getattr(item, "fixturenames", ()):
            item.add_marker(MARK)


@pytest.fixture
def assert_padding_invariant(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`masklib.assert_padding_invariant`; with `--masklib-report DIR` the report of a failure is kept as a page."""
    folder = request.config.getoption("--masklib-report")

    def check(model: Any, inputs: Any = None, targets: Any = None, **options: Any) -> None:
        __tracebackhide__ = True
        from masklib.auditing.report.report import audit, failure_of

        report = audit(model, inputs, targets, **options)
        failure = failure_of(report)
        if failure and folder:
            _keep(report, Path(folder), request.node)
        if failure:
            raise failure

    return check


def _keep(report: Any, folder: Path, test: Any) -> None:
    """Write the page of a report, named after its test, and name it in what pytest shows of the failure."""
    from masklib.cli.audit_view import write_page

    name = re.sub(r"[^\w.-]+", "-", test.nodeid).strip("-")[-LONGEST:]
    taken = len(list(folder.glob(f"{name}*.html")))
    path = folder / f"{name}{f'-{taken + 1}' if taken else ''}.html"
    write_page(report, str(path))
    test.add_report_section("call", "masklib", f"The report: {path.absolute()}")
