"""From a grid, or a committed spec file, to the plans of a sweep: all of it is checked before anything runs.

A spec is TOML: a `title`, and one or more tables

```
[[sweep]]
notebook = "02_rnn_carry_over"     # a name of the suite, or a path
[sweep.grid]                       # every combination of these
cell = ["lstm", "gru"]
seed = "0:20"                      # a text is read as on the command line
[sweep.lists]                      # columns of equal length, which advance together
[sweep.fixed]                      # one value each
```
"""

import ast
import csv
import itertools
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any

import tomllib

from masklib.engine.declaring import Parameter
from masklib.engine.environments import made
from masklib.engine.naming import tell_apart
from masklib.engine.notebooks import Notebook, find_notebook, notebooks_folder, read_notebook
from masklib.engine.parameter_files import Exact
from masklib.engine.parameters import CURRENT, ENVIRONMENT, declared_parameters, from_text, own_parameters, resolve
from masklib.engine.run import Plan, plan_run
from masklib.engine.settings import numeric_settings
from masklib.errors import NotebookError, ParameterError

Values = Mapping[str, Any] | Sequence[tuple[str, Any]]
_RANGE = re.compile(r"(-?\d{1,18}):(-?\d{1,18})(?::(-?\d{1,18}))?")
EVERY = "*"  # among the values of `environment`: each that was made
MOST_POINTS = 1_000_000  # of a sweep; it is planned as a whole
_SPEC_KEYS: dict[str, type] = {"title": str, "sweep": list}
_TABLE_KEYS: dict[str, type] = {"notebook": str, "grid": dict, "lists": dict, "fixed": dict}
_TOML_TYPES: dict[type, str] = {str: "a text", list: "written as [[sweep]]", dict: "a table"}


@dataclass(frozen=True)
class Sweep:
    """What a sweep executes.

    Attributes:
        title: of the spec, or the notebook's name.
        plans: one for each run, in order; the last name of a grid advances first.
        duplicates: points that had the same key as an earlier one, and were left out.
    """

    title: str
    plans: list[Plan]
    duplicates: int


@dataclass(frozen=True)
class Table:
    """One notebook and the values that its parameters take: a `[[sweep]]` table, or what a command line gives."""

    notebook: str | Path
    grid: Values = ()
    lists: Values = ()
    fixed: Values = ()

    @property
    def named(self) -> list[tuple[str, Any]]:
        """Every name with what is given for it, in order; a name in two places is there twice."""
        return [pair for values in (self.grid, self.lists, self.fixed) for pair in _pairs(values)]


def plan_sweep(
    source: str | Path,
    grid: Values = (),
    fixed: Values = (),
    lists: Values = (),
    cwd: str | Path | None = None,
    kernel: str | None = None,
    *,
    sample: int | None = None,
    seed: int = 0,
) -> Sweep:
    """Return the plans of a sweep, checked as a whole.

    A text given for a parameter that is no str is read as on the command line: `"0:20"` and `"0:100:10"` are ranges of ints,
    `"1,2"` two values, `"[1, 2],[3]"` two lists; the values of a str are separated by commas, `"` quotes one that has a comma.
    Among the values of `environment` `*` stands for each that was made and has what the notebook is about.

    Args:
        source: a notebook (path, or name in the suite) or a spec (path, or name in `runs/specs`).
        grid: parameter -> its values; every combination is a run.
        fixed: parameter -> its one value.
        lists: parameter -> its values; those of all names advance together.
        cwd: the folder in which the kernels work; by default that of the notebook.
        kernel: the name of a kernel in place of the notebook's own.
        sample: how many points are drawn from all of them, each at most once; None for all.
        seed: of the drawing; the same seed and values give the same points.

    Returns:
        Sweep: the plans, in the order of the grid; points with the same key are one.

    Raises:
        ParameterError: names the problems, all of them.
        NotebookError: `source` is neither a notebook nor a spec.
    """
    problems: list[str] = []
    spec = _find_spec(source)
    if spec is None:
        title, tables = Path(source).stem, [Table(source, grid, lists, fixed)]
    else:
        title, tables, problems = read_spec(spec)
        if grid or fixed or lists:
            problems.append(f"{spec.name} has its own parameters, more cannot be given with it; write a spec of your own")
    if sample is not None and sample < 1:
        problems.append(f"a sample must have one point or more, got {sample}")
    wheres = [f"sweep {number}: " if spec else "" for number in range(1, len(tables) + 1)]
    grids = [found for table, where in zip(tables, wheres, strict=True) if (found := _grid(table, where, problems, kernel))]
    count = sum(one.size for one in grids)
    if sample is None and count > MOST_POINTS:
        problems.append(f"a sweep may have {MOST_POINTS:,} points, got {count:,}; give fewer values, or a sample of them")
    if problems:
        raise ParameterError(_all(problems))
    plans: dict[str, Plan] = {}
    points, settings = 0, numeric_settings()
    for notebook, point in _drawn(grids, sample, seed):
        plan = plan_run(notebook, point, settings, cwd)
        plans.setdefault(plan.key, plan)
        points += 1
    return Sweep(title, list(plans.values()), points - len(plans))


