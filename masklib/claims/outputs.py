"""By what an output of a notebook is known: the run writes the name of what it shows into the metadata of the output."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FIGURE, TABLE = "figure", "table"
KEY = "masklib"  # of the metadata


@dataclass(frozen=True)
class Shown:
    """What an output shows.

    Attributes:
        kind: "figure" or "table"; "" for what was not recorded.
        name: of the figure or table in its run.
        whole: whether all of it is shown; pandas shows a part of a long table.
    """

    kind: str = ""
    name: str = ""
    whole: bool = True


def mark(kind: str, name: str, *, whole: bool = True) -> dict[str, Any]:
    """Return the metadata of an output that shows a recorded figure or table; `shown_by` reads it."""
    return {KEY: {"kind": kind, "name": name, "whole": whole}}


def shown_by(output: Mapping[str, Any]) -> Shown:
    """Return what an output of an executed notebook shows; one of an earlier masklib, or of something else, says nothing."""
    told = output.get("metadata", {}).get(KEY, {})
    if not isinstance(told, Mapping) or told.get("kind") not in (FIGURE, TABLE):
        return Shown()
    return Shown(str(told["kind"]), str(told.get("name", "")), bool(told.get("whole", True)))
