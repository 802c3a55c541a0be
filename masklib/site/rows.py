"""Tables of any length: the first rows stand in the page, the others in files that the page reads when they are asked for."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from masklib.site.text import render, script
from masklib.site.writing import Writer

FIRST = 50  # rows of a page, before anything else is read
CHUNK = 2_000  # rows of a file
CHOICES = 12  # values of a column that are offered in a list
BYTES = 400_000  # of a file, about
DIGITS = 4  # of a measured number
NOISE = 1e-6  # what is smaller comes from the arithmetic of floats
WHOLE_FROM, WHOLE_TO = 1_000, 1_000_000_000  # such numbers are shown without a fraction

Cell = str | dict[str, str]  # text; {"text", "href"} for a link; {"status"} for a status or verdict


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: as its head shows it.
        choices: the values that a list offers to filter by; () for none.
    """

    name: str
    choices: tuple[str, ...] = ()


def write_rows(
    name: str,
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    source: Writer,
    out: Writer,
    page: str,
    links: Sequence[str] = (),
    chosen: Collection[str] | None = None,
    keys: int = 0,
) -> str:
    """Write a table as a fragment of HTML and, if it is long, files of its rows; return the fragment's name.

    Args:
        name: of the table, made of letters, digits, dots, dashes and underscores.
        caption: what it shows.
        columns: the heads.
        rows: of cells, each as many as there are columns.
        source: the folder that Sphinx reads.
        out: the folder of the site.
        page: the folder of the page that shows it, such as "sweeps".
        links: where every cell of a row leads, one a row; () if nowhere.
        chosen: the heads whose few values are offered in a list to filter by; by default all.
        keys: how many of the first columns are kept in sight.
    """
    fragment = f"fragments/{name}.html"
    source.write(f"{page}/{fragment}", rows_html(name, caption, columns, rows, out, links=links, chosen=chosen, keys=keys))
    return fragment


def rows_html(
    name: str,
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    out: Writer,
    *,
    links: Sequence[str] = (),
    chosen: Collection[str] | None = None,
    keys: int = 0,
    whole: str = "",
) -> str:
    """Return a table as HTML, for a page one folder down; if it is long, write files of its rows.

    Args:
        name: see `write_rows`, as for the other arguments.
        caption: what it shows.
        columns: the heads.
        rows: of cells.
        out: the folder of the site.
        links: where every cell of a row leads.
        chosen: the heads to filter by.
        keys: how many of the first columns are kept in sight.
        whole: the path of its files with all digits, without their suffixes; "" for none.
    """
    linked = [[*row, link] for row, link in zip(rows, links, strict=True)] if links else rows
    files = _write_files(name, linked, out) if len(rows) > FIRST else []
    offered = columns if chosen is None else chosen
    values_of = {place: [row[place] for row in rows] for place, column in enumerate(columns) if column in offered}
    heads = [Column(column, _choices(values_of.get(place, []))) for place, column in enumerate(columns)]
    shown = {"keys": keys, "whole": whole}
    values = shown | {
        "name": name,
        "caption": caption,
        "columns": heads,
        "first": rows[:FIRST],
        "total": len(rows),
        "links": links,
    }
    return render("rows.html", files=[f"../{file}" for file in files], **values)


def _write_files(name: str, rows: Sequence[Sequence[Cell]], out: Writer) -> list[str]:
    """Write the rows to files of about the same size; return their names."""
    sample = rows[:: max(1, len(rows) // 100)]
    size = sum(len(script("", row)) for row in sample) / len(sample)
    step = max(1, min(CHUNK, math.floor(BYTES / size)))
    files = []
    for index, start in enumerate(range(0, len(rows), step)):
        files.append(f"data/{name}.{index}.js")
        out.write(files[-1], script("masklibRows", name, index, rows[start : start + step]))
    return files


def _choices(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return the values of a column if they are few, and not one only."""
    found = {shown(cell) for cell in cells}
    return tuple(sorted(found)) if 1 < len(found) <= CHOICES else ()


def shown(cell: Cell) -> str:
    """Return the text of a cell."""
    return cell if isinstance(cell, str) else cell.get("text", cell.get("status", ""))


def as_text(value: Any) -> str:
    """Return a value of a table as a cell shows it: nothing for a missing one, a number with six digits."""
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def rounded(value: Any) -> str:
    """Return a measured value as a cell shows it: a number with at most four digits, one that is next to nothing as such."""
    if not isinstance(value, float | np.floating) or not math.isfinite(value):
        return as_text(value)
    number = float(value)
    if 0 < abs(number) < NOISE:
        return "< 1e-6" if number > 0 else "> -1e-6"
    return f"{number:.0f}" if WHOLE_FROM <= abs(number) < WHOLE_TO else f"{number:.{DIGITS}g}"
