"""A report says what was found, what was tested and what was not; it never says "no leak" of what it could not test."""

import json
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import masklib
from masklib.auditing.invariance.changes import Change, Quantity
from masklib.auditing.invariance.results import PaddingCheck, Passed, Untested

pytestmark = pytest.mark.filterwarnings("ignore:.*destroy the mask:UserWarning")


@pytest.fixture(scope="module")
def leaky(keras: ModuleType) -> Any:
    keras.utils.set_random_seed(0)
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.LSTM(3, return_sequences=True)(keras.layers.Embedding(20, 4, name="<b>words<b>")(ids))
    model = keras.Model(ids, keras.layers.Dense(1)(x))
    model.compile(loss="mse", optimizer="adam", metrics=["mae"], run_eagerly=True)  # a graph of TensorFlow takes no such name
    return model


@pytest.fixture(scope="module")
def report(leaky: Any) -> Any:
    return masklib.audit(leaky)


def test_a_report_can_be_had_as_a_table_and_as_json(report: Any):
    frame = report.to_frame()

    assert list(frame.columns) == ["code", "severity", "where", "title", "relative", "remedy"]
    assert set(frame["severity"]) <= {"leak", "risk", "note"}
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert [finding["code"] for finding in told["findings"]] == list(frame["code"])
    assert told["denominators"] == {"loss": "all steps"}


def test_a_notebook_shows_names_as_text(report: Any):
    html = report._repr_html_()

    assert "<b>words" not in html
    assert "&lt;b&gt;words&lt;b&gt;" in html


def test_gradients_take_one_row_however_many_weights_there_are(report: Any):
    rows = [line for line in str(report).splitlines() if line.startswith("gradients")]
    assert len(rows) == 1


def test_the_same_seed_gives_the_same_report(leaky: Any, report: Any):
    assert str(masklib.audit(leaky, seed=0)) == str(report)


def test_what_was_not_tested_is_not_called_free_of_leaks(report: Any):
    nothing = PaddingCheck(
        untested=(Untested(Change.LONGER_PADDING, Quantity.OUTPUT, "dense", "a reason"),), inputs=report.check.inputs
    )
    untested = replace(report, findings=[], check=nothing)

    assert untested.verdict == "not tested"
    assert "no leak" not in str(untested)
    assert "a reason" in str(untested)


@pytest.mark.parametrize(
    ("passed", "verdict"),
    [
        ([("batch mates", "a"), ("batch mates", "b")], "not tested"),  # of padding, nothing
        ([("no padding", "a"), ("batch mates", "b")], "not tested"),  # of one output, nothing
        ([("no padding", "a"), ("embedding row", "b")], "no leak found"),
    ],
)
def test_no_leak_is_said_only_if_padding_was_changed_for_every_output(report: Any, passed: list[tuple[str, str]], verdict: str):
    check = PaddingCheck(passed=tuple(Passed(Change(change), Quantity.OUTPUT, name, 0.0, 1e-6) for change, name in passed))
    assert replace(report, findings=[], check=check).verdict == verdict


def test_a_test_of_a_users_own_fails_with_the_findings_as_its_text(leaky: Any, keras: ModuleType):
    with pytest.raises(AssertionError, match=r"MSK201|MSK106"):
        masklib.assert_padding_invariant(leaky)
    ids = keras.Input((None,), dtype="int32")
    healthy = keras.Model(ids, keras.layers.LSTM(3)(keras.layers.Embedding(20, 4, mask_zero=True)(ids)))
    masklib.assert_padding_invariant(healthy, np.array([[3, 4, 0], [1, 2, 5]]))


def test_a_model_is_afterwards_what_it_was(leaky: Any):
    weights, settings = leaky.get_weights(), leaky.get_compile_config()
    masklib.audit(leaky)

    assert all(np.array_equal(a, b) for a, b in zip(weights, leaky.get_weights(), strict=True))
    assert leaky.get_compile_config() == settings
    assert leaky.evaluate(np.array([[1, 2, 0]]), np.zeros((1, 3, 1)), verbose=0, return_dict=True).keys() == {"loss", "mae"}


def test_a_mask_that_is_ignored_without_harm_is_a_note(keras: ModuleType):
    """With padding behind the sequence nothing changes; a user who pads in front would be hurt."""
    ids, start = keras.Input((None,), dtype="int32"), keras.Input((3,))
    x = keras.layers.Embedding(20, 4, mask_zero=True)(ids)
    states = keras.layers.LSTM(3, return_sequences=True)(x, initial_state=[start, start])
    report = masklib.audit(keras.Model([ids, start], states))

    assert report.verdict == "no leak found"
    (note,) = [finding for finding in report.findings if finding.code == "MSK103"]
    assert note.severity == "note"
    assert "in front of it" in note.evidence[0]


def test_a_residual_connection_around_attention_loses_the_mask(keras: ModuleType):
    """Two textbook blocks, each x + attention(x, x): Keras's attention takes the mask off x, so the second attends to padding."""
    keras.utils.set_random_seed(0)
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, 8, mask_zero=True)(ids)
    for _ in range(2):
        x = keras.layers.LayerNormalization()(keras.layers.Add()([x, keras.layers.MultiHeadAttention(2, 4)(x, x)]))
    model = keras.Model(ids, x)
    padded, alone = np.array([[3, 4, 5, 0, 0]]), np.array([[3, 4, 5]])

    report = masklib.audit(model)

    assert np.abs(np.asarray(model(padded))[:, :3] - np.asarray(model(alone))).max() > 1e-2
    assert [finding.code for finding in report.findings if finding.severity == "leak"] == ["MSK109"]
