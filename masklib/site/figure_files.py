"""The figures of notebooks, drawn from stored results alone: `masklib figures`.

A figure is drawn from the recipe that the newest run of its notebook, as declared, recorded; see `masklib.figures.recipes`.
That of another run, such as a point of a sweep, is called NAME@KEY. The same recipe gives the same bytes. Beside the pictures of
a figure stands NAME.json: caption, alternative text, and where it is from.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

from masklib.engine.files import store_error, write_atomically
from masklib.engine.record import Record
from masklib.errors import ArgumentError, StoreError
from masklib.figures.plots import WIDE
from masklib.figures.recipes import METADATA, Recipe, render, render_all
from masklib.figures.style import COLUMN, PAGE, THEMES
from masklib.site.survey import Survey

FORMATS = tuple(METADATA)
PICTURE = re.compile(rf"(?P<name>.+?)(?P<column>-{COLUMN})?(?P<dark>-dark)?\.(?P<format>{'|'.join(FORMATS)})")


@dataclass(frozen=True)
class Stored:
    """A figure that can be drawn.

    Attributes:
        recipe: what is drawn.
        record: of the run that it shows.
        notebook: its name, as the tables have it.
        point: "@" and the beginning of the run's key, where it is one of several; else "".
    """

    recipe: Recipe
    record: Record
    notebook: str
    point: str = ""

    @property
    def full_name(self) -> str:
        """Its name with that of its notebook."""
        return f"{self.notebook}/{self.recipe.name}{self.point}"


@dataclass(frozen=True)
class Look:
    """How a picture of a figure looks.

    Attributes:
        theme: "light" or "dark".
        width: "page" or "column".
    """

    theme: str = "light"
    width: str = PAGE

    @property
    def suffix(self) -> str:
        """What follows the figure's name in that of a file."""
        return (f"-{self.width}" if self.width != PAGE else "") + (f"-{self.theme}" if self.theme != "light" else "")


@dataclass(frozen=True)
class Checked:
    """A picture of the suite in a user's folder.

    Attributes:
        path: of the file.
        reason: why it is out of date; "" if it is not.
    """

    path: Path
    reason: str


def stored_figures(surveyed: Survey, *, every: bool = False) -> dict[str, Stored]:
    """Return the figures of a store by name, in the order of the notebooks; `<notebook>/<name>` where two share a name.

    Args:
        surveyed: what the store holds.
        every: whether those of every run that ended well are meant; their names end with `@` and the beginning of its key.

    Raises:
        StoreError: no run in it has a figure.
    """
    runs = surveyed.points() if every else (experiments[0] for experiments in surveyed.experiments.values())
    found = [
        Stored(recipe, run.record, run.name, f"@{run.short_key}" if every else "")
        for run in runs
        for name in run.figures
        if (recipe := run.recipe(name))
    ]
    if not found:
        told = f"Figures are drawn from stored runs, {surveyed.store.root} holds none with a figure."
        msg = f"{told} Run the suite first: masklib reproduce."
        raise StoreError(msg)
    counts = Counter(figure.recipe.name + figure.point for figure in found)
    named = [(figure.recipe.name + figure.point, figure) for figure in found]
    return {(name if counts[name] == 1 else figure.full_name): figure for name, figure in named}


def choose(known: dict[str, Stored], names: Sequence[str]) -> dict[str, Stored]:
    """Return the figures of these names, all for none; a full name is one too.

    Raises:
        ArgumentError: a name is unknown; the message says which is near.
    """
    by_name = known | {figure.full_name: figure for figure in known.values()}
    named = {name: [full for full, figure in known.items() if figure.point and _is_of(figure, name)] for name in names}
    names = [one for name in names for one in (named[name] or [name])]
    unknown = [name for name in names if name not in by_name]
    if unknown:
        near = get_close_matches(unknown[0], by_name, n=1)
        hint = f"Did you mean {near[0]}?" if near else "Run the suite first: masklib reproduce."
        msg = f"A figure must be one of {', '.join(known) or '(none)'}, got {', '.join(unknown)}. {hint}"
        raise ArgumentError(msg)
    return {name: by_name[name] for name in names} if names else known


def _is_of(figure: Stored, name: str) -> bool:
    """Return whether a name means this figure of one of several runs: without a key it means that of each."""
    base, _, key = name.partition("@")
    return base in (figure.recipe.name, f"{figure.notebook}/{figure.recipe.name}") and figure.record.key.startswith(key)


