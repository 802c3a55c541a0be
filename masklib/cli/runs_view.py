"""What `masklib runs` prints: runs as rows, one run whole, and two side by side."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import click

from masklib.claims import recording
from masklib.cli.console import print_json, print_table
from masklib.engine.comparing import Comparison, differences, result_differences
from masklib.engine.inventory import SHORT, Held
from masklib.engine.record import Record
from masklib.engine.store import Store
from masklib.errors import ArgumentError

_WIDTH = 60  # of a value
_HASH = re.compile("[0-9a-f]{64}")


def rows(held: Iterable[Held], *, as_json: bool) -> list[dict[str, Any]]:
    """Return a row for each run."""
    comparison, found = Comparison(), []
    for one in held:
        changed = comparison.changes(one.record) if one.record else [one.error]
        row = {
            "run": one.entry.name if as_json else one.short,
            "state": one.state,
            "started": one.record.started if one.record else "",
            "duration_s": one.record.duration_s if one.record else None,
            "parameters": one.record.parameters if one.record else {},
            "changed": changed,
        }
        found.append(row if as_json else _as_text(row))
    return found


def print_whole(one: Held, store: Store) -> None:
    """Print one run as JSON: its record, its results, and what has changed since."""
    record = _record(one)
    results = recording.read(store.root / one.entry.name)
    changed = Comparison().changes(record)
    print_json({"run": one.entry.name, "state": one.state, "changed": changed, "record": record.to_json(), "results": results})


def facts(one: Held, store: Store) -> list[dict[str, Any]]:
    """Return what there is to say of one run, a row a fact."""
    record = _record(one)
    uses = record.uses
    found: dict[str, Mapping[str, Any]] = {
        "run": {"state": one.state, "started": record.started, "seconds": record.duration_s, "kernel": record.launch},
        "error": {"": record.error.told} if record.error else {},
        "changed since": dict.fromkeys(Comparison().changes(record), ""),
        "parameter": record.parameters,
        "metric": {r["name"]: r["value"] for r in recording.read(store.root / one.entry.name) if r["kind"] == "metric"},
        "module": uses.modules if uses else {"": "not recorded by the masklib that executed it"},
        "file": {**record.inputs.get("files", {}), **(uses.files if uses else {})},
        "variable": uses.variables if uses else {},
        "version": {**record.inputs["versions"], **(uses.distributions if uses else {})},
        "setting": record.inputs["settings"],
    }
    return [{"what": kind, "name": name, "value": _short(value)} for kind, of in found.items() for name, value in of.items()]


def print_differences(first: Held, second: Held, store: Store, as_json: bool) -> None:
    """Print in what two runs differ."""
    a, b = _record(first), _record(second)
    found = differences(a, b) | result_differences(store.root / first.entry.name, store.root / second.entry.name)
    if as_json:
        print_json({"runs": [first.entry.name, second.entry.name], "differences": found})
        return
    code = found.pop("code", {})
    table = [[kind, name, _short(x), _short(y)] for kind, of in found.items() for name, (x, y) in of.items()]
    if table:
        print_table("Differences", ["what", "name", first.short, second.short], table)
    for name, (x, y) in code.items():
        lines = difflib.unified_diff(
            (x or "").splitlines(), (y or "").splitlines(), first.short, second.short, name, name, lineterm=""
        )
        click.echo("\n".join(lines))
    if not found and not code:
        click.echo("The two runs do not differ.")


def _record(one: Held) -> Record:
    """Return the record of a run.

    Raises:
        ArgumentError: it cannot be read.
    """
    if one.record is None:
        msg = f"The record of a run must be readable, that of {one.entry.name} is not: {one.error}"
        raise ArgumentError(msg)
    return one.record


def _as_text(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as a table shows it."""
    took = "" if row["duration_s"] is None else f"{row['duration_s']:.1f} s"
    told = " ".join(f"{name}={value}" for name, value in row["parameters"].items())
    started = row["started"][:16].replace("T", " ")
    shown = {"run": row["run"], "state": row["state"], "started": started, "took": took, "parameters": told}
    return {**shown, "changed since": "; ".join(row["changed"])}


def _short(value: Any) -> str:
    """Return a value as a cell of a table shows it, of a hash the beginning."""
    if isinstance(value, str) and _HASH.fullmatch(value):
        return value[:SHORT]
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 4]} ..."
