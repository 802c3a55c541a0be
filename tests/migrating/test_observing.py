"""What one Keras computes with a model, and how its weights and masks are read; here with the Keras of this Python."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from masklib.errors import ArgumentError

IDS = np.array([[3, 1, 4, 0], [2, 7, 0, 0]], dtype="int32")
TAGS = np.array([[1, 0, 2, 0], [2, 2, 0, 0]], dtype="int32")


def tagger(keras: ModuleType) -> Any:
    """A model that hands its mask on to the loss."""
    layers = keras.layers
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(9, 4, mask_zero=True, name="tokens")(ids)
    x = layers.Dropout(0.5, name="drop")(layers.GRU(3, return_sequences=True, name="gru")(x))
    model = keras.Model(ids, layers.Dense(3, activation="softmax", name="tags")(x))
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_an_observation_has_outputs_reported_numbers_and_masks(keras: ModuleType):
    from masklib.migrating.observing import observe

    model = tagger(keras)
    found = observe(model, IDS, TAGS)
    assert found.failed == {}
    np.testing.assert_allclose(found.arrays["outputs/tags"], model.predict(IDS, verbose=0), rtol=1e-6)
    assert {name for name in found.arrays if name.startswith("reported/")} == {"reported/loss", "reported/accuracy"}
    assert [row["layer"] for row in found.calls] == ["tokens", "gru", "drop", "tags"]
    for row in range(4):
        np.testing.assert_array_equal(found.arrays[f"masks/{row}/out/0"], IDS != 0)
    assert "masks/0/in/0" not in found.arrays
    assert 4e-7 < found.tolerances["outputs/tags"] < 1e-4


def test_masks_are_read_before_a_layer_takes_them_off_and_where_the_graph_hands_them_on(keras: ModuleType):
    from masklib.migrating.observing import observe

    layers = keras.layers
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(9, 4, mask_zero=True, name="tokens")(ids)
    x = layers.Add(name="sum")([x, layers.MultiHeadAttention(2, 2, name="attend")(x, x)])
    y = layers.Dense(1, name="score")(layers.GlobalAveragePooling1D(name="mean")(layers.LayerNormalization(name="norm")(x)))
    found = observe(keras.Model(ids, y), IDS)
    rows = {row["layer"]: (index, row["unmasks"]) for index, row in enumerate(found.calls)}
    assert {name for name, (_, unmasks) in rows.items() if unmasks} == {"attend"}
    for name in ("attend", "mean"):  # attention gets it with the tensor, the mean as an argument
        np.testing.assert_array_equal(found.arrays[f"masks/{rows[name][0]}/in/0"], IDS != 0)
    assert f"masks/{rows['sum'][0]}/in/0" not in found.arrays


def test_the_model_is_as_before(keras: ModuleType):
    from masklib.migrating.observing import observe

    model = tagger(keras)
    before, call = model.get_weights(), keras.layers.Layer.__call__
    observe(model, IDS, TAGS)
    assert keras.layers.Layer.__call__ is call
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


def test_a_random_output_is_not_compared(keras: ModuleType):
    from masklib.migrating.observing import observe

    seeds = keras.random.SeedGenerator(0)
    x = keras.Input((4,))
    y = keras.layers.Lambda(lambda x: x + keras.random.normal(keras.ops.shape(x), seed=seeds))(x)
    assert "random" in observe(keras.Model(x, y), IDS.astype("float32")).failed["outputs"]


def test_metrics_that_fail_leave_the_loss(keras: ModuleType):
    from masklib.migrating.observing import observe

    def broken(y: Any, z: Any) -> Any:
        msg = "no metric"
        raise TypeError(msg)

    model = tagger(keras)
    model.compile(loss="sparse_categorical_crossentropy", metrics=[broken])
    found = observe(model, IDS, TAGS)
    assert found.failed == {"metrics": "TypeError: no metric"}
    expected = observe(tagger_like(keras, model), IDS, TAGS).arrays["reported/loss"]
    np.testing.assert_allclose(found.arrays["reported/loss"], expected, rtol=1e-6)


def tagger_like(keras: ModuleType, model: Any) -> Any:
    """A tagger with the weights of another one."""
    other = tagger(keras)
    other.set_weights(model.get_weights())
    return other


def test_weights_are_carried_over_by_name_whatever_their_order(keras: ModuleType):
    from masklib.migrating.reading import set_weights, weights_of

    model, other = tagger(keras), tagger(keras)
    arrays = weights_of(model)
    names = [name.split("/", 2) for name in arrays]
    turned = {f"{kind}/{len(names) - 1 - int(place)}/{rest}": arrays[f"{kind}/{place}/{rest}"] for kind, place, rest in names}
    assert set_weights(other, dict(reversed(turned.items()))) > 0
    assert all(np.array_equal(one, two) for one, two in zip(model.get_weights(), other.get_weights(), strict=True))
    assert set_weights(other, arrays) == 0


def test_weights_without_common_names_are_carried_over_by_order_and_each_mismatch_is_named(keras: ModuleType):
    from masklib.migrating.reading import set_weights, weights_of

    model, other = tagger(keras), tagger(keras)
    renamed = {f"{name.rpartition('/')[0]}/other{i}": array for i, (name, array) in enumerate(weights_of(model).items())}
    set_weights(other, renamed)
    assert all(np.array_equal(one, two) for one, two in zip(model.get_weights(), other.get_weights(), strict=True))
    wrong = {name: array.T if array.ndim == 2 and array.shape[0] != array.shape[1] else array for name, array in renamed.items()}
    with pytest.raises(ArgumentError, match=r"4 have not: .* has shape \(4, 9\) there and \(9, 4\) here"):
        set_weights(other, wrong)
    with pytest.raises(ArgumentError, match="as many trainable weights, there are 5 there and 6 here"):
        set_weights(other, dict(list(renamed.items())[1:]))


def test_a_batch_is_padded_and_has_targets_with_a_pad_of_zero(keras: ModuleType):
    from masklib.auditing.loading import Given
    from masklib.migrating.batches import make_batch

    batch = make_batch(tagger(keras), Given(None), 0)
    assert set(batch) == {"ids", "y"}
    assert (batch["ids"] == 0).any()
    assert (batch["ids"] != 0).any(axis=1).all()
    assert (batch["y"][batch["ids"] == 0] == 0).all()
    again, other = (make_batch(tagger(keras), Given(None), seed) for seed in (0, 1))
    np.testing.assert_array_equal(batch["ids"], again["ids"])
    assert not np.array_equal(batch["ids"], other["ids"])


def test_a_given_batch_is_taken_as_it_is_with_or_without_padding(keras: ModuleType):
    from masklib.auditing.loading import Given
    from masklib.migrating.batches import make_batch

    for ids in (IDS, np.maximum(IDS, 1)):
        batch = make_batch(tagger(keras), Given(ids, TAGS, np.ones((2, 4), "float32")), 0)
        np.testing.assert_array_equal(batch["ids"], ids)
        np.testing.assert_array_equal(batch["y"], TAGS)
        assert batch["sample_weight"].shape == (2, 4)


def test_a_stateful_layer_begins_anew_for_each_batch_so_its_model_is_not_random(keras: ModuleType):
    from masklib.migrating.observing import observe

    x = keras.Input(batch_shape=(4, 3, 2), name="x")
    model = keras.Model(x, keras.layers.LSTM(3, stateful=True)(keras.layers.Masking()(x)))
    assert observe(model, np.random.default_rng(0).normal(size=(4, 3, 2)).astype("float32")).failed == {}


def two_outputs(keras: ModuleType) -> Any:
    """A model whose losses are given by the names of its outputs."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = keras.layers.Embedding(9, 4, mask_zero=True)(ids)
    tags = keras.layers.Dense(3, activation="softmax", name="tags")(x)
    score = keras.layers.Dense(1, name="score")(keras.layers.GlobalAveragePooling1D()(x))
    model = keras.Model(ids, [tags, score])
    model.compile(loss={"tags": "sparse_categorical_crossentropy", "score": "mse"})
    return model


