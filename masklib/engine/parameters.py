"""A notebook's parameters: read from its parameters cell, checked before a kernel starts.

The cell holds one `name: type = literal  # help, unit` a line. A type is int, float, str, bool or list; a line without a
value declares a parameter that must be given; `{a, b}` in the help lists the values that are allowed, and `{file}` says that the
value is the path of a file, or empty for none: what the file holds is part of the identity of a run.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from masklib.engine.environments import load_environments
from masklib.engine.notebooks import Notebook
from masklib.errors import NotebookError, ParameterError

ENVIRONMENT, CURRENT = "environment", "current"  # a parameter of every notebook, and its default
TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool, "list": list}
_CHOICES = re.compile(r"\{([^{}]+)\}")
_FILE = ("file",)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook.

    Attributes:
        name: as assigned in the cell.
        type: one of int, float, str, bool, list.
        default: the literal; None where the parameter is required.
        required: whether a value must be given.
        help: the comment of the line.
        choices: the values that are allowed; () for any.
        is_file: whether the value is the path of a file, or "".
    """

    name: str
    type: type
    default: Any
    required: bool = False
    help: str = ""
    choices: tuple[str, ...] = ()
    is_file: bool = False


@lru_cache(maxsize=64)
def read_parameters(source: str, where: str = "the parameters cell") -> tuple[Parameter, ...]:
    """Return the parameters that a parameters cell declares; a sweep asks for the same ones at each of its points.

    Raises:
        NotebookError: a line is not of the form `name: type = literal`; all such lines are named.
    """
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        msg = f"{where} must be Python, line {error.lineno} is not: {error.msg}."
        raise NotebookError(msg) from None
    except (ValueError, MemoryError, RecursionError) as error:  # a null character, or an expression that is nested too deep
        msg = f"{where} must be Python, it cannot be read as such: {str(error) or 'it is nested too deep'}."
        raise NotebookError(msg) from None
    comments = _comments(source)
    parameters: list[Parameter] = []
    bad: list[str] = []
    for statement in body:
        try:
            parameters.append(_read_line(statement, comments.get(statement.end_lineno or 0, "")))
        except ValueError:
            bad.append(f"line {statement.lineno} ({ast.unparse(statement)})")
    if bad:
        msg = f"Each line of {where} must read `name: type = literal`, type one of {', '.join(TYPES)}; not so {'; '.join(bad)}."
        raise NotebookError(msg)
    return tuple(parameters)


@lru_cache(maxsize=64)
def _declared(source: str, where: str) -> tuple[Parameter, ...]:
    """Return the parameters of a parameters cell, and `environment`."""
    help_ = "whose Python and libraries run the notebook"
    environment = Parameter(ENVIRONMENT, str, CURRENT, help=help_, choices=(CURRENT, *load_environments()))
    return (*read_parameters(source, where), environment)


def declared_parameters(notebook: Notebook) -> tuple[Parameter, ...]:
    """Return the parameters of a notebook, and `environment`, which each has.

    Raises:
        NotebookError: its parameters cell cannot be read.
    """
    return _declared(notebook.parameters_source, f"the parameters cell of {notebook.name}")


def resolve(parameters: Iterable[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter with its value: the one given, else the default, in the order of the cell.

    An int may be given for a float, and a tuple for a list. A string is taken for a string only; see `from_text` for values
    that come from a command line.

    Raises:
        ParameterError: names that are unknown, values of the wrong type or not allowed, values that are missing: all at once.
    """
    known = {parameter.name: parameter for parameter in parameters}
    problems = [_unknown(name, known) for name in given if name not in known]
    values = {}
    for name, parameter in known.items():
        if name not in given and parameter.required:
            problems.append(f"{name} ({parameter.type.__name__}) is missing")
            continue
        try:
            values[name] = _convert(parameter, given.get(name, parameter.default))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        msg = f"Parameters must be those of the notebook: {'; '.join(problems)}."
        raise ParameterError(msg, problems)
    return values


def from_text(parameters: Iterable[Parameter], given: Mapping[str, str]) -> dict[str, Any]:
    """Return values typed by the notebook's own parameters, from the strings of a command line.

    A bool is written true or false; a list as Python (`[1, 2]`) or with commas (`1,2`). What cannot be read is left as it is,
    so that `resolve` reports it with the rest.
    """
    types = {parameter.name: parameter.type for parameter in parameters}
    return {name: _read_text(types.get(name, str), text) for name, text in given.items()}


def _comments(source: str) -> dict[int, str]:
    """Return the comment at the end of each line, by line number."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _read_line(statement: ast.stmt, comment: str) -> Parameter:
    """Return the parameter that one statement declares; ValueError if it is not of the form."""
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            kind = TYPES.get(ast.unparse(annotation).split("[")[0])
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            kind = type(ast.literal_eval(value))
        case _:
            raise ValueError
    if kind is None or kind not in TYPES.values():
        raise ValueError
    found = _CHOICES.search(comment)
    choices = tuple(word.strip() for word in found[1].split(",")) if found else ()
    is_file, choices = choices == _FILE, () if choices == _FILE else choices
    blank = Parameter(name, kind, None, required=True, help=comment, choices=choices, is_file=is_file)
    return blank if value is None else replace(blank, default=_convert(blank, ast.literal_eval(value)), required=False)


def _convert(parameter: Parameter, value: Any) -> Any:
    """Return `value` in the parameter's type; ValueError if it is of another type or not allowed."""
    kind = parameter.type
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is list and isinstance(value, tuple):
        value = list(value)
    if type(value) is not kind:
        msg = f"{parameter.name} must be {kind.__name__}, got {value!r} ({type(value).__name__})"
        raise ValueError(msg)
    if parameter.choices and str(value) not in parameter.choices:
        msg = f"{parameter.name} must be one of {', '.join(parameter.choices)}, got {value!r}"
        raise ValueError(msg)
    return _find_file(parameter, str(value)) if parameter.is_file and value else value


def _find_file(parameter: Parameter, value: str) -> str:
    """Return the absolute path of a file, for a kernel works in a folder of its own; ValueError if it is not there."""
    if not Path(value).is_file():
        msg = f"{parameter.name} must be a file, there is no {value}"
        raise ValueError(msg)
    return str(Path(value).resolve())


def _unknown(name: str, known: Mapping[str, Parameter]) -> str:
    """Return the sentence about a name that the notebook does not have."""
    near = get_close_matches(name, known, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    return f"{name} is unknown{hint} (known: {', '.join(known)})"


def _read_text(kind: type, text: str) -> Any:
    """Return a value of type `kind` from a command line's string, or the string where it cannot be one."""
    if kind is str:
        return text
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return kind(text) if kind in (int, float) else list(ast.literal_eval(text if text[:1] in "[(" else f"[{text}]"))
    except (ValueError, SyntaxError, TypeError):
        return [word.strip() for word in text.split(",")] if kind is list and text[:1] not in "[(" else text
