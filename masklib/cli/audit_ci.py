"""The report of an audit for machines of continuous integration: annotations of GitHub, and JUnit's XML."""

import os
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from masklib.errors import printable

LEVELS = {"leak": "error", "risk": "warning", "note": "notice"}  # of an annotation, by the severity of a finding
SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"


def annotations(report: Any, target: str) -> str:
    """Return the report as workflow commands of GitHub, one for each finding, and one for what was not tested.

    What stands in them of the model is escaped, or never at the beginning of a line, where a command would.

    Source: GitHub's documentation of workflow commands; in them %, line ends, and in titles also : and , are escaped.

    Args:
        report: of `masklib.audit`.
        target: what was audited.
    """
    lines = [
        _command(LEVELS[one.severity], f"{one.code} {one.title}", [target, *one.evidence, one.why, one.remedy])
        for one in report.findings
    ]
    open_ = [gap for gap in report.gaps if gap.part not in report.allowed]
    if open_:
        lines.append(_command("warning", "not all was tested", [target, report.headline]))
    return "".join(f"{line}\n" for line in [*lines, f"masklib audit: {printable(report.headline)}"])


def _command(level: str, title: str, texts: list[str]) -> str:
    """Return one workflow command."""
    name = _escaped(printable(title)).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={name}::{_escaped(chr(10).join(printable(text) for text in texts if text))}"


def _escaped(text: str) -> str:
    """Return a text as the value of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def add_to_summary(report: Any, target: str) -> None:
    """Append a line of the table of audited models to the summary of GitHub's step, if this is one; its head comes first."""
    path = os.environ.get(SUMMARY_VARIABLE)
    if path:
        file = Path(path)
        head = "" if file.exists() and file.stat().st_size else "| model | verdict | found |\n|---|---|---|\n"
        found = ", ".join(dict.fromkeys(one.code for one in report.findings)) or "-"
        with file.open("a", encoding="utf-8") as summary:
            summary.write(f"{head}| {_cell(target)} | {_cell(report.verdict)} | {found} |\n")


def _cell(text: str) -> str:
    """Return a text as a cell of a Markdown table: code, in which nothing is markup."""
    return f"`{printable(text).replace('`', chr(39)).replace('|', '/')}`"


def junit(report: Any, target: str, status: int) -> bytes:
    """Return the report as JUnit's XML: a suite of one case, the model. A leak is a failure, what was not tested an error.

    Args:
        report: of `masklib.audit`.
        target: what was audited.
        status: the exit status of the command.
    """
    counts = {"tests": "1", "failures": str(int(status == 1)), "errors": str(int(status == 2))}
    suite = Element("testsuite", {"name": "masklib audit", **counts})
    case = SubElement(suite, "testcase", {"classname": "masklib.audit", "name": printable(target)})
    if status:
        kind = "failure" if status == 1 else "error"
        SubElement(case, kind, {"message": printable(report.headline), "type": report.verdict}).text = _plain(str(report))
    SubElement(case, "system-out").text = _plain(str(report))
    content: bytes = tostring(suite, encoding="utf-8", xml_declaration=True)
    return content


def _plain(text: str) -> str:
    """Return a text of some lines without characters that XML cannot hold."""
    return "\n".join(printable(line) for line in text.splitlines())
