"""A recipe of a figure holds all that it shows, and gives the same bytes wherever it is drawn."""

import io
import json
import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from masklib.errors import ArgumentError
from masklib.figures import plots, recipes

TEXTS = {"caption": "A caption.", "alt": "What is seen."}
MASK = np.array([True, True, False])
TILES = {
    "tiles": [[("good", "valid"), ("off", "all\nx0.5")], [("error", "error"), ("none", "-")]],
    "rows": ["one", "two"],
    "columns": ["first column", "second_column"],
    "marks": {"b": ("moves", [[True, False], [False, False]])},
}
EXAMPLES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "plot_rows": (([[0.1, -2.0], [3.0, 0.0]], ["a", "b"]), {"title": "Rows"}),
    "plot_outputs_over_time": ((np.arange(6.0).reshape(3, 2), MASK), {"title": "Outputs"}),
    "plot_masks": (({"a": MASK, "b": None},), {"title": "Masks"}),
    "plot_candidates": ((0.5, {"valid steps": 0.5, "all steps, padding counted": 0.7}), {"xlabel": "mse"}),
    "plot_choices": (([1, 2, 7], {"expected: a": [1.0, 2.0, 3.0], "b": [3.0, 2.0, 1.0]}), {"xlabel": "x", "ylabel": "y"}),
    "plot_curves": (
        ([1, 2, 3], {"expected: a": [1.0, np.nan, 3.0], "b": [3, 2, 1]}),
        {"xlabel": "x", "ylabel": "y", "mask": MASK},
    ),
    "plot_outcomes": (({"case one": "kept", "case two": "lost"}, ["kept", "lost"]), {"alarming": ["lost"]}),
    "plot_tiles": ((), {**TILES, "legend": {"good": "fine"}, "heads": {"both": 2}, "rules": (1,), "title": "Tiles"}),
    "plot_tile_tables": (([TILES, TILES],), {"legend": {"good": "fine"}}),
}


def recipe_of(plot: str) -> recipes.Recipe:
    values, options = EXAMPLES[plot]
    return recipes.make_recipe(plot, getattr(plots, plot), values, options, **TEXTS)


def through_json(recipe: recipes.Recipe) -> recipes.Recipe:
    return recipes.from_json(json.loads(json.dumps(recipes.as_json(recipe))))


def test_every_plot_has_an_example_here():
    assert set(EXAMPLES) == {name for name in plots.__all__ if name.startswith("plot_")}


@pytest.mark.parametrize("plot", EXAMPLES)
def test_a_recipe_that_was_stored_gives_the_same_bytes(plot: str):
    recipe = recipe_of(plot)
    drawn = recipes.render_all(recipe, ["svg", "png", "pdf"])
    assert recipes.render_all(through_json(recipe), ["svg", "png", "pdf"]) == drawn


@pytest.mark.parametrize("plot", EXAMPLES)
def test_every_text_has_room_in_both_themes_and_widths(plot: str):
    for theme, width in product(("light", "dark"), ("page", "column")):
        if width == "column" and plot in plots.WIDE:
            with pytest.raises(ArgumentError, match="needs the width of a page"):
                recipes.render(recipe_of(plot), "png", width=width)
            continue
        pixels = image.imread(io.BytesIO(recipes.render(recipe_of(plot), "png", theme=theme, width=width)))[..., :3]
        ink = np.abs(pixels - pixels[0, 0]).max(axis=-1) > 0.02
        assert ink.any()
        assert not ink[[0, -1]].any(), f"{theme}, {width}: cut at the top or the bottom"
        assert not ink[:, [0, -1]].any(), f"{theme}, {width}: cut at a side"


@pytest.mark.parametrize("plot", EXAMPLES)
def test_a_preview_has_room_for_every_text_too(plot: str):
    pixels = image.imread(io.BytesIO(recipes.preview(recipe_of(plot))))[..., :3]
    ink = np.abs(pixels - pixels[0, 0]).max(axis=-1) > 0.02
    assert ink.any()
    assert not ink[[0, -1]].any()
    assert not ink[:, [0, -1]].any()


