"""How arrays are classified, and which of their steps count as padding."""

import numpy as np
import pytest

from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.inputs import variants
from masklib.auditing.inputs.describing import describe
from masklib.auditing.inputs.grouping import Hint
from masklib.auditing.inputs.settings import PaddingSettings
from masklib.errors import ArgumentError

IDS = np.array([[3, 1, 2, 4], [5, 0, 6, 0], [7, 0, 0, 0]])


def test_padding_is_the_run_at_the_end_and_a_pad_value_inside_is_content():
    batch = describe(IDS)
    assert batch.groups[0].valid.tolist() == [[True] * 4, [True] * 3 + [False], [True] + [False] * 3]
    assert batch.groups[0].side == "post"
    assert any("1 steps" in note for note in batch.notes)


def test_padding_at_the_beginning_is_found():
    batch = describe(IDS[:, ::-1])
    assert batch.groups[0].side == "pre"
    assert batch.groups[0].lengths.tolist() == [4, 3, 1]


def test_a_side_that_is_given_is_taken():
    with pytest.raises(ArgumentError, match="the beginning"):
        describe(IDS, PaddingSettings(padding_side="pre"))


def test_a_step_of_floats_is_padding_if_all_its_features_are():
    x = np.ones((2, 3, 2))
    x[0, 2], x[1, 2, 0] = -1.0, -1.0
    assert describe(x, PaddingSettings(mask_value=-1.0)).groups[0].lengths.tolist() == [2, 3]


def test_the_value_of_the_masking_layer_is_the_pad_value_unless_another_is_given():
    x = np.ones((2, 3, 2))
    x[0, 2] = 9.0
    assert describe(x, hints=[Hint(mask_value=9.0)]).groups[0].lengths.tolist() == [2, 3]
    with pytest.raises(ArgumentError, match="padding"):
        describe(x, PaddingSettings(mask_value=4.0), hints=[Hint(mask_value=9.0)])


def test_leaves_that_are_padded_together_are_one_group_and_others_are_two():
    mask = IDS != 99
    mask[1, 3] = mask[2, 1:] = False
    alike = describe([IDS, mask], names=["ids", "mask"])
    assert [leaf.kind for leaf in alike.leaves] == ["ids", "mask"]
    assert [group.name for group in alike.groups] == ["ids, mask"]
    assert len(describe([IDS, IDS[::-1]]).groups) == 2


def test_floats_without_padding_of_their_own_belong_to_the_mask_beside_them():
    batch = describe({"x": np.ones((3, 4, 2)), "the_mask": IDS != 0})
    assert [dict(leaf.groups or {}) for leaf in batch.leaves] == [{1: 0}, {1: 0}]


def test_lengths_and_features_have_no_time():
    batch = describe({"ids": IDS, "lengths": np.array([4, 3, 1]), "age": np.ones((3, 2))})
    assert {leaf.name: leaf.kind for leaf in batch.leaves} == {"ids": "ids", "lengths": "lengths", "age": "plain"}


def test_steps_within_steps_have_padding_each():
    documents = np.array([[[1, 2, 3], [4, 0, 0]], [[5, 6, 0], [0, 0, 0]]])
    batch = describe(documents)
    assert [(group.axis, group.lengths.tolist()) for group in batch.groups] == [(1, [2, 1]), (2, [[3, 1], [2, 0]])]


def test_inputs_without_padding_and_inputs_of_only_padding_are_refused():
    with pytest.raises(ArgumentError, match="must hold padding"):
        describe(np.ones((3, 4), int))
    with pytest.raises(ArgumentError, match="something besides padding"):
        describe(np.zeros((3, 4), int))


def test_leaves_of_different_sizes_are_refused_by_name():
    with pytest.raises(ArgumentError, match=r"ids \(3, 4\), more \(2, 4\)"):
        describe({"ids": IDS, "more": IDS[:2]})


def test_what_is_flattened_is_built_again():
    structure = {"b": [IDS, (IDS + 1,)], "a": IDS + 2}
    names, arrays, pack = flatten(structure)
    again = pack(arrays)
    assert names == ["a", "b_0", "b_1_0"]
    assert again["a"] is structure["a"]
    assert again["b"][1][0] is structure["b"][1][0]


def test_one_hot_steps_of_the_class_of_padding_are_padding():
    x = np.eye(8)[IDS]
    batch = describe(x)
    assert batch.groups[0].lengths.tolist() == [4, 3, 1]
    assert variants.longer(batch, (0,), 2).leaves[0].array[0, 4:].tolist() == np.eye(8)[[0, 0]].tolist()
    assert describe(np.eye(8)[(IDS + 3) % 8], PaddingSettings(pad_id=3)).groups[0].lengths.tolist() == [4, 3, 1]
    x[IDS == 0] = 0.0  # zeros, if padding is not a class
    assert describe(x).groups[0].lengths.tolist() == [4, 3, 1]


def test_segments_that_are_zero_everywhere_are_padded_with_the_ids():
    for segments in (np.zeros_like(IDS), np.array([[0, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]])):
        batch = describe({"segments": segments, "tokens": IDS})
        assert [group.lengths.tolist() for group in batch.groups] == [[4, 3, 1]]
        assert [dict(leaf.groups or {}) for leaf in batch.leaves] == [{1: 0}, {1: 0}]


def test_lengths_are_known_by_their_numbers():
    batch = describe({"ids": IDS, "n": np.array([[4], [3], [1]]), "age": np.array([[4], [3], [2]])})
    assert {leaf.name: leaf.kind for leaf in batch.leaves} == {"ids": "ids", "n": "lengths", "age": "ids"}
    assert [one.startswith("'n' holds the lengths") for one in batch.assumptions] == [True]


def test_pairs_of_steps_are_padded_along_both_axes():
    valid = np.array([[True] * 4, [True] * 3 + [False], [True] + [False] * 3])
    both = (valid[:, :, None] & valid[:, None, :]).astype("float32")
    batch = describe({"adjacency": both, "nodes": valid[..., None] * np.ones(2)})
    assert {leaf.name: dict(leaf.groups or {}) for leaf in batch.leaves} == {"adjacency": {1: 0, 2: 0}, "nodes": {1: 0}}
    assert variants.longer(batch, (0,), 2).leaves[0].array.shape == (3, 6, 6)
    assert variants.without_padding(batch, [1]).leaves[0].array.shape == (1, 3, 3)
    assert (variants.padding_of(batch.leaves[0], batch) == (both == 0)).all()


def test_another_pad_id_is_asked_for():
    with pytest.raises(ArgumentError, match="Samples of 'inputs' end with several 9: is that the pad_id"):
        describe(np.where(IDS == 0, 9, IDS))


def test_a_step_with_a_weight_is_content_although_it_holds_the_pad_value():
    ids = np.array([[3, 1, 2, 4], [5, 6, 0, 0], [7, 0, 0, 0]])
    weights = np.array([[1.0] * 4, [1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])

    assert describe(ids).groups[0].lengths.tolist() == [4, 2, 1]
    assert describe(ids, weights=[weights]).groups[0].lengths.tolist() == [4, 3, 1]
    assert describe(ids, hints=[Hint(is_ids=True)], weights=[weights]).groups[0].lengths.tolist() == [4, 2, 1]


def test_a_square_with_content_at_padded_steps_is_not_pairs_of_steps():
    valid = np.array([[True] * 4, [True] * 3 + [False], [True] + [False] * 3])
    batch = describe({"nodes": valid[..., None] * np.ones(2), "square": np.ones((3, 4, 4))})

    assert [dict(leaf.groups or {}) for leaf in batch.leaves] == [{1: 0}, {1: 0}]
