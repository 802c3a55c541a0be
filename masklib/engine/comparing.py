"""Runs compared: with what would be executed now, and with each other."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from masklib.claims import recording
from masklib.engine.dependencies import Present, changes
from masklib.engine.notebooks import Notebook, read_notebook
from masklib.engine.record import Record
from masklib.engine.run import plan_run
from masklib.errors import MasklibError

_WHAT = {"cells": "the code of the notebook", "masklib": "masklib", "environment": "the environment"}


class Comparison:
    """Compares runs with what would be executed now; a notebook or file is read at most once."""

    def __init__(self) -> None:
        self._notebooks: dict[Path, Notebook] = {}
        self._present = Present()

    def changes(self, record: Record) -> list[str]:
        """Return what has changed since a run, a few words each; [] if the same run would be found again.

        A record of an earlier masklib does not say what it used: [] for it, too.
        """
        if record.uses is None:
            return []
        path = Path(record.uses.folder) / f"{record.notebook}.ipynb"
        settings = record.inputs["settings"]
        try:
            if path not in self._notebooks:
                self._notebooks[path] = read_notebook(path)
            now = plan_run(self._notebooks[path], record.parameters, settings).inputs
        except MasklibError as error:
            return [f"it cannot be planned any more: {error}"]
        return [*_changed_inputs(record.inputs, now), *changes(record.uses, record.uses.folder, (), settings, self._present)]


def _changed_inputs(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in what two identities differ, a few words each."""
    told = []
    for name in (name for name in then if then[name] != now.get(name)):
        if name in _WHAT:
            told.append(f"{_WHAT[name]} changed since")
        elif isinstance(then[name], dict) and isinstance(now.get(name), dict):
            told += [
                f"{part} {a or 'none'} then, {b or 'none'} now" for part, (a, b) in _differing(then[name], now[name]).items()
            ]
        else:
            told.append(f"{name} {then[name]} then, {now.get(name)} now")
    return told


def differences(first: Record, second: Record) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Return in what two runs differ, by kind and name: the value of the first and of the second, None where it has none."""
    pairs = {
        kind: (_of_kind(first, kind), _of_kind(second, kind))
        for kind in ("run", "parameters", "code", "versions", "modules", "files", "settings", "variables")
    }
    return {kind: found for kind, (a, b) in pairs.items() if (found := _differing(a, b))}


def result_differences(first: Path, second: Path) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Return in what the results of two runs differ: the metrics, and the parts of claims as observed.

    Args:
        first: the folder of a run, and `second` of the other.
        second: see `first`.
    """
    a, b = (recording.read(folder) for folder in (first, second))
    pairs = {"metrics": (_metrics(a), _metrics(b)), "claims": (_observed(a), _observed(b))}
    return {kind: found for kind, (x, y) in pairs.items() if (found := _differing(x, y))}


def _of_kind(record: Record, kind: str) -> dict[str, Any]:
    """Return what a record says of one kind of thing, by name."""
    inputs, uses = record.inputs, record.uses
    match kind:
        case "run":
            single = {name: inputs.get(name) for name in ("masklib", "python", "platform", "device")}
            return {"notebook": record.notebook, "status": record.status, "launch": record.launch, **single}
        case "parameters":
            return record.parameters
        case "code":
            return {f"code cell {number}": source for number, (source, _) in enumerate(inputs["cells"], start=1)}
        case "versions":
            return {**inputs["versions"], **(uses.distributions if uses else {})}
        case "files":
            return {**inputs.get("files", {}), **(uses.files if uses else {})}
        case "settings":
            return dict(inputs["settings"])
    return dict(getattr(uses, kind)) if uses else {}


def _metrics(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the value of each metric."""
    return {r["name"]: r["value"] for r in records if r["kind"] == "metric"}


def _observed(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what was observed for each part of a claim."""
    return {f"{r['claim']} {r['part']}".strip(): r["observed"] for r in records if r["kind"] == "claim"}


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the values that two mappings do not share, by name; NaN is NaN."""
    names = dict.fromkeys([*first, *second])
    return {name: (first.get(name), second.get(name)) for name in names if repr(first.get(name)) != repr(second.get(name))}
