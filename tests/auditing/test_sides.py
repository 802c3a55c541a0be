"""If the user does not say at which side padding stands, a model is judged at the side where it does not leak."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import masklib
from tests.auditing import models as small

pytestmark = pytest.mark.usefixtures("eagerly")


def left_padded() -> Any:
    """Correct for padding before the sequences: positions from the mask, and the last step is used."""
    ids = small.ids()
    mask = ids != 0
    positions = ops.maximum(ops.cumsum(ops.cast(mask, "int32"), 1) - 1, 0)
    e = layers.Embedding(9, 8, embeddings_initializer="normal")(ids) + layers.Embedding(64, 8)(positions)
    h = layers.MultiHeadAttention(2, 4)(e, e, attention_mask=mask[:, None, :], use_causal_mask=True)
    return keras.Model(ids, layers.Dense(3)(h[:, -1]))


def test_a_model_for_padding_before_the_sequences_does_not_leak_and_the_side_is_reported() -> None:
    report = masklib.audit(left_padded())

    assert report.verdict == "no leak found"
    assert masklib.audit(left_padded(), padding_side="pre").verdict == "no leak found"
    assert any(
        note.startswith("it needs padding before the sequences: with padding after them, output") for note in report.check.notes
    )
    assert any("padding stands before the sequences" in one and "padding_side='post'" in one for one in report.check.assumptions)
    assert [one.severity for one in report.findings] == ["note"]
    assert report.findings[0].evidence[0].startswith("harmless if padding stands before the sequences; after them: ")


def test_the_side_that_the_user_says_decides() -> None:
    assert masklib.audit(left_padded(), padding_side="post").verdict == "leak"
    after, before = np.array([[1, 2, 3], [4, 0, 0]]), np.array([[1, 2, 3], [0, 0, 4]])
    assert masklib.audit(left_padded(), after).verdict == "leak"
    assert masklib.audit(left_padded(), before).verdict == "no leak found"


def test_a_model_that_leaks_at_both_sides_is_reported_with_padding_after_the_sequences() -> None:
    report = masklib.audit(small.recurrent(masked=False))

    assert report.verdict == "leak"
    assert report.check.other_side is None
    assert any(one == "padding stands after the sequences (padding_side)" for one in report.check.assumptions)


def test_a_model_without_a_sequence_is_reported_as_untested() -> None:
    x = keras.Input((5,), name="table")
    picture = keras.Input((8, 8, 3), name="picture")
    seen = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(picture))

    for model in (keras.Model(x, layers.Dense(2)(x)), keras.Model(picture, layers.Dense(2)(seen))):
        report = masklib.audit(model)
        assert report.verdict == "not tested"
        assert {one.why for one in report.check.untested} == {"no input is a sequence that could be padded"}
    with pytest.raises(masklib.errors.NoPaddingError):
        masklib.audit(model, np.ones((2, 8, 8, 3)), not_a_sequence="picture")


def test_a_name_that_no_input_has_is_refused() -> None:
    for inputs in (None, small.TOKENS):
        with pytest.raises(masklib.errors.ArgumentError, match=r"not_a_sequence must name inputs, of \['ids'\], got 'id'"):
            masklib.audit(small.recurrent(), inputs, not_a_sequence=["id"])
