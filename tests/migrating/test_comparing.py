"""What counts as a difference between two Keras, by observations made by hand."""

from typing import Any

import numpy as np
import pytest

from masklib.migrating.comparing import Comparison, Observed, compare

NOISE = 1e-6
MASK = np.array([[True, True, False], [True, False, False]])


def observed(
    keras: str,
    output: Any = ((1.0, 2.0),),
    reported: dict[str, float] | None = None,
    masks: Any = (),
    **answer: Any,
) -> Observed:
    """An observation: one output, what `evaluate` reports, and rows (layer, class, mask that it gets, mask that it hands on)."""
    reported = {"loss": 0.5} if reported is None else reported
    arrays = {"outputs/score": np.asarray(output, dtype=float)}
    arrays |= {f"reported/{name}": np.asarray(value) for name, value in reported.items()}
    calls = []
    for row, (layer, kind, got, handed) in enumerate(masks):
        arrays |= {f"masks/{row}/in/0": got} if got is not None else {}
        arrays |= {f"masks/{row}/out/0": handed} if handed is not None else {}
        calls.append(
            {"layer": layer, "kind": kind, "config": {}, "has_state": False, "unmasks": False, "masks_in": 1, "masks": 1}
        )
    about = {"calls": calls, "failed": {}, "has_loss": True, "tolerances": dict.fromkeys(arrays, NOISE)}
    return Observed(keras, {**about, **answer}, arrays)


def found(first: Observed, second: Observed) -> list[tuple[str, str]]:
    """What differs: part and name."""
    return [(one.part, one.of) for one in compare(first, second).differences]


def test_what_is_the_same_is_status_0_and_is_listed():
    rows = [("tokens", "Embedding", None, MASK)]
    comparison = compare(observed("2.15.0", masks=rows), observed("3.15.1", masks=rows))
    assert comparison.exit_status == 0
    assert comparison.same == {"outputs": ["score"], "loss": ["loss"], "metrics": [], "masks": ["tokens"]}


@pytest.mark.parametrize(("factor", "differs"), [(1 + NOISE / 2, False), (1 + 10 * NOISE, True)])
def test_only_more_than_the_noise_is_a_difference(factor: float, differs: bool):
    second = observed("2", output=[[1.0, 2.0 * factor]], reported={"loss": 0.5 * factor})
    assert found(observed("1"), second) == ([("outputs", "score"), ("loss", "loss")] if differs else [])


def test_differences_are_in_the_order_of_the_parts_whatever_keras_reports_first():
    first, second = (observed(name, reported={"accuracy": value, "loss": value}) for name, value in (("1", 0.5), ("2", 0.6)))
    assert found(first, second) == [("loss", "loss"), ("metrics", "accuracy")]


def test_the_noise_of_the_noisier_side_counts():
    noisy = observed("2", output=[[1.0, 2.1]], tolerances={"outputs/score": 0.1})
    assert found(observed("1"), noisy) == []
    assert found(noisy, observed("1")) == []


@pytest.mark.parametrize("output", [[[1.0, np.nan]], [[1.0, np.inf]], [[1.0]]])
def test_another_shape_and_a_number_that_is_none_on_one_side_only_differ(output: Any):
    assert found(observed("1"), observed("2", output=output)) == [("outputs", "score")]
    assert found(observed("1", output=output), observed("2", output=output)) == []


def test_a_mask_differs_by_its_values_and_by_whether_there_is_one():
    first = observed("3.3.3", masks=[("sum", "Add", None, None), ("cut", "Masking", None, MASK), ("same", "Add", None, MASK)])
    second = observed("3.4.1", masks=[("sum", "Add", None, MASK), ("cut", "Masking", None, ~MASK), ("same", "Add", None, MASK)])
    assert found(first, second) == [("masks", "sum"), ("masks", "cut")]
    told = compare(first, second).differences
    assert [(one.was, one.now) for one in told] == [(False, True), (True, True)]
    assert told[0].said == "hands on no mask in Keras 3.3.3, hands on a mask (2, 3), 3 of 6 valid in Keras 3.4.1"
    assert told[1].said.endswith("they differ at 6 of 6 steps")


