"""Recipes of figures: which function of `masklib.figures.plots` draws what, kept with a run so that it can be drawn again.

A recipe holds plain values only, as JSON: numbers to their last bit, text, lists, and mappings by text. Whatever is drawn is
drawn from a recipe, the first time too; so a recipe is complete, and the same one gives the same bytes in every theme, width
and format.
"""

import inspect
import io
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from masklib.checks import check_one_of
from masklib.errors import ArgumentError
from masklib.figures import plots
from masklib.figures.style import PAGE, style

# By format, metadata without a date or a version of the software; None leaves an entry out.
METADATA: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
LAYOUT_PASSES = 24  # at most; text that hangs out of its axes takes some until it has its room
LARGEST = 100_000  # values of one figure; what is larger is to be reduced in the notebook first


@dataclass(frozen=True)
class Recipe:
    """A figure to be drawn.

    Attributes:
        name: of the figure.
        plot: the name of a function of `masklib.figures.plots`.
        arguments: of that function, by name; plain values.
        caption: a sentence or two that stand below the figure.
        alt: what the figure shows, for readers who cannot see it.
    """

    name: str
    plot: str
    arguments: dict[str, Any]
    caption: str
    alt: str


def make_recipe(
    name: str, plot: Callable[..., Any], values: tuple[Any, ...], options: Mapping[str, Any], *, caption: str, alt: str
) -> Recipe:
    """Return the recipe of a figure.

    Args:
        name: of the figure.
        plot: a function of `masklib.figures.plots`.
        values: its arguments by position; arrays of any kind, series, mappings.
        options: its arguments by name.
        caption: stands below the figure.
        alt: what the figure shows.

    Raises:
        ArgumentError: `plot` is another function, its arguments do not fit or are no data, or a text is missing.
    """
    known = {one: getattr(plots, one) for one in plots.__all__ if one.startswith("plot_")}
    if plot not in known.values():
        told = f"Figure {name!r} must be drawn by a function of masklib.figures.plots, got {plot!r}."
        msg = f"{told} Use one of {', '.join(known)}."
        raise ArgumentError(msg)
    for what, text in (("caption", caption), ("alt", alt)):
        if not text.strip():
            msg = f"A figure needs caption= (below it) and alt= (what it shows), {what} of {name!r} is empty. Write a sentence."
            raise ArgumentError(msg)
    try:
        bound = inspect.signature(plot).bind(*values, **options)
    except TypeError as error:
        msg = f"The arguments of figure {name!r} must be those of figures.{plot.__name__}: {error}."
        raise ArgumentError(msg) from None
    arguments = {key: plain(value, f"{key} of figure {name!r}") for key, value in bound.arguments.items()}
    return Recipe(name, plot.__name__, arguments, caption, alt)


def plain(value: Any, where: str) -> Any:
    """Return `value` as what JSON can hold; arrays and series become lists, keys of mappings text.

    Args:
        value: data of a figure.
        where: names it in messages.

    Raises:
        ArgumentError: it is no data, or has more than `LARGEST` values.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, Mapping):
        return {str(key): plain(item, where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, where) for item in value]
    array = np.asarray(value)
    if array.dtype.kind == "O" and array.ndim == 1:  # a series of words
        return [plain(item, where) for item in array.tolist()]
    if array.dtype.kind not in "biufU" or array.size > LARGEST:
        found = f"{type(value).__name__} of shape {array.shape} and type {array.dtype}"
        msg = (
            f"The data of a figure are numbers, words or lists of them, at most {LARGEST}; {where} is a {found}. Reduce it first."
        )
        raise ArgumentError(msg)
    return array.tolist()


def render(recipe: Recipe, format: str = "svg", *, theme: str = "light", width: str = PAGE) -> bytes:  # noqa: A002 (as Matplotlib)
    """Return a figure as the bytes of a file: the same ones for the same recipe, theme, width and version of Matplotlib.

    Args:
        recipe: what is drawn.
        format: "svg", "png" or "pdf"; all three hold the alternative text where the format has a place for it.
        theme: "light" or "dark".
        width: "page" or "column".

    Raises:
        ArgumentError: an argument is unknown, or the figure cannot be drawn so narrow.
    """
    (content,) = render_all(recipe, [format], theme=theme, width=width).values()
    return content


def render_all(recipe: Recipe, formats: list[str], *, theme: str = "light", width: str = PAGE) -> dict[str, bytes]:
    """Return a figure in several formats, drawn once; see `render`."""
    for name in formats:
        check_one_of("format", name, METADATA)
    check_one_of("plot", recipe.plot, [name for name in plots.__all__ if name.startswith("plot_")])
    with style(theme, width):
        figure = getattr(plots, recipe.plot)(**recipe.arguments).figure
        lay_out(figure)
        return {name: save(figure, name, recipe) for name in formats}


def preview(recipe: Recipe) -> bytes:
    """Return a figure as a PNG that costs little: laid out twice, where `render` repeats that until everything has its room.

    Args:
        recipe: what is drawn, by a function of `masklib.figures.plots`.
    """
    with style():
        figure = getattr(plots, recipe.plot)(**recipe.arguments).figure
        lay_out(figure, passes=2)
        return save(figure, "png", recipe)


def save(figure: Figure, format: str, recipe: Recipe) -> bytes:  # noqa: A002 (as Matplotlib)
    """Return a figure as the bytes of a file; ids of an SVG follow from the name and the page's colour."""
    title = {
        "svg": {"Title": recipe.caption, "Description": recipe.alt},
        "png": {"Title": recipe.caption, "Description": recipe.alt},
    }
    metadata: dict[str, Any] = {**METADATA[format], **title.get(format, {"Title": recipe.caption, "Subject": recipe.alt})}
    with mpl.rc_context({"svg.hashsalt": f"{recipe.name} {figure.get_facecolor()}"}):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=format, metadata=metadata)
    return buffer.getvalue()


def lay_out(figure: Figure, passes: int = LAYOUT_PASSES) -> None:
    """Lay a figure out once for all its files: repeat its layout until the axes stay where they are, then keep it."""
    engine, before = figure.get_layout_engine(), np.zeros((len(figure.axes), 4))
    if engine is None:
        return
    for _ in range(passes):
        engine.execute(figure)
        places = np.array([axes.get_position().bounds for axes in figure.axes])
        if np.allclose(places, before, rtol=0.0, atol=1e-4):  # of the figure's size: less than a pixel
            break
        before = places
    figure.set_layout_engine(None)


def as_json(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values; `from_json` reads them."""
    return asdict(recipe)


def from_json(values: Any) -> Recipe:
    """Return the recipe that `as_json` gave.

    Raises:
        ArgumentError: it is not one.
    """
    try:
        return Recipe(**values)
    except TypeError:
        msg = f"A recipe of a figure has name, plot, arguments, caption and alt, got {str(values)[:80]}. Record the figure again."
        raise ArgumentError(msg) from None
