"""Watching a model restores it, records nothing of other threads, and keeps what the calls computed."""

import threading
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

from masklib.auditing.tracing.watch import Keep, record
from masklib.errors import ArgumentError
from tests.unit.mask_models import IDS, F, Own, T, after_embedding, embed, inputs


def variables_of(model):
    """Every number that a model holds, by path."""
    states = [state for layer in model.layers if isinstance(layer, layers.RNN) for state in layer.states or []]
    own = [*model.variables, *model.metrics_variables, *model.optimizer.variables, *states]
    return {variable.path + str(i): np.array(variable) for i, variable in enumerate(own)}


class Busy(layers.Layer):
    """Changes as much in itself as a layer can."""

    def __init__(self):
        super().__init__(name="busy")
        self.supports_masking = True
        self.seen, self.last, self.by_name = [], None, {}
        self.seeds = keras.random.SeedGenerator(3)
        self.metric = keras.metrics.Mean(name="noise")

    def build(self, shape):
        """Make a counter."""
        self.counter = self.add_weight(shape=(), initializer="zeros", trainable=False, name="counter")

    def call(self, x):
        """Count, draw, keep and complain."""
        self.counter.assign_add(1.0)
        noise = keras.random.normal(ops.shape(x), seed=self.seeds)
        self.metric.update_state(noise)
        self.seen.append(x)
        self.last, self.by_name["x"], self.new = x, x, x
        self.add_loss(ops.mean(x))
        return x + noise


@pytest.fixture
def trained():
    """A compiled model that has been trained, with everything in it that a call could change."""
    keras.utils.set_random_seed(0)
    following = (
        layers.GRU(4, return_sequences=True, stateful=True),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        Busy(),
        layers.LSTM(3, recurrent_dropout=0.2, activity_regularizer="l2"),
        layers.Dense(1),
    )
    ids = keras.Input((T,), batch_size=3, dtype="int32")
    x = embed()(ids)
    for layer in following:
        x = layer(x)
    model = keras.Model(ids, x)
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(IDS, np.ones((3, 1)), verbose=0)
    return model


def attributes_of(model):
    """What the layers hold as attributes, by layer and name; what a list or dict holds by its ids."""
    return {
        (layer.name, name): [id(value), [id(one) for one in (value.values() if isinstance(value, dict) else value)]]
        if isinstance(value, (list, dict))
        else id(value)
        for layer in model._flatten_layers()
        for name, value in vars(layer).items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_restored(trained, training):
    numbers, attributes, config = variables_of(trained), attributes_of(trained), trained.get_compile_config()
    seen = record(trained, IDS, training=training, keep=Keep.ALL)
    assert "busy" in {call.path for call in seen}
    after = variables_of(trained)
    assert numbers.keys() == after.keys()
    assert [path for path, value in numbers.items() if not np.array_equal(value, after[path])] == []
    assert {key: value for key, value in attributes_of(trained).items() if attributes.get(key) != value} == {}
    assert trained.get_compile_config() == config


def test_a_plain_call_would_change_it(trained):
    numbers, attributes = variables_of(trained), attributes_of(trained)
    trained(IDS, training=True)
    after = variables_of(trained)
    changed = {
        path.split("/")[-1].rstrip("0123456789") for path, value in numbers.items() if not np.array_equal(value, after[path])
    }
    assert {"counter", "seed_generator_state", "moving_mean", "total", "rnn_state"} <= changed
    assert attributes_of(trained) != attributes


def test_what_is_not_built_is_built_and_its_states_are_new():
    model = keras.Sequential([embed(), layers.GRU(2, stateful=True, name="gru")])
    assert [call.path for call in record(model, IDS)] == ["embedding", "gru"]
    assert model.built
    np.testing.assert_array_equal(model.layers[1].states[0], np.zeros((3, 2)))


def test_kept_arrays_are_what_the_layers_computed():
    model = after_embedding(layers.Dense(4, name="dense"), layers.LSTM(3, name="lstm"))
    embedded, dense, lstm = record(model, IDS, keep=Keep.ALL)
    np.testing.assert_array_equal(embedded.outputs[0], np.asarray(model.get_layer("embedding").embeddings)[IDS])
    np.testing.assert_array_equal(dense.inputs[0], embedded.outputs[0])
    np.testing.assert_allclose(lstm.outputs[0], model.predict(IDS, verbose=0), atol=1e-6)
    assert lstm.sources == (1,)
    assert [call.inputs for call in record(model, IDS)] == [(), (), ()]


def test_layers_are_called_with_training():
    model = after_embedding(layers.Dropout(0.5, name="dropout"))
    zeros = [np.mean(record(model, IDS, training=training, keep=Keep.ALL)[-1].outputs[0] == 0) for training in (False, True)]
    assert zeros[0] == 0
    assert 0.2 < zeros[1] < 0.8


def test_other_threads_are_not_recorded():
    other, started, stop, errors = after_embedding(layers.Dense(2, name="other")), threading.Event(), threading.Event(), []

    def call_on():
        try:
            while not stop.is_set():
                other(IDS)
                started.set()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=call_on)
    thread.start()
    try:
        assert started.wait(30)
        model = after_embedding(layers.LSTM(3, return_sequences=True, name="a"), layers.LSTM(3, name="b"))
        paths = [[call.path for call in record(model, IDS)] for _ in range(5)]
    finally:
        stop.set()
        thread.join()
    assert paths == [["embedding", "a", "b"]] * 5
    assert errors == []