def test_a_layer_that_got_another_mask_already_only_follows():
    first = observed("1", masks=[("lstm", "LSTM", MASK, MASK), ("tags", "Dense", MASK, MASK)])
    second = observed("2", masks=[("lstm", "LSTM", MASK, None), ("tags", "Dense", None, None)])
    assert [(one.of, one.follows) for one in compare(first, second).differences] == [("lstm", False), ("tags", True)]


def test_a_layer_that_takes_the_mask_off_its_input_differs_first_and_what_gets_that_input_follows():
    first = observed("2.15.0", masks=[("attend", "MultiHeadAttention", MASK, MASK), ("sum", "Add", MASK, MASK)])
    second = observed("3.15.1", masks=[("attend", "MultiHeadAttention", MASK, MASK), ("sum", "Add", None, None)])
    second.answer["calls"][0]["unmasks"] = True
    attend, total = compare(first, second).differences
    assert (attend.of, attend.follows, total.of, total.follows) == ("attend", False, "sum", True)
    assert attend.said == "takes the mask off its input, for all layers after it, in Keras 3.15.1, not in Keras 2.15.0"
    assert found(second, second) == []


def test_states_that_versions_list_at_other_places_are_no_difference_of_the_masks_that_a_layer_gets():
    first, second = (observed(keras, masks=[("gru", "GRU", MASK, given)]) for keras, given in (("2", MASK), ("3", None)))
    first.answer["calls"][0]["masks_in"] = 2  # the sequence and its initial state
    assert [one.follows for one in compare(first, second).differences] == [False]


def test_layers_are_paired_by_name_not_by_place_and_in_order_where_names_are_generated():
    rows = [("a", "Embedding", None, MASK), ("b", "Dense", None, None)]
    assert found(observed("1", masks=rows), observed("2", masks=rows[::-1])) == []
    renamed = [("a_1", *rows[0][1:]), ("b_1", *rows[1][1:])]
    assert compare(observed("1", masks=rows), observed("2", masks=renamed)).exit_status == 0


@pytest.mark.parametrize(
    ("answer", "gap"),
    [
        ({"failed": {"masks": "graphs"}}, ("masks", "Keras 2: graphs")),
        ({"failed": {"outputs": "ValueError: it is random"}}, ("outputs", "Keras 2: ValueError: it is random")),
        ({"has_loss": False}, ("loss", "only Keras 1 has the loss of the model")),
        ({"masks": [("a", "Dense", None, None)]}, ("masks", "only Keras 2 calls the layer 'a'")),
        ({"reported": {"loss": 0.5, "accuracy": 1.0}}, ("metrics", "only Keras 2 reports 'accuracy'")),
    ],
)
def test_what_cannot_be_compared_is_named_and_status_2(answer: dict[str, Any], gap: tuple[str, str]):
    comparison = compare(observed("1"), observed("2", **answer))
    assert comparison.gaps == [gap]
    assert comparison.exit_status == 2


def test_metrics_that_fail_on_one_side_leave_the_loss_to_be_compared():
    first = observed("1", reported={"loss": 0.5, "accuracy": 1.0})
    comparison = compare(first, observed("2", reported={"loss": 0.6}, failed={"metrics": "TypeError: x"}))
    assert [(one.part, one.of) for one in comparison.differences] == [("loss", "loss")]
    assert comparison.gaps == [("metrics", "Keras 2: TypeError: x")]


def test_a_difference_outweighs_a_gap():
    assert Comparison([], {}, [("masks", "x")]).exit_status == 2
    assert compare(observed("1"), observed("2", output=[[0.0, 0.0]], failed={"masks": "x"})).exit_status == 1
