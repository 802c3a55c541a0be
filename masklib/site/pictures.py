"""Recorded figures in the site: vectors, light and dark, with their captions."""

from dataclasses import dataclass

from masklib.engine.record import MISFORMED
from masklib.figures.recipes import Recipe, render
from masklib.site import text
from masklib.site.survey import Experiment
from masklib.site.writing import Writer

UNDRAWABLE = (*MISFORMED, RuntimeError)  # what a recipe raises that is of an earlier masklib, or none


@dataclass(frozen=True)
class Picture:
    """A recorded figure.

    Attributes:
        name: of the figure.
        path: of its files in the site, without their suffix.
        alt: what the figure shows.
        caption: what stands below it.
        dark: whether there is a file for dark pages, beside the light one.
    """

    name: str
    path: str
    alt: str
    caption: str
    dark: bool


def pictures(experiment: Experiment, out: Writer) -> list[Picture]:
    """Return the figures of a run, whose files are in the site; those that can be drawn again are drawn for dark pages too."""
    return [_picture(experiment, name, out) for name in experiment.figures]


def figures_by_name(experiment: Experiment, out: Writer) -> dict[str, str]:
    """Return the figures of a run as HTML for its page, by their names."""
    return {picture.name: show(picture, "../") for picture in pictures(experiment, out)}


def show(picture: Picture, root: str, page: str = "") -> str:
    """Return a figure as HTML.

    Args:
        picture: to show.
        root: the way from the page to the folder of the site, "" or "../".
        page: of the experiment, where the figure stands elsewhere.
    """
    return text.render("figure.html", picture=picture, root=root, page=page)


def _picture(experiment: Experiment, name: str, out: Writer) -> Picture:
    """Return one figure, drawn for dark pages if it was not yet."""
    path = f"{experiment.evidence}/figures/{name}"
    plain = name.replace("_", " ")
    recipe = experiment.recipe(name)
    shown = recipe and _drawn(recipe, f"{path}.dark.svg", out)
    if not recipe or not shown:
        return Picture(name, path, f"Figure {plain}", plain, dark=False)
    return Picture(name, path, recipe.alt, recipe.caption, dark=True)


def _drawn(recipe: Recipe, target: str, out: Writer) -> bool:
    """Draw a figure for dark pages if it was not yet; return whether it can be."""
    try:
        if not out.keep(target):
            out.write(target, render(recipe, theme="dark"))
    except UNDRAWABLE:
        return False
    return True
