"""Recorded tables as pages show them: without an index, what tells rows apart first, numbers rounded to what they mean."""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd
from bs4 import BeautifulSoup
from markupsafe import Markup

from masklib.site.rows import Cell, as_text, rounded, rows_html
from masklib.site.survey import Experiment, slug
from masklib.site.text import render
from masklib.site.writing import Writer

KEYS = 3  # columns at most that are kept in sight
WIDEST = 60  # characters of such a column
UNFOLDED, LONGEST = 25, 2_000  # rows up to which a page of one run shows a table unfolded, and up to which it shows all


@dataclass(frozen=True)
class Arranged:
    """A table as a page shows it.

    Attributes:
        heads: of the columns.
        rows: of the cells.
        keys: how many columns at the beginning tell the rows apart.
        words: the heads of columns that hold no floats.
    """

    heads: list[str]
    rows: list[list[Cell]]
    keys: int
    words: list[str]


def arrange(frame: pd.DataFrame) -> Arranged:
    """Return a table with the columns first that tell its rows apart."""
    keys = key_columns(frame)
    shown = frame[[*keys, *(column for column in frame if column not in keys)]]
    rows: list[list[Cell]] = [list(map(rounded, row)) for row in shown.astype(object).to_numpy().tolist()]
    words = [str(column) for column in shown if not pd.api.types.is_float_dtype(shown[column])]
    return Arranged(list(map(str, shown.columns)), rows, len(keys), words)


def key_columns(frame: pd.DataFrame) -> list[Any]:
    """Return the columns by which rows can be told apart, at most `KEYS`, in their order; no floats and no long texts."""
    if frame.columns.has_duplicates:
        return []
    names = [column for column in frame if not pd.api.types.is_float_dtype(frame[column])]
    texts = pd.DataFrame({name: frame[name].map(as_text).astype(object) for name in names}, index=frame.index)
    texts = texts[[name for name in names if len(texts) and texts[name].str.len().max() <= WIDEST]]
    found: list[Any] = []
    for name in texts:
        if _groups(texts, [*found, name]) > _groups(texts, found):
            found.append(name)
    for name in list(found):
        rest = [one for one in found if one != name]
        if _groups(texts, rest) == _groups(texts, found):
            found = rest
    return found[:KEYS]


def _groups(texts: pd.DataFrame, names: list[Any]) -> int:
    """Return how many different rows these columns have."""
    return len(texts[names].drop_duplicates()) if names else min(1, len(texts))


def tables_by_name(experiment: Experiment, out: Writer) -> dict[str, str]:
    """Return the recorded tables of a run as HTML for its page, by their names; long ones have their rows in files."""
    return {name: _html(experiment, name, out) for name in experiment.tables}


def _html(experiment: Experiment, name: str, out: Writer) -> str:
    """Return one table."""
    table = arrange(experiment.table(name))
    key = f"{slug(experiment.name)}.{slug(experiment.record.key[:16])}.{slug(name)}"
    whole = f"../{experiment.evidence}/tables/{name}"
    return rows_html(key, name, table.heads, table.rows, out, chosen=table.words, keys=table.keys, whole=whole)


def whole_table(experiment: Experiment, name: str) -> Markup:
    """Return a recorded table as HTML for the page of one run: all of it, folded if it is long."""
    table = arrange(experiment.table(name))
    shown = render("table.html", name=name, table=table, rows=table.rows[:LONGEST], is_folded=len(table.rows) > UNFOLDED)
    return Markup(shown)  # noqa: S704 (of a template)


def has_plain_index(html: str) -> bool:
    """Return whether the index of a table that pandas shows says nothing: it is made of numbers alone."""
    heads = BeautifulSoup(html, "html.parser").select("tbody th")
    return all(re.fullmatch(r"\d+|\.\.\.|\N{HORIZONTAL ELLIPSIS}", head.get_text(strip=True)) for head in heads)
