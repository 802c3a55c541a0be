"""How values that JSON does not have are written into a notebook: papermill's translator for Python, and dates and tuples.

papermill must be imported before this module; see `masklib.engine.execute`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from papermill.translators import PythonTranslator, papermill_translators

from masklib.engine import values


class _Translator(PythonTranslator):  # type: ignore[misc] # papermill publishes no types
    """papermill's, which would write a date or a tuple as a text."""

    @classmethod
    def translate(cls, val: Any) -> str:
        """Return a value as Python that needs nothing imported."""
        return values.write(val, "__import__('datetime').") if isinstance(val, tuple | date) else str(super().translate(val))


@contextmanager
def every_value() -> Iterator[None]:
    """Within this context papermill writes dates and tuples into notebooks of Python as what they are."""
    before = papermill_translators.find_translator("", "python")
    papermill_translators.register("python", _Translator)
    try:
        yield
    finally:
        papermill_translators.register("python", before)
