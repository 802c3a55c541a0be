"""A notebook's parameters: what its parameters cell declares, and the values of a run, checked before a kernel starts.

The help of a line may say more. `{a, b}` lists the values that are allowed. `{0.05..0.95}` is the range in which a number must
lie, its ends included; one end may be missing, `{1..}`. `{file}` says that the value is the path of a file, or empty for none:
what the file holds is part of the identity of a run.
"""

import ast
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from masklib.engine.declaring import ANY, Parameter, convert, read_parameters
from masklib.engine.environments import load_environments
from masklib.engine.notebooks import Notebook
from masklib.errors import ParameterError

ENVIRONMENT, CURRENT = "environment", "current"  # a parameter of every notebook that has none of this name, and its default
BACKENDS = {"tensorflow", "jax", "torch", "numpy"}  # of Keras
_WORDS = {"True": True, "False": False, "None": None}


@lru_cache(maxsize=64)
def _declared(source: str, where: str, language: str) -> tuple[Parameter, ...]:
    """Return the parameters of a parameters cell, and `environment`."""
    own = read_parameters(source, where, language)
    if any(parameter.name == ENVIRONMENT for parameter in own):
        return own
    named = ", ".join((CURRENT, *load_environments(), "keras@VERSION"))
    return (*own, Parameter(ENVIRONMENT, str, CURRENT, help=f"whose Python and libraries run the notebook: {named}"))


def own_parameters(notebook: Notebook) -> tuple[Parameter, ...]:
    """Return the parameters that a notebook declares.

    Raises:
        NotebookError: its parameters cell cannot be read.
    """
    return read_parameters(notebook.parameters_source, f"the parameters cell of {notebook.name}", notebook.language)


def declared_parameters(notebook: Notebook) -> tuple[Parameter, ...]:
    """Return the parameters of a notebook, and `environment`, unless it has one of its own.

    Raises:
        NotebookError: its parameters cell cannot be read.
    """
    return _declared(notebook.parameters_source, f"the parameters cell of {notebook.name}", notebook.language)


def keras_backend(parameters: Iterable[Parameter], values: Mapping[str, Any]) -> str | None:
    """Return the backend of Keras that a notebook's parameter `backend` chooses; None where that name means something else."""
    told = next((parameter for parameter in parameters if parameter.name == "backend"), None)
    return values.get("backend") if told and {str(told.default), *told.choices} & BACKENDS else None


def resolve(parameters: Iterable[Parameter], given: Mapping[str, Any], folder: str | Path = "") -> dict[str, Any]:
    """Return the parameters with their values: the one given, else the default, in the order of the cell.

    What the cell computes is left out unless it is given. An int may be given for a float, a tuple for a list, a text for a date;
    else a string is taken for a string. See `from_text` for values that come from a command line.

    Args:
        parameters: of the notebook.
        given: by name.
        folder: of the notebook: the files that its defaults name are there.

    Raises:
        ParameterError: names that are unknown, values of the wrong type or not allowed, values that are missing: all at once.
    """
    known = {parameter.name: parameter for parameter in parameters}
    problems = [_unknown(name, known) for name in given if name not in known]
    values = {}
    for name, parameter in known.items():
        if name not in given and (parameter.required or parameter.computed):
            problems += [f"{name} ({parameter.kind}) is missing"] if parameter.required else []
            continue
        try:
            value = convert(parameter, given[name]) if name in given else parameter.default
            values[name] = _find_file(parameter, value, "" if name in given else folder)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        msg = f"Parameters must be those of the notebook: {'; '.join(problems)}."
        raise ParameterError(msg, problems)
    return values


def from_text(parameters: Iterable[Parameter], given: Mapping[str, str]) -> dict[str, Any]:
    """Return values typed by the notebook's own parameters, from the strings of a command line.

    A bool is written true or false; a list as Python (`[1, 2]`) or with commas (`1,2`); None as None. What cannot be read is left
    as it is, so that `resolve` reports it with the rest.
    """
    known = {parameter.name: parameter for parameter in parameters}
    return {name: _read_text(known[name], text) if name in known else text for name, text in given.items()}


def _find_file(parameter: Parameter, value: Any, folder: str | Path) -> Any:
    """Return the absolute path of a file, for a kernel works elsewhere; ValueError if it is not there. All else is as it is."""
    if not parameter.is_file or not value:
        return value
    path = Path(folder, str(value))
    if not path.is_file():
        msg = f"{parameter.name} must be a file, there is no {value}"
        raise ValueError(msg)
    return str(path.resolve())


def _unknown(name: str, known: Mapping[str, Parameter]) -> str:
    """Return the sentence about a name that the notebook does not have."""
    if not known.keys() - {ENVIRONMENT}:
        return f"{name} is unknown, the notebook has none; tag the cell that assigns it 'parameters'"
    near = get_close_matches(name, known, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    return f"{name} is unknown{hint} (known: {', '.join(known)})"


def _read_text(parameter: Parameter, text: str) -> Any:
    """Return a value of a parameter's type from a command line's string, or the string where it cannot be one."""
    kind = parameter.type
    if parameter.optional and text in ("None", "null"):
        return None
    if kind is str:
        return text
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind is ANY:
        return _guess(text)
    try:
        return _TEXTS.get(kind, lambda given: given)(text)
    except (ValueError, SyntaxError, TypeError, RecursionError):
        return [word.strip() for word in text.split(",")] if kind in (list, tuple) and text[:1] not in "[(" else text


_TEXTS: dict[type, Any] = {
    int: int,
    float: float,
    dict: ast.literal_eval,
    **dict.fromkeys((list, tuple), lambda text: list(ast.literal_eval(text if text[:1] in "[(" else f"[{text}]"))),
}


def _guess(text: str) -> Any:
    """Return what a string stands for where nothing says its type: True, False, None, a number, else the string."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
