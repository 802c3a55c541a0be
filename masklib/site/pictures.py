"""Recorded figures in the site: vectors, light and dark, with their captions."""

from dataclasses import dataclass

from masklib.engine.record import MISFORMED
from masklib.figures.recipes import render
from masklib.site import text
from masklib.site.survey import Experiment
from masklib.site.writing import Writer

THEMES = (("light", ""), ("dark", ".dark"))  # and what follows a figure's name in that of its file
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
    """Return the figures of a run that can be drawn, whose files are in the site; those with a recipe for dark pages, too."""
    return [found for name in experiment.figures if (found := _picture(experiment, name, out))]


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


def draw(experiment: Experiment, name: str, theme: str) -> bytes | None:
    """Return a figure of a run as SVG: as it was recorded, or drawn from its recipe; None where it cannot be drawn.

    Args:
        experiment: the run.
        name: of the figure.
        theme: "light" or "dark".

    Raises:
        StoreError: the run cannot be read.
    """
    if theme == "light" and name in experiment.drawings:
        return experiment.drawing(name)
    recipe = experiment.recipe(name)
    try:
        return render(recipe, theme=theme) if recipe else None
    except UNDRAWABLE:
        return None


def _picture(experiment: Experiment, name: str, out: Writer) -> Picture | None:
    """Return one figure, drawn if it was not yet; None if it cannot be drawn."""
    path = f"{experiment.evidence}/figures/{name}"
    plain = name.replace("_", " ")
    recipe = experiment.recipe(name)
    light, dark = (_is_drawn(experiment, name, theme, f"{path}{suffix}.svg", out) for theme, suffix in THEMES)
    if not light:
        return None
    if not recipe or not dark:
        return Picture(name, path, f"Figure {plain}", plain, dark=False)
    return Picture(name, path, recipe.alt, recipe.caption, dark=True)


def _is_drawn(experiment: Experiment, name: str, theme: str, target: str, out: Writer) -> bool:
    """Draw a figure into the site if it is not there yet; return whether it can be drawn."""
    if not out.keep(target):
        content = draw(experiment, name, theme)
        if content is None:
            return False
        out.write(target, content)
    return True
