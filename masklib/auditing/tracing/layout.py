"""The calls of a trace as rows of a drawing, with the edges between them and the lanes in which long edges run.

A row is a call, an input of the model, or the end of a custom layer that computed its output itself. A model or layer that
contains other calls is a row above them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from masklib.auditing.tracing.calls import Call
from masklib.auditing.tracing.outcomes import BAD

MASKED, GIVEN, PLAIN, LOST = "a mask is attached", "its mask is passed separately", "no mask", "its mask was lost"


@dataclass
class Row:
    """One line of the drawing.

    Attributes:
        call: the call; None for an input of the model.
        name: the text in the row.
        kind: "input", "call", "holder" or "end".
        depth: how deeply it is nested.
        place: the index of the call; -1 for an input.
    """

    call: Call | None
    name: str
    kind: str
    depth: int = 0
    place: int = -1


@dataclass(frozen=True)
class Edge:
    """A tensor on its path from one row to another.

    Attributes:
        source: index of a row.
        target: index of a row, below.
        state: whether a mask is attached to it, is passed to `call` separately, was lost, or none of these.
        sure: whether it is known that the tensor comes from the source; else it is computed from something above.
    """

    source: int
    target: int
    state: str
    sure: bool = True


@dataclass
class Drawing:
    """What is drawn, before its place is computed.

    Attributes:
        rows: from top to bottom.
        edges: between rows.
        lanes: by the row from which a tensor comes, the lane of its long edges; 0 is next to the boxes.
    """

    rows: list[Row]
    edges: list[Edge]
    lanes: dict[int, int] = field(default_factory=dict)

    @property
    def n_lanes(self) -> int:
        """The number of lanes."""
        return max(self.lanes.values(), default=-1) + 1


def lay_out(calls: Sequence[Call]) -> Drawing:
    """Return rows, edges and lanes for the calls of a trace."""
    rows = _rows(calls)
    edges = _edges(rows, calls)
    return Drawing(rows, edges, _lanes(edges))


def _rows(calls: Sequence[Call]) -> list[Row]:
    """Return the rows: an input is before its first use, an end is after everything inside the layer."""
    rows: list[Row] = []
    known: set[str] = set()
    open_ends: list[tuple[Call, int]] = []
    computed = {source for call in calls for source in call.sources if isinstance(source, int) and calls[source].holds}
    computed |= {i for i, call in enumerate(calls) if call.holds and call.ends and not _ends_inside(call, calls)}
    for i, call in enumerate(calls):
        while open_ends and not call.path.startswith(f"{open_ends[-1][0].path}/"):
            rows.append(_end(*open_ends.pop()))
        for source in call.sources:
            if isinstance(source, str) and source not in known:
                known.add(source)
                rows.append(Row(None, source, "input"))
        rows.append(Row(call, call.name, "holder" if call.holds else "call", call.depth, i))
        if i in computed:
            open_ends.append((call, i))
    return rows + [_end(*one) for one in reversed(open_ends)]


def _ends_inside(call: Call, calls: Sequence[Call]) -> bool:
    """Return whether a call inside another one made the output of the model."""
    return any(other.ends and other.path.startswith(f"{call.path}/") for other in calls)


def _end(call: Call, i: int) -> Row:
    """Return the row for the end of a layer that computed its output itself."""
    return Row(call, f"returned by {call.name}", "end", call.depth + 1, i)


def _edges(rows: Sequence[Row], calls: Sequence[Call]) -> list[Edge]:
    """Return the edges; a tensor that the same call uses twice has one edge."""
    inputs = {row.name: i for i, row in enumerate(rows) if row.kind == "input"}
    makers = {row.place: i for i, row in enumerate(rows) if row.kind in ("call", "end")}
    edges: dict[tuple[int, int], Edge] = {}
    for target, row in enumerate(rows):
        if row.call is None or row.kind == "holder":
            continue
        for edge in _edges_to(target, row, rows, calls, inputs, makers):
            before = edges.get((edge.source, edge.target))
            if before is None or before.state == PLAIN:
                edges[edge.source, edge.target] = edge
    return list(edges.values())


def _edges_to(
    target: int, row: Row, rows: Sequence[Row], calls: Sequence[Call], inputs: dict[str, int], makers: dict[int, int]
) -> list[Edge]:
    """Return the edges to one row."""
    call = row.call
    assert call is not None
    if row.kind == "end":
        masked = any(mask is not None for mask in call.masks_out)
        return [Edge(target - 1, target, MASKED if masked else PLAIN, sure=False)]
    edges = []
    given = any(mask is not None for mask in call.masks_got)
    for source, mask in zip(call.sources, call.masks_in, strict=True):
        start = inputs.get(source) if isinstance(source, str) else makers.get(source) if source is not None else None
        sure = start is not None and start < target
        maker = calls[source] if isinstance(source, int) else None
        taken_off = maker is not None and any(one is not None for one in maker.masks_out)
        lost = mask is None and maker is not None and (maker.outcome in BAD or taken_off)
        state = MASKED if mask is not None else GIVEN if given and len(call.sources) == 1 else LOST if lost else PLAIN
        if sure or target > 0:
            edges.append(Edge(start if sure and start is not None else target - 1, target, state, sure))
    return edges


def _lanes(edges: Sequence[Edge]) -> dict[int, int]:
    """Return a lane for each row from which an edge goes further than to the next row: short edges take the inner lanes."""
    spans: dict[int, int] = {}
    for edge in edges:
        if edge.target > edge.source + 1:
            spans[edge.source] = max(spans.get(edge.source, 0), edge.target)
    taken: list[list[tuple[int, int]]] = []
    lanes = {}
    for start, end in sorted(spans.items(), key=lambda span: (span[1] - span[0], span[0])):
        free = (i for i, lane in enumerate(taken) if all(end < first or start > last for first, last in lane))
        lanes[start] = next(free, len(taken))
        if lanes[start] == len(taken):
            taken.append([])
        taken[lanes[start]].append((start, end))
    return lanes
