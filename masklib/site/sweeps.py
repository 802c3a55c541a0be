"""A page for the other runs of each notebook: what failed and why, what was measured, and a table of all of them."""

from typing import Any, cast

import pandas as pd

from masklib.engine.declaring import read_parameters
from masklib.engine.record import MISFORMED, OK, Failure, read_record
from masklib.errors import MasklibError, StoreError
from masklib.site.front import raw
from masklib.site.rows import Cell, as_text, rounded, write_rows
from masklib.site.small_multiples import draw
from masklib.site.survey import Survey, parameters_cell, slug
from masklib.site.text import markdown, render
from masklib.site.writing import Writer

REASONS = 50  # of failures, on one page
FOLDERS = 20  # of one reason
METRICS = 6  # with a column of their own
MISSING = "not given"
_MEASURED = "measured "  # before the name of a column


def write_sweeps(survey: Survey, source: Writer, out: Writer) -> list[str]:
    """Write the page of every notebook that has runs without a page of their own; return the pages."""
    folders = _folders_of_attempts(survey)
    pages = []
    for notebook, runs in survey.others.items():
        pages.append(f"sweeps/{slug(notebook)}")
        source.write(f"{pages[-1]}.md", _page(survey, notebook, runs, folders, source, out))
    return pages


def _page(survey: Survey, notebook: str, runs: pd.DataFrame, folders: dict[str, list[str]], source: Writer, out: Writer) -> str:
    """Return the page of one notebook's runs."""
    name = slug(notebook)
    failed, varied = runs[runs["status"] != OK], _varied(runs)
    lines = [f"# Runs of {markdown(notebook)}", "", _told(survey, notebook, runs, failed), ""]
    if len(failed):
        source.write(f"sweeps/fragments/{name}.failures.html", _failures(survey, failed, len(runs), folders))
        lines += ["## Failures", "", raw(f"fragments/{name}.failures.html")]
    measured = survey.tables.measurements
    measured = measured[measured["key"].isin(runs["key"])]
    figure = _figure(measured, varied, name, out)
    if figure:
        meanings = _meanings(survey, notebook, varied)
        fragment = render("multiples.html", notebook=notebook, meanings=meanings, **figure)
        source.write(f"sweeps/fragments/{name}.figure.html", fragment)
        lines += ["## What was measured", "", raw(f"fragments/{name}.figure.html")]
    columns, rows = _rows(runs, varied, measured)
    caption = f"Runs of {notebook}, failures first, then the newest"
    chosen = {"status", "Keras", "backend", "reason", *map(_short, varied)}
    fragment = write_rows(f"sweeps.{name}", caption, columns, rows, source, out, "sweeps", chosen=chosen)
    return "\n".join([*lines, "## All of them", "", raw(fragment)])


def _figure(measured: pd.DataFrame, varied: list[str], name: str, out: Writer) -> dict[str, str] | None:
    """Return the figure of what was measured; None if there is none, or the values cannot be drawn."""
    try:
        return draw(measured, varied, f"sweeps/{name}", out)
    except MISFORMED:
        return None


def _told(survey: Survey, notebook: str, runs: pd.DataFrame, failed: pd.DataFrame) -> str:
    """Return what the page begins with, as Markdown."""
    ended, earlier = len(runs) - len(failed), survey.earlier(notebook)
    told = f"{len(runs)} runs that have no page of their own: {ended} succeeded, {len(failed)} failed."
    told += f" {earlier} older runs are left out, because they were repeated later." if earlier else ""
    found = survey.experiments.get(notebook)
    return f"{told} [The experiment](../{found[0].page}.ipynb)" if found else told


def _varied(runs: pd.DataFrame) -> list[str]:
    """Return the columns of the parameters that differ between runs."""
    columns = [column for column in map(str, runs) if column.startswith("param_")]
    return [column for column in columns if runs[column].nunique(dropna=True) > 1]


def _meanings(survey: Survey, notebook: str, varied: list[str]) -> dict[str, str]:
    """Return what the parameters that vary mean, as the notebook says it."""
    found = survey.experiments.get(notebook)
    try:
        declared = read_parameters(parameters_cell(found[0].record)) if found else []
    except (MasklibError, LookupError, TypeError, ValueError):
        return {}
    return {one.name: one.help for one in declared if f"param_{one.name}" in varied and one.help}


def _short(column: str) -> str:
    """Return the name of a parameter."""
    return column.removeprefix("param_")


def _rows(runs: pd.DataFrame, varied: list[str], measured: pd.DataFrame) -> tuple[list[str], list[list[Cell]]]:
    """Return the heads and the rows of the table: failures first, then the newest."""
    names = list(measured["name"].drop_duplicates()[:METRICS])
    chosen = measured[measured["name"].isin(names)]
    values = chosen.drop_duplicates(["key", "name"]).pivot(index="key", columns="name", values="value")
    runs = runs.assign(ended=runs["status"] == OK).sort_values(["ended", "started"], ascending=[True, False], kind="stable")
    runs["started"] = runs["started"].str.slice(0, 16).str.replace("T", " ")
    runs = runs.join(values[names].add_prefix(_MEASURED), on="key")
    measured_columns = [f"{_MEASURED}{name}" for name in names]
    why = ["error"] if runs["error"].notna().any() else []
    shown = ["status", *why, "keras", "backend", *varied, *measured_columns, "duration_s", "started", "key"]
    heads = ["status", *(["reason"] if why else []), "Keras", "backend", *map(_short, varied), *names, "took, s", "started"]
    for name in measured_columns:
        runs[name] = runs[name].map(rounded)
    table = runs[shown].astype(object).to_numpy().tolist()
    return [*heads, "key"], [[{"status": row[0]}, *map(as_text, row[1:-1]), row[-1][:16]] for row in table]


def _folders_of_attempts(survey: Survey) -> dict[str, list[str]]:
    """Return the folders of the failed attempts of each key, the newest first."""
    found: dict[str, list[str]] = {}
    for entry in survey.store.entries():
        if not entry.published:
            found.setdefault(entry.name.rpartition("/")[2].rpartition("-")[0], []).insert(0, entry.name)
    return found


def _failures(survey: Survey, failed: pd.DataFrame, total: int, folders: dict[str, list[str]]) -> str:
    """Return the failures by their reason, as HTML."""
    reasons = failed.assign(error=failed["error"].fillna("")).groupby(["status", "error"], sort=False)
    groups = sorted(((key, frame) for key, frame in reasons), key=lambda group: -len(group[1]))
    shown = [_group(survey, *cast("tuple[str, str]", key), frame, folders) for key, frame in groups[:REASONS]]
    return render("failures.html", groups=shown, kinds=len(groups), count=len(failed), total=total)


def _group(survey: Survey, status: str, error: str, runs: pd.DataFrame, folders: dict[str, list[str]]) -> dict[str, Any]:
    """Return one reason with the traceback of the newest run that failed of it."""
    keys = runs.sort_values("started", ascending=False, kind="stable")["key"].drop_duplicates()
    found = [folder for key in keys for folder in folders.get(str(key), [])]
    told = _error(survey, found[0]) if found else None
    return {
        "status": status,
        "error": error or MISSING,
        "runs": len(runs),
        "cell": told.cell if told else None,
        "traceback": "\n".join(told.traceback) if told else "",
        "folders": found[:FOLDERS],
    }


def _error(survey: Survey, name: str) -> Failure | None:
    """Return what a failed attempt says went wrong; None if it cannot be read."""
    folder = survey.store.root / name
    try:
        return read_record(folder).error
    except StoreError:
        return None
