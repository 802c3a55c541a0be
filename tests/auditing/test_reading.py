"""What is found from inputs: which samples are tested, which values are padding, how each input is used."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from masklib.auditing.inputs import content, making, variants
from masklib.auditing.inputs.describing import describe
from masklib.auditing.inputs.grouping import Hint
from masklib.auditing.inputs.settings import DEFAULT, PaddingSettings

IDS = np.array([[3, 1, 2, 0], [4, 0, 0, 0], [1, 2, 3, 4]])


def test_nan_can_be_padding():
    x = np.ones((3, 4, 2))
    x[0, 3], x[1, 1:] = np.nan, np.nan
    batch = describe(x, PaddingSettings(mask_value=np.nan))

    assert batch.groups[0].lengths.tolist() == [3, 1, 4]
    assert np.isnan(variants.longer(batch, (0,), 2).leaves[0].array[:, 4:]).all()


@pytest.mark.parametrize(("beside", "is_known"), [([3, 1, 4], True), ([3, 1, 2], False)])
def test_floats_may_hold_garbage_where_lengths_say_what_is_padding(beside: list[int], is_known: bool):
    x = np.where((IDS != 0)[..., None], np.random.default_rng(0).normal(size=(3, 4, 2)), 0.0)
    batch = describe({"x": x, "plain": np.array(beside)})
    leaf = next(leaf for leaf in batch.leaves if leaf.name == "x")

    assert variants.is_known_otherwise(leaf, batch) is is_known


def test_an_empty_sample_holds_the_pad_id_of_its_own():
    batch = describe(np.where(IDS == 0, 7, IDS), PaddingSettings(pad_id=7))

    assert variants.with_an_empty_sample(batch).leaves[0].array.tolist()[0] == [7, 7, 7, 7]


def test_an_empty_sample_has_the_length_0():
    batch = describe({"ids": IDS, "lengths": np.array([3, 1, 4])})
    empty = variants.with_an_empty_sample(batch)

    assert {leaf.name: leaf.array[0].tolist() for leaf in empty.leaves} == {"ids": [0, 0, 0, 0], "lengths": 0}


def reader(*rows: int) -> Any:
    """A model in which Embeddings with these numbers of rows get the same ids."""
    ids = keras.Input((None,), dtype="int32")
    parts = [layers.GlobalAveragePooling1D()(layers.Embedding(count, 2, mask_zero=True)(ids)) for count in rows]
    return keras.Model(ids, layers.Concatenate()(parts) if len(parts) > 1 else parts[0])


def test_made_ids_lie_within_the_smallest_vocabulary_that_gets_them():
    made = making.make_inputs(reader(20, 5), seed=0)

    assert made.max() < 5
    assert making.make_inputs(reader(20), seed=0).max() >= 5


def test_many_samples_are_tested_by_some_that_are_spread_over_them():
    inputs = np.resize(IDS, (200, 4))
    batch, _ = making.prepare(reader(9), inputs, DEFAULT, seed=0)

    assert batch.samples == making.MOST == len(batch.chosen)
    zeros = (inputs == 0).sum(axis=1)
    assert set(zeros[batch.chosen]) == set(zeros)  # the most padded, the fullest, and those between
    assert np.diff(batch.chosen).min() >= 1
    assert np.array_equal(batch.inputs, inputs[batch.chosen])
    assert batch.notes == ("32 samples are tested, spread over the inputs",)
    assert not batch.is_made


def test_few_samples_are_all_tested():
    batch, _ = making.prepare(reader(9), np.resize(IDS, (32, 4)), DEFAULT, seed=0)
    assert (batch.chosen, batch.samples) == (None, 32)


def test_made_inputs_never_hold_padding_at_valid_steps():
    for pad_id in (0, 3):
        made = making.make_inputs(reader(5), PaddingSettings(pad_id=pad_id), seed=0)
        lengths = content.made_lengths(*made.shape)

        assert [(row != pad_id).sum() for row in made] == lengths.tolist()
        assert (lengths.max(), len(set(lengths.tolist())) > 2) == (made.shape[1], True)


def test_made_floats_are_padded_with_what_the_model_masks():
    x = keras.Input((None, 2))
    model = keras.Model(x, ops.sum(layers.Masking(-9.0)(x), axis=1))

    assert (making.make_inputs(model, seed=0)[1, -1] == -9.0).all()
    assert (making.make_inputs(model, PaddingSettings(mask_value=0.5), seed=0)[1, -1] == 0.5).all()


def test_the_most_padded_and_the_fullest_sample_are_tested_wherever_they_stand():
    inputs = np.resize([1, 2, 3, 0], (200, 4))
    inputs[101], inputs[103] = [4, 0, 0, 0], [1, 2, 3, 4]
    batch, _ = making.prepare(reader(9), inputs, DEFAULT, seed=0)

    assert {101, 103} <= set(batch.chosen.tolist())


def test_few_samples_are_tested_of_a_large_model():
    inputs = np.resize(IDS, (40, 4))

    assert len(making._fewer(inputs, n_weights=10**9)[0]) == making.FEW
    assert len(making._fewer(inputs, n_weights=10**3)[0]) == making.MOST


def test_floats_that_a_masking_layer_reads_get_no_garbage():
    x = np.where((IDS != 0)[..., None], np.random.default_rng(0).normal(size=(3, 4, 2)), 0.0)
    for hint, is_known in ((Hint(), True), (Hint(mask_value=0.0), False)):
        batch = describe({"mask": IDS != 0, "x": x}, hints=[Hint(), hint])
        assert variants.is_known_otherwise(batch.leaves[1], batch) is is_known


def test_lengths_of_another_family_come_in_another_order():
    """So that two sequences never have the same padding by chance."""
    for samples in (2, 3, 5, 8):
        first, second = (content.made_lengths(samples, 9, family) for family in (0, 1))
        assert (first != second).any()
        assert first.max() == 9
