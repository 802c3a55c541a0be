"""Numbers that a notebook recorded by another tool than ours, read where they are: in the outputs of its cells.

scrapbook's `sb.glue`, `glue` of MyST-NB, and `papermill.record`, which was before both. Only numbers are measurements; those in a
dict are named by its keys, `scores.valid`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

SCRAPBOOK, PAPERMILL = "application/scrapbook.scrap.json+json", "application/papermill.record+json"
GLUED = "application/papermill.record/text/plain"  # MyST-NB's; the name is in the metadata
_NUMBER = re.compile(r"(?:np\.\w+\()?([-+]?(?:\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf)|True|False)\)?")


def read_scraps(node: Any) -> dict[str, float]:
    """Return the numbers in the outputs of an executed notebook, by name; of one name the last."""
    outputs = (output for cell in node.cells for output in cell.get("outputs", ()))
    return {name: value for output in outputs for scrap in _scraps(output) for name, value in _numbers(*scrap)}


def _scraps(output: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what an output records, by name."""
    data, told = output.get("data", {}), output.get("metadata", {}).get("scrapbook", {})
    scrap, record = data.get(SCRAPBOOK), data.get(PAPERMILL)
    if isinstance(scrap, Mapping) and scrap.get("encoder", "json") == "json":
        yield str(scrap.get("name", "")), scrap.get("data")
    if isinstance(record, Mapping):
        yield from ((str(name), value) for name, value in record.items())
    if GLUED in data and isinstance(told, Mapping):
        yield str(told.get("name", "")), _read(data[GLUED])


def _read(shown: Any) -> Any:
    """Return the number that a text shows, else the text."""
    text = shown if isinstance(shown, str) else "".join(map(str, shown))
    found = _NUMBER.fullmatch(text.strip())
    if not found:
        return text
    return found[1] == "True" if found[1] in ("True", "False") else float(found[1])


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Yield the numbers in a value, by name."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _numbers(f"{name}.{key}", part)
    elif isinstance(value, bool | int | float) and name:
        yield name, float(value)
