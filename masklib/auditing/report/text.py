"""The report of an audit as text: in the width of the terminal, with a hanging indent, in colour if the terminal has colours.

Names and messages come from the model: control characters in them are shown as text.
"""

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from masklib.auditing.report import matrix
from masklib.auditing.report.catalogue import LEAK, NOTE, RISK
from masklib.errors import printable

WIDTH = 100  # if there is no terminal
NARROWEST = 40
STYLES = {
    LEAK: "bold red",
    RISK: "bold yellow",
    NOTE: "bold cyan",
    matrix.LEAKS: "bold red",
    matrix.SAME: "green",
    matrix.UNTESTED: "yellow",
    "soft": "dim",
    "strong": "bold",
}
NO_LINKS: Mapping[str, str] = {}
INDENT = 6  # of the text of a finding
BLANK = "-"  # an empty cell of the table


def width() -> int:
    """Return the number of columns of the terminal; `WIDTH` if there is none."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def as_text(report: Any, columns: int | None = None) -> str:
    """Return the report as plain text.

    Args:
        report: a `masklib.auditing.report.report.Report`.
        columns: the width; None: that of the terminal.
    """
    return "\n".join(line.plain for line in lines(report, columns or width()))


def show(report: Any, console: Console, links: Mapping[str, str] = NO_LINKS) -> None:
    """Print the report on a console: in colour and with links, if the terminal has them.

    Args:
        report: a `masklib.auditing.report.report.Report`.
        console: of rich.
        links: for codes, the address of their description.
    """
    for line in lines(report, console.width, links):
        console.print(line, soft_wrap=True, highlight=False)


def lines(report: Any, columns: int, links: Mapping[str, str] = NO_LINKS) -> Iterator[Text]:
    """Yield the report in lines of at most `columns` columns, except words, tables and code that cannot be broken."""
    page = _Page(max(columns, NARROWEST))
    yield from page.hanging("", report.headline, style="strong")
    yield from page.hanging("", str(report.heading), style="soft")
    yield Text()
    for finding in report.findings:
        yield from _of_finding(finding, page, links)
        yield Text()
    yield from _tested(report.check, page)
    for gap in report.gaps:
        label = "allowed to be untested: " if gap.part in report.allowed else "not tested: "
        yield from page.hanging(label, f"{gap.what}: {gap.why}. {gap.remedy}", hang=2)
    for reason in matrix.reasons(report.check, but={gap.why for gap in report.gaps}):
        yield from page.hanging("not tried: ", reason, hang=2)
    for one in report.check.assumptions:
        yield from page.hanging("assumed: ", one, hang=2)
    for note in (*matrix.divisors(report.check), *report.check.notes):
        yield from page.hanging("note: ", note, hang=2)


def _of_finding(finding: Any, page: "_Page", links: Mapping[str, str]) -> Iterator[Text]:
    """Yield the lines of a finding."""
    head = Text.assemble((f"{finding.severity.upper():<5}", STYLES[finding.severity]), " ")
    head.append(finding.code, Style(bold=True, link=links.get(finding.code)))
    head.append("  ")
    yield from page.after(head, finding.title)
    for sentence in finding.evidence:
        yield from page.hanging(" " * INDENT, sentence, hang=INDENT + 2)
    yield from page.hanging(f"{'':{INDENT}}why: ", finding.why)
    yield from page.hanging(f"{'':{INDENT}}do:  ", finding.remedy)
    if finding.fix:
        yield Text(f"{'':{INDENT}}in this model:", STYLES["soft"])
    yield from (Text(f"{'':{INDENT + 2}}{printable(line)}", STYLES["strong"]) for line in finding.fix.splitlines())


def _tested(check: Any, page: "_Page") -> Iterator[Text]:
    """Yield what was tried: a table if it fits, else a paragraph for each row; then what each change means."""
    changes, rows = matrix.matrix(check)
    if not rows:
        return
    yield Text("What was tested:", STYLES["strong"])
    table = list(_table(changes, rows))
    fits = max(cell_len(line.plain) for line in table) <= page.columns
    yield from table if fits else _listed(changes, rows, page)
    yield Text()
    widest = max(map(len, changes))
    for change in changes:
        yield from page.hanging(f"  {change:<{widest}}  ", matrix.MEANS[change], style="soft")
    if fits and any(not cell for _, cells in rows for cell in cells):
        yield from page.hanging(f"  {BLANK:<{widest}}  ", matrix.EMPTY, style="soft")
    yield Text()


def _table(changes: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> Iterator[Text]:
    """Yield a line for each row; the heads have two words, in two lines."""
    heads = [["", *(change.partition(" ")[at] for change in changes)] for at in (0, 2)]
    body = [[printable(name), *(cell or BLANK for cell in cells)] for name, cells in rows]
    widths = [max(cell_len(row[i]) for row in (*heads, *body)) for i in range(len(changes) + 1)]
    for row in (*heads, *body):
        line = Text()
        for cell, size in zip(row, widths, strict=True):
            line.append(cell, STYLES.get(cell, ""))
            line.append(" " * (size - cell_len(cell) + 2))
        line.rstrip()
        yield line


def _listed(changes: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], page: "_Page") -> Iterator[Text]:
    """Yield for each row the changes by their result."""
    for name, cells in rows:
        yield from page.hanging("", name)
        for word in (matrix.LEAKS, matrix.SAME, matrix.UNTESTED):
            found = [change for change, cell in zip(changes, cells, strict=True) if cell == word]
            if found:
                label = Text.assemble("  ", (f"{word:<{len(matrix.UNTESTED)}}", STYLES[word]), "  ")
                yield from page.after(label, ", ".join(found))


class _Page:
    """Breaks texts into lines.

    Args:
        columns: of a line.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns

    def hanging(self, label: str, text: str, *, hang: int | None = None, style: str = "") -> Iterator[Text]:
        """Yield a text after a label; further lines begin under the text, or `hang` columns from the left."""
        yield from self.after(Text(label, STYLES["soft"] if label.strip() else ""), text, hang=hang, style=STYLES.get(style, ""))

    def after(self, label: Text, text: str, *, hang: int | None = None, style: str = "") -> Iterator[Text]:
        """Yield a text after a label that has its own styles; see `hanging`."""
        before = label.plain
        after = " " * (len(before) if hang is None else hang)
        wrapped = textwrap.wrap(
            printable(text), self.columns, initial_indent=before, subsequent_indent=after, break_on_hyphens=False
        )
        first, *others = wrapped or [before]
        yield Text.assemble(label, (first[len(before) :], style))
        yield from (Text(line, style) for line in others)
