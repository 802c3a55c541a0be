"""What the notebooks measure is what the model does: masks, inner outputs, losses, gradients, errors."""

import time
import warnings
from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

from masklib.errors import ArgumentError
from masklib.experiments import measure, models
from masklib.reference import losses

IDS = np.array([[3, 0, 1, 0, 0], [2, 2, 0, 4, 1], [0, 0, 0, 0, 0]])  # (B, T) = (3, 5)


@pytest.fixture
def model():
    """Ids through Embedding(mask_zero) and two recurrent layers, of which the last gives one output."""
    keras.utils.clear_session()
    first = layers.GRU(7, return_sequences=True, name="first")
    return models.draw_weights(models.embed_then(5, 2, 5, first, layers.GRU(3, name="last")), 0)


def test_look_inside_gives_each_layers_output_and_the_mask_after_it(model):
    inside = measure.look_inside(model, IDS, "first", "last")
    assert inside["first"].output.shape == (3, 5, 7)
    np.testing.assert_array_equal(inside["first"].mask, IDS != 0)
    np.testing.assert_array_equal(inside["last"].output, measure.predict(model, IDS))
    assert inside["last"].mask is None


def test_predict_with_mask_distinguishes_an_all_false_mask_from_none():
    masked, bare = (models.embed_then(5, 2, 5, mask_zero=zero) for zero in (True, False))
    np.testing.assert_array_equal(measure.predict_with_mask(masked, IDS[2:]).mask, np.zeros((1, 5), dtype=bool))
    assert measure.predict_with_mask(bare, IDS).mask is None


def test_computed_masks_are_those_of_compute_mask_as_lists():
    x, mask = np.zeros((1, 3, 2), dtype="float32"), np.array([[True, False, True]])
    assert measure.computed_masks(layers.LSTM(2), x, mask) is None
    several = layers.LSTM(2, return_sequences=True, return_state=True)
    assert measure.computed_masks(several, x, mask) == [mask.tolist(), None, None]


def test_train_step_gives_the_gradient_and_leaves_the_weights(model):
    targets = np.ones((3, 3), dtype="float32")
    before = [weight.copy() for weight in model.get_weights()]
    step = measure.train_step(model, IDS, targets, "mse", weight=-1)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)

    def loss_at(shift):
        model.set_weights([*before[:-1], before[-1] + shift])
        return np.mean((measure.predict(model, IDS).astype(float) - targets) ** 2)

    direction = np.zeros_like(before[-1])
    direction[0, 0] = 0.01
    expected = (loss_at(direction) - loss_at(-direction)) / 0.02
    np.testing.assert_allclose(step.gradient[0, 0], expected, atol=1e-4)
    assert step.loss == pytest.approx(loss_at(0 * direction), abs=1e-6)


def test_fit_loss_leaves_the_weights_and_reports_the_loss_before_them(model):
    targets = np.ones((3, 3), dtype="float32")
    before = [weight.copy() for weight in model.get_weights()]
    model.compile(loss="mse", optimizer="sgd")
    expected = np.mean((measure.predict(model, IDS) - targets) ** 2)
    assert measure.fit_loss(model, IDS, targets) == pytest.approx(expected, abs=1e-6)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_replay_makes_evaluate_see_the_given_predictions():
    predictions = np.random.default_rng(0).normal(size=(2, 3, 2))
    mask = np.array([[True, True, False], [True, False, False]])
    predictions[~mask] = 5.0
    targets = np.zeros((2, 3, 2), dtype="float32")
    replayed, ids = models.replay(predictions, mask)
    np.testing.assert_allclose(measure.predict(replayed, ids), predictions, rtol=1e-6)
    expected = losses.mean_over_valid(losses.mse(targets, predictions), mask)
    assert measure.evaluate(replayed, ids, targets, "mse")["loss"] == pytest.approx(expected, rel=1e-6)


def test_steps_report_what_evaluate_does():
    model = models.embed_then(5, 2, None, layers.Dense(1, activation="sigmoid"))
    models.draw_weights(model, 0)
    y, weights = np.array([[[0], [1], [1], [0], [1]]] * 3), np.array([[0.5], [2.0], [1.0]], dtype="float32")

    def precision():
        return {"weighted_metrics": [keras.metrics.Precision(name="precision")]}

    cut = measure.report_three_ways(model, [(IDS, y, weights), (IDS[:, 1:], y[:, 1:], weights)], "mse", 2, **precision())
    assert cut.error == ""
    for size, x, labels, found in ((3, IDS, y, cut.whole[0]), (3, IDS[:, 1:], y[:, 1:], cut.whole[1]), (2, IDS, y, cut.several)):
        expected = measure.evaluate(model, x, labels, "mse", batch_size=size, sample_weight=weights, **precision())
        assert found == pytest.approx(expected, rel=1e-6)
    assert cut.several["loss"] != cut.whole[0]["loss"]  # batches count by their samples, whatever their valid steps


def test_an_error_of_one_way_ends_the_others_and_keeps_its_name():
    model = models.embed_then(5, 2, None, layers.Dense(1))
    refused = measure.report_three_ways(model, [(IDS, np.ones((3, 4, 1)), None)], "mse", 2)
    assert (refused.whole, refused.several) == ([], {})
    assert refused.error