def test_two_threads_can_watch_at_once():
    models = [after_embedding(*[layers.Dense(F, name=f"{name}{i}") for i in range(8)]) for name in "ab"]
    found = {}

    def watch(name, model):
        found[name] = [[call.path for call in record(model, IDS)] for _ in range(5)]

    threads = [threading.Thread(target=watch, args=one) for one in zip("ab", models, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: [["embedding", *(f"{name}{i}" for i in range(8))]] * 5 for name in "ab"}


class Broken(layers.Layer):
    """Cannot be called."""

    def __init__(self):
        super().__init__(name="broken")
        self.works = True

    def call(self, x):
        """Raise, once it is built into a model."""
        if self.works:
            return x
        msg = "out of order"
        raise RuntimeError(msg)


def test_an_error_of_the_model_is_raised_and_the_calls_of_keras_are_restored():
    before = keras.layers.Layer.__call__, keras.Operation.__call__
    layer = Broken()
    model = keras.Sequential([keras.Input((3,)), layer])
    layer.works = False
    with pytest.raises(RuntimeError, match="out of order"):
        record(model, np.ones((2, 3)))
    assert (keras.layers.Layer.__call__, keras.Operation.__call__) == before
    layer.works = True
    assert [call.path for call in record(model, np.ones((2, 3)))] == ["broken"]


class Complains(layers.Layer):
    """Warns about something other than a mask."""

    def call(self, x):
        """Warn."""
        warnings.warn("mind the gap", UserWarning, stacklevel=1)
        return x


def test_warnings_that_are_not_about_masks_are_given():
    model = Own(lambda self, ids: self.part(self.embedding(ids)), part=Complains(name="it"))
    with pytest.warns(UserWarning, match="mind the gap") as said:
        seen = record(model, IDS)
    assert [call.warned for call in seen] == [False, True]
    assert not [one for one in said if "destroy the mask" in str(one.message)]


def test_the_computation_of_masks_in_a_graph_is_not_recorded():
    model = after_embedding(layers.Dense(3, name="dense"), layers.LSTM(2, name="lstm"))
    assert "NotEqual" in {type(operation).__name__ for operation in model.operations}
    assert [call.path for call in record(model, IDS)] == ["embedding", "dense", "lstm"]


def test_an_operation_on_the_ids_themselves_is_recorded():
    ids = inputs()
    model = keras.Model(ids, layers.Dense(2, name="dense")(ops.cast(ops.not_equal(ids, 0), "float32")))
    assert [call.layer for call in record(model, IDS)] == ["NotEqual", "Cast", "Dense"]


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_computations_are_found_in_mixed_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        parts = {"position": layers.Embedding(T, F, name="position"), "lstm": layers.LSTM(3, name="lstm")}
        model = Own(lambda self, ids: self.lstm(self.embedding(ids) + self.position(ops.arange(T))), **parts)
        seen = record(model, IDS)
    finally:
        keras.config.set_dtype_policy(before)
    assert [call.path for call in seen] == ["embedding", "position", "(computation)", "lstm"]
    assert seen[2].passing == (True, True)


def test_what_is_not_a_model_is_refused():
    with pytest.raises(ArgumentError, match=r"must be a keras\.Model, got Dense"):
        record(layers.Dense(2), IDS)
