"""A report says what was found, what was tested and what was not; it never says "no leak" about what it could not test."""

import io
import json
import re
import warnings
from dataclasses import replace
from importlib.metadata import version
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import masklib
from masklib.auditing.invariance.changes import Change, Quantity
from masklib.auditing.invariance.results import PaddingCheck, Passed, Untested
from masklib.auditing.report.page import fragment
from masklib.auditing.report.text import as_text, show
from masklib.errors import ArgumentError

pytestmark = [pytest.mark.filterwarnings("ignore:.*destroy the mask:UserWarning"), pytest.mark.usefixtures("eagerly")]


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


def test_a_report_is_available_as_a_table_and_as_json(report: Any):
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
    nothing = PaddingCheck(untested=(Untested("longer padding", "output", "dense", "a reason"),), inputs=report.check.inputs)
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
    assert replace(report, findings=[], check=check, parts=()).verdict == verdict


def test_a_test_of_a_users_own_fails_with_the_findings_as_its_text(leaky: Any, keras: ModuleType):
    with pytest.raises(AssertionError, match=r"MSK201|MSK106"):
        masklib.assert_padding_invariant(leaky)
    ids = keras.Input((None,), dtype="int32")
    healthy = keras.Model(ids, keras.layers.LSTM(3)(keras.layers.Embedding(20, 4, mask_zero=True)(ids)))
    masklib.assert_padding_invariant(healthy, np.array([[3, 4, 0], [1, 2, 5]]))


def test_an_audited_model_is_restored(leaky: Any):
    weights, settings = leaky.get_weights(), leaky.get_compile_config()
    masklib.audit(leaky)

    assert all(np.array_equal(a, b) for a, b in zip(weights, leaky.get_weights(), strict=True))
    assert leaky.get_compile_config() == settings
    assert leaky.evaluate(np.array([[1, 2, 0]]), np.zeros((1, 3, 1)), verbose=0, return_dict=True).keys() == {"loss", "mae"}


def test_a_mask_that_is_ignored_without_harm_is_a_note(keras: ModuleType):
    """With padding after the sequence nothing changes; padding before it would change the output."""
    ids, start = keras.Input((None,), dtype="int32"), keras.Input((3,))
    x = keras.layers.Embedding(20, 4, mask_zero=True)(ids)
    states = keras.layers.LSTM(3, return_sequences=True)(x, initial_state=[start, start])
    report = masklib.audit(keras.Model([ids, start], states))

    assert report.verdict == "no leak found"
    (note,) = [finding for finding in report.findings if finding.code == "MSK103"]
    assert note.severity == "note"
    assert "before it" in note.evidence[0]


def test_a_residual_connection_around_attention_loses_the_mask(keras: ModuleType):
    """Two blocks, each x + attention(x, x): Keras's attention removes the mask from x, so the second block attends to padding."""
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


def tagger(keras: ModuleType, **settings: Any) -> Any:
    """A healthy tagger, compiled so."""
    keras.utils.set_random_seed(0)
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.LSTM(8, return_sequences=True)(keras.layers.Embedding(30, 8, mask_zero=True)(ids))
    model = keras.Model(ids, keras.layers.Dense(5, activation="softmax", name="tags")(x), name="tagger")
    if settings:
        model.compile("adam", **settings)
    return model


IDS = np.array([[1, 2, 3, 4], [5, 6, 0, 0], [7, 0, 0, 0]])


def own_loss(y_true: Any, y_pred: Any) -> Any:
    """It takes a class number and a weight for each step, so made targets do not fit."""
    import keras

    both = keras.ops.reshape(y_true, (*keras.ops.shape(y_pred)[:2], 2))
    return keras.losses.sparse_categorical_crossentropy(both[..., 0], y_pred) * keras.ops.cast(both[..., 1], "float32")


def test_a_loss_that_could_not_be_tested_is_named_and_changes_the_verdict(keras: ModuleType):
    model = tagger(keras, loss=own_loss, metrics=[own_loss])
    report = masklib.audit(model, IDS)

    assert report.verdict == "not tested"
    assert report.exit_status() == 2
    assert report.headline.startswith(
        "tagger: no leak found in the outputs and gradients; loss and metrics not tested: the loss cannot be computed"
    )
    assert "y in the file of --inputs" in str(report).replace("\n  ", " ")
    with pytest.raises(AssertionError, match=r"loss and metrics not\s+tested"):
        masklib.assert_padding_invariant(model, IDS)
    with pytest.raises(AssertionError, match=r"loss and metrics not\s+tested"):
        masklib.assert_padding_invariant(model, IDS, allow_untested=["loss"])
    masklib.assert_padding_invariant(model, IDS, allow_untested="loss,metrics")
    assert masklib.audit(model, IDS, np.stack([IDS % 5, IDS > 0], axis=-1)).gaps == []


