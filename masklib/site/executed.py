"""Executed notebooks, as both the page of a run and the site read them."""

import re
from pathlib import Path
from typing import Any

import nbformat

from masklib.engine.run import EXECUTED

SHOWN = ("text/html", "image/svg+xml", "image/png", "image/jpeg", "text/plain")  # of an output the first that it has
HEADING = re.compile(r"\A#\s+(\S.*)")


def read_executed(folder: Path) -> Any:
    """Return the executed notebook of a run; None if it is not there, or was cut off with the process that wrote it."""
    path = folder / EXECUTED
    if not path.is_file():
        return None
    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except (ValueError, nbformat.ValidationError):
        return None


def shown_kind(output: Any) -> str:
    """Return the MIME type in which an output is shown; "" if it has none that is."""
    return next((kind for kind in SHOWN if kind in output.get("data", {})), "")
