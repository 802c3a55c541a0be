"""The findings of the audit: a page for each, with a model that has it and the remedy, and a list of all."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

import tomllib

from masklib.claims.ledger import load_claims
from masklib.site.front import raw
from masklib.site.text import markdown, render
from masklib.site.verdicts import Matrix
from masklib.site.writing import Writer

CATALOGUE = "masklib.auditing.report.catalogue"
LEVELS = {"leak": "high", "risk": "middle"}  # of severities; any other is low
MEANINGS = {"leak": "padding changes a number", "risk": "padding may change a number", "note": "good to know"}


@cache
def about_findings() -> Mapping[str, Mapping[str, Any]]:
    """Return the title of each finding, and the claims that it is about, by its code."""
    return tomllib.loads(files("masklib.site").joinpath("findings.toml").read_text(encoding="utf-8"))


def findings_of(claim: str) -> list[dict[str, str]]:
    """Return the findings that are about a claim, as text: code, title, severity, level, meaning, why, remedy."""
    codes = _attribute(CATALOGUE, "CODES") or {}
    return [_values(code, codes[code]) for code, told in about_findings().items() if claim in told["claims"] and code in codes]


def write_audit(source: Writer, verdicts: Matrix | None = None) -> list[str]:
    """Write a page for each finding and the list of them; return the list's name, or [] if masklib has no catalogue.

    Args:
        source: the folder that Sphinx reads.
        verdicts: every verdict, for the claims that a finding is about; None leaves them out.
    """
    codes = _attribute(CATALOGUE, "CODES") or {}
    if not codes:
        return []
    shown = [_values(code, finding) for code, finding in codes.items()]
    source.write("fragments/findings.html", render("findings.html", findings=shown))
    source_of = _attribute(CATALOGUE, "source_of")
    for finding in shown:
        source.write(f"audit/{finding['code']}.md", _page(finding, source_of, source, verdicts))
    listed = "\n".join(f"audit/{finding['code']}" for finding in shown)
    toctree = f"```{{toctree}}\n:hidden:\n\n{listed}\n```"
    source.write(
        "audit.md", "\n".join(["# What the audit finds", "", _ABOUT, "", raw("fragments/findings.html"), "", toctree, ""])
    )
    return ["audit"]


def _values(code: str, finding: Any) -> dict[str, str]:
    """Return what is shown of a finding, as text."""
    told = {name: str(getattr(finding, name, "")) for name in ("severity", "why", "remedy")}
    title = about_findings().get(code, {}).get("title", getattr(finding, "general", getattr(finding, "title", code)))
    severity = told["severity"].rpartition(".")[2].lower()
    level = {"level": LEVELS.get(severity, "low"), "meaning": MEANINGS.get(severity, severity)}
    return told | level | {"code": str(code), "severity": severity, "title": str(title)}


def _page(finding: dict[str, str], source_of: Any, source: Writer, verdicts: Matrix | None) -> str:
    """Return the Markdown of one finding."""
    name = finding["code"]
    about = about_findings().get(name, {}).get("claims", []) if verdicts else []
    claims = [(load_claims()[claim], verdicts.of(claim)) for claim in about] if verdicts else []
    source.write(f"audit/fragments/{name}.html", render("finding.html", finding=finding))
    source.write(f"audit/fragments/{name}.measured.html", render("measured.html", how=_how(name), claims=claims))
    lines = [f"# {markdown(name)}: {markdown(finding['title'])}", "", raw(f"fragments/{name}.html"), ""]
    lines += [*_examples(name, source_of), "## How it is measured", "", raw(f"fragments/{name}.measured.html")]
    return "\n".join(lines)


def _examples(code: str, source_of: Any) -> list[str]:
    """Return the Markdown of a model that has a finding and of the same model corrected; [] where there is no example."""
    try:
        failing, remedied = source_of(code)
    except Exception:  # a finding without an example is shown as well
        return []
    return ["## A model that has it", "", _python(failing), "", "## The same model, corrected", "", _python(remedied), ""]


def _how(code: str) -> str:
    """Return how the findings of one group are measured."""
    return _HOW.get(code[:4], _HOW["MSK1"])


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
    "Each finding has a page: the cause, a model that has it, and the same model corrected."
)
_HOW = {
    "MSK1": (
        "The audit calls `predict` on the same sequences with other values at padded steps, with more padding, and in other "
        "batches. The result at valid steps must stay the same. If it does not, the audit follows the difference from layer to "
        "layer, and tests the cause by a change to the model, which it takes back afterwards."
    ),
    "MSK2": (
        "The audit computes the loss of the same sequences with other values at padded steps and with more padding, by "
        "`evaluate` and by a step of `fit`. The loss must stay the same. The model's weights are restored afterwards."
    ),
    "MSK3": (
        "The audit reads each metric for the same sequences with other values at padded steps and with more padding. "
        "The metric must stay the same."
    ),
    "MSK4": (
        "The audit runs a step of training on the same sequences with other values at padded steps. The statistics that the "
        "layer keeps must stay the same. They are restored afterwards."
    ),
}
