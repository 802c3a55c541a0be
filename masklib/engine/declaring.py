"""What the cell of a notebook that is tagged `parameters` declares, read without running it.

An assignment declares a parameter: `name = value`, `name: type = value`, with a comment that is its help. Where the value is not
made of literals, it is what the cell computes. Every other statement is code of the notebook. In other languages than Python,
lines that assign a name declare it.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache, reduce
from types import NoneType
from typing import Any

from masklib.engine import values
from masklib.errors import NotebookError

ANY = object  # the type of a parameter that says none
TYPES: dict[str, type] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "list": list,
    "List": list,
    "dict": dict,
    "Dict": dict,
    "tuple": tuple,
    "Tuple": tuple,
    "date": date,
    "datetime": datetime,
    "None": NoneType,
}
_CHOICES = re.compile(r"\{([^{}]+)\}")
_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"\{{\s*({_NUMBER})?\s*\.\.\s*({_NUMBER})?\s*\}}")
_FILE = ("file",)
_WORDS = r"(?:(?:val|var|let|const|export|declare|local|my|int|double|string)\s+)*"
_ASSIGNED = re.compile(rf"^\s*{_WORDS}[$@]?([A-Za-z_][\w.]*)\s*(?::\s*[\w.\[\]]+\s*)?(?:<-|:=|=(?!=))")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook.

    Attributes:
        name: as assigned in the cell.
        type: of its value; `object` for any.
        default: the value; None where the parameter is required or computed.
        required: whether a value must be given.
        help: the comment of the line.
        choices: the values that are allowed, as text; () for any.
        least: the least number that is allowed; None for any.
        most: the largest number that is allowed; None for any.
        is_file: whether the value is the path of a file, or "".
        optional: whether it may be None, too.
        computed: whether its default is what the cell computes, which is not known before it runs.
    """

    name: str
    type: type
    default: Any
    required: bool = False
    help: str = ""
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    is_file: bool = False
    optional: bool = False
    computed: bool = False

    @property
    def kind(self) -> str:
        """The type in words."""
        name = "any" if self.type is ANY else self.type.__name__
        return f"{name} or None" if self.optional else name


@dataclass(frozen=True)
class _Annotation:
    """What an annotation says of a parameter: its type, whether it may be None, and the values of a Literal."""

    type: type = ANY
    optional: bool = False
    choices: tuple[str, ...] = ()


@lru_cache(maxsize=64)
def read_parameters(source: str, where: str = "the parameters cell", language: str = "python") -> tuple[Parameter, ...]:
    """Return the parameters that a parameters cell declares; a sweep asks for the same ones at each of its points.

    Raises:
        NotebookError: it is not Python, or defaults are not of their types or outside their ranges; all such lines are named.
    """
    if language.lower() not in ("python", "python3", "ipython"):
        found = (_ASSIGNED.match(line) for line in source.splitlines())
        return tuple(Parameter(name, ANY, None, computed=True) for name in dict.fromkeys(line[1] for line in found if line))
    source, body = _parse(source, where)
    comments = _comments(source)
    parameters: dict[str, Parameter] = {}
    bad: list[str] = []
    for statement in body:
        try:
            for parameter in _declare(statement, comments.get(statement.end_lineno or 0, "")):
                parameters[parameter.name] = parameter
        except ValueError as error:
            bad.append(f"line {statement.lineno} ({ast.unparse(statement)}): {error}")
    if bad:
        msg = f"Each default in {where} must be of the type and in the range that its line says; not so {'; '.join(bad)}."
        raise NotebookError(msg)
    return tuple(parameters.values())


def _parse(source: str, where: str) -> tuple[str, list[ast.stmt]]:
    """Return the cell as Python and its statements; commands of IPython, such as `%matplotlib inline`, become calls."""
    try:
        return source, ast.parse(source).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # a null character, or an expression that is nested too deep
        from IPython.core.inputtransformer2 import TransformerManager

        with_calls = TransformerManager().transform_cell(source)
    try:
        return with_calls, ast.parse(with_calls).body
    except (MemoryError, RecursionError):
        msg = f"{where} must be Python, it cannot be read as such: it is nested too deep."
        raise NotebookError(msg) from None
    except (SyntaxError, ValueError) as error:
        msg = f"{where} must be Python, line {getattr(error, 'lineno', 1)} is not: {getattr(error, 'msg', error)}."
        raise NotebookError(msg) from None


