"""A situation compares two results where padding must make no difference."""

from dataclasses import replace

import numpy as np
import pytest

from masklib.auditing.inputs.describing import describe
from masklib.auditing.invariance import situations
from masklib.auditing.invariance.changes import Change

IDS = np.array([[3, 1, 2, 0], [4, 0, 0, 0], [1, 2, 3, 4]])
OUTPUT = np.arange(12.0).reshape(3, 4) + 1
AXES = {1: 0}


@pytest.mark.parametrize("side", ["post", "pre"])
def test_only_valid_steps_are_compared_with_longer_padding(side: str):
    batch = describe(IDS if side == "post" else IDS[:, ::-1])
    situation = situations.longer_padding(batch, (0,))
    first = OUTPUT if side == "post" else OUTPUT[:, ::-1]
    longer = np.pad(first, [(0, 0), (0, 4) if side == "post" else (4, 0)], constant_values=99.0)
    at_padding, at_content = longer.copy(), longer.copy()
    at_padding[1, 2 if side == "post" else 5] = 50.0
    at_content[1, 0 if side == "post" else 7] = 50.0

    assert situation.compare(first, longer, AXES, batch).size == 0.0
    assert situation.compare(first, at_padding, AXES, batch).size == 0.0
    assert situation.compare(first, at_content, AXES, batch).size == 45.0


def test_a_sample_without_padding_is_compared_with_the_padded_one():
    batch = describe(IDS)
    found = {one.rows: one for one in situations.no_padding(batch)}

    assert set(found) == {(0,), (1,)}
    assert found[0,].batch.inputs.tolist() == [[3, 1, 2]]
    assert found[0,].compare(OUTPUT, OUTPUT[:1, :3], AXES, batch).size == 0.0
    assert found[1,].compare(OUTPUT, np.array([[6.0]]), AXES, batch).size == 1.0


def test_batch_mates_are_reversed_replaced_and_split():
    batch = describe(IDS)
    found = situations.batch_mates(batch, situations.in_another_order(batch))

    assert len(found) == 4
    for one in found:
        assert one.change is Change.BATCH_MATES
        assert one.batch.inputs[list(one.other_rows)].tolist() == IDS[list(one.rows)].tolist()
        other = np.full((one.batch.samples, 4), 99.0)
        other[list(one.other_rows)] = OUTPUT[list(one.rows)]
        assert one.compare(OUTPUT, other, {}, batch).size == 0.0
    assert sorted(row for one in found[2:] for row in one.rows) == [0, 1, 2]
    assert found[1].batch.inputs.tolist() != IDS.tolist()
    assert situations.batch_mates(describe(IDS[:1]), situations.in_another_order(describe(IDS[:1]))) == []


def test_only_earlier_steps_are_compared_where_later_ones_are_changed():
    (situation,) = situations.later_steps(describe(IDS), 0, seed=0)
    changed = OUTPUT.copy()
    changed[2, 2:] = 99.0

    assert situation.batch.inputs[2, :2].tolist() == [1, 2]
    assert (situation.batch.inputs[2, 2:] != IDS[2, 2:]).all()
    assert situation.compare(OUTPUT, changed, AXES, describe(IDS)).size == 0.0
    changed[2, 1] = 99.0
    assert situation.compare(OUTPUT, changed, AXES, describe(IDS)).size == 89.0


def test_a_result_without_the_steps_is_not_compared_with_later_ones():
    (situation,) = situations.later_steps(describe(IDS), 0, seed=0)
    assert situation.compare(np.ones((3, 2)), np.zeros((3, 2)), {}, describe(IDS)).size == 0.0


def test_other_numbers_stand_at_padded_steps_where_a_mask_says_what_they_are():
    x = np.where((IDS != 0)[..., None], np.random.default_rng(0).normal(size=(3, 4, 2)), 0.0)
    (situation,) = situations.padded_content(describe({"x": x, "mask": IDS != 0}), seed=0)
    changed = situation.batch.inputs["x"]

    assert np.array_equal(changed[IDS != 0], x[IDS != 0])
    assert (changed[IDS == 0] != 0).all()
    assert list(situations.padded_content(describe(x), seed=0)) == []


def test_each_situation_is_equal_to_itself_only():
    one = situations.in_another_order(describe(IDS))
    assert one != replace(one)
    assert {one: 1}[one] == 1
