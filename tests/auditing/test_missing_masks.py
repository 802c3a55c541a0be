"""A mask that is missing at several calls: no single one explains the leak, and a report says so."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import masklib
from masklib.auditing.tracing.signature import bound_arguments
from masklib.auditing.tracing.watch import Keep, record

pytestmark = pytest.mark.usefixtures("eagerly")
IDS = np.array([[3, 4, 5, 6, 7], [5, 6, 7, 0, 0], [2, 0, 0, 0, 0]])


def transformer(n_blocks: int, *, handed: bool) -> Any:
    """Return a post-norm transformer, in which attention removes the mask from the tensor that is added to its output."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(11, 8, mask_zero=True, name="embedded")(ids)
    mask = ids != 0
    for place in range(n_blocks):
        attention = layers.MultiHeadAttention(2, 4, name=f"attention_{place}")
        attended = attention(x, x, query_mask=mask, value_mask=mask) if handed else attention(x, x)
        x = layers.LayerNormalization()(layers.Add()([x, attended]))
    return keras.Model(ids, layers.Dense(3, name="dense")(x))


@pytest.mark.slow
@pytest.mark.parametrize("n_blocks", [3, 7])
def test_blocks_after_the_first_all_miss_the_mask(n_blocks: int) -> None:
    report = masklib.audit(transformer(n_blocks, handed=False), IDS)

    (found,) = [one for one in report.findings if one.severity == "leak"]
    assert (found.code, found.where) == ("MSK109", "'attention_0'")
    tried = next(line for line in found.evidence if line.startswith("tried"))
    assert all(f"'attention_{place}'" in tried for place in range(1, n_blocks))
    assert "'attention_0'" not in tried
    assert float(tried.partition("differs by ")[2].split()[0]) < 1e-5
    assert f"the mask is missing at {n_blocks - 1} calls: pass it to all of them" in found.evidence
    lines = found.fix.splitlines()
    assert lines[:2] == ["mask = ids != 0", "attended = attention_0(x, x, query_mask=mask, value_mask=mask)"]
    assert lines[5:] == (["# and in the same way to attention_4, attention_5, attention_6"] if n_blocks == 7 else [])
    assert masklib.audit(transformer(n_blocks, handed=True), IDS).verdict == "no leak found"


def test_a_model_without_masks_is_distinguished_from_one_that_lost_them() -> None:
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(11, 8)(ids)
    for _ in range(3):
        x = layers.LSTM(4, return_sequences=True, go_backwards=False)(
            layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
        )

    codes = {one.code for one in masklib.audit(keras.Model(ids, x), IDS).findings}

    assert "MSK106" in codes
    assert not codes & {"MSK103", "MSK109", "MSK119"}


def test_a_leak_that_needs_the_whole_batch_is_located() -> None:
    """The two samples that are tried first show nothing: the padding of the second sample changes the third."""
    given = np.array([[3, 4, 5, 6, 7], [2, 0, 0, 0, 0], [9, 6, 7, 0, 0]])
    ids = keras.Input((None,), dtype="int32")

    def late(both: Any) -> Any:
        most_padded = ops.max(ops.sum(ops.cast(ops.equal(both[1], 0), "float32"), axis=1))
        return both[0] + ops.cast(both[1][:, :1, None], "float32") * ops.cast(most_padded > 7.5, "float32")

    x = layers.Embedding(11, 4)(ids)
    report = masklib.audit(keras.Model(ids, layers.Dense(2)(layers.Lambda(late, name="late")([x, ids]))), given)

    (longer,) = [one for one in report.check.leaks if one.change == "longer padding" and one.kind == "output"]
    assert (longer.layer, longer.place.at) == ("late", 2)


def test_no_cause_is_proved_by_two_samples_alone() -> None:
    """A mask removes the leak of the two samples that leak most; the third sample leaks in another way, which no mask removes."""
    given = np.array([[3, 4, 5, 6, 7], [9, 6, 7, 0, 0], [2, 0, 0, 0, 0]])
    ids = keras.Input((None,), dtype="int32")
    x = layers.LSTM(4, name="lstm")(layers.Embedding(11, 4)(ids))

    def late(both: Any) -> Any:
        counted = ops.cast(ops.sum(ops.cast(ops.equal(both[1], 0), "float32"), axis=1, keepdims=True) > 7.5, "float32")
        return both[0] + 1e-3 * counted

    model = keras.Model(ids, layers.Lambda(late, name="late")([x, ids]))
    evidence = [line for one in masklib.audit(model, given).findings for line in one.evidence]

    assert not any("passed to 'lstm', the output differs by 0 " in line and "'longer padding'" in line for line in evidence)


def test_marks_are_kept_and_other_floats_are_not() -> None:
    model = transformer(1, handed=False)

    marks = {call.path: call for call in record(model, IDS, keep=Keep.MARKS)}
    whole = {call.path: call for call in record(model, IDS, keep=Keep.ALL)}

    np.testing.assert_array_equal(marks["embedded"].inputs[0], IDS)
    assert marks["embedded"].outputs[0].shape == (3, 5, 8)
    assert marks["dense"].outputs[0].size == 0
    assert whole["dense"].outputs[0].shape == (3, 5, 3)
    assert all(len(marks[path].outputs) == len(whole[path].outputs) for path in whole)


@pytest.mark.parametrize(("convolutions", "end"), [(1, layers.GlobalAveragePooling1D), (3, layers.LSTM)])
def test_convolutions_after_a_lost_mask_have_their_share_in_the_cause(convolutions: int, end: Any) -> None:
    """Positions are added, which drops the mask; each convolution reads padding; what follows gets no mask."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    places = layers.Embedding(32, 8, name="places")(ops.cumsum(ops.ones_like(ids), axis=1) - 1)
    x = layers.Add(name="both")([layers.Embedding(11, 8, mask_zero=True)(ids), places])
    for place in range(convolutions):
        x = layers.Conv1D(8, 3, padding="same", activation="tanh", name=f"conv_{place}")(x)
    x = end(4, name="end")(x) if end is layers.LSTM else end(name="end")(x)

    (leak,) = [one for one in masklib.audit(keras.Model(ids, layers.Dense(2)(x)), IDS).findings if one.severity == "leak"]

    assert (leak.code, leak.where) == ("MSK105", "'both'")
    later = ", then ".join(f"'conv_{place}' (MSK116)" for place in range(convolutions))
    assert f"several causes: fix this one first, then {later}" in leak.evidence
    (tried,) = [line for line in leak.evidence if line.startswith("tried")]
    assert "with the mask passed to 'end'" in tried
    assert float(tried.partition("differs by ")[2].split()[0]) < 1e-5


def test_arguments_that_only_keras_takes_are_left_out() -> None:
    """Keras gives a layer in a functional model `training`, also if its `call` has no such argument."""
    given = bound_arguments(layers.GlobalAveragePooling1D(), (IDS,), {"training": False, "mask": IDS != 0})

    assert list(given) == ["self", "inputs", "mask"]