def _comments(source: str) -> dict[int, str]:
    """Return the comment at the end of each line, by line number."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _declare(statement: ast.stmt, comment: str) -> Iterator[Parameter]:
    """Yield the parameters that one statement declares; ValueError if a default is not of its type."""
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            yield _parameter(name, value, comment, _read_annotation(annotation))
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _assigned(target, value, comment)
        case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While() | ast.AugAssign():
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield Parameter(node.id, ANY, None, help=comment, computed=True)


def _assigned(target: ast.expr, value: ast.expr, comment: str) -> Iterator[Parameter]:
    """Yield the parameters that are assigned a value, one by one where several are."""
    match target, value:
        case ast.Name(id=name), _:
            yield _parameter(name, value, comment, None)
        case ast.Tuple(elts=names), ast.Tuple(elts=parts) if len(names) == len(parts):
            for one, part in zip(names, parts, strict=True):
                yield from _assigned(one, part, comment)
        case ast.Tuple(elts=names), _:
            for one in names:
                if isinstance(one, ast.Name):
                    yield Parameter(one.id, ANY, None, help=comment, computed=True)


def _parameter(name: str, value: ast.expr | None, comment: str, told: _Annotation | None) -> Parameter:
    """Return the parameter of a name; ValueError if its default is not of its type, or not in its range."""
    told = told or _Annotation()
    blank = Parameter(name, told.type, None, required=True, help=comment, choices=told.choices, optional=told.optional)
    if value is None:
        return _read_comment(blank)
    try:
        default = values.evaluate(value)
    except ValueError:
        return replace(_read_comment(blank), required=False, computed=True)
    kind = type(default) if told.type is ANY and not told.optional and default is not None else told.type
    known = replace(blank, type=kind, required=False, optional=told.optional or default is None)
    known = _read_comment(replace(known, default=convert(known, default)))
    _check_range(known, known.default)
    return known


def _read_comment(parameter: Parameter) -> Parameter:
    """Return a parameter with what its comment says: `{file}`, `{a, b}` where its default is among them, a range for numbers."""
    found = _CHOICES.search(parameter.help)
    words = tuple(word.strip() for word in found[1].split(",")) if found else ()
    if words == _FILE:
        return replace(parameter, is_file=True)
    bounds = _RANGE.search(parameter.help)
    if bounds and parameter.type in (int, float, ANY):
        parameter = replace(parameter, least=_read_number(bounds[1]), most=_read_number(bounds[2]))
    listed = len(words) > 1 if parameter.required else str(parameter.default) in words
    return replace(parameter, choices=words) if listed and not parameter.choices else parameter


def _read_number(text: str | None) -> float | None:
    """Return one end of a range, None where it is open."""
    return None if text is None else int(text) if text.lstrip("-").isdigit() else float(text)


def _check_range(parameter: Parameter, value: Any) -> None:
    """Raise ValueError if a number lies outside the range of its parameter; NaN does."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    low, high = parameter.least, parameter.most
    if (low is None or value >= low) and (high is None or value <= high):
        return
    allowed = f"{low} or more" if high is None else f"{high} or less" if low is None else f"from {low} to {high}"
    msg = f"{parameter.name} must be {allowed}, got {value!r}"
    raise ValueError(msg)


def _read_annotation(node: ast.expr) -> _Annotation:
    """Return what an annotation says; any type for one that is not known."""
    match node:
        case ast.Constant(value=None):
            return _Annotation(NoneType, optional=True)
        case ast.Constant(value=str(text)):
            return _read_annotation(ast.parse(text, mode="eval").body)
        case ast.Name() | ast.Attribute():
            return _Annotation(TYPES.get(_last(node), ANY))
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _either([_read_annotation(left), _read_annotation(right)])
        case ast.Subscript(value=outer, slice=inner):
            return _read_generic(_last(outer), inner.elts if isinstance(inner, ast.Tuple) else [inner])
    return _Annotation()


def _read_generic(name: str, parts: list[ast.expr]) -> _Annotation:
    """Return what an annotation with brackets says."""
    if name == "Literal":
        allowed = [values.evaluate(part) for part in parts]
        kinds = {type(value) for value in allowed if value is not None}
        kind = kinds.pop() if len(kinds) == 1 else ANY
        return _Annotation(kind, None in allowed, tuple(str(value) for value in allowed if value is not None))
    if name == "Optional":
        return replace(_read_annotation(parts[0]), optional=True)
    if name == "Union":
        return _either([_read_annotation(part) for part in parts])
    if name in ("Annotated", "Final"):
        return _read_annotation(parts[0])
    return _Annotation(TYPES.get(name, ANY))


def _either(parts: Iterable[_Annotation]) -> _Annotation:
    """Return what a union says: the one type beside None, any for several."""
    parts = list(parts)
    told = [part for part in parts if part.type is not NoneType]
    optional = any(part.optional for part in parts)
    one = reduce(lambda a, b: a if a == b else _Annotation(), told) if told else _Annotation(NoneType)
    return replace(one, optional=optional)


def _last(node: ast.expr) -> str:
    """Return the last part of a dotted name."""
    return ast.unparse(node).rpartition(".")[2]


def convert(parameter: Parameter, value: Any) -> Any:
    """Return `value` in the parameter's type; ValueError if it is of another type, not allowed or out of range."""
    try:
        value = values.check(value)
    except ValueError as error:
        msg = f"{parameter.name}: {error}"
        raise ValueError(msg) from None
    if value is None and (parameter.optional or parameter.type in (ANY, NoneType)):
        return None
    value = _to_type(parameter.type, value)
    if parameter.type is not ANY and type(value) is not parameter.type:
        msg = f"{parameter.name} must be {parameter.kind}, got {value!r} ({type(value).__name__})"
        raise ValueError(msg)
    if parameter.choices and str(value) not in parameter.choices:
        msg = f"{parameter.name} must be one of {', '.join(parameter.choices)}, got {value!r}"
        raise ValueError(msg)
    _check_range(parameter, value)
    return value


def _to_type(kind: type, value: Any) -> Any:
    """Return a value in a type that holds it exactly, where there is one: an int as float, a list as tuple, a text as date."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (list, tuple) and isinstance(value, list | tuple):
        return kind(value)
    if kind in (date, datetime) and isinstance(value, str):
        try:
            return kind.fromisoformat(value)
        except ValueError:
            return value
    return value
