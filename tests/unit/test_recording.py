"""What a notebook records is on the disk at once, and says what was measured."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masklib.claims import recording
from masklib.claims.outputs import Shown, shown_by
from masklib.errors import ArgumentError, ClaimError

PARAMETERS = {"seed": 3, "profile": "smoke"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> recording.Run:
    monkeypatch.setenv(recording.FOLDER_VARIABLE, str(tmp_path))
    return recording.start(PARAMETERS)


def test_start_seeds_the_generators():
    recording.start(PARAMETERS)
    first = (random.random(), np.random.random())
    recording.start(PARAMETERS)
    assert (random.random(), np.random.random()) == first


@pytest.mark.parametrize(
    ("namespace", "fact"),
    [
        ({"seed": "x", "profile": "full"}, "The seed of a notebook must be an int, it is 'x'"),
        ({"seed": 0, "profile": "ful"}, "must be one of 'smoke', 'full'"),
    ],
)
def test_start_refuses_a_seed_or_a_profile_that_is_none(namespace: dict[str, Any], fact: str):
    with pytest.raises(ArgumentError, match=fact):
        recording.start(namespace)


def test_records_are_on_the_disk_as_they_come(run: recording.Run, tmp_path: Path):
    run.metric("a", np.float32(0.5), unit="s")
    assert recording.read(tmp_path) == [{"kind": "metric", "name": "a", "value": 0.5, "unit": "s"}]
    run.claim("emb-1", np.array([0.1]), [0.1], atol=1e-9, part="p")
    assert recording.read(tmp_path)[1:] == [
        {"kind": "claim", "claim": "emb-1", "part": "p", "observed": [0.1], "expected": [0.1], "atol": 1e-9}
    ]


def test_a_float_is_recorded_to_its_last_bit(run: recording.Run, tmp_path: Path):
    value = 0.1 + 0.2
    run.claim("emb-1", value, 0.3)
    assert recording.read(tmp_path)[0]["observed"] == value


def test_a_name_may_hold_what_only_unicode_takes_for_a_line_break(run: recording.Run, tmp_path: Path):
    run.metric("a\u2028b", 1.0)
    assert [line["name"] for line in recording.read(tmp_path)] == ["a\u2028b"]


def test_a_record_holds_no_verdict(run: recording.Run, tmp_path: Path):
    run.claim("emb-1", 1.0, 2.0)
    assert "refuted" not in (tmp_path / recording.RECORDS).read_text()


def test_a_part_of_a_claim_is_recorded_once(run: recording.Run):
    run.claim("emb-1", 1.0, 2.0, part="p")
    run.claim("emb-1", 1.0, 1.0, part="q")
    with pytest.raises(ClaimError, match="emb-1 'p' is there already"):
        run.claim("emb-1", 1.0, 1.0, part="p")


def test_what_cannot_be_tested_is_recorded_with_its_reason(
    run: recording.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run.untested("emb-1", "Keras 2.2.4: no such option.", part="p")
    assert recording.read(tmp_path) == [
        {"kind": "untested", "claim": "emb-1", "part": "p", "reason": "Keras 2.2.4: no such option."}
    ]
    assert capsys.readouterr().out == "emb-1 (p): untested. Keras 2.2.4: no such option.\n"


def test_what_is_untested_needs_a_reason_and_a_part_of_its_own(run: recording.Run):
    with pytest.raises(ClaimError, match="needs a reason"):
        run.untested("emb-1", " ")
    run.claim("emb-1", 1, 1, part="p")
    with pytest.raises(ClaimError, match="recorded once"):
        run.untested("emb-1", "No.", part="p")


@pytest.mark.parametrize("value", [[1.0], "1", None, {}])
def test_a_metric_is_one_number(run: recording.Run, value: Any):
    with pytest.raises(ArgumentError, match="A metric is one number"):
        run.metric("a", value)


def test_a_table_can_be_read_back_and_its_name_is_its_own(run: recording.Run, tmp_path: Path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"x": [0.1, 0.2], "s": ["a", "b"]})
    shown = run.table("t", frame)
    pd.testing.assert_frame_equal(shown, frame)
    assert type(shown.head()) is pd.DataFrame
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "tables" / "t.parquet"), frame)
    for name in ("t", "../t", "a/b"):
        with pytest.raises(ArgumentError, match="a name of its own"):
            run.table(name, frame)


def test_a_figure_has_room_for_its_text_and_its_png_is_what_is_shown(
    run: recording.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    figures = pytest.importorskip("masklib.figures.plots")
    from matplotlib import image

    shown: list[Any] = []
    monkeypatch.setattr(recording, "_show", lambda value, metadata: shown.append((value, metadata)))
    texts = {"title": "a title", "xlabel": "loss", "caption": "A caption.", "alt": "What is seen."}
    run.figure("f", figures.plot_candidates, 0.88, {"valid steps": 0.88, "all steps": 0.61}, **texts)
    path = tmp_path / "figures" / "f.png"
    ink = image.imread(path)[..., :3].min(axis=-1) < 1.0
    assert not ink[[0, -1]].any()
    assert not ink[:, [0, -1]].any()
    assert shown[0][0].data == path.read_bytes()
    assert shown_by({"metadata": shown[0][1]}) == Shown("figure", "f")


def test_a_figure_is_recorded_with_what_it_is_drawn_from(run: recording.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    figures, drawing = pytest.importorskip("masklib.figures.plots"), pytest.importorskip("masklib.figures.recipes")
    shown: list[Any] = []
    monkeypatch.setattr(recording, "_show", lambda value, metadata: shown.append((value, metadata)))
    texts = {"caption": "Two values.", "alt": "One row."}
    run.figure("f", figures.plot_rows, np.array([[0.1, 0.2]]), ["row"], title="Rows", **texts)

    recipe = drawing.from_json(json.loads((tmp_path / "figures" / "f.json").read_text()))
    assert (recipe.plot, recipe.caption, recipe.alt) == ("plot_rows", "Two values.", "One row.")
    assert recipe.arguments == {"rows": [[0.1, 0.2]], "labels": ["row"], "title": "Rows"}
    assert (tmp_path / "figures" / "f.png").read_bytes() == drawing.preview(recipe)
    assert recording.read(tmp_path) == [{"kind": "figure", "name": "f"}]
    assert shown[0][0].data == drawing.preview(recipe)
    with pytest.raises(ArgumentError, match="a name of its own"):
        run.figure("f", figures.plot_rows, [[1.0]], ["row"], **texts)
    with pytest.raises(ArgumentError, match=r"'g' must be drawn by a function of masklib\.figures\.plots, got <Axes.*plot_rows"):
        run.figure("g", figures.plot_rows([[1.0]], ["row"]), **texts)
    with pytest.raises(ArgumentError, match="alt of 'g' is empty"):
        run.figure("g", figures.plot_rows, [[1.0]], ["row"], caption="No alternative text.")


def test_an_answer_is_recorded_once_in_one_line(run: recording.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run.answer("Twelve layers\n drop the `mask`.")
    assert recording.read(tmp_path) == [{"kind": "answer", "text": "Twelve layers drop the `mask`."}]
    assert recording.answer_of(recording.read(tmp_path)) == "Twelve layers drop the `mask`."
    assert "Twelve layers drop" in capsys.readouterr().out
    with pytest.raises(ArgumentError, match="A run has one answer"):
        run.answer("Another.")
    with pytest.raises(ArgumentError, match="A run has one answer"):
        recording.start(PARAMETERS).answer("Another, by a second start.")


@pytest.mark.parametrize(
    ("text", "fact"), [("", "got 0"), (" \n", "got 0"), ("x" * 601, "got 601"), (3, "answer that is text, got 3")]
)
def test_an_answer_that_says_nothing_or_too_much_is_refused(run: recording.Run, text: Any, fact: str):
    with pytest.raises(ArgumentError, match=fact):
        run.answer(text)


def test_a_run_without_an_answer_has_none():
    assert recording.answer_of([{"kind": "metric", "name": "a", "value": 1.0, "unit": ""}]) == ""
