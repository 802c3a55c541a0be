"""The report of an audit as a fragment of HTML, for a notebook or a page. Names and messages are text, not markup."""

import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib.util import find_spec
from typing import Any

from masklib.auditing.report import matrix
from masklib.auditing.report.text import BLANK, NO_LINKS
from masklib.errors import printable

STYLE = """
.masklib-audit {font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; color: inherit}
.masklib-audit h3.headline {font-size: 1.25rem; margin: 1.2rem 0 .4rem}
.masklib-audit h4 {font-size: 1rem; margin: 0 0 .3rem; display: flex; gap: .6rem; align-items: baseline; flex-wrap: wrap}
.masklib-audit .finding {border: 1px solid #8886; border-left: 5px solid #888; border-radius: 4px}
.masklib-audit .finding {padding: .7rem .9rem; margin: .7rem 0}
.masklib-audit .leak {border-left-color: #d55e00}
.masklib-audit .risk {border-left-color: #e69f00}
.masklib-audit .note {border-left-color: #56b4e9}
.masklib-audit .badge {font-size: .8rem; font-weight: 600; text-transform: uppercase; letter-spacing: .04em}
.masklib-audit code {font-family: ui-monospace, monospace; font-size: .92em; overflow-wrap: anywhere}
.masklib-audit p, .masklib-audit ul {margin: .3rem 0}
.masklib-audit .scroll {overflow-x: auto}
.masklib-audit table {border-collapse: collapse; font-size: .85rem}
.masklib-audit th, .masklib-audit td {text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #8884; white-space: nowrap}
.masklib-audit td.leaks {font-weight: 700}
.masklib-audit td.same, .masklib-audit td.not {opacity: .75}
.masklib-audit .heading, .masklib-audit .legend {font-size: .85rem; opacity: .85}
.masklib-audit .legend {display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: .5rem 0 1rem}
.masklib-audit .legend dd {margin: 0}
.masklib-audit summary {cursor: pointer; margin: .6rem 0}
.masklib-audit svg {max-width: 100%; height: auto}
.masklib-audit .scroll.dark {display: none}
@media (prefers-color-scheme: dark) {
  .masklib-audit .scroll.dark {display: block}
  .masklib-audit .scroll.light {display: none}
}
"""


def fragment(report: Any, *, graph: bool = False, links: Mapping[str, str] = NO_LINKS) -> str:
    """Return the report as a fragment of HTML that includes its style.

    Args:
        report: a `masklib.auditing.report.report.Report`.
        graph: whether to draw the model's graph, too.
        links: for codes, the address of their description.
    """
    headline = f'<h3 class="headline">{_text(report.headline)}</h3><p class="heading">{_text(report.heading)}</p>'
    parts = [f"<style>{STYLE}</style>", '<div class="masklib-audit">', headline]
    parts += [_card(finding, links.get(finding.code)) for finding in report.findings]
    parts += ['<h3 class="headline">What was tested</h3>', _matrix(report.check), _legend(report.check)]
    parts += [_gaps(report)] if report.gaps else []
    but = {gap.why for gap in report.gaps}
    parts += [_assumptions(report.check.assumptions)]
    parts += [_notes([*matrix.reasons(report.check, but), *matrix.divisors(report.check), *report.check.notes])]
    parts += [_folded("Every number", _table(report.check.rows()))]
    parts += [_folded("The path of the mask", _table(report.trace.rows()))]
    if graph and find_spec("matplotlib"):
        drawn = "".join(f'<div class="scroll {theme}">{_drawn(report.trace, theme)}</div>' for theme in ("light", "dark"))
        parts += [_folded("The path of the mask, drawn", drawn, is_open=True)]
    return "\n".join([*parts, "</div>"])


def _text(value: Any) -> str:
    """Return a text without markup and without control characters."""
    return escape(printable(value))


def _card(finding: Any, link: str | None) -> str:
    """Return a finding; its code links to its description."""
    evidence = "".join(f"<li>{_text(sentence)}</li>" for sentence in finding.evidence)
    code = f"<code>{finding.code}</code>"
    code = f'<a href="{escape(link)}">{code}</a>' if link else code
    return (
        f'<div class="finding {finding.severity}"><h4><span class="badge">{finding.severity}</span> '
        f"{code} <span>{_text(finding.title)}</span></h4>"
        f"<ul>{evidence}</ul><p><b>Why.</b> {_prose(finding.why)}</p><p><b>Do.</b> {_prose(finding.remedy)}</p>"
        f"{_fix(finding.fix)}</div>"
    )


def _fix(fix: str) -> str:
    """Return what to write instead in this model."""
    lines = "\n".join(_text(line) for line in fix.splitlines())
    return f"<p><b>In this model.</b></p><pre><code>{lines}</code></pre>" if fix else ""


def _prose(text: str) -> str:
    """Return a text of the catalogue, with what is between backticks as code."""
    parts = _text(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _matrix(check: Any) -> str:
    """Return the table of what was tested."""
    changes, rows = matrix.matrix(check)
    head = "<td></td>" + "".join(f'<th scope="col" title="{matrix.MEANS[name]}">{name}</th>' for name in changes)
    body = "".join(
        f'<tr><th scope="row">{_text(name)}</th>'
        + "".join(f'<td class="{cell.partition(" ")[0]}">{cell or BLANK}</td>' for cell in cells)
        for name, cells in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _legend(check: Any) -> str:
    """Return what each change means, and what an empty cell means."""
    changes, rows = matrix.matrix(check)
    explained = {change: matrix.MEANS[change] for change in changes}
    explained |= {BLANK: matrix.EMPTY} if any(not cell for _, cells in rows for cell in cells) else {}
    entries = "".join(f"<dt>{name}</dt><dd>{_prose(means)}</dd>" for name, means in explained.items())
    return f'<dl class="legend">{entries}</dl>'


def _gaps(report: Any) -> str:
    """Return what was not tested, why, and what would make it testable."""
    items = []
    for gap in report.gaps:
        allowed = " (allowed)" if gap.part in report.allowed else ""
        items.append(f"<li><b>{_text(gap.what)}</b>{allowed}: {_text(gap.why)}. {_prose(gap.remedy)}</li>")
    return f'<h3 class="headline">What was not tested</h3><ul>{"".join(items)}</ul>'


def _assumptions(assumed: Sequence[str]) -> str:
    """Return what was assumed because the user did not say it."""
    sentences = "".join(f"<li>{_prose(one)}</li>" for one in assumed)
    return f'<h3 class="headline">What was assumed</h3><ul>{sentences}</ul>' if assumed else ""


def _notes(notes: Any) -> str:
    """Return the notes as a list."""
    return "<ul>" + "".join(f"<li>{_text(note)}</li>" for note in notes) + "</ul>" if notes else ""


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table."""
    head = "".join(f"<th>{_text(name)}</th>" for name in next(iter(rows), {}))
    body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row.values())}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    """Return a value in a table: numbers with three digits, "" for what is not there."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.3g}" if isinstance(value, float) else _text(value)


def _folded(title: str, body: str, *, is_open: bool = False) -> str:
    """Return a part that the reader can open."""
    return f"<details{' open' if is_open else ''}><summary>{escape(title)}</summary>{body}</details>"


def _drawn(trace: Any, theme: str) -> str:
    """Return the graph as SVG."""
    from masklib.figures.style import style

    text = io.StringIO()
    with style(theme):
        trace.plot().figure.savefig(text, format="svg", metadata={"Date": None})
    return "".join(text.getvalue().partition("<svg")[1:])
