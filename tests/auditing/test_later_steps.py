"""Later steps are tested if a model is causal; a layer that looks ahead by design is not a leak."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras
import pytest
from keras import layers

from masklib.auditing.borrowing.methods import borrowed
from masklib.auditing.inputs.making import prepare
from masklib.auditing.inputs.settings import DEFAULT
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.causality import attends, looks_ahead
from masklib.auditing.invariance.changes import Change
from masklib.auditing.invariance.later_steps import on_later_steps
from masklib.auditing.invariance.outputs import OutputJudge
from masklib.auditing.invariance.results import Leak, Passed, Untested, Verdict
from masklib.auditing.invariance.subject import examine

pytestmark = pytest.mark.filterwarnings("ignore:(?s).*destroy the mask:UserWarning")


def judge(*parts: Callable[[Any], Any], causal: bool | None = None) -> tuple[list[Verdict], list[str]]:
    """Return the verdicts on later steps of layers one after another."""
    keras.utils.set_random_seed(0)
    x = keras.Input((None, 2))
    h = layers.Masking()(x)
    for part in parts:
        h = part(h)
    with borrowed(keras.Model(x, h)) as runner:
        subject = examine(runner, *prepare(runner.model, None, DEFAULT, seed=0), 0)
        alternatives = Alternatives(subject)
        return on_later_steps(OutputJudge(subject, alternatives), subject, alternatives, causal)


def attention(name: str, *, causal: bool) -> Callable[[Any], Any]:
    layer = layers.MultiHeadAttention(1, 2, name=name)
    return lambda h: layer(h, h, use_causal_mask=causal)


def backwards() -> Any:
    return layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="both")


def test_nothing_is_tested_if_neither_user_nor_layer_says_that_the_model_is_causal():
    assert judge(backwards()) == ([], [])
    assert judge(attention("causal", causal=True), causal=False) == ([], [])


def test_a_causal_layer_makes_later_steps_tested():
    (verdict,), notes = judge(attention("causal", causal=True))
    assert (type(verdict), verdict.change, notes) == (Passed, Change.LATER_STEPS, [])


def test_attention_that_looks_ahead_beside_attention_that_does_not_is_a_leak():
    (verdict,), _ = judge(attention("causal", causal=True), attention("ahead", causal=False))
    assert isinstance(verdict, Leak)
    assert verdict.layer == "ahead"


def test_a_layer_that_looks_ahead_by_design_is_no_leak_unless_the_user_says_causal():
    verdicts, notes = judge(attention("causal", causal=True), backwards())
    assert (verdicts, notes) == ([], ["'both' depends on later steps because of 'both', although another layer is causal"])
    (said,), notes = judge(backwards(), causal=True)
    assert (type(said), notes) == (Leak, [])


def test_an_output_without_steps_cannot_be_tested():
    (verdict,), _ = judge(layers.GlobalMaxPooling1D(), causal=True)
    assert isinstance(verdict, Untested)
    assert verdict.why == "no output has a time axis"


@pytest.mark.parametrize(
    ("layer", "ahead"),
    [
        (layers.Bidirectional(layers.LSTM(2)), True),
        (layers.LSTM(2, go_backwards=True), True),
        (layers.LSTM(2), False),
        (layers.Conv1D(2, 3, padding="same"), True),
        (layers.Conv1D(2, 3, padding="causal"), False),
        (layers.MultiHeadAttention(1, 2), True),
        (layers.GlobalAveragePooling1D(), True),
        (layers.Dense(2), False),
    ],
)
def test_layers_of_keras_that_look_ahead_by_design_are_known(layer: Any, ahead: bool):
    assert looks_ahead(layer) is ahead


def test_attention_layers_can_be_causal():
    assert attends(layers.MultiHeadAttention(1, 2))
    assert not attends(layers.LSTM(2))
    assert not attends(SimpleNamespace())
