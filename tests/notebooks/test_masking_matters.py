"""Notebook 14 refuses what it cannot measure, and its sentences follow what was measured."""

from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from masklib.engine.grid import plan_sweep
from masklib.engine.run import plan_run
from masklib.errors import ParameterError
from masklib.figures import plots

PATH = Path(__file__).parents[2] / "notebooks" / "14_does_masking_matter.ipynb"
CELLS = {cell.id: cell.source for cell in nbformat.read(PATH, as_version=4).cells}


class Recorder:
    """What a cell records."""

    def __init__(self) -> None:
        self.figures: dict[str, dict[str, Any]] = {}

    def figure(self, name: str, plot: Any, *values: Any, **options: Any) -> None:
        """Keep what a figure is drawn from."""
        self.figures[name] = options

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """Tables are not looked at."""


def speech_figure(effect: float, seeds: int = 6) -> str:
    """The title of the figure of speech, where the mask raises every accuracy by `effect`."""
    from masklib.experiments import pairs

    index = pd.MultiIndex.from_product(
        [["lstm"], ["pre", "post"], [1, 4], range(seeds)], names=["layer", "padding", "times", "seed"]
    )
    masked = 0.5 + np.arange(len(index)) / 1000
    by_mask = pd.DataFrame({"masked": masked, "not masked": masked - effect}, index=index)
    sides = {"pre": "before", "post": "after"}
    run = Recorder()
    names = {"by_mask": by_mask, "pairs": pairs, "pd": pd, "np": np, "plots": plots, "run": run}
    names |= {"SIDES": sides, "factors": (1, 4), "draws": range(seeds)}
    for cell in ("table-speakers", "figure-speakers"):
        exec(CELLS[cell], names)
    return run.figures["worth_of_a_mask"]["title"]


@pytest.mark.parametrize(
    ("effect", "seeds", "title"),
    [
        (0.3, 6, "Without a mask, 4 of 4 cases are less accurate, at worst by 30 points"),
        (0.0, 6, "Without a mask, 0 of 4 cases are less accurate"),  # masked twice: no effect
        (-0.3, 6, "Without a mask, 0 of 4 cases are less accurate"),
        (0.3, 3, "Without a mask, 0 of 4 cases are less accurate"),  # too few seeds for an interval
    ],
)
def test_the_title_says_what_was_measured_and_can_come_out_each_way(effect: float, seeds: int, title: str):
    assert speech_figure(effect, seeds) == title


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        ({"layer": "transformer"}, "layer"),
        ({"factor": 0.5}, "factor"),
        ({"factor": -1}, "factor"),
        ({"seeds": "many"}, "seeds"),
    ],
)
def test_a_parameter_that_cannot_be_measured_is_refused_before_a_kernel_starts(given: dict[str, Any], fact: str):
    with pytest.raises(ParameterError, match=fact):
        plan_run(PATH, given)


def test_the_spec_has_a_run_for_each_layer():
    plans = plan_sweep("worth").plans
    assert [plan.parameters["layer"] for plan in plans] == ["pooling", "attention", "lstm", "gru", "bidirectional"]
    assert {plan.parameters["profile"] for plan in plans} == {"full"}
