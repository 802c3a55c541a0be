"""Tables that a notebook marks as a result of their own, `run.table(name, frame, page="A title")`: a page for each title.

The page holds the rows of the newest run on each Keras and backend; every cell leads to the run that is its evidence.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from masklib.site.front import raw
from masklib.site.recorded_tables import arrange
from masklib.site.rows import write_rows
from masklib.site.survey import Experiment, Survey, slug
from masklib.site.text import markdown
from masklib.site.writing import Writer

CIRCUMSTANCES = ("Keras", "backend")  # columns that are added where they differ


def write_results(survey: Survey, source: Writer, out: Writer) -> list[str]:
    """Write the page of each title under which tables were recorded; return the pages."""
    titles: dict[str, list[tuple[Experiment, str]]] = {}
    for experiment, name, title in _marked(survey):
        titles.setdefault(title, []).append((experiment, name))
    return [_write(title, tables, source, out) for title, tables in titles.items()]


def _marked(survey: Survey) -> Iterator[tuple[Experiment, str, str]]:
    """Yield the tables that are marked, with the title of their page."""
    for experiment in survey.shown():
        for record in experiment.records:
            if record["kind"] == "table" and record.get("page") and record["name"] in experiment.tables:
                yield experiment, record["name"], record["page"]


def _write(title: str, tables: list[tuple[Experiment, str]], source: Writer, out: Writer) -> str:
    """Write one page; return its name."""
    frame = pd.concat([_read(experiment, name) for experiment, name in tables], ignore_index=True)
    links = [f"../{page}.html" for page in frame.pop(_PAGE)]
    frame = frame.drop(columns=[name for name in CIRCUMSTANCES if frame[name].nunique() == 1])
    table, name = arrange(frame), slug(title)
    options: dict[str, Any] = {"links": links, "chosen": table.words, "keys": table.keys}
    fragment = write_rows(f"tables.{name}", title, table.heads, table.rows, source, out, "tables", **options)
    runs = "run" if len(tables) == 1 else "runs"
    told = f"{len(table.rows)} rows from {len(tables)} {runs}. Every cell leads to the run that is its evidence."
    source.write(f"tables/{name}.md", f"# {markdown(title)}\n\n{told}\n\n{raw(fragment)}")
    return f"tables/{name}"


_PAGE = "\0page"  # a name that no table has


def _read(experiment: Experiment, name: str) -> pd.DataFrame:
    """Return a recorded table, with columns for Keras and the backend before its own, and for its page after them."""
    frame = experiment.table(name)
    values: dict[str, Any] = dict(zip(CIRCUMSTANCES, experiment.cell, strict=True))
    for place, (column, value) in enumerate(values.items()):
        if column not in frame:
            frame.insert(place, column, value)
    return frame.assign(**{_PAGE: experiment.page})
