"""Drawings of boxes and arrows, as SVG within a page: its colours are the page's, its text is text."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from textwrap import wrap

from masklib.site.text import render

WIDTH, HEIGHT, ACROSS, DOWN, MARGIN = 202, 78, 226, 112, 4  # of boxes and of the grid that they stand on, in pixels
LETTERS, LINES = 26, 3  # of a box's text
LINE = 15  # pixels


@dataclass(frozen=True)
class Box:
    """One box.

    Attributes:
        name: on top, in bold.
        text: below it; at most `LINES` lines.
        column: from the left, from 0.
        row: from the top, from 0.
    """

    name: str
    text: str
    column: float
    row: float

    @property
    def lines(self) -> list[str]:
        """The text in lines."""
        return wrap(self.text, LETTERS)

    @property
    def left(self) -> float:
        """Where it begins."""
        return MARGIN + self.column * ACROSS

    @property
    def top(self) -> float:
        """Where it begins."""
        return MARGIN + self.row * DOWN


def drawn(boxes: Mapping[str, Box], arrows: Iterable[tuple[str, str]], alt: str) -> str:
    """Return a drawing as HTML.

    Args:
        boxes: by a key.
        arrows: pairs of keys, from and to.
        alt: what the drawing shows.
    """
    width = max(box.left + WIDTH for box in boxes.values()) + MARGIN
    height = max(box.top + HEIGHT for box in boxes.values()) + MARGIN
    ways = [_way(boxes[one], boxes[other]) for one, other in arrows]
    name = "-".join(boxes)
    ident = f"arrow-{sum(map(ord, name))}"  # the marker of this drawing, on a page with several
    sizes = {"box_width": WIDTH, "box_height": HEIGHT, "line": LINE, "width": math.ceil(width), "height": math.ceil(height)}
    return render("drawing.html", boxes=boxes.values(), ways=ways, alt=alt, ident=ident, **sizes)


def _way(one: Box, other: Box) -> str:
    """Return the path of an arrow: straight along a row, else a curve from the bottom of one box to the top of the other."""
    if one.row == other.row:
        right = other.column > one.column
        return f"M{one.left + WIDTH * right:g} {one.top + HEIGHT / 2:g}H{other.left + WIDTH * (not right):g}"
    below = other.row > one.row
    start, end = _meeting(one, other), _meeting(other, one)
    first, last = one.top + HEIGHT * below, other.top + HEIGHT * (not below)
    middle = (first + last) / 2
    return f"M{start:g} {first:g}C{start:g} {middle:g} {end:g} {middle:g} {end:g} {last:g}"


def _meeting(box: Box, other: Box) -> float:
    """Return where along a box an arrow to another one meets it: nearer to that one's side."""
    return box.left + WIDTH * (0.5 + 0.22 * max(-1.0, min(1.0, other.column - box.column)))
