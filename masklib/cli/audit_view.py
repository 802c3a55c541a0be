"""What `masklib audit` shows: how far it is, the report on a terminal, and as a page."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import click

from masklib.errors import ArgumentError, printable

CATALOGUE = Path("site") / "audit.html"  # in the folder of the runs


class Stages:
    """Shows at which stage an audit is: on a terminal one line that moves, elsewhere a line for each stage.

    Use it within `with`, and call it with the name of what begins.

    Args:
        path: of the model.
    """

    def __init__(self, path: str) -> None:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from masklib.cli.console import log

        columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
        self._is_moving = log.is_terminal
        self._line = Progress(*columns, console=log, transient=True, disable=not self._is_moving, redirect_stdout=False)
        self._task = self._line.add_task(f"{printable(path)}: loading")
        self._path = printable(path)

    def __enter__(self) -> Self:
        self._line.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._line.stop()

    def __call__(self, stage: str) -> None:
        """Show the stage that begins."""
        if self._is_moving:
            self._line.update(self._task, description=f"{self._path}: testing {stage}", refresh=True)
        else:
            click.echo(f"{self._path}: testing {stage}", err=True)


def check_page(path: str, option: str = "--html") -> None:
    """Refuse a file that could not be written, before anything is tested.

    Raises:
        ArgumentError: its folder is not there, or may not be written in; or the path is that of a folder.
    """
    file = Path(path)
    folder = file.parent
    if file.is_dir() or not folder.is_dir():
        why = "is a folder" if file.is_dir() else f"would be in {folder}, which is not there"
        msg = f"{option} must be a file in a folder that is there, {path} {why}. Make the folder, or name another file."
        raise ArgumentError(msg)
    if not os.access(file if file.exists() else folder, os.W_OK):
        msg = f"{option} must be a file that may be written, {path} may not. Name another one."
        raise ArgumentError(msg)


def write_page(report: Any, path: str) -> None:
    """Write the report as one page of HTML that needs nothing else, and say where."""
    from masklib.auditing.report.page import fragment
    from masklib.site.look import page

    folder = Path(path).absolute().parent
    links = {code: f"{Path(os.path.relpath(file, folder)).as_posix()}#{anchor}" for code, (file, anchor) in _catalogue().items()}
    html = page(f"Audit of {printable(report.model)}", fragment(report, graph=True, links=links))
    Path(path).write_text(html, encoding="utf-8")
    click.echo(f"report: {printable(Path(path).absolute())}", err=True)


def show(report: Any) -> None:
    """Print the report, in colour on a terminal."""
    from rich.console import Console

    from masklib.auditing.report import text

    links = {code: f"{file.as_uri()}#{anchor}" for code, (file, anchor) in _catalogue().items()}
    with suppress(SystemExit):  # of rich, where a reader such as head has closed the pipe
        text.show(report, Console(width=text.width(), highlight=False), links)


def _catalogue() -> Mapping[str, tuple[Path, str]]:
    """Return for each code the page, and the place in it, where the site explains it; {} where no site was made."""
    from masklib.auditing.report.catalogue import CODES

    file = (Path(os.environ.get("MASKLIB_RUNS", "runs")) / CATALOGUE).absolute()
    try:
        html = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return {}
    return {code: (file, code.lower()) for code in CODES if f'id="{code.lower()}"' in html}
