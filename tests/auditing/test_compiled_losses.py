"""The compiled loss and metrics: the values are those of Keras, and it is found whether they count padding."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from masklib.auditing.borrowing.methods import borrowed
from masklib.auditing.inputs.arranging import by_output
from masklib.auditing.inputs.making import prepare
from masklib.auditing.inputs.settings import DEFAULT
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.changes import Change, Entry, Quantity
from masklib.auditing.invariance.check import _chosen, check_padding
from masklib.auditing.invariance.compiled_losses import Losses
from masklib.auditing.invariance.loss_inputs import LossInputs
from masklib.auditing.invariance.loss_tries import LossTries, Whole, measured
from masklib.auditing.invariance.loss_values import LossValues
from masklib.auditing.invariance.packing import Packing, Teaching
from masklib.auditing.invariance.reports import Reports
from masklib.auditing.invariance.subject import Subject, examine
from masklib.errors import ArgumentError
from masklib.losses import MaskedMeanSquaredError

pytestmark = pytest.mark.filterwarnings("ignore:(?s).*destroy the mask:UserWarning")
INPUTS = np.array([[3, 1, 2, 0], [4, 0, 0, 0], [1, 2, 3, 4]])
TARGETS = np.random.default_rng(0).normal(size=(3, 4, 1))


def tagger(loss: Any = "mse", **options: Any) -> Any:
    """From ids to one number per step; eager, because compiling takes longer than the test."""
    keras.utils.set_random_seed(0)
    x = keras.Input((None,), dtype="int32")
    e = layers.Embedding(9, 3, mask_zero=True)(x)
    model = keras.Model(x, layers.Dense(1, name="score")(e))
    model.compile("sgd", loss, run_eagerly=True, **options)
    return model


def penalized() -> Any:
    """A tagger with an activity regularizer."""
    keras.utils.set_random_seed(0)
    x = keras.Input((None,), dtype="int32")
    e = layers.Embedding(9, 3, mask_zero=True)(x)
    model = keras.Model(x, layers.Dense(1, name="score", activity_regularizer=keras.regularizers.L2(0.1))(e))
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def subject_of(model: Any, inputs: Any = INPUTS) -> Iterator[Subject]:
    """Yield a model under test."""
    with borrowed(model) as runner:
        yield examine(runner, *prepare(model, inputs, DEFAULT, seed=0), 0)


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    yield from subject_of(request.param())


def values_of(subject: Subject, teaching: Teaching) -> tuple[LossValues, Whole]:
    """Return what computes the loss, and the values for the batch as given."""
    packing = Packing(subject, teaching)
    values = LossValues(packing)
    return values, measured(LossInputs(packing, values.takes).predictions(), values, Reports(packing))


@pytest.mark.parametrize("subject", [lambda: tagger(metrics=["mae"], weighted_metrics=["mse"])], indirect=True)
@pytest.mark.parametrize("weight", [None, np.array([[1.0, 2.0, 3.0, 0.0]] * 3)])
def test_the_loss_and_the_metrics_are_those_of_evaluate(subject: Subject, weight: Any):
    _, whole = values_of(subject, Teaching(TARGETS, weight))
    expected = subject.model.test_on_batch(INPUTS, TARGETS, weight, return_dict=True)

    assert whole.loss == pytest.approx(float(expected["loss"]))
    assert whole.metrics["mae"] == pytest.approx(float(expected["mae"]))
    assert set(whole.metrics) == {"mae", "mse"}


@pytest.mark.parametrize("subject", [penalized], indirect=True)
def test_what_layers_add_is_in_the_loss_of_the_model_once(subject: Subject):
    values, whole = values_of(subject, Teaching(TARGETS))
    situation = Alternatives(subject).longer[0]
    (tried,) = LossTries(values, Reports(Packing(subject, Teaching(TARGETS))), subject, whole).in_model([situation])
    expected = float(subject.model.test_on_batch(INPUTS, TARGETS, return_dict=True)["loss"])

    assert values.adds_penalties
    assert values.penalty(None) > 1e-4
    assert tried.first == pytest.approx(expected)
    assert tried.second == pytest.approx(whole.loss + values.penalty(situation), rel=1e-4)


def test_targets_whose_padding_makes_the_loss_nan_are_a_leak():
    targets = np.where((INPUTS != 0)[..., None], TARGETS, np.nan)
    found = check_padding(tagger(loss=lambda y, p: keras.ops.mean((y - p) ** 2, axis=-1)), INPUTS, targets)
    (leak,) = [one for one in found.leaks if one.kind is Quantity.LOSS]

    assert (leak.change, leak.size, leak.alone) == (Change.PADDED_CONTENT, float("inf"), True)


def test_weights_are_cut_to_the_samples_that_are_tested():
    inputs = np.resize(INPUTS, (40, 4))
    targets, weight = np.resize(TARGETS, (40, 4, 1)), np.linspace(0.1, 4.0, 160).reshape(40, 4)
    check = check_padding(tagger(), inputs, targets, sample_weight=weight)

    assert "32 samples are tested, spread over the inputs" in check.notes
    assert {one.kind for one in check.passed} >= {Quantity.LOSS}
    rows = {tuple(row) for row in inputs.tolist()}
    assert check.inputs.shape == (32, 4)
    assert {tuple(row) for row in check.inputs.tolist()} == rows  # the most padded and the fullest among them


def test_a_loss_is_silent_if_padding_does_not_count_in_it_by_itself():
    for loss, is_silent in (("mse", True), (lambda y, p: keras.ops.mean((y - p) ** 2), False)):
        model = tagger(loss=loss)
        with borrowed(model) as runner:
            subject = examine(runner, *prepare(model, INPUTS, DEFAULT, seed=0), 0)
            assert Losses(subject, Alternatives(subject), Teaching(TARGETS)).is_silent is is_silent


def test_the_count_by_which_a_loss_divides_is_found_with_the_padding_of_its_targets():
    targets = np.where((INPUTS != 0)[..., None], TARGETS, 0.0)

    def over_all(y: Any, p: Any) -> Any:
        return keras.ops.mean(keras.ops.where(y == 0.0, 0.0, (y - p) ** 2))

    assert check_padding(tagger(loss=MaskedMeanSquaredError(mask_value=0.0)), INPUTS, targets).denominators == {
        "loss": "valid steps"
    }
    check = check_padding(tagger(loss=over_all), INPUTS, targets)
    (leak,) = {one.of: one for one in check.leaks if one.kind is Quantity.LOSS}.values()

    assert (leak.entry, leak.change) == (Entry.DIVISOR, Change.LONGER_PADDING)
    assert check.denominators == {"loss": "all steps"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": np.ones(3), "c": np.ones(3)}, r"targets must have the outputs' names \['a', 'b'\], got \['a', 'c'\]"),
        (np.ones(3), r"one array for each of the outputs \['a', 'b'\], got 1"),
        ([np.ones(3), np.ones(2)], r"'b' must have 3 samples, as the inputs have, got shape \(2,\)"),
    ],
)
def test_targets_that_do_not_fit_are_refused(given: Any, message: str):
    with pytest.raises(ArgumentError, match=message):
        by_output("targets", given, ["a", "b"], [np.ones((3, 2))] * 2, ["a", "b"])


def test_targets_in_a_dict_come_in_the_order_of_the_outputs():
    found = by_output("targets", {"a": np.zeros(3), "b": np.ones(3)}, ["b", "a"], [np.ones((3, 2))] * 2, ["a", "b"])
    assert [one.tolist() for one in found if one is not None] == [[1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("subject", [penalized], indirect=True)
def test_the_loss_is_without_what_layers_added_when_they_were_last_called(subject: Subject):
    packing = Packing(subject, Teaching(TARGETS))
    values = LossValues(packing)
    base = LossInputs(packing, values.takes).predictions()
    before = values.loss(base)

    assert values.penalty(None) > 1e-4  # layers hold it now
    assert values.loss(base) == pytest.approx(before)


def test_the_loss_is_that_of_the_samples_that_are_tested():
    targets = {"a": np.arange(6), "b": [np.arange(6) * 10, None]}
    found = _chosen(targets, np.array([1, 5]))

    assert found["a"].tolist() == [1, 5]
    assert (found["b"][0].tolist(), found["b"][1]) == ([10, 50], None)
    assert _chosen(targets, None) is targets
