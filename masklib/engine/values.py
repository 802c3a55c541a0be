"""Values of parameters: what a parameters cell, a command line or a file can give, read without running any code.

A value is None, a bool, number or text, a date or a time, or a list, tuple or dict of such. It is written as Python, which reads
back as the same value; JSON knows neither tuples nor dates.
"""

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any

LARGEST_BITS = 1 << 12  # of an int
ALLOWED = "numbers, texts, True, False, None, dates, and lists, tuples and dicts of these"
_SIGNS: dict[type, Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Not: operator.not_}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_CALLS: dict[str, Callable[..., Any]] = {
    "date": date,
    "datetime": datetime,
    "date.fromisoformat": date.fromisoformat,
    "datetime.fromisoformat": datetime.fromisoformat,
    "dict": dict,
    "float": float,
}


def read(text: str) -> Any:
    """Return the value that an expression of Python stands for: literals, their arithmetic, and dates.

    Raises:
        ValueError: it is another expression.
    """
    try:
        return evaluate(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError) as error:
        msg = f"{text!r} is no value: {error}"
        raise ValueError(msg) from None


def evaluate(node: ast.expr) -> Any:
    """Return the value of an expression; see `read`.

    Raises:
        ValueError: it is not of literals alone.
    """
    match node:
        case ast.Constant(value=value):
            return check(value)
        case ast.List(elts=parts):
            return [evaluate(part) for part in parts]
        case ast.Tuple(elts=parts):
            return tuple(evaluate(part) for part in parts)
        case ast.Dict(keys=keys, values=values) if None not in keys:
            pairs = zip(keys, values, strict=True)
            return check({evaluate(key): evaluate(value) for key, value in pairs if key is not None})
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _SIGNS:
            return _compute(_SIGNS[type(sign)], evaluate(operand))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _ARITHMETIC:
            return _arithmetic(sign, evaluate(left), evaluate(right))
        case ast.Call(func=function, args=given, keywords=named) if _name(function) in _CALLS:
            options = {option.arg: evaluate(option.value) for option in named if option.arg}
            return _compute(_CALLS[_name(function)], *map(evaluate, given), **options)
    msg = f"{ast.unparse(node)} is no value that can be read without running it"
    raise ValueError(msg)


def _name(function: ast.expr) -> str:
    """Return the name of a function that is called; of one in a module `datetime`, without it."""
    return ast.unparse(function).removeprefix("datetime.").replace("datetime.date", "date")


def _arithmetic(sign: ast.operator, left: Any, right: Any) -> Any:
    """Return the result of an operator; ValueError if it would be too large."""
    if isinstance(sign, ast.Pow) and (not _is_number(left, right) or abs(right) * math.log2(abs(left) + 2) > LARGEST_BITS):
        msg = "the power is too large"
        raise ValueError(msg)
    if isinstance(sign, ast.Mult | ast.Mod) and not _is_number(left, right):
        msg = "only numbers are multiplied"
        raise ValueError(msg)
    return _compute(_ARITHMETIC[type(sign)], left, right)


def _is_number(*values: Any) -> bool:
    """Return whether all values are numbers."""
    return all(isinstance(value, int | float) for value in values)


def _compute(function: Callable[..., Any], *values: Any, **options: Any) -> Any:
    """Return what a function gives, checked; ValueError if it gives none."""
    try:
        return check(function(*values, **options))
    except (TypeError, ArithmeticError) as error:
        raise ValueError(str(error)) from None


def check(value: Any) -> Any:
    """Return a value in Python's own types: NumPy's numbers and arrays become numbers and lists.

    Raises:
        ValueError: it is of another kind, or holds one that is; the message says which.
    """
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        value = value.tolist()
    match value:
        case str():
            return _check_text(str(value))
        case None | bool():
            return value
        case int() | float():
            return _check_number(value)
        case datetime():
            return datetime.fromisoformat(value.isoformat())
        case date():
            return date(value.year, value.month, value.day)
        case list():
            return [check(part) for part in value]
        case tuple():
            return tuple(check(part) for part in value)
        case dict():
            return {_check_key(key): check(part) for key, part in value.items()}
    msg = f"a parameter holds {ALLOWED}, got {value!r} ({type(value).__name__})"
    raise ValueError(msg)


def _check_text(text: str) -> str:
    """Return a text that files can hold."""
    if any(0xD800 <= ord(char) < 0xE000 for char in text):
        msg = f"a text must be one that UTF-8 can hold, got {text!r}"
        raise ValueError(msg)
    return text


def _check_number(value: float) -> float:
    """Return a number that can be written down."""
    if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
        msg = f"an int must have at most {LARGEST_BITS} bits, got one of {value.bit_length()}"
        raise ValueError(msg)
    return int(value) if isinstance(value, int) else float(value)


def _check_key(key: Any) -> str:
    """Return the key of a dict, which is a text in every language."""
    if not isinstance(key, str):
        msg = f"the keys of a dict must be texts, got {key!r} ({type(key).__name__})"
        raise ValueError(msg)
    return _check_text(key)


def write(value: Any, module: str = "datetime.") -> str:
    """Return a value as Python; `read` gives it back.

    Args:
        value: from `check`.
        module: what stands before `date` and `datetime`.
    """
    match value:
        case float() if not math.isfinite(value):
            return f"float('{value}')"
        case date():  # a datetime is one
            return f"{module}{type(value).__name__}.fromisoformat('{value.isoformat()}')"
        case list():
            return f"[{_join(value, module)}]"
        case tuple():
            return f"({_join(value, module)}{',' if len(value) == 1 else ''})"
        case dict():
            return "{" + ", ".join(f"{key!r}: {write(part, module)}" for key, part in value.items()) + "}"
    return repr(value)


def _join(values: Iterable[Any], module: str) -> str:
    """Return values with commas between them."""
    return ", ".join(write(value, module) for value in values)


def as_json(value: Any) -> Any:
    """Return a value as JSON holds it: itself, where JSON has its kind; a date as ISO 8601 has it; all else as Python."""
    if isinstance(value, date):
        return value.isoformat()
    return value if is_plain(value) else write(value)


def is_plain(value: Any) -> bool:
    """Return whether JSON gives a value back as it is."""
    if isinstance(value, Mapping):
        return all(map(is_plain, value.values()))
    if isinstance(value, list):
        return all(map(is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
