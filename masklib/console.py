"""What the command line shows: progress while notebooks run, and tables."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

HEARTBEAT_S = 10.0
COLOURS = {"holds": "green", "ok": "green", "refuted": "yellow", "open": "dim"}

out = Console(highlight=False, soft_wrap=False)
log = Console(stderr=True, highlight=False)


class Tracker:
    """Shows one run while it is executed: the cell it is at and the time it took so far.

    On a terminal a line that moves; elsewhere a line at the start and one every `HEARTBEAT_S` seconds, so that a log never
    stands still.

    Args:
        name: of the notebook.
        position: such as "2/5".
    """

    def __init__(self, name: str, position: str):
        self.title = f"[{position}] {name}"
        self.state = "starting a kernel"
        self.started = time.monotonic()
        self._ended = threading.Event()

    def on_cell(self, done: int, total: int) -> None:
        """Take note of the cell that starts."""
        self.state = f"cell {done + 1}/{total}"

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the run until this context ends."""
        if log.is_terminal:
            with Live(console=log, get_renderable=self._line, refresh_per_second=8, transient=True):
                yield
            return
        beat = threading.Thread(target=self._beat, daemon=True)
        beat.start()
        try:
            yield
        finally:
            self._ended.set()
            beat.join()

    def _line(self) -> Spinner:
        """Return the moving line."""
        if not hasattr(self, "_spinner"):
            self._spinner = Spinner("dots")
        self._spinner.update(text=Text(f"{self.title}: {self.state}, {self.elapsed_s:.0f} s"))
        return self._spinner

    def _beat(self) -> None:
        """Print a line now and every `HEARTBEAT_S` seconds."""
        while True:
            log.print(f"{self.title}: {self.state}, {self.elapsed_s:.0f} s", markup=False)
            if self._ended.wait(HEARTBEAT_S):
                return


def coloured(word: str) -> Text:
    """Return a verdict or a status in its colour; what is not known is red."""
    return Text(word, style=COLOURS.get(word, "bold red"))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table on stdout; verdicts and statuses are coloured.

    Without a terminal the table takes the width that it needs, so that a log or a pipe cuts nothing.
    """
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=not out.is_terminal)
    for row in rows:
        table.add_row(
            *(coloured(str(cell)) if columns[i] in ("verdict", "status") else Text(str(cell)) for i, cell in enumerate(row))
        )
    if out.is_terminal:
        out.print(table)
    else:
        Console(file=out.file, highlight=False, width=400).print(table)


def print_json(value: Any) -> None:
    """Print `value` as JSON on stdout."""
    import json

    out.file.write(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")
