"""What JupyterLab shows of results: text is never markup, and it can be read on light and dark pages."""

from pathlib import Path

import pandas as pd

from masklib.claims.view import COLOURS
from masklib.engine.collect import Tables
from masklib.engine.run import plan_run
from masklib.engine.sweep import Outcome, SweepResult
from tests.engine.conftest import START, Write, write
from tests.unit.test_figure_style import contrast

__all__ = ["write"]  # a fixture

WORD = "<script>alert(1)</script>"
PARAMETERS = f'seed: int = 0  # seed\nprofile: str = "smoke"  # {{smoke, full}}\nword: str = "{WORD}"  # a word'


def test_a_sweep_shows_its_counts_and_points(write: Write):
    plan = plan_run(write(START, parameters=PARAMETERS))
    result = SweepResult([Outcome(plan, "ok", cached=True), Outcome(plan, "failed", reason=f"ValueError: {WORD}")])
    shown = result._repr_html_()
    assert "2 points: 1 already there, 1 failed" in shown
    assert "ValueError: &lt;script&gt;" in shown
    assert "<script" not in shown


def test_the_tables_show_how_long_they_are_and_what_is_missing(tmp_path: Path):
    frame = pd.DataFrame({"a": range(3)})
    shown = Tables(frame, frame[:2], frame[:1], [f"{tmp_path}: {WORD}"])._repr_html_()
    assert [f"{count} rows" in shown for count in (3, 2, 1)] == [True] * 3
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown


def test_verdicts_can_be_read_on_their_ground():
    assert min(contrast("#ffffff", ground) for ground in COLOURS.values()) >= 4.5