def read_spec(path: Path) -> tuple[str, list[Table], list[str]]:
    """Return the title and the tables of a spec file, and what is wrong with it, a sentence each.

    Raises:
        ParameterError: the file is not TOML.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        msg = f"{path} must be TOML: {error}."
        raise ParameterError(msg) from None
    problems = _check_keys(content, _SPEC_KEYS, tuple(_SPEC_KEYS), path.name)
    tables = []
    sweeps = content.get("sweep", [])
    for number, table in enumerate(sweeps if isinstance(sweeps, list) else [], start=1):
        found = _check_keys(table, _TABLE_KEYS, ("notebook",), f"sweep {number}")
        problems += found
        if not found:
            tables.append(Table(**table))
    return str(content.get("title")), tables, problems


def varying(plans: Iterable[Plan]) -> dict[str, list[str]]:
    """Return, by notebook, the names of the parameters that do not have the same value in all its plans."""
    seen: dict[str, dict[str, set[str]]] = {}
    for plan in plans:
        for name, value in plan.parameters.items():
            seen.setdefault(plan.notebook.name, {}).setdefault(name, set()).add(repr(value))
    return {notebook: [name for name, values in names.items() if len(values) > 1] for notebook, names in seen.items()}


def names_of(plans: Iterable[Plan]) -> dict[str, str]:
    """Return the name of each plan's notebook, by the plan's key; two notebooks of one name have their folder before it."""
    origins = {plan.key: (plan.notebook.name, plan.notebook.folder) for plan in plans}
    names = tell_apart(origins.values())
    return {key: names[origin] for key, origin in origins.items()}


def describe(plan: Plan, names: Iterable[str]) -> str:
    """Return the parameters of a plan that distinguish it from its neighbours: `cell=lstm seed=2`."""
    return " ".join(f"{name}={plan.parameters.get(name, CURRENT)}" for name in names)


def _find_spec(source: str | Path) -> Path | None:
    """Return the spec file that `source` means; None if it is a notebook."""
    path = Path(source)
    folder = notebooks_folder().parent / "runs" / "specs"
    found = folder / f"{source}.toml"
    if path.suffix == ".toml" and path.is_file():
        return path
    try:
        notebook = find_notebook(source)
    except NotebookError as error:
        if found.is_file():
            return found
        known = ", ".join(sorted(p.stem for p in folder.glob("*.toml"))) or "none"
        msg = f"{error} Specs in {folder}: {known}."
        raise NotebookError(msg) from None
    return found if notebook.stem != path.stem and found.is_file() else None  # a spec of this name, a notebook that begins so


@dataclass(frozen=True)
class _Grid:
    """The points of one notebook, none of them made yet.

    Attributes:
        notebook: as read.
        axes: of each, the parts of a point that it runs through; the last advances first.
    """

    notebook: Notebook
    axes: list[list[dict[str, Any]]]

    @property
    def size(self) -> int:
        """How many points there are."""
        return math.prod(len(axis) for axis in self.axes)

    def point(self, index: int) -> dict[str, Any]:
        """Return one of the points."""
        parts: list[dict[str, Any]] = []
        for axis in reversed(self.axes):
            index, place = divmod(index, len(axis))
            parts.append(axis[place])
        return {name: value for part in reversed(parts) for name, value in part.items()}


def _grid(table: Table, where: str, problems: list[str], kernel: str | None) -> _Grid | None:
    """Return the points of a table; None if there are problems, which are added to `problems`."""
    try:
        notebook = read_notebook(table.notebook, kernel)
        declared = declared_parameters(notebook)
    except NotebookError as error:
        problems.append(where + str(error).rstrip("."))
        return None
    if all(parameter.name != ENVIRONMENT for parameter in own_parameters(notebook)):
        table = _with_environments(table, notebook.name)
    found, axes = _read(table, {parameter.name: parameter for parameter in declared})
    problems += [f"{where}{notebook.name}: {problem}" for problem in found]
    return None if problems else _Grid(notebook, axes)


def _with_environments(table: Table, notebook: str) -> Table:
    """Return a table whose `environment` names each that was made, and that does not leave the notebook out, in place of `*`."""
    grid = []
    for name, values in _pairs(table.grid):
        words = _words(values) if isinstance(values, str) else values
        if name == ENVIRONMENT and isinstance(words, list | tuple) and EVERY in words:
            names = [one.name for one in made() if notebook not in one.leaves_out]
            values = [name for word in words for name in (names if word == EVERY else [word])]
        grid.append((name, values))
    return replace(table, grid=grid)


def _drawn(grids: Sequence[_Grid], sample: int | None, seed: int) -> Iterator[tuple[Notebook, dict[str, Any]]]:
    """Yield the notebook with each of its points, or with those of a sample of all."""
    total = sum(grid.size for grid in grids)
    indexes = range(total) if sample is None or sample >= total else _sample(total, sample, seed)
    first = 0
    remaining = iter(indexes)
    index = next(remaining, None)
    for grid in grids:
        while index is not None and index < first + grid.size:
            yield grid.notebook, grid.point(index - first)
            index = next(remaining, None)
        first += grid.size


def _sample(total: int, size: int, seed: int) -> list[int]:
    """Return so many different numbers below `total`, in order; it may be larger than a `range` can count."""
    generator = random.Random(seed)  # noqa: S311 (nothing secret is drawn)
    chosen: set[int] = set()
    while len(chosen) < size:
        chosen.add(generator.randrange(total))
    return sorted(chosen)


def _read(table: Table, parameters: Mapping[str, Parameter]) -> tuple[list[str], list[list[dict[str, Any]]]]:
    """Return what is wrong with a table, and its axes: of each, the parts of a point that it runs through."""
    names = [name for name, _ in table.named]
    problems = [f"{name} is given more than once" for name in dict.fromkeys(names) if names.count(name) > 1]
    columns = {name: _read_values(parameters.get(name), name, given, problems) for name, given in _pairs(table.lists)}
    grid = {name: _read_values(parameters.get(name), name, given, problems) for name, given in _pairs(table.grid)}
    fixed = {name: [_read_value(parameters.get(name), given)] for name, given in _pairs(table.fixed)}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        problems.append(f"lists advance together and must be of equal length: {told}")
    problems += _check_values(parameters, {**columns, **grid, **fixed})
    rows = [dict(zip(columns, row, strict=False)) for row in zip(*columns.values(), strict=False)]
    axes = [[{name: value} for value in values] for name, values in {**fixed, **grid}.items()]
    return problems, [rows, *axes] if columns else axes


def _read_values(parameter: Parameter | None, name: str, given: Any, problems: list[str]) -> list[Any]:
    """Return the values of one axis; what is wrong with it is added to `problems`."""
    values = given.tolist() if hasattr(given, "tolist") else given  # NumPy's numbers are not Python's
    count = _count(parameter, values)
    if count > MOST_POINTS:
        problems.append(f"{name} may have {MOST_POINTS:,} values, got {count:,}; give fewer, or several sweeps")
        return []
    if isinstance(values, str):
        values = _split(parameter, values)
    if not isinstance(values, list | tuple | range):
        problems.append(f"{name} must be a list of values or a text such as 0:20, got {given!r}; one value goes to fixed")
        return []
    if not values:
        problems.append(f"{name} has no values, got {given!r}; give one or more")
    return list(values)


def _count(parameter: Parameter | None, values: Any) -> int:
    """Return how many values there are, of ranges without making them."""
    if isinstance(values, str):
        words = [] if parameter is not None and parameter.type in (list, tuple, dict) else _words(values)
        return sum(len(_expand(parameter, word)) for word in words)
    return len(values) if isinstance(values, list | tuple | range) else 0


def _split(parameter: Parameter | None, text: str) -> list[Any]:
    """Return the values that a text of the command line lists for a parameter; `*` lists the environments that were made."""
    if parameter is not None and parameter.type in (list, tuple, dict):
        try:
            return list(ast.literal_eval(f"[{text}]"))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return [text]
    return [value for word in _words(text) for value in _expand(parameter, word)]


def _words(text: str) -> list[str]:
    """Return what stands between the commas of a text."""
    try:
        return [word.strip() for word in next(csv.reader([text], skipinitialspace=True), [])]
    except csv.Error:  # a word of more than a hundred thousand characters
        return [text]


def _expand(parameter: Parameter | None, word: str) -> Sequence[Any]:
    """Return the ints of a range, or the one value that a word is."""
    found = _RANGE.fullmatch(word) if parameter is not None and parameter.type is int else None
    if found and int(found[3] or 1):
        return range(*(int(number) for number in found.groups() if number is not None))
    return [_read_value(parameter, word)]


def _read_value(parameter: Parameter | None, given: Any) -> Any:
    """Return one value; a text is read by the type of its parameter."""
    if parameter is None or not isinstance(given, str) or isinstance(given, Exact):
        return given
    return from_text([parameter], {parameter.name: given})[parameter.name]


def _check_values(parameters: Mapping[str, Parameter], columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return every value that its parameter does not allow, then the names that are unknown and those that are missing."""
    problems = {
        name: [p for value in columns[name] for p in _refusal([parameter], {name: value})]
        for name, parameter in parameters.items()
        if name in columns
    }
    settled = {
        name: replace(p, type=NoneType, choices=(), least=None, most=None) if name in columns else p
        for name, p in parameters.items()
    }
    return [*itertools.chain(*problems.values()), *_refusal(settled.values(), dict.fromkeys(columns))]


