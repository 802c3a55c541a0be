"""The batches of the clinics: what is given beside them marks different steps, and what is spoiled is what it says."""

import numpy as np
import pytest

from masklib.errors import ArgumentError
from masklib.experiments import corruption, data, step_weights


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("seed", range(5))
def test_mask_ignored_class_and_weights_mark_different_steps(padding, seed):
    given = step_weights.Given(True, step_weights.PER_STEP, True)
    for case in step_weights.draw_cases(seed, given, 7, 5, 3, padding=padding):
        kinds = {(bool(m), bool(k)) for m, k in zip(case.mask.ravel(), case.kept.ravel(), strict=True)}
        assert len(kinds) == 4
        assert ((case.ids == 0) == ~case.mask).all()


def test_further_padding_changes_nothing_else():
    for given in step_weights.every_given():
        narrow, *wide = step_weights.draw_cases(0, given, 7, 5, 3)
        assert len(wide) == (given.weights != step_weights.SQUARE)
        for case in wide:
            np.testing.assert_array_equal(case.labels[:, :5], narrow.labels)
            assert not case.mask[:, 5:].any()


def test_weights_have_the_shapes_of_their_names():
    shapes = {
        weights: getattr(step_weights.draw_cases(0, step_weights.Given(False, weights), 7, 5, 3)[0].sample_weight, "shape", None)
        for weights in step_weights.WEIGHTS
    }
    assert list(shapes.values()) == [None, (7, 5), (7, 5), (7, 1), (7,), (5,)]
    with pytest.raises(ArgumentError, match="weights must be one of"):
        step_weights.draw_cases(0, step_weights.Given(False, "heavy"), 7, 5, 3)


def row(counts, weights, divisor, over=1.0):
    return {"value": 1.0, "counts": counts, "weights": weights, "divided by": divisor, "over wanted": over}


@pytest.mark.parametrize(
    ("given", "found", "kind"),
    [
        (step_weights.Given(True), row("valid", "1", "valid"), "good"),
        (step_weights.Given(True), row("valid", "1", "all"), "off"),
        (step_weights.Given(True), row("valid", "1", "1"), "other"),
        (step_weights.Given(True), row("all", "1", "all"), "bad"),
        (step_weights.Given(True), row("", "", ""), "bad"),
        (step_weights.Given(True, step_weights.PER_STEP), row("valid", "as given", "weights"), "good"),
        (step_weights.Given(True, step_weights.PER_STEP), row("valid", "as given", "valid"), "fair"),
        (step_weights.Given(True, step_weights.PER_STEP), row("valid", "as integers", "weights"), "bad"),
        (step_weights.Given(True, step_weights.NO_WEIGHTS, True), row("valid", "1", "valid"), "bad"),
        (step_weights.Given(True), row("valid", "1", "valid") | {"value": np.nan}, "error"),
    ],
)
def test_a_tile_says_how_far_a_number_is_from_the_mean_of_the_valid_steps(given, found, kind):
    assert step_weights.tile(given, found)[0] == kind


@pytest.fixture
def batch():
    x, mask, _ = data.draw_batch(0, 4, 5, 3)
    return x, data.draw_floats(0, (4, 5, 2)), mask


@pytest.mark.parametrize("situation", corruption.SITUATIONS)
def test_valid_steps_are_spoiled_only_where_the_situation_says_so(batch, situation):
    x, y, mask = batch
    spoiled = corruption.spoil(situation, x, y, mask)
    kept = spoiled.mask
    if "scaled" not in situation and "zeros" not in situation:
        np.testing.assert_array_equal(spoiled.x[kept], x[kept])
    np.testing.assert_array_equal(spoiled.y[kept], y[kept])
    assert np.isfinite(spoiled.x[kept]).all()
    assert (spoiled.x == x).all() == (situation in (corruption.SITUATIONS[0], *corruption.OF_TARGETS))
    assert ((spoiled.y == y).all()) != (situation in corruption.OF_TARGETS)


@pytest.mark.parametrize("situation", corruption.SITUATIONS)
def test_the_recipe_leaves_nothing_to_go_wrong(batch, situation):
    _, mended = corruption.recipe(corruption.spoil(situation, *batch))
    assert mended.mask.any(axis=1).all()
    assert np.isfinite(mended.x).all()
    assert np.isfinite(mended.y).all()
    assert (mended.x[~mended.mask] == 0).all()
    assert mended.source == "given"


def test_scaling_back_returns_the_data_but_for_rounding(batch):
    x, _, mask = batch
    np.testing.assert_allclose(corruption.scale(x, mask, back=True), x, atol=1e-6)
    scaled = corruption.scale(x, mask)
    np.testing.assert_allclose(scaled[mask].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled[mask].std(axis=0), 1, atol=1e-5)


RIGHT = {
    "raised": "",
    "finite": True,
    "error": 0.0,
    "gradient finite": True,
    "gradient error": 0.0,
    "weights' gradient finite": True,
}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "good"),
        ({"error": 0.2}, "bad"),
        ({"gradient error": 0.2}, "bad"),
        ({"gradient finite": False, "gradient error": np.nan}, "off"),
        ({"weights' gradient finite": False}, "off"),
        ({"finite": False, "error": np.nan}, "error"),
        ({"raised": "ValueError"}, "error"),
    ],
)
def test_a_tile_says_what_failed(change, kind):
    assert corruption.tile(RIGHT | change, 1e-4)[0] == kind
    assert corruption.is_right(RIGHT | change | {"finite": kind != "error"}, 1e-4) == (kind == "good")