def test_what_may_be_untested_is_one_of_three(keras: ModuleType):
    with pytest.raises(ArgumentError, match=r"allow_untested must be one of 'loss', 'metrics', 'gradients'"):
        masklib.audit(tagger(keras), IDS, allow_untested=["outputs"])


def test_a_model_that_is_not_compiled_is_judged_by_outputs_and_gradients(keras: ModuleType):
    report = masklib.audit(tagger(keras), IDS)

    assert report.verdict == "no leak found"
    assert report.headline == "tagger: no leak found"
    assert report.parts == ("gradients",)


def constant(y_true: Any, y_pred: Any) -> Any:
    """A metric that uses neither targets nor predictions."""
    import keras

    return keras.ops.ones_like(y_true, dtype="float32")


def never(y_true: Any, y_pred: Any) -> Any:
    """A metric that is 0 for all predictions."""
    import keras

    return keras.ops.zeros_like(y_true, dtype="float32")


@pytest.mark.parametrize(
    ("metric", "why"), [(constant, "it is the same for all predictions that were tried"), (never, "it is 0 in every situation")]
)
def test_a_metric_that_could_not_differ_is_not_tested(keras: ModuleType, metric: Any, why: str):
    model = tagger(keras, loss="sparse_categorical_crossentropy", metrics=["accuracy", metric])
    report = masklib.audit(model, IDS, IDS % 5)

    assert report.verdict == "not tested"
    assert [(gap.part, gap.of, gap.why) for gap in report.gaps] == [("metrics", (metric.__name__,), why)]


