"""Executed notebooks, as both the page of a run and the site read them: data, whoever's kernel wrote it."""

import base64
import re
from pathlib import Path
from typing import Any

import nbformat

from masklib.engine.contents import read_inside
from masklib.engine.record import MISFORMED, OK, Record, check_content
from masklib.engine.run import EXECUTED
from masklib.site.svg import clean_svg

SVG = "image/svg+xml"
PLAIN, ANSWER = "plain", "answer"  # tags: of the cell that shows the answer in plain Keras, and of the one that records it
PLAINLY = "In plain Keras"  # the heading above the former
SHOWN = ("text/html", SVG, "image/png", "image/jpeg", "text/plain")  # of an output the first that it has
LONGEST, LONGEST_HTML = 100_000, 1_000_000  # characters of a text, and of an output's HTML, in a page
HEADING = re.compile(r"\A#\s+(\S.*)")
_BEGINNINGS = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8"}


def read_executed(folder: Path, record: Record) -> Any:
    """Return the executed notebook of a run; None if it is not there, is no notebook, or was cut off with what wrote it.

    Raises:
        CorruptError: the run ended well, and it was changed since.
    """
    try:
        content = read_inside(folder, EXECUTED)
    except (OSError, ValueError):
        return None
    if record.status == OK:
        check_content(folder, record, EXECUTED, content)
    problems: dict[str, Any] = {}
    try:
        node = nbformat.reads(content.decode(), as_version=4, capture_validation_error=problems)
    except (*MISFORMED, nbformat.ValidationError):
        return None
    if problems:
        return None
    for cell in node.cells:
        cell.source = _brief(cell.source)
        for output in cell.get("outputs", []):
            _shorten(output)
    return node


def title_of(node: Any, name: str) -> str:
    """Return the title of a notebook; `name` if it has none."""
    first = node.cells[0] if node and node.cells and node.cells[0].cell_type == "markdown" else None
    heading = HEADING.match(first.source) if first else None
    return str(heading.group(1)) if heading else name


def _shorten(output: Any) -> None:
    """Cut what an output says; of HTML a part would be another thing, so what is too long is left out."""
    if "text" in output:
        output.text = _brief(output.text)
    if "traceback" in output:
        output.traceback = [_brief("\n".join(output.traceback))]
    data = output.get("data", {})
    if isinstance(data.get("text/plain"), str):
        data["text/plain"] = _brief(data["text/plain"])
    if len(data.get("text/html", "")) > LONGEST_HTML:
        del data["text/html"]


def _brief(text: str) -> str:
    """Return a text, cut where no reader goes on and those who make pages take minutes."""
    left = len(text) - LONGEST
    return text if left <= 0 else f"{text[:LONGEST]}\n... {left:,} more characters are in the executed notebook."


def shown_kind(output: Any) -> str:
    """Return the MIME type in which an output is shown; "" if it has none that can be."""
    data = output.get("data", {})
    return next((kind for kind in SHOWN if kind in data and _is_sound(kind, data[kind])), "")


def _is_sound(kind: str, content: Any) -> bool:
    """Return whether the content of an output is what its type says."""
    try:
        if kind == SVG:
            clean_svg(content.encode())
        elif kind in _BEGINNINGS:
            return base64.b64decode(content).startswith(_BEGINNINGS[kind])
    except (ValueError, TypeError, AttributeError):
        return False
    return isinstance(content, str)