def test_made_targets_of_several_outputs_are_given_back_as_they_were_made(keras: ModuleType, tmp_path: Path):
    from masklib.auditing.loading import Given
    from masklib.migrating.batches import make_batch
    from masklib.migrating.observing import observe
    from masklib.migrating.reading import open_batch

    model = two_outputs(keras)
    np.savez(tmp_path / "batch.npz", **make_batch(model, Given(None), 0))
    given = open_batch(tmp_path / "batch.npz", model)
    assert isinstance(given.targets, list)
    found = observe(model, given.inputs, given.targets)
    assert found.failed == {}
    assert "reported/loss" in found.arrays


def test_what_an_error_says_is_its_first_line_or_the_cause_where_keras_2_tells_a_traceback():
    from masklib.migrating.observing import _told

    assert _told(ValueError("Exception encountered when calling X.\n\nbad shape\n\nArguments: 1")) == "bad shape"
    traced = 'in user code:\n\n    File "training.py", line 1, in f  *\n        g()\n\n    ValueError: bad shape\n'
    assert _told(ValueError(traced)) == "ValueError: bad shape"
    assert _told(ValueError("\x1b[1mbad shape\x1b[0m")) == "bad shape"
    assert _told(ValueError("")) == "it says no more"


def test_a_h5_file_whose_recurrent_layers_have_time_major_is_read_without_it_and_says_so(keras: ModuleType, tmp_path: Path):
    import h5py

    from masklib.migrating.reading import load_model

    path, x = str(tmp_path / "old.h5"), keras.Input((None, 2))
    model = keras.Model(x, keras.layers.GRU(3, return_sequences=True)(x))
    series = np.random.default_rng(0).normal(size=(2, 4, 2)).astype("float32")
    model.save(path)
    with h5py.File(path, "r+") as file:
        before = file.attrs["model_config"]
        file.attrs["model_config"] = before.replace('"return_sequences": true', '"return_sequences": true, "time_major": false')
        assert file.attrs["model_config"] != before
    options = {"custom": (), "allow_unsafe": False, "limit_bytes": 10**9}
    found, notes = load_model(path, **options)
    assert notes[0].startswith(f"Keras {keras.__version__} itself cannot load {path}, whose recurrent layers have")
    np.testing.assert_array_equal(found.predict(series, verbose=0), model.predict(series, verbose=0))
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = before.replace('"return_sequences": true', '"return_sequences": true, "time_major": true')
    with pytest.raises(ArgumentError, match=rf"time_major.*--weights {path}\.$"):  # it does change what the model computes
        load_model(path, **options)


def test_a_model_of_text_is_refused(keras: ModuleType):
    from masklib.migrating.reading import check_takes_numbers

    x = keras.Input((1,), dtype="string", name="review")
    with pytest.raises(ArgumentError, match=r"input 'review' is text\. Build the part after"):
        check_takes_numbers(keras.Model(x, x))
    check_takes_numbers(tagger(keras))
