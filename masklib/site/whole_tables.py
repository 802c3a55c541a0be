"""Recorded tables that a notebook shows only a part of, as pandas does with long ones: the page shows all of it."""

import pandas as pd

from masklib.site.rows import as_text, rows_html
from masklib.site.survey import Experiment, slug
from masklib.site.writing import Writer

SHOWN = 20  # rows that a notebook shows of a long table are less than these


def long_tables(experiment: Experiment, out: Writer) -> dict[str, str]:
    """Return the long tables of a run as HTML, by their names."""
    names = [record["name"] for record in experiment.records if record["kind"] == "table" and record["rows"] > SHOWN]
    return {name: _html(experiment, name, out) for name in names if name in experiment.tables}


def _html(experiment: Experiment, name: str, out: Writer) -> str:
    """Return one table with its own rows in files, if they are many."""
    frame = experiment.table(name)
    rows = [list(map(as_text, row)) for row in frame.astype(object).to_numpy().tolist()]
    words = [str(column) for column in frame if not pd.api.types.is_float_dtype(frame[column])]
    key = f"{slug(experiment.name)}.{slug(experiment.record.key[:16])}.{slug(name)}"
    return rows_html(key, name, list(map(str, frame.columns)), rows, out, chosen=words)
