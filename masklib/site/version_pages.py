"""The pages about versions of Keras: what changed in each release, and what the next one changes."""

from masklib.engine.committed import Row, committed_changes
from masklib.engine.releases import is_pre_release
from masklib.engine.upstream import reports
from masklib.site.changes import by_release, failures, measured_columns
from masklib.site.front import raw
from masklib.site.text import markdown, render
from masklib.site.writing import Writer


def write_versions(source: Writer) -> list[str]:
    """Write the page of what changed from version to version, and that of the next release; return their names, or []."""
    changes, names = committed_changes(), []
    upcoming = [row for row in changes if is_pre_release(row["keras"])]
    if changes:
        past = [row for row in changes if row not in upcoming]
        names += _write("versions", _TITLE, _ABOUT, past, source, failures())
    if upcoming:
        title = _NEXT_TITLE.format(upcoming[0]["keras"].partition(".dev")[0])
        names += _write("next_keras", title, "\n\n".join([_NEXT, *_scripts()]), upcoming, source)
    return names


def _scripts() -> list[str]:
    """Return the Markdown of the scripts that show what a pre-release brings."""
    found = [report for report in reports().values() if report.since]
    return [
        f"**{markdown(report.title)}** {markdown(report.expected)}\n\n```python\n{report.script.strip()}\n```\n\n"
        f"`masklib reproduce-report {report.about[0]}` runs it on both."
        for report in found
    ]


def _write(page: str, title: str, about: str, rows: list[Row], source: Writer, failed: list[Row] | None = None) -> list[str]:
    """Write a page of changes; return its name."""
    told = {"releases": by_release(rows, {*source.pages()}), "columns": measured_columns(rows), "failed": failed or []}
    source.write(f"fragments/{page}.html", render("versions.html", **told))
    source.write(f"{page}.md", f"# {title}\n\n{about}\n\n{raw(f'fragments/{page}.html')}")
    return [page]


_TITLE = "Which Keras changed what a mask does?"
_ABOUT = (
    "Find the version that you have: what stands above it has changed since. Every version was measured by the same notebooks. "
    "A change is listed with the first measured version that has the new behaviour."
)
_NEXT_TITLE = "What Keras {} changes for padded sequences"
_NEXT = (
    "Measured on a nightly build, before the release: what it does then may still change. Audit a model that relies on what is "
    "listed here before an upgrade: `masklib audit model.keras`."
)
