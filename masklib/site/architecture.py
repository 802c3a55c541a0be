"""How masklib is built: its parts, the steps from a number to a page and from a model to a report, and the decisions."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomllib

from masklib.site.drawings import Box, drawn
from masklib.site.front import raw
from masklib.site.text import markdown
from masklib.site.writing import Writer

PACKAGE = Path(__file__).parents[1]
Arrows = Mapping[str, set[str]]


@cache
def told() -> dict[str, list[dict[str, Any]]]:
    """Return what `architecture.toml` says: parts, steps of both ways, decisions."""
    return tomllib.loads(files("masklib.site").joinpath("architecture.toml").read_text(encoding="utf-8"))


def layout() -> str:
    """Return the parts with their first place in the tree, a line each, as the README has them."""
    width = 2 + max(len(part["places"][0]) for part in told()["part"])
    return "\n".join(f"{part['places'][0]:{width}}{part['text']}" for part in told()["part"])


def part_of(path: str) -> str:
    """Return the name of the part to which a file of masklib belongs, "" if it belongs to none; `path` is from the root."""
    return next((part["name"] for part in told()["part"] for place in part["places"] if path.startswith(place)), "")


def arrows() -> dict[str, set[str]]:
    """Return for each part that is drawn the other ones that it imports, as the code has it, in functions too."""
    found: dict[str, set[str]] = {part["name"]: set() for part in told()["part"] if "column" in part}
    for path in sorted(PACKAGE.rglob("*.py")):
        part = part_of(f"masklib/{path.relative_to(PACKAGE).as_posix()}")
        for name in _imported(path.read_text(encoding="utf-8")) if part in found else ():
            found[part] |= {part_of(f"masklib/{name}/"), part_of(f"masklib/{name}.py")}
    return {part: others - {part, ""} for part, others in found.items()}


def _imported(code: str) -> Iterator[str]:
    """Yield the names right below masklib that code imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (one.name.split(".")[1] for one in node.names if one.name.startswith("masklib."))
        elif isinstance(node, ast.ImportFrom) and node.module == "masklib":
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("masklib."):
            yield str(node.module).split(".")[1]


def fewest(found: Arrows) -> dict[str, set[str]]:
    """Return the arrows that no way along others stands for, so that a drawing can be read."""
    below: dict[str, set[str]] = {}
    for part in TopologicalSorter(found).static_order():
        below[part] = found[part].union(*(below[other] for other in found[part]))
    return {part: {one for one in others if not any(one in below[other] for other in others)} for part, others in found.items()}


def floors(found: Arrows) -> dict[str, int]:
    """Return the floor of each part, 0 for the ground: above all that it imports."""
    height: dict[str, int] = {}
    for part in TopologicalSorter(found).static_order():
        height[part] = 1 + max((height[other] for other in found[part]), default=-1)
    return height


def write_architecture(source: Writer) -> list[str]:
    """Write the pages of the architecture and of the decisions; return their names."""
    for name, html in (("house", _house()), ("number", _way("number", NUMBER)), ("model", _way("model", MODEL))):
        source.write(f"fragments/architecture/{name}.html", html)
    shown = [raw(f"fragments/architecture/{name}.html") for name in ("house", "number", "model")]
    parts = [f"- `{part['places'][0]}`: {markdown(part['text'])}" for part in told()["part"]]
    text = [_TITLE, shown[0], "\n".join(parts), f"## From a measurement to a page\n\n{NUMBER}", shown[1], _steps("number")]
    text += [f"## From a model to a report\n\n{MODEL}", shown[2], _steps("model")]
    source.write("architecture.md", "\n\n".join(text) + "\n")
    decisions = [f"## {markdown(one['title'])}\n\n{markdown(one['text'])}" for one in told()["decision"]]
    source.write("decisions.md", "\n\n".join([_DECISIONS, *decisions]) + "\n")
    return ["architecture", "decisions"]


def _house() -> str:
    """Return the drawing of the parts."""
    found = arrows()
    height, parts = floors(found), [part for part in told()["part"] if "column" in part]
    top = max(height.values())
    boxes = {one["name"]: Box(one["name"], one["brief"], one["column"], top - height[one["name"]]) for one in parts}
    pairs = [(part, other) for part, others in fewest(found).items() for other in sorted(others)]
    alt = "The parts of masklib, each above all that it imports: " + "; ".join(f"{one} imports {other}" for one, other in pairs)
    return drawn(boxes, pairs, alt)


def _way(kind: str, alt: str) -> str:
    """Return the drawing of a way."""
    steps = told()[kind]
    boxes = {one["name"]: Box(_short(one["code"]), one["text"], *one["at"]) for one in steps}
    return drawn(boxes, [(one["name"], other) for one in steps for other in one.get("to", [])], alt)


def _steps(kind: str) -> str:
    """Return the steps of a way as a list, with the whole path of what does each."""
    return "\n".join(f"{i + 1}. {markdown(one['text'])}: {_named(one['code'])}" for i, one in enumerate(told()[kind]))


def _named(code: str) -> str:
    """Return what does a step as Markdown: the name, and the file in which it is."""
    file, _, name = code.partition("::")
    return f"`{name}` in `{file}`" if name else f"`{file}`"


def _short(code: str) -> str:
    """Return what does a step, short enough for its box: the folder and the file."""
    return "/".join(code.partition("::")[0].strip("/").split("/")[-2:])


NUMBER = "From the cell that measures it to the table of the README and to the site. A number is stored before it is judged."
MODEL = (
    "From a user's file or object to a report. Everything that the audit changes in the model for a test is restored after it."
)
_TITLE = """# Architecture

Each part stands above everything that it imports. The arrows are read from the code when this page is made. Those that
follow from others are left out. A test, `tests/test_layering.py`, says what may import what. The
[decisions](decisions.md) say why."""
_DECISIONS = """# Decisions

Choices that a newcomer will question, a paragraph each: the question, the choice, its reason, and its price."""
