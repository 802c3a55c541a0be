"""What the command line shows: progress while notebooks run, and tables."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from masklib.claims.words import BAD, GOOD, NOTICE, QUIET, kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from masklib.engine.run import Plan
    from masklib.engine.sweep import Outcome

HEARTBEAT_S = 10.0
COLOURS = {GOOD: "cyan", NOTICE: "yellow", QUIET: "dim", BAD: "bold red"}  # as near to those of the site as a terminal has them

out = Console(highlight=False, soft_wrap=False)
log = Console(stderr=True, highlight=False)


class Tracker:
    """Shows one run while it is executed: the cell it is at and the time it took so far.

    On a terminal a line that moves; elsewhere a line at the start and one every `HEARTBEAT_S` seconds, so that a log never
    stands still.

    Args:
        title: of the lines, such as "[2/5] 02_rnn_carry_over".
    """

    def __init__(self, title: str):
        self.title = title
        self.state = "starting a kernel"
        self.started = time.monotonic()
        self._ended = threading.Event()

    def on_cell(self, done: int, total: int) -> None:
        """Take note of the cell that starts."""
        self.state = f"cell {done + 1}/{total}"

    @property
    def at(self) -> str:
        """What is done now."""
        return self.state

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
        self._spinner.update(text=Text(f"{self.title}: {self.at}, {self.elapsed_s:.0f} s"))
        return self._spinner

    def _beat(self) -> None:
        """Print a line now and every `HEARTBEAT_S` seconds."""
        while True:
            log.print(f"{self.title}: {self.at}, {self.elapsed_s:.0f} s", markup=False)
            if self._ended.wait(HEARTBEAT_S):
                return


class SiteTracker(Tracker):
    """Shows the making of a site: how many of its pages were written so far, and the time it took.

    Args:
        folder: of the site.
    """

    def __init__(self, folder: "Path"):
        super().__init__("Making the site")
        self._folder, self._since = folder, time.time()

    @property
    def at(self) -> str:
        """How many pages were written since the start."""
        found = (path for place in (".", "*") for path in self._folder.glob(f"{place}/*.html"))
        count = sum(_changed(path) >= self._since for path in found)
        return f"{count} page{'' if count == 1 else 's'} written" if count else "reading the runs"


def _changed(path: "Path") -> float:
    """Return when a file was changed, in seconds; 0.0 if it is gone by now."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