def test_attempt_returns_the_value_or_the_name_of_the_error():
    assert measure.attempt(float, "0.5") == (0.5, "")
    failed = measure.attempt(float, "half")
    assert np.isnan(failed.value)
    assert failed.error == "ValueError"


def test_largest_is_0_for_nothing_and_nan_for_nan():
    assert measure.largest([]) == 0.0
    assert measure.largest([1.0, -3.0]) == 3.0
    assert np.isnan(measure.largest([1.0, np.nan]))


class Machine:
    """A clock, and calls that it times: the first of each compiles, and a slow moment meets whatever is called in it."""

    def __init__(self, *, slow: tuple[float, float] = (0.0, 0.0)):
        self.now, self.slow, self.called = 0.0, slow, []

    def clock(self) -> float:
        """Return the seconds that have gone by."""
        return self.now

    def call(self, name: str, seconds: float) -> None:
        """Let so many seconds go by, and more where the machine compiles or is slow."""
        compiles = 100.0 if self.called.count(name) < 2 else 0.0
        factor = 3.0 if self.slow[0] <= self.now < self.slow[1] else 1.0
        self.called.append(name)
        self.now += compiles + factor * seconds


def check_stopwatch(stopwatch) -> None:
    """Fail unless a stopwatch calls in turn, does not count compilation, and gives the ratio in spite of a slow moment."""
    for slow in ((0.0, 0.0), (412.0, 421.0)):
        machine = Machine(slow=slow)
        calls = {"one": partial(machine.call, "one", 1.0), "two": partial(machine.call, "two", 2.0)}
        seconds = stopwatch(calls, 6, clock=machine.clock)
        assert list(seconds) == ["one", "two"]
        assert len(seconds["one"]) == len(seconds["two"]) == 6
        np.testing.assert_array_equal(np.array(seconds["two"]) / seconds["one"], 2.0)
        assert max(seconds["one"]) == (3.0 if slow[1] else 1.0), "the slow moment is there, and compilation is not"
        assert machine.called == ["one", "two"] * 8


def test_calls_are_timed_in_turn_and_compilation_is_not_counted():
    check_stopwatch(measure.time_in_turn)


def one_after_the_other(calls, rounds, *, clock):
    """A wrong stopwatch: all rounds of a call, then those of the next one."""
    return {name: measure.time_in_turn({name: call}, rounds, clock=clock)[name] for name, call in calls.items()}


def with_compilation(calls, rounds, *, clock):
    """A wrong stopwatch: the first rounds count, too."""
    return {name: all_[:rounds] for name, all_ in measure.time_in_turn(calls, rounds + 2, uncounted=0, clock=clock).items()}


def not_stopped(calls, rounds, *, clock):
    """A wrong stopwatch: it starts once a round, so that a call's time holds that of the calls before it."""
    seconds = {name: [] for name in calls}
    for _ in range(rounds + 2):
        start = clock()
        for name, call in calls.items():
            call()
            seconds[name].append(clock() - start)
    return {name: np.array(values[2:]) for name, values in seconds.items()}


@pytest.mark.parametrize("wrong", [one_after_the_other, with_compilation, not_stopped])
def test_a_wrong_stopwatch_is_noticed(wrong):
    with pytest.raises(AssertionError):
        check_stopwatch(wrong)


def test_as_many_rounds_are_left_out_as_are_asked_for():
    machine = Machine()
    seconds = measure.time_in_turn({"one": lambda: machine.call("one", 1.0)}, 2, uncounted=1, clock=machine.clock)
    assert seconds["one"].tolist() == [101.0, 1.0]


def test_without_a_clock_seconds_of_this_machine_are_given():
    seconds = measure.time_in_turn({"sleep": lambda: time.sleep(0.01)}, 3)["sleep"]
    assert ((seconds >= 0.01) & (seconds < 10)).all()


MASKED = np.array([[[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]]], dtype="float32")


@pytest.mark.parametrize(
    ("block", "mask", "said"),
    [
        (keras.layers.Dense(2), [[True, False, True]], "nothing"),
        (keras.layers.Conv1D(2, 2), None, "warning"),
        (lambda x: x + x, None, "nothing"),
        (keras.layers.Reshape((5, 5)), None, "ValueError"),
    ],
)
def test_pass_mask_says_what_became_of_a_mask_and_whether_the_user_was_warned(block, mask, said):
    passage = measure.pass_mask(block, MASKED)
    assert passage.said == said
    assert (passage.mask is None) if mask is None else passage.mask.tolist() == mask


def test_distance_is_infinite_between_different_shapes():
    assert measure.distance(keras.ops.ones((2, 1)), np.ones((2, 2))) == np.inf
    assert measure.distance(keras.ops.ones((2, 2)), np.zeros((2, 2))) == 1.0


def test_a_notebook_on_another_backend_than_it_asks_for_is_refused():
    measure.start_keras(0, keras.backend.backend())
    with pytest.raises(ArgumentError, match=r"must run on theano, it is on .*KERAS_BACKEND=theano"):
        measure.start_keras(0, "theano")


def test_only_warnings_about_masks_count():
    with measure.warned() as said:
        warnings.warn("something else", stacklevel=1)
        warnings.warn("it will destroy the mask information", stacklevel=1)
    assert measure.about_masks(said) == 1
