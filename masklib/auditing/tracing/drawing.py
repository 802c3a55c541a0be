"""Draw a trace: the model's graph from top to bottom, with the path of the masks in it.

Each call is a row; many rows are wrapped into columns. Tensors that go further than to the next row run in lanes at the left, and
continue in the same lane at the top of the next column.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.textpath import text_to_path

from masklib.auditing.tracing import outcomes
from masklib.auditing.tracing.calls import Call
from masklib.auditing.tracing.layout import GIVEN, LOST, MASKED, PLAIN, Drawing, Edge, Row, lay_out
from masklib.errors import printable
from masklib.figures.style import colour, new_figure, tile

# all in inches
ROW, BOX, BOX_HEIGHT, LANE, NOTE, INDENT, GAP, MARGIN = 0.36, 2.75, 0.25, 0.13, 1.35, 0.13, 0.25, 0.12
HEAD = 0.055  # the length of an arrow
LEGEND_ROW, LEGEND_COLUMN = 0.25, 2.75
MOST_IN_A_COLUMN = 30

EDGES: dict[str, tuple[str, dict[str, Any]]] = {  # by state: the role of its colour, and its line style
    MASKED: ("valid", {"linewidth": 2.2}),
    GIVEN: ("valid", {"linewidth": 2.2, "linestyle": (0, (3, 0.8))}),
    PLAIN: ("reference", {"linewidth": 1.0}),
    LOST: ("measured", {"linewidth": 1.8, "linestyle": (0, (2, 1))}),
}
STYLES: dict[str, tuple[str, str]] = {  # by outcome: its symbol, and the kind of tile
    outcomes.NONE: ("", "other"),
    outcomes.MADE: ("+", "good"),
    outcomes.KEPT: ("=", "fair"),
    outcomes.CHANGED: ("~", "fair"),
    outcomes.MERGED: ("&", "fair"),
    outcomes.CONSUMED: ("✓", "fair"),
    outcomes.VALID_STEPS: ("○", "off"),
    outcomes.AGAIN: ("↺", "off"),
    outcomes.WITHIN: ("↑", "off"),
    outcomes.ALL_VALID: ("1", "bad"),
    outcomes.IGNORED: ("?", "bad"),
    outcomes.WARNED: ("!", "bad"),
    outcomes.SILENT: ("✗", "bad"),
}


def plot_calls(calls: Sequence[Call], lost: Sequence[Call], model: str, *, ax: Axes | None = None) -> Axes:
    """Draw the calls of a model and the path of the masks between them.

    Args:
        calls: of a trace, in the order in which they began.
        lost: the calls that are highlighted.
        model: the name of the model; "" if it has none.
        ax: where to draw; by default a new figure of the size that is needed.
    """
    drawing = lay_out(calls)
    paper = _Paper(drawing, calls)
    ax = ax or new_figure(paper.height, figsize=(paper.width, paper.height), layout=None).add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, paper.width), ylim=(paper.height, 0))
    ax.set_axis_off()
    _write(
        ax,
        MARGIN,
        MARGIN + 0.12,
        f"The path of masks through {model or 'the model'}",
        fontsize=10,
        fontweight="bold",
        color=colour("ink"),
    )
    _draw_holders(ax, paper)
    for edge in sorted(drawing.edges, key=lambda edge: (edge.state != PLAIN, edge.state == LOST, edge.target)):
        _draw_edge(ax, paper, edge)
    alarming = {i for i, call in enumerate(calls) if any(call is one for one in lost)}
    for i, row in enumerate(drawing.rows):
        _draw_row(ax, paper, i, row, alarming=row.place in alarming)
    _draw_legend(ax, paper)
    return ax


class _Paper:
    """The place of everything, in inches from the upper left corner."""

    def __init__(self, drawing: Drawing, calls: Sequence[Call]) -> None:
        self.drawing = drawing
        self.n_columns = max(1, min(4, math.ceil(len(drawing.rows) / MOST_IN_A_COLUMN)))
        self.n_rows = math.ceil(len(drawing.rows) / self.n_columns) or 1
        self.deepest = max((row.depth for row in drawing.rows), default=0)
        self.lanes_width = LANE * (drawing.n_lanes + 1)
        self.column_width = self.lanes_width + INDENT * self.deepest + BOX + NOTE + GAP
        self.top = MARGIN + 0.42
        self.bottom = self.top + ROW * self.n_rows
        self.used = [one for one in STYLES if any(call.outcome == one for call in calls)]
        self.states = [one for one in EDGES if any(edge.state == one for edge in drawing.edges)]
        self.width = max(2 * MARGIN + self.n_columns * self.column_width - GAP, 2 * LEGEND_COLUMN)
        self.legend_columns = max(1, int(self.width // LEGEND_COLUMN))
        n_entries = len(self.used) + len(self.states)
        self.height = self.bottom + 0.35 + LEGEND_ROW * math.ceil(n_entries / self.legend_columns) + MARGIN

    def column(self, i: int) -> int:
        """Return the column of a row."""
        return i // self.n_rows

    def y(self, i: int) -> float:
        """Return the height of the middle of a row."""
        return self.top + ROW * (i % self.n_rows + 0.5)

    def left(self, i: int) -> float:
        """Return where the box of a row begins."""
        return self.start(self.column(i)) + self.lanes_width + INDENT * self.drawing.rows[i].depth

    def spine(self, column: int) -> float:
        """Return where edges to the next row run."""
        return self.start(column) + self.lanes_width + INDENT * self.deepest + 0.3

    def right(self, column: int) -> float:
        """Return where the boxes of a column end."""
        return self.start(column) + self.lanes_width + INDENT * self.deepest + BOX

    def start(self, column: int) -> float:
        """Return where a column begins."""
        return MARGIN + column * self.column_width

    def lane(self, column: int, lane: int) -> float:
        """Return where a lane runs."""
        return self.start(column) + self.lanes_width - LANE * (lane + 1)


def _of_edge(state: str) -> dict[str, Any]:
    """Return how an edge is drawn in the current theme."""
    role, style = EDGES[state]
    return {"color": colour(role), **style}


def _draw_edge(ax: Axes, paper: _Paper, edge: Edge) -> None:
    """Draw the path of a tensor."""
    style = _of_edge(edge.state) | ({} if edge.sure else {"linestyle": (0, (1, 1.2))})
    pieces = list(_straight(paper, edge) if edge.target == edge.source + 1 else _through_lane(paper, edge))
    for xs, ys in pieces:
        ax.plot(xs, ys, solid_joinstyle="round", solid_capstyle="butt", zorder=2, **style)
    xs, ys = pieces[-1]
    across, size = xs[-1] != xs[-2], HEAD * (1.5 if edge.state != PLAIN else 1.0)
    place = (xs[-1] - size / 2, ys[-1]) if across else (xs[-1], ys[-1] - size / 2)
    ax.plot(*place, ">" if across else "v", markersize=72 * size, color=style["color"], markeredgewidth=0, zorder=2.5)


def _straight(paper: _Paper, edge: Edge) -> Iterator[tuple[list[float], list[float]]]:
    """Yield the pieces of an edge to the next row."""
    first, second = paper.column(edge.source), paper.column(edge.target)
    start, end = paper.y(edge.source) + BOX_HEIGHT / 2, paper.y(edge.target) - BOX_HEIGHT / 2
    if first == second:
        yield [paper.spine(first)] * 2, [start, end]
    else:
        yield [paper.spine(first)] * 2, [start, paper.bottom + 0.05]
        yield [paper.spine(second)] * 2, [paper.top - 0.05, end]


def _through_lane(paper: _Paper, edge: Edge) -> Iterator[tuple[list[float], list[float]]]:
    """Yield the pieces of an edge through a lane, one for each column."""
    lane = paper.drawing.lanes[edge.source]
    first, last = paper.column(edge.source), paper.column(edge.target)
    start, end = paper.y(edge.source) + 0.06, paper.y(edge.target) - 0.06
    for column in range(first, last + 1):
        x = paper.lane(column, lane)
        xs, ys = [x, x], [paper.top - 0.05 if column > first else start, paper.bottom + 0.05 if column < last else end]
        if column == first:
            xs, ys = [paper.left(edge.source), *xs], [start, *ys]
        if column == last:
            xs, ys = [*xs, paper.left(edge.target)], [*ys, end]
        yield xs, ys


def _draw_row(ax: Axes, paper: _Paper, i: int, row: Row, *, alarming: bool) -> None:
    """Draw the box of a row, with its symbol, its name and what became of the mask."""
    left, right, y = paper.left(i), paper.right(paper.column(i)), paper.y(i)
    if row.call is None or row.kind == "end":
        _draw_box(ax, left, right, y, {"facecolor": colour("page"), "edgecolor": colour("soft"), "linewidth": 0.8})
        sign = STYLES[row.call.outcome][0] if row.call is not None else ""
        _write(
            ax, left + 0.14, y, sign, fontsize=9, fontweight="bold", color=colour("ink"), ha="center", fontfamily="DejaVu Sans"
        )
        _write(ax, left + 0.3, y, _cut(row.name, right - left - 0.4, 7.5), fontsize=7.5, style="italic", color=colour("ink"))
        return
    sign, colours = STYLES[row.call.outcome][0], tile(STYLES[row.call.outcome][1])
    is_holder = row.kind == "holder"
    face = {"facecolor": "none" if is_holder else colours["facecolor"], "edgecolor": "none", "linewidth": 0}
    text = colour("ink") if is_holder else colours["text"]
    _draw_box(ax, left, right, y, face)
    if is_holder:
        _draw_badge(ax, left + 0.14, y, sign, colours)
    else:
        _write(ax, left + 0.14, y, sign, fontsize=9, fontweight="bold", color=text, ha="center", fontfamily="DejaVu Sans")
    kind = _cut(row.call.kind, 1.0, 6) if row.call.kind != row.name else ""
    room = right - left - 0.5 - _wide(kind, 6)
    _write(ax, left + 0.3, y, _cut(row.name, room, 7.5, "bold"), fontsize=7.5, fontweight="bold", color=text)
    _write(ax, right - 0.07, y, kind, fontsize=6, color=text, ha="right", alpha=0.8)
    _note(ax, right + 0.07, y, row, alarming=alarming)


def _note(ax: Axes, x: float, y: float, row: Row, *, alarming: bool) -> None:
    """Write beside a box its outcome if it is highlighted, or else the share of valid steps; and whether it is an output."""
    call = row.call
    assert call is not None
    share = "" if math.isnan(call.valid) or row.kind == "holder" else f"{call.valid:.0%} valid"
    masked = any(mask is not None for mask in call.masks_out)
    ends = "" if not call.ends or row.kind == "holder" else "output, masked" if masked else "output, no mask"
    note = call.outcome if alarming else share if masked or call.outcome == outcomes.CONSUMED else ""
    lines = [line for line in (note, ends) if line]
    ink = colour("measured" if alarming else "soft")
    for k, line in enumerate(lines):
        offset = 0.0 if len(lines) == 1 else 0.075 * (2 * k - 1)
        _write(ax, x, y + offset, line, fontsize=6.5, color=colour("ink") if line == ends else ink)


def _draw_box(ax: Axes, left: float, right: float, y: float, style: dict[str, Any]) -> None:
    """Draw a box with round corners."""
    corner, size = (left, y - BOX_HEIGHT / 2), (right - left, BOX_HEIGHT)
    ax.add_patch(FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=0.06", zorder=3, **style))


def _draw_badge(ax: Axes, x: float, y: float, sign: str, colours: dict[str, str]) -> None:
    """Draw a symbol on its colour."""
    box: dict[str, Any] = {
        "boxstyle": "round,pad=0,rounding_size=0.03",
        "facecolor": colours["facecolor"],
        "linewidth": 0,
        "zorder": 3,
    }
    ax.add_patch(FancyBboxPatch((x - 0.09, y - 0.085), 0.18, 0.17, **box))
    _write(ax, x, y, sign, fontsize=8, fontweight="bold", color=colours["text"], ha="center", fontfamily="DejaVu Sans")


def _draw_holders(ax: Axes, paper: _Paper) -> None:
    """Shade the rows inside a model or layer, column by column."""
    rows = paper.drawing.rows
    for i, row in enumerate(rows):
        if row.kind != "holder":
            continue
        inside = [j for j in range(i, len(rows)) if _is_inside(rows[j], row, i == j)]
        for column in sorted({paper.column(j) for j in inside}):
            here = [j for j in inside if paper.column(j) == column]
            left = paper.start(column) + paper.lanes_width + INDENT * row.depth - 0.04
            top, bottom = paper.y(here[0]) - ROW / 2 + 0.02, paper.y(here[-1]) + ROW / 2 - 0.02
            box: dict[str, Any] = {"facecolor": colour("valid"), "alpha": 0.09, "linewidth": 0, "zorder": 0.5 + 0.01 * row.depth}
            ax.add_patch(Rectangle((left, top), paper.right(column) + 0.04 - left, bottom - top, **box))


def _is_inside(row: Row, holder: Row, same: bool) -> bool:
    """Return whether a row is inside a model or layer, or is that of the model or layer."""
    assert holder.call is not None
    return same or (row.call is not None and (row.call is holder.call or row.call.path.startswith(f"{holder.call.path}/")))


def _draw_legend(ax: Axes, paper: _Paper) -> None:
    """Explain the lines and symbols that occur."""
    entries: list[tuple[str, str]] = [("edge", one) for one in paper.states] + [("sign", one) for one in paper.used]
    for k, (what, name) in enumerate(entries):
        x = MARGIN + LEGEND_COLUMN * (k % paper.legend_columns)
        y = paper.bottom + 0.35 + LEGEND_ROW * (k // paper.legend_columns)
        if what == "edge":
            ax.plot([x, x + 0.28], [y, y], **_of_edge(name))
        else:
            _draw_badge(ax, x + 0.14, y, STYLES[name][0], tile(STYLES[name][1]))
        _write(ax, x + 0.36, y, f"line: {name}" if what == "edge" else name, fontsize=7, color=colour("ink"))


def _write(ax: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Write a text without markup; control characters are escaped."""
    ax.text(x, y, printable(text), va="center", parse_math=False, zorder=4, **style)


@lru_cache(maxsize=10_000)
def _wide(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of a text in inches."""
    font = FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(printable(text), font, ismath=False)[0]) / 72


def _cut(text: str, room: float, size: float, weight: str = "normal") -> str:
    """Return a text cut to at most this width; the middle is left out, because the end of a name distinguishes layers."""
    kept, cut = len(text), text
    while _wide(cut, size, weight) > room and kept > 2:
        kept -= 1
        cut = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    return cut
