"""A model is called again and again, always from the same state, and everything that a call or a test changes is restored."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.methods import borrowed
from masklib.auditing.borrowing.running import CallError, explained, is_stateful, patched, with_values
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.borrowing.unchanged import unchanged

IDS = np.array([[3, 1, 2, 0], [4, 0, 0, 0], [1, 2, 3, 4]])


def normalized() -> Any:
    """A model of numbers, with BatchNormalization and with Dropout."""
    keras.utils.set_random_seed(0)
    x = keras.Input((4,), name="x")
    model = keras.Model(x, layers.Dense(2)(layers.Dropout(0.5)(layers.BatchNormalization()(x))))
    model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    return model


def test_a_structure_is_flattened_and_built_again():
    structure = {"b": [np.zeros(1), np.ones(1)], "a": (np.full(1, 2.0),)}
    names, arrays, pack = flatten(structure)

    assert names == ["a_0", "b_0", "b_1"]
    assert pack(arrays) == structure
    assert flatten(np.ones(2))[0] == ["inputs"]


def test_states_begin_the_same_in_each_call():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4, 1), batch_size=3), layers.LSTM(2, stateful=True)])
    inputs = IDS[..., None].astype("float32")
    model(inputs)
    kept = [np.array(state) for state in model.layers[0].states]
    with borrowed(model) as runner:
        first, second = runner.outputs(inputs), runner.outputs(inputs)

        assert np.array_equal(first.arrays[0], second.arrays[0])
        assert is_stateful(model.layers[0])
    assert all(np.array_equal(np.array(now), before) for now, before in zip(model.layers[0].states, kept, strict=True))


def test_outputs_of_one_name_get_different_ones():
    x = keras.Input((4,))
    with borrowed(keras.Model(x, {"b": x * 2, "a": x * 3})) as runner:
        found = runner.outputs(IDS.astype("float32"))
    assert found.names == ["a", "b"]
    assert np.array_equal(found.arrays[0], IDS * 3)
    assert set(found.pack(["first", "second"]).items()) == {("a", "first"), ("b", "second")}


def test_masks_come_with_the_outputs():
    x = keras.Input((None,), dtype="int32")
    with borrowed(keras.Model(x, [layers.Embedding(9, 2, mask_zero=True)(x), x])) as runner:
        masks = runner.outputs(IDS).masks
    assert np.array_equal(masks[0], IDS != 0)
    assert masks[1] is None


def test_weights_are_restored_also_after_an_error():
    model = normalized()
    before = model.get_weights()

    def spoil() -> None:
        with borrowed(model), with_values(model, {0: np.full(4, 5.0)}):
            assert (np.array(model.weights[0]) == 5.0).all()
            model.layers[-1].kernel.assign(np.zeros((4, 2)))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        spoil()
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_what_a_call_in_training_changes_is_restored():
    model = normalized()
    before = [np.array(variable) for variable in model.non_trainable_variables]
    with borrowed(model) as runner:
        after = runner.states_after_training(IDS.astype("float32"))
        with runner.other_seeds():
            pass
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(np.array_equal(a, np.array(b)) for a, b in zip(before, model.non_trainable_variables, strict=True))


def test_attributes_and_lists_of_layers_are_restored():
    layer = layers.Dense(2)
    layer.build((None, 3))
    layer.own, layer.several, layer.table = 1, [1, 2], {"a": 1}
    with unchanged(keras.Sequential([layer])):
        layer.own, layer.new = 2, 3
        layer.several.append(3)
        layer.table["b"] = 2
    assert (layer.own, list(layer.several), dict(layer.table), hasattr(layer, "new")) == (1, [1, 2], {"a": 1}, False)


def test_a_patched_layer_gets_its_own_call_back():
    layer = layers.Dense(2)
    with patched([layer], lambda one, call: lambda *args, **kwargs: "changed"):
        assert layer.call(None) == "changed"
    assert "call" not in vars(layer)


def test_the_first_line_of_a_backend_error_is_the_message():
    def fail() -> None:
        msg = "Exception encountered when calling Dense.call().\n\n\x1b[1mbad shape\x1b[0m\nArguments: ..."
        with explained():
            raise ValueError(msg)

    with pytest.raises(CallError, match=r"^bad shape$"):
        fail()


def test_the_loss_of_an_output_is_found_however_it_was_given():
    def of(loss: Any, n_outputs: int = 2) -> Any:
        class Model:
            pass

        model: Any = Model()
        model.loss = loss
        return compiled.loss_of(model, 1, "b", n_outputs)

    assert of("mse") == "mse"
    assert of(["mse", "mae"]) == "mae"
    assert of({"a": "mse", "b": "mae"}) == "mae"
    assert of({"a": "mse"}) is None


def test_compiled_metrics_are_restored():
    model = normalized()
    inputs, targets = IDS.astype("float32"), np.zeros((3, 2))
    model.train_on_batch(inputs, targets)
    before = [np.array(variable) for variable in model.metrics_variables]
    with compiled.compiled_as_before(model):
        compiled.reset_metrics(model)
        model.compute_metrics(None, targets, model(inputs), None)
    assert all(np.array_equal(a, np.array(b)) for a, b in zip(before, model.metrics_variables, strict=True))


def test_a_metric_of_several_numbers_gives_one_name_for_each():
    found = compiled.numbers({"a": np.array([1.0, 2.0]), "b": 3.0})
    assert found == {"a[0]": 1.0, "a[1]": 2.0, "b": 3.0}
