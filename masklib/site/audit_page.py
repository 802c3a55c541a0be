"""The page of the audit: every finding, a model that has it, and the remedy. Left out where masklib has no audit."""

from importlib import import_module
from typing import Any

from masklib.site.front import raw
from masklib.site.text import markdown, render
from masklib.site.writing import Writer

CATALOGUE = "masklib.auditing.report.catalogue"
LEVELS = {"leak": "high", "risk": "middle"}  # of severities; any other is low


def write_audit(source: Writer) -> list[str]:
    """Write the page of the findings; return its name, or [] if masklib has no catalogue of them."""
    codes = _attribute(CATALOGUE, "CODES") or {}
    if not codes:
        return []
    shown = [_values(code, finding) for code, finding in codes.items()]
    source.write("fragments/findings.html", render("findings.html", findings=shown))
    lines = ["# What the audit finds", "", _ABOUT, "", raw("fragments/findings.html"), ""]
    source_of = _attribute(CATALOGUE, "source_of")
    for finding in shown:
        lines += _section(finding, source_of, source)
    source.write("audit.md", "\n".join(lines))
    return ["audit"]


def _values(code: str, finding: Any) -> dict[str, str]:
    """Return what is shown of a finding, as text."""
    told = {name: str(getattr(finding, name, "")) for name in ("title", "severity", "why", "remedy")}
    told["title"] = str(getattr(finding, "general", told["title"]))
    severity = told["severity"].rpartition(".")[2].lower()
    return told | {"code": str(code), "severity": severity, "level": LEVELS.get(severity, "low")}


def _section(finding: dict[str, str], source_of: Any, source: Writer) -> list[str]:
    """Return the Markdown of one finding."""
    fragment = f"fragments/findings/{finding['code']}.html"
    source.write(fragment, render("finding.html", **finding))
    lines = [f"({finding['code']})=", f"## {markdown(finding['code'])}: {markdown(finding['title'])}", "", raw(fragment), ""]
    try:
        failing, remedied = source_of(finding["code"])
    except Exception:  # a finding without an example is shown as well
        return lines
    return [*lines, "A model that has it:", "", _python(failing), "", "The same model, corrected:", "", _python(remedied), ""]


def _python(code: str) -> str:
    """Return Python code as Markdown; the fence is longer than any in the code."""
    fence = "`" * max(3, max((len(line) - len(line.lstrip("`")) + 1 for line in code.splitlines()), default=3))
    return f"{fence}python\n{code.strip()}\n{fence}"


def _attribute(module: str, name: str) -> Any:
    """Return what a module holds, or None if it cannot be imported."""
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None


_ABOUT = (
    "`masklib audit model.keras` says whether padding leaks into a model, where the mask is lost, and what to write instead. "
    "These are its findings."
)
