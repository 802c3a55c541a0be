"""Recorded tables that a notebook shows only a part of, as pandas does with long ones: the page shows all of it."""

import io
import re
from collections import Counter

import pandas as pd

from masklib.site.rows import as_text, rows_html
from masklib.site.survey import Experiment, slug
from masklib.site.writing import Writer

Shape = tuple[int, int]  # rows and columns
_PART = re.compile(r"<p>(\d+) rows × (\d+) columns</p>")  # noqa: RUF001 (what pandas writes below a part)


def shape_of_part(html: str) -> Shape | None:
    """Return the shape of the table of which an output shows a part, or None if it shows all."""
    found = _PART.search(html)
    return (int(found.group(1)), int(found.group(2))) if found else None


def by_shape(experiment: Experiment, out: Writer) -> dict[Shape, str]:
    """Return the recorded tables of a run as HTML, by their shape; where two have the same one, neither."""
    tables = [record for record in experiment.records if record["kind"] == "table"]
    shapes = {record["name"]: (record["rows"], len(record["columns"])) for record in tables}
    counts = Counter(shapes.values())
    return {shape: _html(experiment, name, out) for name, shape in shapes.items() if counts[shape] == 1 and shape[0] > SHOWN}


SHOWN = 20  # rows that a notebook shows of a long table are less than these


def _html(experiment: Experiment, name: str, out: Writer) -> str:
    """Return one table with its own rows in files, if they are many."""
    frame = pd.read_parquet(io.BytesIO((experiment.folder / "tables" / f"{name}.parquet").read_bytes()))
    rows = [list(map(as_text, row)) for row in frame.astype(object).to_numpy().tolist()]
    words = [str(column) for column in frame if not pd.api.types.is_float_dtype(frame[column])]
    key = f"{slug(experiment.record.notebook)}.{experiment.record.key[:16]}.{slug(name)}"
    return rows_html(key, name, list(map(str, frame.columns)), rows, out, chosen=words)