def test_an_accuracy_of_0_is_tested_with_other_predictions(keras: ModuleType):
    """Before training it often is 0; whether it counts padding does not depend on the predictions."""
    model = tagger(keras, loss="sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["accuracy"])
    right = np.asarray(model(IDS)).argmax(-1)
    wrong = np.where(IDS > 0, (right + 1) % 5, 0)
    assert model.evaluate(IDS, wrong, verbose=0, return_dict=True)["accuracy"] == 0
    report = masklib.audit(model, IDS, wrong)

    assert report.verdict == "no leak found"
    classifier = keras.Sequential([*model.layers[:-2], keras.layers.LSTM(3), keras.layers.Dense(5, activation="softmax")])
    classifier.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    wrong = (np.asarray(classifier(IDS)).argmax(-1) + 1) % 5
    assert masklib.audit(classifier, IDS, wrong).verdict == "no leak found"


def test_a_metric_that_is_never_updated_is_not_tested(keras: ModuleType):
    class Own(keras.Model):
        """It has a metric that only its own step would update."""

        def __init__(self) -> None:
            super().__init__()
            self.seen = keras.metrics.Mean(name="seen")
            self.embedding = keras.layers.Embedding(30, 8, mask_zero=True)
            self.lstm = keras.layers.LSTM(1)

        def call(self, ids: Any) -> Any:
            return self.lstm(self.embedding(ids))

    model = Own()
    model.compile("adam", "mse")
    report = masklib.audit(model, IDS, np.ones((3, 1)))

    assert [(gap.part, gap.of) for gap in report.gaps] == [("metrics", ("seen",))]


def test_only_outputs_are_tested_quickly_and_it_is_said(keras: ModuleType):
    report = masklib.audit(tagger(keras, loss="sparse_categorical_crossentropy", metrics=["accuracy"]), IDS, quick=True)

    assert report.verdict == "no leak found"
    assert report.headline == (
        "tagger: no leak found in the outputs; loss, metrics and gradients not tested: quick: only the outputs were tested"
    )
    assert {one.change for one in report.check.passed} == {"longer padding", "no padding"}


def test_a_risk_does_not_hide_what_was_not_tested(report: Any):
    risk = replace(report.findings[0], severity="risk")
    assert replace(report, findings=[risk], check=PaddingCheck()).exit_status() == 2
    assert replace(report, findings=[risk], parts=()).exit_status() == 0
    assert replace(report, findings=[risk], check=PaddingCheck()).exit_status("risk") == 1
    assert report.exit_status() == 1
    assert report.exit_status("never") == 0


def test_the_audit_of_a_healthy_model_does_not_warn(keras: ModuleType):
    """As under `pytest -W error`, without filters."""
    model = tagger(keras, loss="sparse_categorical_crossentropy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masklib.assert_padding_invariant(model, IDS, IDS % 5)


def test_the_failure_of_a_users_test_shows_the_report_and_not_our_frames(leaky: Any):
    with pytest.raises(AssertionError) as caught:
        masklib.assert_padding_invariant(leaky)

    last = caught.traceback.filter(caught)[-1]
    assert last.path.name == "test_report.py"
    assert caught.value.args[0].splitlines()[0].startswith(f"{leaky.name}: ")
    assert all(len(line) <= 96 for line in caught.value.args[0].splitlines())


def test_a_report_says_the_conditions_of_the_audit(report: Any):
    told = str(report.heading)

    assert f"masklib {version('masklib')}" in told
    assert "seed 0" in told
    assert "batch of 5 samples x 9 steps, made" in told
    assert re.search(r"\d{4}-\d\d-\d\d", told)
    assert told in str(report).replace("\n", " ")
    json_form = report.to_dict()
    assert json_form["schema"] == 1
    assert {"masklib", "keras", "backend", "seed", "date", "samples", "steps", "inputs", "not_tested"} <= set(json_form)


@pytest.mark.parametrize("columns", [60, 100, 160])
def test_no_line_is_wider_than_it_may_be_and_further_lines_hang(report: Any, columns: int):
    lines = as_text(report, columns).splitlines()

    code = {line.strip() for finding in report.findings for line in finding.fix.splitlines()}
    assert max(len(line) for line in lines if line.strip() not in code) <= columns
    at = next(i for i, line in enumerate(lines) if line.startswith("      do:  "))
    assert columns > 100 or lines[at + 1].startswith(" " * 11)
    assert not any(line != line.rstrip() for line in lines)


def test_the_words_of_the_table_are_explained(report: Any):
    for columns in (60, 160):
        told = " ".join(as_text(report, columns).split())
        for words in ("batch mates other samples in the batch", "embedding row another embedding vector for the id of padding"):
            assert words in told
    assert re.search(r"^  -  .*does not apply", as_text(report, 160), re.MULTILINE)
    assert "does not apply" in report._repr_html_()


def test_a_name_cannot_control_a_terminal(report: Any):
    """Escape sequences, line breaks and marks that reverse a text are shown as text, in HTML too."""
    name = "evil\x1b]0;owned\x07\n\u202eno leak found"
    finding = replace(report.findings[0], evidence=(name,))
    hostile = replace(report, model=name, findings=[finding], heading=replace(report.heading, source=name))
    for told in (str(hostile), hostile._repr_html_()):
        assert not re.search("[\x1b\x07\u202e]", told)
        assert "evil\\x1b]0;owned\\x07\\n\\u202eno leak found" in told


def test_a_terminal_gets_colours_and_links_and_nothing_else_does(report: Any):
    code = report.findings[0].code
    with_colour, without = io.StringIO(), io.StringIO()
    links = {code: "file:///site/audit.html#here"}
    show(report, Console(file=with_colour, force_terminal=True, color_system="standard", width=100), links)
    show(report, Console(file=without, width=100), links)

    assert "\x1b]8;" in with_colour.getvalue()
    assert "file:///site/audit.html#here" in with_colour.getvalue()
    assert without.getvalue() == as_text(report, 100) + "\n"


def test_a_page_links_a_code_only_where_there_is_an_address(report: Any):
    code = report.findings[0].code
    assert f'<a href="site/audit.html#x"><code>{code}</code></a>' in fragment(report, links={code: "site/audit.html#x"})
    assert "<a " not in fragment(report)


def test_the_stages_are_reported(leaky: Any):
    said: list[str] = []
    masklib.audit(leaky, on_stage=said.append)
    assert said == ["the inputs", "the outputs", "the loss and the metrics", "the gradients", "the statistics", "the causes"]


def test_a_keras_on_which_masklib_is_not_tested_is_named(report: Any):
    assert replace(report.heading, keras="3.15.9").caution == ""
    assert str(replace(report.heading, keras="3.5.0")).endswith("; masklib is tested on Keras 3.15, not on this one")
