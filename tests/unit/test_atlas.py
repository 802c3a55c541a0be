"""The atlas of layers: its table is complete, and its questions are answered rightly for layers whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from masklib.experiments import atlas, atlas_tiles, layer_cases

STEPS = atlas.STEPS
EYE = np.broadcast_to(np.eye(STEPS, dtype=bool), (len(atlas.LAYOUTS), STEPS, STEPS))


def describe(name: str, setting: str = "") -> atlas.Row:
    (case,) = [case for case in layer_cases.cases() if (case.layer, case.setting) == (name, setting)]
    return atlas.describe(case, 0)


def test_every_layer_that_keras_exports_has_a_row_or_a_reason():
    assert [name for name, why in layer_cases.unmeasured().items() if "not in the table" in why] == []
    known = {case.layer for case in layer_cases.cases()} | set(layer_cases.unmeasured()) | set(layer_cases.merging())
    assert known == set(layer_cases.exported())


def test_a_layer_that_a_new_keras_exports_would_be_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layer_cases, "exported", lambda: {"Dense": object, "OfTomorrow": object})
    assert layer_cases.unmeasured() == {"OfTomorrow": "not in the table of layers yet"}


@pytest.mark.parametrize("index", range(len(atlas.controls())))
def test_a_wrong_layer_is_found_out_and_a_right_one_is_not_accused(index: int):
    case, known = atlas.controls()[index]
    found = atlas.describe(case, 0)
    assert found == found | known


@pytest.mark.parametrize(
    ("name", "setting", "known"),
    [
        ("Dense", "", {"mask": "kept", "mixes padding in": "no", "at masked steps": "as if valid", "uses the mask": "no"}),
        ("Conv1D", "", {"mask": "gone", "warns": "yes", "mixes padding in": "yes", "gradient at padding": "not zero"}),
        ("Conv1D", "padding='causal'", {"mask": "gone", "mixes padding in": "unless padding comes last"}),
        ("SimpleRNN", "", {"mask": "used and ended", "uses the mask": "yes", "gradient at padding": "zero"}),
        ("SimpleRNN", "return_sequences=True", {"mask": "kept", "at masked steps": "repeats the step before"}),
        ("SimpleRNN", "return_sequences=True, go_backwards=True", {"mask": "kept", "mask fits": "no"}),
        ("Embedding", "", {"mask": "none"}),
        ("Embedding", "mask_zero=True", {"mask": "made"}),
        ("Masking", "", {"mask": "made"}),
        ("Conv2D", "", {"mask": "takes no sequence"}),
        ("Softmax", "", {"mask": "error"}),
        ("RandomFlip", "", {"mask": "takes no sequence", "why": "It takes pictures (B, H, W, C)."}),
        ("LSTMCell", "", {"mask": "kept", "takes a mask": "", "supports_masking": ""}),
        ("Lambda", "", {"mask": "gone", "warns": "yes"}),
        ("Pipeline", "", {"mask": "kept", "warns": "yes", "supports_masking": "no"}),  # the layer inside hands it on
    ],
)
def test_what_is_known_of_a_layer_is_found(name: str, setting: str, known: atlas.Row):
    found = describe(name, setting)
    assert found == found | known


def test_an_error_is_told_in_one_line_without_colours():
    why = describe("Softmax")["why"]
    assert why.startswith("ValueError: The `mask` must be broadcastable")
    assert "\x1b" not in why


def test_which_output_follows_from_which_step_is_seen():
    output = np.zeros((1, 3, 2, 5))
    output[0, 1, 1, 4] = 1.0  # with other content at the first step, the second position moves
    output[0, 2, :, 0] = 1e-7  # rounding is no movement
    assert atlas.influence(output).tolist() == [[[False, True], [False, False]]]
    assert atlas.influence(np.array([[[1.0], [2.0]]])).shape == (1, 1, 1)


def test_padding_is_mixed_in_where_a_valid_output_moves_with_a_masked_step():
    assert atlas.mixes(EYE, None) == "no"
    assert atlas.mixes(np.ones_like(EYE), None) == "yes"
    assert atlas.mixes(np.triu(np.ones_like(EYE)), None) == "unless padding comes last"
    assert atlas.mixes(EYE[:, :, :2], None) == "no"  # fewer steps, each from one of the input
    assert atlas.mixes(EYE.any(axis=2, keepdims=True), None) == "yes"  # one position, from all steps


def test_a_mask_fits_where_each_valid_step_follows_from_one():
    assert atlas.fits(EYE, atlas.LAYOUTS) == "yes"
    assert atlas.fits(EYE[:, :, ::-1], atlas.LAYOUTS) == "no"
    assert atlas.fits(EYE, atlas.LAYOUTS[:, :2]) == "no"
    assert atlas.fits(EYE, None) == ""


def test_merging_layers_are_told_by_their_rule():
    rules = {row["masks"]: row["rule"] for row in atlas.merge("Concatenate", axis=1)}
    assert set(rules.values()) == {"one after the other"}
    assert [row["merged mask"] for row in atlas.merge("Dot")] == ["none"] * 3


def test_an_operator_drops_the_mask_and_a_sum_mixes():
    operations = atlas.operations()
    one, total = (atlas.describe_operation(name, operations[name], 0) for name in ("x + 1", "ops.sum over steps"))
    assert (one["mask"], one["mixes padding in"], total["mixes padding in"]) == ("gone", "no", "yes")


def test_layers_that_behave_alike_share_a_row_of_tiles():
    rows = pd.DataFrame([describe("ReLU"), describe("Dense"), describe("Conv1D")])
    drawn = atlas_tiles.tiles(rows)
    assert drawn["rows"] == ["Conv1D", "ReLU, Dense"]
    assert [line[0] for line in drawn["tiles"]] == [("bad", "dropped"), ("good", "kept")]
    assert drawn["rules"] == [1]
    rows = pd.DataFrame([describe("GRU", "return_sequences=True, go_backwards=True")])
    assert atlas_tiles.tiles(rows)["rows"] == ["GRU(go_backwards=True)"]
