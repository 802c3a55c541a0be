"""The pages about versions of Keras: what changed in each release, and what the next one changes."""

from masklib.engine.committed import committed_changes
from masklib.engine.releases import is_pre_release
from masklib.engine.upstream import reports
from masklib.site.changes import by_release, failures, measured_columns, titles
from masklib.site.front import raw
from masklib.site.text import markdown, render
from masklib.site.writing import Writer


def write_versions(source: Writer) -> list[str]:
    """Write the page of what changed from version to version, and that of the next release; return their names, or []."""
    past = [row for row in committed_changes() if not is_pre_release(row["keras"])]
    upcoming = [row for row in committed_changes() if is_pre_release(row["keras"])]
    parts = {"versions": (_ABOUT, past, failures()), "next_keras": ("\n\n".join([_NEXT, *_scripts()]), upcoming, [])}
    for page, title in titles().items():
        about, rows, failed = parts[page]
        told = {"releases": by_release(rows, {*source.pages()}), "columns": measured_columns(rows), "failed": failed}
        source.write(f"fragments/{page}.html", render("versions.html", **told))
        source.write(f"{page}.md", f"# {title}\n\n{about}\n\n{raw(f'fragments/{page}.html')}")
    return list(titles())


def _scripts() -> list[str]:
    """Return the Markdown of the scripts that show what a pre-release brings."""
    found = [report for report in reports().values() if report.since]
    return [
        f"**{markdown(report.title)}** {markdown(report.instead)}\n\n```python\n{report.script.strip()}\n```\n\n"
        f"`masklib reproduce-report {report.about[0]}` runs it on both."
        for report in found
    ]


_ABOUT = (
    "Find the version that you have: what stands above it has changed since. Every version ran the same notebooks, "
    "as far as it has what they are about. "
    "A change is listed with the first measured version that has the new behaviour."
)
_NEXT = (
    "Measured on a nightly build, before the release: what it does then may still change. Audit a model that relies on what is "
    "listed here before an upgrade: `masklib audit model.keras`."
)
