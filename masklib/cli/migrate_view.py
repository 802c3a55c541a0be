"""What `masklib migrate-check` shows."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from masklib.errors import printable
from masklib.migrating.check import Migration, Options
from masklib.migrating.check import migrate_check as compare
from masklib.migrating.comparing import PARTS
from masklib.migrating.sides import find_sides

ONE = {"outputs": "output", "metrics": "metric", "masks": "the layer"}  # of a part


def check(model: str, source: str | None, target: str, options: Mapping[str, Any]) -> Migration:
    """Return what changes for a model from one Keras to another, and say on stderr what is done."""
    sides = find_sides(source, target)
    return compare(model, *sides, Options(**options), lambda stage: click.echo(f"{printable(model)}: {stage}", err=True))


def show(found: Migration, form: str) -> None:
    """Print a report, as text or JSON."""
    if form == "json":
        from masklib.cli.console import print_json

        print_json(found.to_dict())
        return
    for line in lines(found):
        click.echo(printable(line))


def lines(found: Migration) -> Iterator[str]:
    """Yield the lines of a report."""
    yield f"{found.model}: {_verdict(found)}"
    batch = f"batch of {found.samples} samples, {'made' if found.is_made else 'given'}"
    yield f"from {found.source} ({found.source.name}) to {found.target} ({found.target.name}); {batch}"
    yield ""
    for one in found.explained:
        told = one.difference
        what = "loss" if told.of == told.part else f"{ONE.get(told.part, told.part)} {told.of!r}"
        yield f"DIFFERS  {what}{f' ({told.kind})' if told.kind else ''}: {told.said}"
        yield f"         why: {one.said}"
    for part, why in found.comparison.gaps:
        yield f"NOT COMPARED  {part}: {why}"
    for part in PARTS:
        if same := found.comparison.same[part]:
            yield f"same     {part}: {', '.join(same)}"
    yield from (f"note: {note}" for note in found.notes)


def _verdict(found: Migration) -> str:
    """Return the result in a few words."""
    comparison = found.comparison
    parts = list(dict.fromkeys(one.part for one in comparison.differences))
    gaps = list(dict.fromkeys(part for part, _ in comparison.gaps))
    if parts:
        told = f"{', '.join(parts)} {'differs' if parts == ['loss'] else 'differ'}"
    elif not gaps:
        told = "nothing differs"
    else:
        told = "nothing that was compared differs" if any(comparison.same.values()) else "nothing could be compared"
    return f"{told}; {', '.join(gaps)} not compared" if gaps else told