SCRIPT = """
import hashlib, json, sys
from masklib.figures import recipes
recipe = recipes.from_json(json.load(sys.stdin))
files = recipes.render_all(recipe, ["svg", "png", "pdf"], theme="dark")
print(json.dumps({kind: hashlib.sha256(content).hexdigest() for kind, content in files.items()}))
"""


def test_another_process_with_other_settings_draws_the_same_bytes(tmp_path: Path):
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nlines.linewidth: 7\nsvg.fonttype: none\nfigure.dpi: 50\n")
    others = [
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"},
        {"PYTHONHASHSEED": "2", "MATPLOTLIBRC": str(tmp_path), "MPLBACKEND": "pdf"},
    ]
    recipe = json.dumps(recipes.as_json(recipe_of("plot_candidates")))
    drawn = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], input=recipe, env=os.environ | other, capture_output=True, text=True, check=True
        ).stdout
        for other in others
    ]
    assert drawn[0] == drawn[1]
    assert set(json.loads(drawn[0])) == {"svg", "png", "pdf"}


def test_other_data_give_other_bytes():
    recipe = recipe_of("plot_rows")
    other = through_json(recipe)
    other.arguments["rows"][0][0] = 0.2
    assert recipes.render(other) != recipes.render(recipe)


def test_fonts_are_in_the_file_and_no_date_is():
    drawn = recipes.render_all(recipe_of("plot_candidates"), ["svg", "pdf", "png"])
    assert b"<text" not in drawn["svg"]
    assert b"<title>A caption.</title>" in drawn["svg"]
    assert b"/FontFile2" in drawn["pdf"]
    assert not re.search(rb"CreationDate|/ModDate|Matplotlib v", drawn["pdf"] + drawn["svg"] + drawn["png"])


def test_what_looks_like_mathematics_or_markup_is_drawn_as_it_is():
    evil = "<script>alert(1)</script> $\\frac{"
    recipe = recipes.make_recipe("f", plots.plot_rows, ([[1.0]], [evil]), {"title": evil}, caption=evil, alt=evil)
    assert b"<script" not in recipes.render(recipe, "svg")


def test_series_and_arrays_become_plain_values_to_their_last_bit():
    third = np.float32(1) / 3
    made = recipes.plain({1: pd.Series([0.1 + 0.2]), "b": (np.array([third]), MASK), "c": pd.Series(["x", "y"])}, "data")
    assert made == {"1": [0.1 + 0.2], "b": [[float(third)], [True, True, False]], "c": ["x", "y"]}
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize(
    ("plot", "values", "options", "fact"),
    [
        (plots.shade_masked, (), {}, "must be drawn by a function of masklib.figures.plots"),
        (print, (), {}, "must be drawn by a function of masklib.figures.plots"),
        (plots.plot_rows, ([[1.0]],), {}, "missing a required argument: 'labels'"),
        (plots.plot_rows, ([[1.0]], ["a"]), {"colour": "red"}, "unexpected keyword argument 'colour'"),
        (plots.plot_rows, (object(), ["a"]), {}, "rows of figure 'f' is a object"),
        (plots.plot_rows, (np.zeros((400, 400)), ["a"]), {}, "at most 100000"),
        (plots.plot_rows, ([[1.0]], ["a"]), {"alt": " "}, "alt of 'f' is empty"),
        (plots.plot_rows, ([[1.0]], ["a"]), {"caption": ""}, "caption of 'f' is empty"),
    ],
)
def test_what_is_no_recipe_is_refused(plot: Any, values: tuple[Any, ...], options: dict[str, Any], fact: str):
    texts = {name: options.pop(name, text) for name, text in TEXTS.items()}
    with pytest.raises(ArgumentError, match=re.escape(fact)):
        recipes.make_recipe("f", plot, values, options, **texts)


def test_a_stored_recipe_names_only_plots():
    values = recipes.as_json(recipe_of("plot_rows"))
    with pytest.raises(ArgumentError, match="plot must be one of"):
        recipes.render(recipes.from_json({**values, "plot": "Mapping"}))
    with pytest.raises(ArgumentError, match="has name, plot, arguments"):
        recipes.from_json({"name": "f"})