class SweepTracker:
    """Shows a sweep: a `masklib.engine.sweep.Listener`.

    On a terminal, counts, the time left and a line for each run that is executed, all moving; elsewhere a line for each run
    that ended, and one if none did for `HEARTBEAT_S` seconds.

    Args:
        labels: how a point is called, by key.
    """

    def __init__(self, labels: Mapping[str, str]):
        self._labels = labels
        self._total = self._known = 0
        self._ended: list[Outcome] = []
        self._changes: Counter[str] = Counter()
        self._running: dict[str, tuple[str, float]] = {}  # by key: what it is at, and since when it runs
        self._news = threading.Event()
        self._over = False

    def on_set_aside(self, folder: "Path", error: Exception) -> None:
        """Say which run is executed again because it was not whole."""
        _say(f"set aside: {folder}: {error}")

    def on_change(self, plan: "Plan", changes: "Sequence[str]") -> None:
        """Take note of why a point that is there is executed again."""
        self._changes["; ".join(changes)] += 1

    def on_begin(self, known: "Sequence[Outcome]", todo: "Sequence[Plan]") -> None:
        """Say how many runs there are, how many are still to be executed, and which no longer count."""
        for change, count in self._changes.most_common():
            _say(f"{count} executed again: {change}")
        self._total, self._known = len(todo), len(known)
        failed = sum(outcome.status != "ok" for outcome in known)
        before = f"{len(known) - failed} already there, " + (f"{failed} failed before, " if failed else "")
        _say(f"{len(known) + len(todo)} points: {before}{len(todo)} to run.")

    def on_event(self, plan: "Plan", event: Mapping[str, Any]) -> None:
        """Take note of the cell at which a run is."""
        state = f"cell {event['done'] + 1}/{event['total']}" if event["event"] == "cell" else "starting a kernel"
        since = self._running[plan.key][1] if plan.key in self._running else time.monotonic()
        self._running[plan.key] = (state, since)

    def on_outcome(self, outcome: "Outcome") -> None:
        """Say what became of a run; on a terminal only if it did not end well."""
        self._running.pop(outcome.plan.key, None)
        self._ended.append(outcome)
        self._news.set()
        if outcome.status == "not run" or (log.is_terminal and outcome.status == "ok"):
            return
        took = f" in {outcome.record.duration_s:.1f} s" if outcome.record and not outcome.cached else ""
        position = f"[{len(self._ended):{len(str(self._total))}}/{self._total}]"
        reason = f": {outcome.reason}" if outcome.reason else ""
        _say(f"{position} {self._labels[outcome.plan.key]}: {outcome.state}{took}{reason}")

    def on_stop(self, *, now: bool) -> None:
        """Say what a stop does, and what another would."""
        if now:
            _say("Stopping: the runs that are executed are interrupted.")
        else:
            _say(f"Stopping: no further run starts, {len(self._running)} running ones are finished; Ctrl-C again to stop now.")

    @contextmanager
    def shown(self) -> Iterator["SweepTracker"]:
        """Show the sweep until this context ends."""
        if log.is_terminal:
            with Live(console=log, get_renderable=self._lines, refresh_per_second=4, transient=True):
                yield self
            return
        beat = threading.Thread(target=self._beat, daemon=True)
        beat.start()
        try:
            yield self
        finally:
            self._over = True
            self._news.set()
            beat.join()

    def _summary(self) -> str:
        """Return how far the sweep is, in a line."""
        failed = sum(outcome.status != "ok" for outcome in self._ended)
        counts = f"{len(self._ended) - failed} done, {self._known} skipped, {failed} failed, {len(self._running)} running"
        return f"{len(self._ended)}/{self._total}: {counts}{self._time_left()}"

    def _time_left(self) -> str:
        """Return the time that is left, from the runs that ended and the number that run side by side; "" before the first."""
        durations = [outcome.record.duration_s for outcome in list(self._ended) if outcome.record and not outcome.cached]
        if not durations or not self._running:
            return ""
        mean = sum(durations) / len(durations)
        seconds = mean * (self._total - len(self._ended)) / len(self._running)
        return f", about {timedelta(seconds=round(seconds))} left"

    def _lines(self) -> Group:
        """Return the moving lines."""
        now = time.monotonic()
        runs = [f"  {self._labels[key]}: {state}, {now - since:.0f} s" for key, (state, since) in list(self._running.items())]
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in [self._summary(), *runs]))

    def _beat(self) -> None:
        """Print a line whenever no run ended for `HEARTBEAT_S` seconds."""
        while not self._over:
            self._news.clear()
            if not self._news.wait(HEARTBEAT_S):
                at = "; ".join(f"{self._labels[key]} at {state}" for key, (state, _) in list(self._running.items()))
                _say(f"{self._summary()}" + (f" ({at})" if at else ""))


def _say(line: str) -> None:
    """Print a line on stderr as it is, at any width."""
    log.print(Text(line), soft_wrap=True)


def coloured(word: str) -> Text:
    """Return a verdict or a status in its colour; what is not known is red."""
    return Text(word, style=COLOURS[kind_of(word)])


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, fold: Sequence[str] = (), width: int = 0
) -> None:
    """Print a table on stdout; verdicts and statuses are coloured.

    Without a terminal the table takes the width that it needs, so that a log or a pipe cuts nothing.

    Args:
        title: stands above it.
        columns: their names.
        rows: their cells.
        fold: the columns whose cells are folded where the table is too wide; () folds all, on a terminal only.
        width: of the table where there is no terminal; 0 for what it needs.
    """
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in fold if fold else not out.is_terminal)
    for row in rows:
        table.add_row(
            *(coloured(str(cell)) if columns[i] in ("verdict", "status") else Text(str(cell)) for i, cell in enumerate(row))
        )
    console = out if out.is_terminal else Console(file=out.file, highlight=False, width=width or 400)
    console.print(Text(title, style="italic"))
    console.print(table)


def print_json(value: Any) -> None:
    """Print `value` as JSON on stdout."""
    import json

    out.file.write(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")
