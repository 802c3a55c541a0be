"""masklib.reference.masks: values by hand, edges, messages."""

import numpy as np
import pytest

from masklib.errors import ArgumentError, MaskShapeError
from masklib.reference import masks
from tests.helpers import assert_matches


def test_embedding_mask_is_false_at_id_zero():
    assert_matches(masks.embedding_mask([[3, 0, 1], [0, 0, 0]]), [[True, False, True], [False, False, False]])


def test_embedding_mask_without_mask_zero_is_none():
    assert masks.embedding_mask([[3, 0]], mask_zero=False) is None


def test_embedding_mask_of_features_is_refused():
    with pytest.raises(MaskShapeError, match=r"ids must have shape \(B, T\), got \(1, 2, 1\)"):
        masks.embedding_mask([[[3], [0]]])


def test_masking_mask_needs_every_feature_at_the_mask_value():
    x = [[[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]]
    assert_matches(masks.masking_mask(x), [[False, True, True]])


def test_masking_mask_compares_with_the_given_value():
    x = [[[-1.0, -1.0], [0.0, 0.0], [-1.0, 0.0]]]
    assert_matches(masks.masking_mask(x, mask_value=-1.0), [[False, True, True]])


@pytest.mark.parametrize("mask_value", [0.0, np.nan])
def test_masking_mask_never_masks_nan(mask_value):
    assert_matches(masks.masking_mask([[[np.nan, np.nan], [np.nan, 0.0]]], mask_value), [[True, True]])


def test_masking_mask_without_features_axis_is_refused():
    with pytest.raises(MaskShapeError, match=r"x must have shape \(B, T, F\), got \(1, 2\)"):
        masks.masking_mask([[0.0, 1.0]])


# Both valid, only the first, only the second, neither.
FIRST, SECOND = [[True, True, False, False]], [[True, False, True, False]]


def test_merge_and_is_valid_where_all_are():
    assert_matches(masks.merge_and([FIRST, SECOND]), [[True, False, False, False]])


def test_merge_and_ignores_none():
    assert_matches(masks.merge_and([None, FIRST]), FIRST)


def test_merge_or_is_valid_where_any_is():
    assert_matches(masks.merge_or([FIRST, SECOND]), [[True, True, True, False]])


def test_merge_or_counts_none_as_all_valid():
    assert_matches(masks.merge_or([FIRST, None]), [[True, True, True, True]])


@pytest.mark.parametrize("merge", [masks.merge_and, masks.merge_or])
def test_merge_of_no_masks_at_all_is_none(merge):
    assert merge([None, None]) is None


@pytest.mark.parametrize("merge", [masks.merge_and, masks.merge_or])
def test_merge_of_one_mask_is_that_mask(merge):
    assert_matches(merge([FIRST]), FIRST)


@pytest.mark.parametrize("merge", [masks.merge_and, masks.merge_or])
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([], ArgumentError, "masks must hold one mask or None for each input, got none"),
        ([FIRST, [[True]]], MaskShapeError, r"mask must have shape \(B, T\) = \(1, 4\), got \(1, 1\)"),
        ([[[1, 0]]], MaskShapeError, "mask must be bool"),
        ([[True, False]], MaskShapeError, r"mask must have shape \(B, T\), got \(2,\)"),
    ],
)
def test_merge_refuses_what_is_no_mask(merge, given, error, message):
    with pytest.raises(error, match=message):
        merge(given)


def test_concatenate_time_puts_masks_one_after_the_other():
    merged = masks.concatenate_time([[[True, False]], [[False, False, True]]], [(1, 2), (1, 3)])
    assert_matches(merged, [[True, False, False, False, True]])


def test_concatenate_time_counts_none_as_valid_for_its_part():
    merged = masks.concatenate_time([None, [[False], [True]]], [(2, 2), (2, 1)])
    assert_matches(merged, [[True, True, False], [True, True, True]])


def test_concatenate_time_of_no_masks_at_all_is_none():
    assert masks.concatenate_time([None, None], [(2, 2), (2, 1)]) is None


@pytest.mark.parametrize(
    ("given", "shapes", "error", "message"),
    [
        ([], [], ArgumentError, "got none"),
        ([None, None], [(1, 2)], ArgumentError, r"one \(B, T\) for each of the 2 masks, got 1"),
        ([[[True]], None], [(1, 1), (2, 1)], MaskShapeError, r"one B, got \[\(1, 1\), \(2, 1\)\]"),
        ([[[True]], None], [(1, 2), (1, 1)], MaskShapeError, r"\(B, T\) = \(1, 2\), got \(1, 1\)"),
    ],
)
def test_concatenate_time_refuses_masks_and_shapes_that_do_not_fit(given, shapes, error, message):
    with pytest.raises(error, match=message):
        masks.concatenate_time(given, shapes)


def test_compact_removes_masked_steps_and_keeps_order():
    samples = masks.compact([[[1], [2], [3]], [[4], [5], [6]]], [[True, False, True], [False, False, False]])
    assert [sample.tolist() for sample in samples] == [[[1], [3]], []]
    assert samples[1].shape == (0, 1)


def test_compact_without_mask_keeps_everything():
    assert [sample.tolist() for sample in masks.compact([[1, 2], [3, 4]], None)] == [[1, 2], [3, 4]]


def test_compact_of_one_sequence_is_refused():
    with pytest.raises(MaskShapeError, match=r"x must have shape \(B, T, \.\.\.\), got \(3,\) int64"):
        masks.compact([1, 2, 3], None)


def test_padded_masks_put_the_valid_steps_on_their_side():
    lengths = [0, 1, 3]
    assert_matches(masks.right_padded(lengths, 3), [[False] * 3, [True, False, False], [True] * 3])
    assert_matches(masks.left_padded(lengths, 3), [[False] * 3, [False, False, True], [True] * 3])


@pytest.mark.parametrize("padded", [masks.right_padded, masks.left_padded])
@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([4], ArgumentError, r"lengths must be from 0 to steps = 3, got \[4\]"),
        ([2, -1], ArgumentError, r"got \[2, -1\]"),
        ([2.0], ArgumentError, "lengths must be integers, got float64"),
        ([[2]], MaskShapeError, r"lengths must have shape \(B\), got \(1, 1\)"),
    ],
)
def test_padded_masks_refuse_what_is_no_length(padded, lengths, error, message):
    with pytest.raises(error, match=message):
        padded(lengths, 3)


def test_all_layouts_holds_each_layout_once():
    layouts = masks.all_layouts(5)
    assert layouts.shape == (32, 5)
    assert len({tuple(layout) for layout in layouts.tolist()}) == 32
    assert not layouts[0].any()
    assert layouts[-1].all()


def test_all_layouts_of_one_step_are_masked_and_valid():
    assert_matches(masks.all_layouts(1), [[False], [True]])


def test_all_layouts_of_no_steps_is_refused():
    with pytest.raises(ArgumentError, match="steps must be at least 1, got 0"):
        masks.all_layouts(0)
