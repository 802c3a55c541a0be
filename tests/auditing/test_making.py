"""Inputs made from a model's signature, and given ones checked against it."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from masklib.auditing.inputs import making
from masklib.auditing.inputs.describing import describe
from masklib.auditing.inputs.settings import PaddingSettings
from masklib.errors import ArgumentError
from masklib.experiments import models
from tests.auditing import models as small


def test_made_ids_lie_within_the_rows_of_their_embedding_and_have_several_lengths():
    made = making.make_inputs(small.recurrent(), seed=0)
    group = describe(made).groups[0]
    assert made.max() < small.VOCABULARY
    assert len(set(group.lengths.tolist())) >= 4
    assert group.lengths.max() == group.steps


def test_floats_that_an_embedding_gets_are_made_ids():
    num, version, missing = making.make_inputs(models.three_inputs(vocabulary=30), seed=0)
    assert set(np.unique(missing)) == {0.0, 1.0, 2.0, 3.0}
    assert 3.0 < version.max() < 30.0
    assert ((version == 0) == (num == 0).all(axis=-1, keepdims=True)).all()
    assert not np.allclose(num, np.round(num))


def test_padded_floats_hold_the_value_of_their_masking_layer():
    x = keras.Input((None, 3))
    made = making.make_inputs(keras.Model(x, layers.LSTM(2)(layers.Masking(-5.0)(x))), seed=0)
    assert (made == -5.0).all(axis=-1).any()
    assert not ((made == -5.0).any(axis=-1) & ~(made == -5.0).all(axis=-1)).any()


def test_a_made_mask_says_where_the_made_padding_is():
    x, mask = making.make_inputs(small.given_mask(used=True), seed=0)
    assert mask.dtype == bool
    assert (mask == (x != 0).any(axis=-1)).all()


def test_padding_is_made_at_the_side_that_is_asked_for():
    made = making.make_inputs(small.recurrent(), seed=0, settings=PaddingSettings(padding_side="pre"))
    assert describe(made).groups[0].side == "pre"


def test_the_same_seed_makes_the_same_inputs():
    model = small.recurrent()
    assert (making.make_inputs(model, seed=1) == making.make_inputs(model, seed=1)).all()
    assert (making.make_inputs(model, seed=1) != making.make_inputs(model, seed=2)).any()


def test_a_model_whose_signature_is_not_known_wants_inputs():
    with pytest.raises(ArgumentError, match="Give inputs"):
        making.make_inputs(small.Tagger())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.ones((3, 4, 3)), "takes 2 inputs .x, mask., got 1"),
        ([np.ones((3, 4, 2)), np.ones((3, 4), bool)], r"'x' must have shape \(None, None, 3\), got \(3, 4, 2\)"),
        ({"x": np.ones((3, 4, 3)), "msk": np.ones((3, 4), bool)}, r"missing: \['mask'\], unknown: \['msk'\]"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_and_named(given: Any, told: str):
    with pytest.raises(ArgumentError, match=told):
        making.check_inputs(small.given_mask(used=True), given)


def test_a_subclassed_model_that_was_built_with_one_sample_gets_several():
    class Reader(keras.Model):
        """Ids to a vector."""

        def __init__(self) -> None:
            super().__init__()
            self.words, self.reader = layers.Embedding(9, 4, mask_zero=True), layers.LSTM(3)

        def call(self, inputs: Any) -> Any:
            return self.reader(self.words(inputs))

    model = Reader()
    model(np.array([[1, 2, 0]]))
    made = making.make_inputs(model, seed=0)

    assert len(set(describe(made).groups[0].lengths.tolist())) >= 2
