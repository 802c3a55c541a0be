"""What people read is free of the words that made readers stop; the list is in CONTRIBUTING.md."""

import re
from pathlib import Path

import click
import nbformat
import pytest
import tomllib

from masklib.cli.main import main
from tests.cli.test_cli import every_command

ROOT = Path(__file__).parents[1]
TABLE = re.compile(r"^\| instead of \|.*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


def listed() -> list[str]:
    """The words of the first column of the list."""
    (table,) = TABLE.findall((ROOT / "CONTRIBUTING.md").read_text())
    return [word for row in table.splitlines()[2:] for word in re.findall(r'"([^"]+)"', row.split("|")[1])]


def stumbles(text: str) -> list[str]:
    """The listed words that a text has, also with an ending, over the end of a line, and in upper case."""
    plain = re.sub(r"\s+", " ", text)
    return [word for word in listed() if re.search(rf"\b{word}(s|ed|ing)?(?=\b|\d)", plain, re.IGNORECASE)]


def strings(value: object) -> list[str]:
    """Every text of nested tables but names, which are no prose."""
    if isinstance(value, dict):
        return [text for name, one in value.items() if name not in {"metric", "code", "claim"} for text in strings(one)]
    return (
        [text for one in value for text in strings(one)] if isinstance(value, list) else [value] if isinstance(value, str) else []
    )


def help_texts() -> str:
    """Every help of the command line."""
    commands = [command for _, command in every_command(main)]
    options = [option.help or "" for command in commands for option in command.params if isinstance(option, click.Option)]
    return "\n".join([*options, *(f"{command.help}\n{command.short_help}" for command in commands)])


def prose(path: Path) -> str:
    """What a reader reads of a file: the Markdown of a notebook, the texts of a TOML file, else all of it."""
    text = path.read_text()
    if path.suffix == ".ipynb":
        return "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells if cell.cell_type == "markdown")
    return "\n".join(strings(tomllib.loads(text))) if path.suffix == ".toml" else TABLE.sub("", text)


FILES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "masklib" / "site").glob("*.toml")),
    *sorted((ROOT / "masklib" / "site" / "templates").glob("*.html")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_text_is_free_of_words_that_made_readers_stop(path: Path):
    assert stumbles(prose(path)) == []


def test_helps_are_free_of_words_that_made_readers_stop():
    assert len(help_texts().splitlines()) > 100
    assert stumbles(help_texts()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The layer heeds its mask.", ["heed"]),
        ("It is gone,\nwithout a  word.", ["without a word"]),
        ("As Document 003 says", ["document 00"]),
        ("The damage is mended", ["mend", "mended"]),
        ("We recommend the documented path; as told in a paper", []),
    ],
)
def test_the_list_finds_words_and_leaves_good_english_alone(text: str, found: list[str]):
    assert stumbles(text) == found
