"""The mutants of `auditing.toml`: what is changed where, and which tests must fail then."""

import ast
from dataclasses import dataclass
from pathlib import Path

import tomllib

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("auditing.toml")


class MutantError(Exception):
    """A mutant cannot be made: the code has changed, and the table must be updated."""


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        what: the fault, in words.
        file: that is changed, from the root of the project.
        old: text that occurs in it once.
        new: what is put in its place.
        tests: node ids without parameters; each must fail, for at least one of its parameters.
    """

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def read(table: Path = TABLE) -> list[Mutant]:
    """Return the mutants of a table, in its order."""
    rows = tomllib.loads(table.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**{**row, "tests": tuple(row["tests"])}) for row in rows]


def mutated(mutant: Mutant, source: str) -> str:
    """Return the source of a file with a mutant in it.

    Raises:
        MutantError: its old text does not occur exactly once, or the result is not Python, or is the same code.
    """
    count = source.count(mutant.old)
    if count != 1:
        msg = f"{mutant.what!r}: the old text must stand once in {mutant.file}, got {count} times. Update {TABLE.name}."
        raise MutantError(msg)
    changed = source.replace(mutant.old, mutant.new)
    try:
        is_same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source))
    except SyntaxError as error:
        msg = f"{mutant.what!r}: the new text is no Python in {mutant.file}: {error}."
        raise MutantError(msg) from error
    if is_same:
        msg = f"{mutant.what!r}: the new text must say something else than the old one."
        raise MutantError(msg)
    return changed