def _refusal(parameters: Iterable[Parameter], given: Mapping[str, Any]) -> list[str]:
    """Return what `resolve` says against values, [] if it takes them."""
    try:
        resolve(parameters, given)
    except ParameterError as error:
        return error.problems
    return []


def _check_keys(table: Any, allowed: Mapping[str, type], required: Iterable[str], where: str) -> list[str]:
    """Return what is wrong with the keys of a TOML table: unknown, of the wrong type, missing."""
    if not isinstance(table, dict):
        return [f"{where} must be a table, got {table!r}"]
    problems = []
    for name, value in table.items():
        if name not in allowed:
            near = get_close_matches(name, allowed, n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            problems.append(f"{where}: {name} is unknown{hint} (known: {', '.join(allowed)})")
        elif not isinstance(value, allowed[name]):
            problems.append(f"{where}: {name} must be {_TOML_TYPES[allowed[name]]}, got {value!r}")
    return problems + [f"{where}: {name} is missing or empty" for name in required if table.get(name) in (None, "", [])]


def _pairs(values: Values) -> list[tuple[str, Any]]:
    """Return names with what is given for them."""
    return list(values.items()) if isinstance(values, Mapping) else list(values)


def _all(problems: Sequence[str]) -> str:
    """Return one message of all problems."""
    if len(problems) == 1:
        return f"The sweep cannot be planned: {problems[0]}."
    return "\n- ".join([f"The sweep cannot be planned, {len(problems)} problems:", *problems])
