"""Recorded tables, as a notebook shows them: the output says which table it is."""

from typing import Any

import pandas as pd

from masklib.claims.outputs import TABLE, mark


class RecordedTable(pd.DataFrame):
    """A table that was recorded: shown as pandas shows it, with its name in the metadata of the output.

    What is computed from it is an ordinary DataFrame, without the name.
    """

    _metadata = ["recorded_as"]  # noqa: RUF012 (by which pandas knows the attribute)
    recorded_as = ""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        """The class of what is computed from it."""
        return pd.DataFrame

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        """Return what a notebook shows, and the metadata of the output."""
        shown = {"text/html": self._repr_html_(), "text/plain": repr(self)}  # type: ignore[operator] # no stub has the first
        return {kind: text for kind, text in shown.items() if text}, mark(TABLE, self.recorded_as, whole=self._is_whole())

    def _is_whole(self) -> bool:
        """Return whether pandas shows every row and column."""
        rows, columns = pd.get_option("display.max_rows"), pd.get_option("display.max_columns")
        return (not rows or len(self) <= rows) and (not columns or self.shape[1] <= columns)


def recorded(frame: pd.DataFrame, name: str) -> RecordedTable:
    """Return a table as one that was recorded under a name."""
    shown = RecordedTable(frame)
    shown.recorded_as = name
    return shown
