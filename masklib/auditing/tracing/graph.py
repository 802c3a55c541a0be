"""Which calls a call depends on, and which depend on it."""

from collections.abc import Sequence

from masklib.auditing.tracing.calls import Call


def calls_before(entry: Call, calls: Sequence[Call]) -> list[Call]:
    """Return the calls from whose outputs a call is computed, and the layers and models that contain them, the nearest first."""
    found: set[int] = set()
    open_ = [source for source in entry.sources if isinstance(source, int)]
    while open_:
        index = open_.pop()
        if index not in found:
            found.add(index)
            open_ += [source for source in calls[index].sources if isinstance(source, int)]
    paths = {calls[index].path for index in found}
    found |= {i for i, call in enumerate(calls) if _holds_any(call, paths) and not _holds_any(call, {entry.path})}
    return [calls[index] for index in sorted(found, reverse=True)]


def calls_after(entry: Call, calls: Sequence[Call]) -> list[Call]:
    """Return the calls that are computed from the outputs of a call, in their order."""
    paths = {entry.path}
    found = []
    for call in calls:
        if any(isinstance(source, int) and calls[source].path in paths for source in call.sources):
            paths.add(call.path)
            found.append(call)
    return found


def _holds_any(call: Call, paths: set[str]) -> bool:
    """Return whether a call contains any of the calls with these paths."""
    return call.holds and any(path.startswith(f"{call.path}/") for path in paths)
