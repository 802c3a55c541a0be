"""What `trace` says about a mask in each way of building a model, compared with what Keras does there."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from masklib.auditing.tracing import outcomes
from masklib.auditing.tracing.outcomes import (
    AGAIN,
    ALL_VALID,
    BAD,
    CHANGED,
    CONSUMED,
    IGNORED,
    KEPT,
    MADE,
    MERGED,
    NONE,
    SILENT,
    VALID_STEPS,
    WARNED,
    WITHIN,
)
from masklib.auditing.tracing.trace import trace
from masklib.compat.attached import keras_mask
from masklib.engine.environments import find_environment
from masklib.errors import ArgumentError
from tests.unit.mask_models import (
    COMPUTATIONS,
    IDS,
    OTHER,
    F,
    ModelWithMask,
    Own,
    OwnLayer,
    T,
    TakesMask,
    WrongName,
    after_embedding,
    attention_then,
    embed,
    inputs,
    residual,
    traced_everywhere,
)

pytestmark = pytest.mark.filterwarnings("ignore:Layer 'inner':UserWarning", "ignore:Layer 'it':UserWarning")

ROOT = Path(__file__).parents[2]


def outcomes_of(model, x=IDS):
    """The outcome of each call by its path."""
    return {call.path: call.outcome for call in trace(model, x).calls}


def lost(model, x=IDS):
    return {call.path: call.outcome for call in trace(model, x).lost}


# ---------------------------------------------------------------- one layer after a mask

ONE = {
    "Dense": (lambda: layers.Dense(3, name="it"), KEPT),
    "LSTM, sequences": (lambda: layers.LSTM(3, return_sequences=True, name="it"), KEPT),
    "LSTM, last": (lambda: layers.LSTM(3, name="it"), CONSUMED),
    "LSTM, last, as many units as steps": (lambda: layers.LSTM(T, name="it"), CONSUMED),
    "LSTM, with states": (lambda: layers.LSTM(3, return_state=True, return_sequences=True, name="it"), KEPT),
    "GlobalAveragePooling1D": (lambda: layers.GlobalAveragePooling1D(name="it"), CONSUMED),
    "GlobalMaxPooling1D": (lambda: layers.GlobalMaxPooling1D(name="it"), WARNED),
    "Flatten": (lambda: layers.Flatten(name="it"), WARNED),
    "Conv1D": (lambda: layers.Conv1D(3, 3, padding="same", name="it"), WARNED),
    "Reshape": (lambda: layers.Reshape((F, T), name="it"), WARNED),
    "Cropping1D of valid steps": (lambda: layers.Cropping1D((0, 5), name="it"), VALID_STEPS),
    "Cropping1D of the first": (lambda: layers.Cropping1D((1, 0), name="it"), WARNED),
    "Lambda": (lambda: layers.Lambda(lambda x: 2 * x, name="it"), WARNED),
    "Lambda with a mask": (lambda: layers.Lambda(lambda x: 2 * x, mask=lambda x, mask: mask, name="it"), KEPT),
    "Bidirectional": (lambda: layers.Bidirectional(layers.GRU(3, return_sequences=True), name="it"), KEPT),
    "Bidirectional, last": (lambda: layers.Bidirectional(layers.GRU(3), name="it"), CONSUMED),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dense(3), name="it"), KEPT),
    "StackedRNNCells": (lambda: layers.RNN(layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(2)]), name="it"), CONSUMED),
    "BatchNormalization": (lambda: layers.BatchNormalization(name="it"), KEPT),
    "own, takes the mask": (lambda: TakesMask(name="it"), CONSUMED),
    "own, wrong name": (lambda: WrongName(name="it"), IGNORED),
    "own, no support": (lambda: OwnLayer(lambda self, x: x * 2.0, "it", supports_masking=False), WARNED),
    "own, support": (lambda: OwnLayer(lambda self, x: x * 2.0, "it", supports_masking=True), KEPT),
    "own, of the shape only": (lambda: OwnLayer(lambda self, x: ops.ones_like(x), "it", supports_masking=False), VALID_STEPS),
    "own, first step": (lambda: OwnLayer(lambda self, x: x[:, 0], "it", supports_masking=False), VALID_STEPS),
}


@pytest.mark.parametrize("name", ONE)
def test_a_layer_after_a_mask(name):
    make, outcome = ONE[name]
    layer = make()
    calls = {call.path: call for call in trace(Own(lambda self, ids: self.it(self.embedding(ids)), it=layer), IDS).calls}
    assert calls["embedding"].outcome == MADE
    assert calls["it"].outcome == outcome
    assert calls["embedding"].valid == pytest.approx(10 / 21)
    np.testing.assert_array_equal(calls["it"].masks_in[0], IDS > 0)


def test_the_functional_way_has_the_same_outcomes():
    found = {name: outcomes_of(after_embedding(make()))["it"] for name, (make, _) in ONE.items()}
    assert found == {name: outcome for name, (_, outcome) in ONE.items()}


# ---------------------------------------------------------------- several inputs


def two_inputs(merge, mask_zero=(True, True)):
    first, second = inputs("first"), inputs("second")
    return keras.Model([first, second], merge([embed("a", mask_zero[0])(first), embed("b", mask_zero[1])(second)]))


MERGES = {
    "Add, both": (lambda: layers.Add(name="it"), (True, True), MERGED),
    "Add, one": (lambda: layers.Add(name="it"), (True, False), SILENT),
    "Add, none": (lambda: layers.Add(name="it"), (False, False), NONE),
    "Concatenate, both": (lambda: layers.Concatenate(name="it"), (True, True), MERGED),
    "Concatenate, one": (lambda: layers.Concatenate(name="it"), (False, True), ALL_VALID),
    "Concatenate along time, one": (lambda: layers.Concatenate(axis=1, name="it"), (True, False), MERGED),
    "Dot": (lambda: layers.Dot(axes=2, name="it"), (True, True), SILENT),
}


@pytest.mark.parametrize("name", MERGES)
def test_a_layer_of_two_inputs(name):
    make, mask_zero, outcome = MERGES[name]
    assert outcomes_of(two_inputs(make(), mask_zero), [IDS, OTHER])["it"] == outcome


def test_two_inputs_with_one_mask_keep_it():
    ids = inputs()
    x = embed()(ids)
    assert outcomes_of(keras.Model(ids, layers.Add(name="it")([x, layers.Dense(F)(x)])))["it"] == KEPT


@pytest.mark.parametrize(
    ("mask_zero", "outcome", "got"),
    [((True, True), KEPT, "mm-"), ((True, False), KEPT, "m--"), ((False, True), CONSUMED, "-m-"), ((False, False), NONE, "---")],
)
def test_attention_gets_the_masks_of_query_and_value(mask_zero, outcome, got):
    attention = layers.MultiHeadAttention(2, 3, name="it")
    model = two_inputs(lambda both: attention(both[0], both[1]), mask_zero)
    row = trace(model, [IDS, OTHER]).to_frame().set_index("path").loc["it"]
    assert (row["outcome"], row["mask to call"]) == (outcome, got)


def test_an_initial_state_lets_the_mask_be_ignored_though_the_output_carries_it():
    ids = inputs()
    x = embed()(ids)
    state = layers.Dense(3, name="state")(layers.GlobalAveragePooling1D(name="mean")(x))
    sequences = layers.GRU(3, return_sequences=True, name="sequences")(x, initial_state=state)
    model = keras.Model(ids, [sequences, layers.GRU(3, name="last")(x, initial_state=state)])
    found = trace(model, IDS)
    assert {call.path: call.outcome for call in found.lost} == {"sequences": IGNORED, "last": IGNORED}
    assert [mask is None for mask in next(call for call in found.calls if call.path == "sequences").masks_out] == [False]


# ---------------------------------------------------------------- between layers


def test_operators_and_operations_of_a_functional_model_lose_the_mask_without_a_warning():
    ids = inputs()
    x = embed()(ids)
    y = layers.Dense(F)(x)
    model = keras.Model(ids, [x + y, ops.relu(x), ops.mean(x, axis=1)])
    kinds = {call.kind: call.outcome for call in trace(model, IDS).calls}
    assert kinds == {"Embedding": MADE, "Dense": KEPT, "ops.Add": SILENT, "ops.Relu": SILENT, "ops.Mean": SILENT}


def test_a_slice_loses_the_mask_if_a_masked_step_is_in_it():
    first, last = after_embedding(lambda x: x[:, 0]), after_embedding(lambda x: x[:, -1])
    assert (trace(first, IDS).calls[-1].outcome, trace(last, IDS).calls[-1].outcome) == (VALID_STEPS, SILENT)


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_a_computation_in_custom_code(name):
    compute, expected = COMPUTATIONS[name]
    parts = {"lstm": layers.LSTM(4), "dense": layers.Dense(3), "mean": layers.GlobalAveragePooling1D()}
    assert lost(Own(compute, **parts)) == expected


def test_a_computation_whose_mask_is_given_again_is_not_a_fault():
    compute, _ = COMPUTATIONS["mask given by hand"]
    assert outcomes_of(Own(compute, lstm=layers.LSTM(4, name="lstm"))) == {
        "embedding": MADE,
        "(computation)": AGAIN,
        "lstm": CONSUMED,
    }


@pytest.mark.parametrize(
    ("supports_masking", "block", "inside", "faults"),
    [(True, KEPT, AGAIN, {}), (False, WARNED, WITHIN, {"block": WARNED})],
)
@pytest.mark.filterwarnings("ignore:Layer 'block':UserWarning")
def test_the_outcome_of_a_custom_layer_follows_from_the_calls_in_it(supports_masking, block, inside, faults):
    parts = {"dense": layers.Dense(F, name="dense"), "norm": layers.LayerNormalization(name="norm")}
    model = after_embedding(OwnLayer(residual, "block", supports_masking=supports_masking, **parts), layers.LSTM(3))
    found = outcomes_of(model)
    assert (found["block"], found["block/dense"], found["block/(computation)"]) == (block, KEPT, inside)
    assert lost(model) == faults


def test_a_block_with_a_model_in_it_is_healthy_if_it_passes_its_mask_on():
    feed = keras.Sequential([layers.Dense(4, name="widen"), layers.Dense(F, name="narrow")], name="feed")
    block = OwnLayer(
        lambda self, x: (lambda h: h + self.feed(h))(self.norm(x + 1.0)), "block", True, feed=feed, norm=layers.Activation("relu")
    )
    assert lost(after_embedding(block, layers.LSTM(2))) == {}


# ---------------------------------------------------------------- models in models


def test_nested_models_consume_a_mask_where_keras_warns_that_it_is_destroyed():
    x = keras.Input((T, F))
    model = after_embedding(keras.Model(x, layers.LSTM(3, name="lstm")(x), name="inner"))
    assert outcomes_of(model) == {"embedding": MADE, "inner": CONSUMED, "inner/lstm": CONSUMED}
    assert next(call for call in trace(model, IDS).calls if call.path == "inner").warned


def test_what_a_nested_model_loses_is_reported_at_the_layer_in_it():
    inner = keras.Sequential([keras.Input((T, F)), layers.Flatten(name="flat"), layers.Dense(2, name="dense")], name="inner")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = after_embedding(inner)
    assert outcomes_of(model) == {"embedding": MADE, "inner": WARNED, "inner/flat": WARNED, "inner/dense": NONE}
    assert lost(model) == {"inner/flat": WARNED}


def test_a_subclassed_model_that_takes_a_mask_is_given_it():
    assert outcomes_of(after_embedding(ModelWithMask())) == {"embedding": MADE, "inner": CONSUMED, "inner/lstm": CONSUMED}


def test_a_shared_layer_is_reported_for_each_call():
    dense = layers.Dense(F, name="dense")
    assert outcomes_of(after_embedding(dense, dense)) == {"embedding": MADE, "dense": KEPT, "dense#2": KEPT}


def test_the_first_step_of_time_distributed_is_reported():
    words = keras.Input((T,), dtype="int32")
    encoder = keras.Model(words, layers.LSTM(3, name="lstm")(embed()(words)), name="encoder")
    documents = keras.Input((2, T), dtype="int32")
    model = keras.Model(documents, layers.LSTM(2, name="over")(layers.TimeDistributed(encoder, name="each")(documents)))
    found = trace(model, np.stack([IDS, OTHER], axis=1))
    assert {call.path: call.outcome for call in found.calls} == {
        "each": NONE,
        "each/embedding": MADE,
        "each/lstm": CONSUMED,
        "over": NONE,
    }
    np.testing.assert_array_equal(found.calls[1].masks_out[0], IDS > 0)


def test_inputs_and_outputs_by_name():
    first, second = inputs("first"), inputs("second")
    x, y = embed("a")(first), embed("b", mask_zero=False)(second)
    model = keras.Model(
        {"first": first, "second": second}, {"x": layers.Dense(2, name="x")(x), "y": layers.Dense(2, name="y")(y)}
    )
    found = {call.path: call for call in trace(model, {"second": IDS, "first": IDS}).calls}
    assert {path: call.sources for path, call in found.items() if path in "ab"} == {
        "a": ("input: first",),
        "b": ("input: second",),
    }
    assert {path for path, call in found.items() if call.ends} == {"x", "y"}


# ---------------------------------------------------------------- two forms of a mask


def test_attention_removes_the_mask_from_its_input_and_the_graph_still_has_it():
    model = attention_then(layers.GlobalAveragePooling1D(name="mean"), layers.Dense(2, name="label"))
    calls = {call.path: call for call in trace(model, IDS).calls}
    assert (calls["attention"].unmasks, calls["add"].outcome, calls["mean"].outcome) == (True, AGAIN, CONSUMED)
    np.testing.assert_array_equal(calls["mean"].masks_got[0], IDS > 0)


def test_a_watch_of_attached_masks_alone_would_say_that_the_average_gets_none():
    model = attention_then(layers.GlobalAveragePooling1D(name="mean"))
    call = next(call for call in trace(model, IDS).calls if call.path == "mean")
    assert call.masks_in == (None,)  # what is attached; a layer after `+`, which does average padding, would look the same
    assert call.masks_got[0] is not None
    assert measured_leak(model) == 0
    assert measured_leak(after_embedding(lambda x: x + 0.0, layers.Flatten())) > 0.1


def test_a_second_attention_gets_no_mask_and_padding_leaks():
    second = layers.MultiHeadAttention(2, 3, name="second")
    model = attention_then(lambda x: second(x, x), lambda x: x[:, 0])
    assert lost(model) == {"add": SILENT}
    assert next(call for call in trace(model, IDS).calls if call.path == "second").masks_got == (None, None, None)
    assert measured_leak(model) > 0.01


def measured_leak(model):
    """How much the output changes when the embedding of padding changes."""
    before = model.predict(IDS, verbose=0)
    layer = model.get_layer("embedding")
    weights = layer.get_weights()[0]
    layer.set_weights([np.concatenate([weights[:1] + 3, weights[1:]])])
    after = model.predict(IDS, verbose=0)
    layer.set_weights([weights])
    return float(np.abs(after - before).max())


# ---------------------------------------------------------------- what it says


def test_a_warning_that_was_shown_before_is_still_reported():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = after_embedding(layers.Flatten(name="flat"))
        model(IDS)
        assert lost(model) == {"flat": WARNED}
        assert lost(model) == {"flat": WARNED}


def test_every_bad_outcome_is_explained():
    assert set(BAD) < set(outcomes.OUTCOMES)
    assert CHANGED in outcomes.OUTCOMES


def test_the_text_has_one_line_per_call_and_what_to_look_at():
    ids = inputs()
    x = embed("words")(ids)
    text = str(trace(keras.Model(ids, layers.Dense(2, name="tags")(x + 1.0)), IDS))
    lines = text.splitlines()
    assert [line.split()[1] for line in lines[:4]] == ["class", "Embedding", "ops.Add", "Dense"]
    assert lines[1].split()[2:5] == ["-", "m", "48%"]
    assert lines[-1] == f"! {lines[2].split()[0]}: {SILENT}"
    assert len({line.index(word) for line, word in zip(lines[1:4], (MADE, SILENT, NONE), strict=True)}) == 1


def test_names_are_text_in_html():
    text = trace(after_embedding(layers.Dense(2, name="<b>$x$&")), IDS)._repr_html_()
    assert "&lt;b&gt;$x$&amp;" in text
    assert "<b>" not in text


def test_the_table_has_one_row_per_call():
    frame = trace(after_embedding(layers.LSTM(3, name="lstm")), IDS).to_frame()
    assert frame.to_dict("records")[1] == {
        "path": "lstm",
        "layer": "LSTM",
        "mask in": "m",
        "mask to call": "m",
        "mask out": "-",
        "valid": pytest.approx(10 / 21),
        "shape": "(3, 3)",
        "outcome": CONSUMED,
    }


@pytest.mark.parametrize("thing", [layers.Dense(2), "model.keras", None])
def test_what_is_not_a_model_is_refused(thing):
    with pytest.raises(ArgumentError, match=r"A model must be a keras\.Model, got .* Wrap layers into one"):
        trace(thing, IDS)


# ---------------------------------------------------------------- other backends

SCRIPT = """
import json, warnings
warnings.simplefilter("ignore")
from tests.unit.mask_models import traced_everywhere
print(json.dumps(traced_everywhere()))
"""


def traced_on(backend, python=sys.executable):
    environ = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([python, "-c", SCRIPT], env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def traced_here():
    return traced_everywhere()


@pytest.mark.full
def test_jax_has_the_same_outcomes(traced_here):
    assert traced_on("jax") == traced_here


@pytest.mark.slow
def test_torch_has_the_same_outcomes(traced_here):
    environment = find_environment("keras-3.15-torch")
    if not environment.exists:
        pytest.skip("masklib env create keras-3.15-torch")
    assert traced_on("torch", str(environment.python)) == traced_here


def test_the_mask_of_a_trace_is_that_of_keras():
    model = after_embedding(layers.Dense(2, name="dense"))
    np.testing.assert_array_equal(trace(model, IDS).calls[-1].masks_out[0], keras_mask(model(IDS)))
