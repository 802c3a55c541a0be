"""Variants of the same sequences: what changes, and what must not."""

import numpy as np

from masklib.auditing.inputs import variants
from masklib.auditing.inputs.describing import describe

IDS = np.array([[3, 1, 2, 4], [5, 9, 6, 0], [7, 0, 0, 0]])
DOCUMENTS = np.array([[[1, 2, 3], [4, 0, 0]], [[5, 6, 0], [0, 0, 0]]])


def test_longer_padding_adds_pad_values_at_the_padded_side():
    after = variants.longer(describe(IDS), (0,), 2)
    before = variants.longer(describe(IDS[:, ::-1]), (0,), 2)
    assert after.leaves[0].array.tolist() == np.pad(IDS, ((0, 0), (0, 2))).tolist()
    assert before.leaves[0].array.tolist() == np.pad(IDS[:, ::-1], ((0, 0), (2, 0))).tolist()
    assert after.groups[0].lengths.tolist() == before.groups[0].lengths.tolist() == [4, 3, 1]


def test_without_padding_each_sample_is_as_long_as_it_is():
    batch = describe(IDS)
    assert variants.by_length(batch) == [[2], [1]]
    assert variants.without_padding(batch, [1]).leaves[0].array.tolist() == [[5, 9, 6]]
    assert variants.without_padding(describe(IDS[:, ::-1]), [1]).leaves[0].array.tolist() == [[6, 9, 5]]


def test_steps_within_steps_are_cut_and_padded_on_both_axes():
    batch = describe(DOCUMENTS)
    cut = variants.without_padding(batch, [1])
    assert cut.leaves[0].array.tolist() == [[[5, 6]]]
    assert cut.groups[1].valid.tolist() == [[[True, True]]]
    assert variants.longer(batch, (0,), 1).groups[1].lengths.tolist() == [[3, 1, 0], [2, 0, 0]]


def test_garbage_stands_at_padded_steps_only_and_only_where_padding_is_known_otherwise():
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    batch = describe({"x": x, "mask": IDS != 0})
    changed = variants.with_garbage(batch, ["x"], 0).leaves[1].array
    assert ((changed != x).any(axis=-1) == (IDS == 0)).all()
    assert variants.is_known_otherwise(batch.leaves[1], batch)
    x[IDS == 0] = 0.0
    alone = describe(x)
    assert not variants.is_known_otherwise(alone.leaves[0], alone)


def test_every_second_sample_gets_another_content():
    changed, kept = variants.with_mates(describe(IDS))
    assert kept == [0, 2]
    assert changed.leaves[0].array[[0, 2]].tolist() == IDS[[0, 2]].tolist()
    assert (changed.leaves[0].array[1] != IDS[1]).any()


def test_later_content_is_other_valid_content_and_padding_stays():
    changed, early = variants.with_other_later_steps(describe(IDS), 0, 0)
    array = changed.leaves[0].array
    assert early.sum(axis=1).tolist() == [2, 2, 1]
    assert (array[early] == IDS[early]).all()
    assert (array[(IDS != 0) & ~early] != IDS[(IDS != 0) & ~early]).all()
    assert ((array == 0) == (IDS == 0)).all()


def test_an_empty_sample_has_no_variant_without_padding():
    assert variants.by_length(describe(np.array([[3, 1, 2, 4], [5, 9, 6, 0], [0, 0, 0, 0]]))) == [[1]]


def test_content_is_moved_on_from_valid_step_to_valid_step_and_padding_stays():
    assert variants.moved_on(describe(IDS), 1).leaves[0].array.tolist() == [[7, 3, 1, 2], [4, 5, 9, 0], [6, 0, 0, 0]]
    before = variants.moved_on(describe(IDS[:, ::-1]), 1).leaves[0].array
    assert before.tolist() == [[7, 4, 2, 1], [0, 3, 6, 9], [0, 0, 0, 5]]
    steps = np.where(IDS[..., None] == 0, 0.0, IDS[..., None] + np.array([0.0, 0.5]))
    moved = variants.moved_on(describe(steps), 2).leaves[0].array
    assert moved[0].tolist() == [[6.0, 6.5], [7.0, 7.5], [3.0, 3.5], [1.0, 1.5]]
    assert ((moved == 0) == (steps == 0)).all()
