"""Colours of figures can be distinguished with every kind of colour vision and in grey, and text can be read in both themes."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from masklib.errors import ArgumentError
from masklib.figures import plots, style

# sRGB to XYZ, D65. https://www.w3.org/Graphics/Color/sRGB
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
# Machado, Oliveira and Fernandes 2009, severity 1, in linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
    "grey": np.tile([0.2126729, 0.7151522, 0.0721750], (3, 1)),
}
FAR_ENOUGH = 8.0  # CIE 1976; about 2.3 is what can just be seen side by side


def linear(colour: str) -> NDArray[np.float64]:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE L*a*b* of linear RGB."""
    ratio = (TO_XYZ @ rgb) / (TO_XYZ @ np.ones(3))
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def smallest_distance(colours: list[str], vision: str) -> float:
    """The distance of the two colours that are hardest to distinguish."""
    seen = [lab(np.clip(VISION[vision] @ linear(colour), 0.0, 1.0)) for colour in colours]
    return min(float(np.linalg.norm(a - b)) for i, a in enumerate(seen) for b in seen[:i])


def contrast(a: str, b: str) -> float:
    """The contrast ratio of WCAG 2."""
    low, high = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (a, b))
    return (high + 0.05) / (low + 0.05)


def test_the_arithmetic_of_colours_is_that_of_the_standards():
    np.testing.assert_allclose(lab(linear("#ff0000")), [53.24, 80.09, 67.20], atol=0.02)
    assert contrast("#ffffff", "#000000") == pytest.approx(21.0)
    assert contrast("#ffffff", "#767676") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", style.THEMES)
def test_roles_and_tiles_can_be_distinguished(theme: str, vision: str):
    roles = [style.THEMES[theme][role] for role in style.MARKED]
    tiles = [ground for ground, _ in style.TILES[theme].values()]
    assert smallest_distance(roles, vision) > FAR_ENOUGH
    assert smallest_distance(tiles, vision) > FAR_ENOUGH


@pytest.mark.parametrize(("colours", "vision"), [(["#b83a20", "#3f7f00"], "deuteranopia"), (["#cc491b", "#2f6fd0"], "grey")])
def test_colours_that_only_some_can_distinguish_are_found(colours: list[str], vision: str):
    assert smallest_distance(colours, "normal") > 5 * FAR_ENOUGH
    assert smallest_distance(colours, vision) < FAR_ENOUGH


@pytest.mark.parametrize("theme", style.THEMES)
def test_text_and_lines_are_seen_on_their_ground(theme: str):
    colours = style.THEMES[theme]
    assert min(contrast(colours[ink], colours["page"]) for ink in ("ink", "soft")) >= 4.5
    assert min(contrast(colours[line], colours["page"]) for line in ("valid", "measured", "third")) >= 3.0
    inks = {kind: contrast(ground, ink) for kind, (ground, ink) in style.TILES[theme].items()}
    assert {kind: ratio for kind, ratio in inks.items() if ratio < 4.5} == {}


def test_themes_have_the_same_roles_and_tiles():
    assert list(style.LIGHT) == list(style.DARK)
    assert list(style.TILES["light"]) == list(style.TILES["dark"])
    assert set(style.THEMES) == set(style.TILES) == set(style.TILE_EDGE)


@pytest.mark.parametrize("given", [{"theme": "sepia"}, {"width": "poster"}])
def test_a_style_that_is_not_there_is_refused(given: dict[str, str]):
    with pytest.raises(ArgumentError, match="must be one of"), style.style(**given):
        pass


def test_a_style_ends_with_its_context():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with style.style("dark", "column") as chosen:
        assert (style.current(), chosen.inches) == (chosen, 3.5)
        assert mpl.rcParams["figure.facecolor"] == style.DARK["page"]
    assert style.current() == style.Style()
    assert dict(mpl.rcParams) == before


def test_a_text_is_as_wide_in_png_as_in_svg():
    label = "mask + ignore_class + weights per step"
    with style.style():
        figure = style.new_figure(2.0)
        drawn = figure.text(0, 0, label, fontsize=8.5).get_window_extent(FigureCanvasAgg(figure).get_renderer())
        outline = TextPath((0, 0), label, size=8.5, prop=FontProperties(family="DejaVu Sans")).get_extents()

        assert drawn.width / figure.dpi * 72 == pytest.approx(outline.width, rel=0.01)


@pytest.mark.parametrize("columns", [2, 4, 9])
def test_a_long_title_of_a_table_of_tiles_is_in_the_figure(columns: int):
    title = "With 75% of the steps masked, none of 12 calls that were decided save half of their time, " * 2
    rows = [f"{layer}, training step" for layer in ("lstm", "bidirectional")]
    ax = plots.plot_tiles(
        [[("good", "0.30 x")] * columns] * 2, rows, ["none masked"] * columns, legend={"good": "g"}, title=title
    )
    figure = ax.get_figure(root=True)
    figure.canvas.draw()
    box, page = ax.title.get_window_extent(), figure.bbox
    assert ax.title.get_text().replace("\n", " ") == title.strip()
    assert page.x0 <= box.x0
    assert box.x1 <= page.x1
    assert box.y1 <= page.y1
