"""A model is called by the methods that its user calls, and is restored afterwards."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from masklib.auditing.borrowing.compiled import compiled_as_before
from masklib.auditing.borrowing.methods import BorrowedModel, Data, borrowed
from masklib.auditing.borrowing.running import CallError

IDS = np.array([[3, 5, 2, 7, 4, 6], [4, 2, 0, 0, 0, 0], [6, 3, 5, 0, 0, 0]])
TARGETS = (IDS % 4)[..., None].astype("float64")


class OwnSteps(keras.Model):  # type: ignore[misc]
    """A model whose `test_step` and `train_step` report what Keras would not."""

    def test_step(self, data: Any) -> Any:
        """Report the sum of the outputs."""
        return {"own": ops.sum(self(data[0]))}

    def train_step(self, data: Any) -> Any:
        """Descend twice the sum of the outputs."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = 2.0 * ops.sum(self(data[0]))
        self.optimizer.apply_gradients(zip(tape.gradient(loss, self.trainable_variables), self.trainable_variables, strict=True))
        return {"own": loss}


def build(kind: type[keras.Model] = keras.Model, **options: Any) -> Any:
    """A tagger with an LSTM."""
    keras.utils.set_random_seed(0)
    ids = keras.Input((None,), dtype="int32")
    hidden = layers.LSTM(4, return_sequences=True)(layers.Embedding(9, 4, mask_zero=True)(ids))
    model = kind(ids, layers.Dense(1)(hidden))
    model.compile(**{"optimizer": "adam", "loss": "mse", "metrics": ["mae"], **options})
    return model


def borrow(model: Any, use: Any) -> Any:
    """What `use` returns for a model while it is borrowed."""
    with borrowed(model) as runner, compiled_as_before(model):
        return use(runner)


@pytest.fixture(scope="module")
def model() -> Any:
    return build()


def test_predict_and_evaluate_are_those_of_the_user(model: Any):
    data = Data(IDS, TARGETS)
    predicted, reported = borrow(model, lambda one: (one.predict(IDS), one.evaluate(data)))
    np.testing.assert_array_equal(predicted[0], model.predict(IDS, verbose=0))
    assert reported == pytest.approx(model.evaluate(IDS, TARGETS, verbose=0, return_dict=True), rel=1e-6)


def test_batches_may_have_different_lengths(model: Any):
    batches = [Data(IDS[:1], TARGETS[:1]), Data(IDS[1:, :3], TARGETS[1:, :3])]
    reported = borrow(model, lambda one: one.evaluate(*batches))
    expected = model.evaluate(((one.x, one.y) for one in batches), steps=2, verbose=0, return_dict=True)
    assert reported == pytest.approx(expected, rel=1e-6)


def test_the_gradients_of_fit_are_those_by_which_plain_descent_moves_the_weights(model: Any):
    step = borrow(model, lambda one: one.fit(Data(IDS, TARGETS)))
    trained = build(optimizer=keras.optimizers.SGD(1.0))
    before = trained.get_weights()
    history = trained.fit(IDS, TARGETS, batch_size=3, verbose=0).history
    for gradient, first, second in zip(step.gradients, before, trained.get_weights(), strict=True):
        np.testing.assert_allclose(first - gradient, second, atol=1e-6)
    assert any(np.abs(gradient).max() > 1e-3 for gradient in step.gradients)
    assert step.reported == pytest.approx({name: values[0] for name, values in history.items()}, rel=1e-5)


def test_the_models_own_steps_are_run():
    model = build(OwnSteps, metrics=None)
    reported, step = borrow(model, lambda one: (one.evaluate(Data(IDS, TARGETS)), one.fit(Data(IDS, TARGETS))))
    total = float(model.predict(IDS, verbose=0).sum())
    assert reported == pytest.approx({"own": total}, rel=1e-5)
    assert step.reported == pytest.approx({"own": 2 * total}, rel=1e-5)
    assert step.gradients[-1] == pytest.approx(np.array([2.0 * IDS.size]), rel=1e-5)


@pytest.mark.parametrize("is_used", [False, True], ids=["fresh", "used before"])
def test_the_model_is_restored(is_used: bool):
    model = build()
    if is_used:
        model.fit(IDS, TARGETS, verbose=0)
    weights, optimizer, functions = model.get_weights(), model.optimizer, [model.train_function, model.predict_function]
    states = [np.array(one.value) for one in (*optimizer.variables, *model.metrics_variables)]

    def use(one: BorrowedModel) -> None:
        one.predict(IDS)
        one.evaluate(Data(IDS, TARGETS))
        one.fit(Data(IDS, TARGETS))

    borrow(model, use)
    assert model.optimizer is optimizer
    assert [model.train_function, model.predict_function] == functions
    for first, second in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    after = [np.array(one.value) for one in (*optimizer.variables, *model.metrics_variables)]
    assert len(after) == len(states)
    for first, second in zip(states, after, strict=True):
        np.testing.assert_array_equal(first, second)


def test_what_the_model_does_not_take_raises_one_kind_of_error(model: Any):
    with pytest.raises(CallError, match=r"\w"):
        borrow(model, lambda one: one.predict(np.zeros((2, 3, 4))))
    with pytest.raises(CallError, match=r"\w"):
        borrow(model, lambda one: one.evaluate(Data(IDS, np.zeros((3, 5, 7)))))


def test_an_uncompiled_model_predicts():
    ids = keras.Input((None,), dtype="int32")
    plain = keras.Model(ids, layers.Embedding(9, 2)(ids))
    np.testing.assert_array_equal(borrow(plain, lambda one: one.predict(IDS))[0], plain.predict(IDS, verbose=0))
