"""How claims are shown in a notebook: one table under the cell that records them, a row a claim."""

import html
import math
import re
from typing import Any, NamedTuple

from masklib.claims.ledger import Judgement, count_parts, decide, find_claim, shorten
from masklib.claims.words import HOLDS, REFUTED, UNTESTED, marked

COLUMNS = (
    *("claim", "verdict", "what the documents say", "cases", "deciding case"),
    *("measured", "expected", "deviation", "allowed"),
)
NARROW = ("claim", "verdict", "deviation", "allowed")
COLOURS = {HOLDS: "#1b6e87", REFUTED: "#b3390b", UNTESTED: "#6b6b6b"}  # below white, to be read on light and dark pages


class Part(NamedTuple):
    """One case of a claim, as recorded and judged; `observed` of one that is untested is the reason."""

    claim: str
    part: str
    judgement: Judgement
    observed: Any
    expected: Any
    atol: float


class ClaimView:
    """The claims that a cell records: one table when the cell ends, however it ends. Outside Jupyter, a line a part."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def add(self, part: Part) -> None:
        """Take one more part into the table of the cell that runs."""
        from IPython import get_ipython

        shell = get_ipython()
        if shell is None:
            print(_line(part))  # noqa: T201 (this is what the call shows)
            return
        if not self.parts:
            shell.events.register("post_execute", self._show)
        self.parts.append(part)

    def _show(self) -> None:
        """Show the table of the cell that ended; the next cell has one of its own."""
        from IPython import get_ipython
        from IPython.display import display

        get_ipython().events.unregister("post_execute", self._show)
        display(self)
        self.parts = []

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of the table below `COLUMNS`, a row a claim, in the order in which they were recorded."""
        claims: dict[str, list[Part]] = {}
        for part in self.parts:
            claims.setdefault(part.claim, []).append(part)
        return [_row(claim, parts) for claim, parts in claims.items()]

    def __repr__(self) -> str:
        return "\n".join(f"{row[0]}: {row[1]}, {row[3]}" for row in self.rows())

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in COLUMNS)
        body = "".join(f"<tr>{''.join(map(_cell, COLUMNS, row))}</tr>" for row in self.rows())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(claim: str, parts: list[Part]) -> tuple[str, ...]:
    """Return the cells of one claim, with the part that decides."""
    verdict, index = decide([part.judgement for part in parts])
    part = parts[index]
    cases = count_parts([part.judgement for part in parts])
    if verdict == UNTESTED:
        return claim, verdict, find_claim(claim).statement, cases, part.part, part.observed, "", "", ""
    deviation = f"{part.judgement.deviation:.2g}" if math.isfinite(part.judgement.deviation) else ""
    shown = (shorten(part.observed), shorten(part.expected), deviation, f"{part.atol:.2g}")
    return claim, verdict, find_claim(claim).statement, cases, part.part, *shown


def _line(part: Part) -> str:
    """Return one part in one line."""
    name = f"{part.claim} ({part.part})" if part.part else part.claim
    if part.judgement.verdict == UNTESTED:
        return f"{name}: {UNTESTED}. {part.observed}"
    return f"{name}: {part.judgement.verdict} (largest deviation {part.judgement.deviation:.3g}, allowed {part.atol:.3g})"


def _cell(column: str, text: str) -> str:
    """Return one table cell; what stands between backticks becomes code."""
    style = "text-align:left;vertical-align:top"
    if column in NARROW:
        style += ";white-space:nowrap"
    if column == "verdict":
        style += f";font-weight:bold;color:white;background:{COLOURS[text]}"
        text = marked(text)
    content = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return f"<td style='{style}'>{content}</td>"
