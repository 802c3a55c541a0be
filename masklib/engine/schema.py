"""The form of what a run writes: `record.json`, and the lines of `records.jsonl`. What has another form is no record."""

from collections.abc import Mapping, Set
from types import NoneType
from typing import Any

from masklib.engine.contents import check_name

STATUSES = ("ok", "failed", "timeout", "died", "interrupted", "running")
Types = Mapping[str, tuple[type, ...]]

_TEXT, _COUNT, _NUMBER, _TABLE, _LIST = (str,), (int,), (int, float), (dict,), (list,)
_RECORD: Types = {
    **dict.fromkeys(("notebook", "key", "status", "launch", "started", "host"), _TEXT),
    **dict.fromkeys(("inputs", "steps", "files", "sums"), _TABLE),
    "duration_s": _NUMBER,
    "pid": _COUNT,
    "memory_bytes": (int, NoneType),
    "schema": _COUNT,
    "error": (dict, NoneType),
    "uses": (dict, NoneType),
}
_INPUTS: Types = {
    "parameters": _TABLE,
    "versions": _TABLE,
    "settings": _TABLE,
    "python": (str, NoneType),
    "device": (str, NoneType),
}
_USES: Types = {
    "folder": _TEXT,
    **dict.fromkeys(("modules", "distributions", "files", "variables"), _TABLE),
    "patterns": _LIST,
}
_ERROR: Types = {
    "ename": _TEXT,
    "evalue": _TEXT,
    "traceback": (list, NoneType),
    "cell": (int, NoneType),
    "signal": (str, NoneType),
    "exit_code": (int, NoneType),
}
_LINES: dict[str, Types] = {  # by kind
    "metric": {"name": _TEXT, "value": _NUMBER, "unit": _TEXT},
    "table": {"name": _TEXT, "rows": _COUNT, "columns": _LIST, "page": _TEXT},
    "figure": {"name": _TEXT},
    "claim": {"claim": _TEXT, "part": _TEXT, "atol": _NUMBER},
    "untested": {"claim": _TEXT, "part": _TEXT, "reason": _TEXT},
    "answer": {"text": _TEXT},
}
_KIND: Types = {"kind": _TEXT}
_OPTIONAL = {"page"}


def check_record(values: Any) -> None:
    """Check the values of a `record.json`; fields that have a default may be missing.

    Raises:
        LookupError, TypeError, ValueError: they are no record.
    """
    _check(values, {name: types for name, types in _RECORD.items() if name in values}, "a record")
    if values["status"] not in STATUSES:
        msg = f"status must be one of {', '.join(STATUSES)}, got {values['status']!r}"
        raise ValueError(msg)
    inputs = values["inputs"]
    _check(inputs, {name: types for name, types in _INPUTS.items() if name in inputs}, "inputs")
    for name, pair in inputs.get("parameters", {}).items():
        _check({name: pair}, {name: _LIST}, "parameters")
        _type, _value = pair
    for name, size in values.get("files", {}).items():
        _check({check_name(name): size}, {name: _COUNT}, "files")
    uses = values.get("uses") or {}
    _check(uses, {name: types for name, types in _USES.items() if name in uses}, "uses")
    if any(not isinstance(text, str) for name in _USES if name in uses for text in _texts(uses[name])):
        msg = "paths, versions and sums of uses must be text"
        raise TypeError(msg)
    error = values.get("error") or {}
    _check(error, {name: types for name, types in _ERROR.items() if name in error}, "error")
    for line in error.get("traceback") or ():
        _check({"a line": line}, {"a line": _TEXT}, "traceback")


def _texts(value: Any) -> Any:
    """Return what a field of `uses` holds."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]


def check_lines(lines: Any) -> None:
    """Check what `records.jsonl` holds, as a list.

    Raises:
        LookupError, TypeError, ValueError: a line is no record.
    """
    for line in lines:
        _check(line, _KIND, "a record")
        _check(line, _LINES.get(line["kind"], {}), line["kind"], _OPTIONAL)


def _check(values: Any, types: Types, where: str, optional: Set[str] = frozenset()) -> None:
    """Check that values are there, but for the optional ones, and of these types; a boolean is no number."""
    if not isinstance(values, dict):
        msg = f"{where} must be an object, got {type(values).__name__}"
        raise TypeError(msg)
    for name, allowed in types.items():
        if name in optional and name not in values:
            continue
        value = values[name]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            msg = f"{name} of {where} must be {' or '.join(one.__name__ for one in allowed)}, got {type(value).__name__}"
            raise TypeError(msg)