def write(figures: dict[str, Stored], out: Path, formats: Sequence[str], looks: Sequence[Look]) -> Iterator[Path]:
    """Draw figures into a folder, each with its sidecar, and yield the paths of the files as they are written.

    Args:
        figures: from `choose`.
        out: the folder; made if need be.
        formats: of "svg", "png" and "pdf".
        looks: of each figure, for each of the formats; one that a figure cannot have is an ArgumentError.

    Raises:
        ArgumentError: a format, theme or width is unknown, or too narrow for a figure.
        StoreError: the folder is not writable.
    """
    for name, figure in figures.items():
        stem = name.replace("/", "-").replace("@", "-")
        written = _still_there(out / f"{stem}.json", figure)
        for look in looks:
            for kind, content in render_all(figure.recipe, list(formats), theme=look.theme, width=look.width).items():
                file = f"{stem}{look.suffix}.{kind}"
                written[file] = {"format": kind, "theme": look.theme, "width": look.width, "sha256": sha256(content).hexdigest()}
                yield _write(out / file, content)
        yield _write(out / f"{stem}.json", _sidecar(figure, written))


def _still_there(sidecar: Path, figure: Stored) -> dict[str, Any]:
    """Return the pictures of this same run that an earlier call wrote next to a sidecar."""
    try:
        told = json.loads(sidecar.read_text(encoding="utf-8"))
        files: dict[str, Any] = told["files"] if told["key"] == figure.record.key else {}
        return {name: file for name, file in files.items() if (sidecar.parent / name).is_file()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def fits(figure: Stored, look: Look) -> bool:
    """Return whether a figure can be drawn in a width."""
    return look.width == PAGE or figure.recipe.plot not in WIDE


def looks_of(themes: Iterable[str], widths: Iterable[str]) -> list[Look]:
    """Return every combination of themes and widths."""
    return [Look(theme, width) for width, theme in product(widths, themes)]


def _sidecar(figure: Stored, files: dict[str, Any]) -> bytes:
    """Return the content of NAME.json."""
    record = figure.record
    parameters = {"parameters": record.parameters} if figure.point else {}
    origin = {"notebook": figure.notebook, **parameters, "key": record.key, "keras": record.keras, "backend": record.backend}
    told = {"figure": figure.recipe.name, "caption": figure.recipe.caption, "alt": figure.recipe.alt}
    return (json.dumps({**told, **origin, "files": files}, indent=1, ensure_ascii=False) + "\n").encode()


def _write(path: Path, content: bytes) -> Path:
    """Write a file, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        msg = f"The figure cannot be written to {path}"
        raise store_error(msg, error) from None
    return path


def check(figures: dict[str, Stored], folder: Path) -> list[Checked]:
    """Return the pictures of these figures below a folder, and which are out of date: drawn now, they would be other ones.

    A picture is known by its file's name, as `write` gives it; all other files are left alone.

    Raises:
        ArgumentError: there is no such folder.
    """
    if not folder.is_dir():
        msg = f"The folder to check must be there, {folder} is not. Give the one that holds the pictures."
        raise ArgumentError(msg)
    by_stem = {name.replace("/", "-"): figure for name, figure in figures.items()}
    return [Checked(path, reason) for path in sorted(folder.rglob("*")) if (reason := _check(path, by_stem)) is not None]


def _check(path: Path, figures: dict[str, Stored]) -> str | None:
    """Return why a file is out of date, "" if it is not, None if it is no picture or sidecar of a figure."""
    if path.suffix == ".json" and path.stem in figures:
        return _check_sidecar(path, figures[path.stem])
    found = PICTURE.fullmatch(path.name)
    if found is None or found["name"] not in figures or not path.is_file():
        return None
    figure = figures[found["name"]]
    look = Look("dark" if found["dark"] else "light", COLUMN if found["column"] else PAGE)
    if not fits(figure, look):
        return None
    now = render(figure.recipe, found["format"], theme=look.theme, width=look.width)
    return "" if path.read_bytes() == now else f"not what run {figure.record.key[:12]} shows"


def _check_sidecar(path: Path, figure: Stored) -> str | None:
    """Return why the texts beside a figure are out of date, "" if they are not, None if the file is another one."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        known = {name: told[name] for name in ("figure", "caption", "alt", "key")}
    except (ValueError, TypeError, KeyError, OSError):
        return None
    recipe = figure.recipe
    if known["figure"] != recipe.name:
        return None
    return "" if (known["caption"], known["alt"]) == (recipe.caption, recipe.alt) else "caption or alternative text changed"


__all__ = ["FORMATS", "THEMES", "Checked", "Look", "Stored", "check", "choose", "fits", "looks_of", "stored_figures", "write"]
