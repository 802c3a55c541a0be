"""How figures look: themes, widths, and the colour of each role; roles differ in colour, lightness and shape."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from masklib.checks import check_one_of

PAGE, COLUMN = "page", "column"
WIDTHS = {PAGE: 7.2, COLUMN: 3.5}  # inches: of a printed page, and of one of its two columns
DPI = 200  # of PNG
HATCH = "///"  # of what is masked

# Roles. In each theme they all differ in lightness too, so that they differ in grey and to every kind of colour vision.
LIGHT: dict[str, str] = {
    "page": "#ffffff",
    "ink": "#1c1c1c",
    "soft": "#595959",
    "rule": "#d4d4d4",
    "valid": "#004d65",
    "measured": "#cc491b",
    "third": "#a6932a",
    "reference": "#aeaeae",
    "absent": "#f1c185",
    "masked": "#e5e5e5",
    "hatch": "#9a9a9a",
}
DARK: dict[str, str] = {
    "page": "#14171a",
    "ink": "#e6e6e6",
    "soft": "#b0b0b0",
    "rule": "#454a50",
    "valid": "#48c4e8",
    "measured": "#ef7136",
    "third": "#efe36b",
    "reference": "#777777",
    "absent": "#785524",
    "masked": "#3e4043",
    "hatch": "#8a8d91",
}
MARKED = ("valid", "measured", "third", "reference", "absent", "masked")  # roles that one figure may show side by side

# Kinds of tiles: the ground, and the text on it.
TILES: dict[str, dict[str, tuple[str, str]]] = {
    "light": {
        "good": ("#007795", "#ffffff"),
        "fair": ("#66adc1", "#000000"),
        "off": ("#ebb77e", "#000000"),
        "bad": ("#8e2605", "#ffffff"),
        "other": ("#dadada", "#000000"),
        "error": ("#242424", "#ffffff"),
        "none": ("#f3f3f3", "#6a6a6a"),
    },
    "dark": {
        "good": ("#00a3c6", "#000000"),
        "fair": ("#157693", "#ffffff"),
        "off": ("#6f4b22", "#ffffff"),
        "bad": ("#f7ab68", "#000000"),
        "other": ("#37393c", "#ffffff"),
        "error": ("#ebebeb", "#000000"),
        "none": ("#202224", "#9a9a9a"),
    },
}
TILE_HATCH = {"off": "////"}  # beside its colour
TILE_EDGE = {"light": "#d9a468", "dark": "#86602f"}  # of the hatching; faint, for text stands on it
THEMES = {"light": LIGHT, "dark": DARK}


@dataclass(frozen=True)
class Style:
    """A theme and a width.

    Attributes:
        theme: "light" or "dark".
        width: "page" or "column".
        interactive: whether a new figure is one of pyplot's, which a notebook shows by itself.
    """

    theme: str = "light"
    width: str = PAGE
    interactive: bool = True

    @property
    def inches(self) -> float:
        """The width of a figure."""
        return WIDTHS[self.width]

    @property
    def is_narrow(self) -> bool:
        """Whether the figure has the width of a column."""
        return self.width == COLUMN

    @property
    def letters(self) -> int:
        """How many letters of a title fit into a line."""
        return 46 if self.is_narrow else 84


_current: ContextVar[Style] = ContextVar("style", default=Style())  # noqa: B039 (frozen)


def current() -> Style:
    """Return the style in which figures are drawn now."""
    return _current.get()


def colour(role: str) -> str:
    """Return the colour of a role in the current theme."""
    return THEMES[current().theme][role]


def tile(kind: str) -> dict[str, Any]:
    """Return how a kind of tile looks in the current theme: facecolor, text, hatch and its colour, edge."""
    theme = current().theme
    ground, ink = TILES[theme][kind]
    return {"facecolor": ground, "text": ink, "hatch": TILE_HATCH.get(kind, ""), "edge": TILE_EDGE[theme]}


@contextmanager
def style(theme: str = "light", width: str = PAGE) -> Iterator[Style]:
    """Draw in a theme and a width until this context ends; the user's matplotlibrc does not matter.

    Args:
        theme: "light" or "dark".
        width: "page" or "column".

    Raises:
        ArgumentError: there is no such theme or width.
    """
    check_one_of("theme", theme, THEMES)
    check_one_of("width", width, WIDTHS)
    chosen = Style(theme, width, interactive=False)
    token = _current.set(chosen)
    try:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_settings(chosen))
            yield chosen
    finally:
        _current.reset(token)


def _settings(chosen: Style) -> Any:
    """Return the settings of Matplotlib for a style: its own font, as paths in SVG, embedded in PDF; text is no mathematics."""
    colours = THEMES[chosen.theme]
    small = 7.0 if chosen.is_narrow else 8.5
    ink = dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"), colours["ink"])
    ground = dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), colours["page"])
    sizes = dict.fromkeys(("font.size", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"), small)
    titles = {"axes.titlesize": small + 1, "figure.titlesize": small + 1}
    output = {"svg.fonttype": "path", "pdf.fonttype": 42, "figure.dpi": DPI, "savefig.dpi": "figure", "path.simplify": False}
    fonts = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "mathtext.fontset": "dejavusans"}
    return {
        **ink,
        **ground,
        **sizes,
        **titles,
        **output,
        **fonts,
        "axes.edgecolor": colours["soft"],
        "text.parse_math": False,
        "text.hinting": "no_hinting",  # so that a text is as wide in PNG, by which the layout is found, as in SVG and PDF
        "hatch.linewidth": 0.7,
    }


def new_figure(height: float, **options: Any) -> Figure:
    """Return a new figure of the current width, which leaves room for its labels.

    Args:
        height: in inches.
        **options: of `matplotlib.figure.Figure`.
    """
    chosen = current()
    options = {"figsize": (chosen.inches, height), "layout": "constrained", "dpi": DPI, **options}
    return plt.figure(**options) if chosen.interactive else Figure(**options)


def new_axes(height: float = 3.4) -> Axes:
    """Return the axes of a new figure of the current width; `height` in inches."""
    return new_figure(height).add_subplot()
