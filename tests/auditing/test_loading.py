"""A model and arrays are read as a user gives them; what cannot be used is refused in one sentence that says what to do."""

import json
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from masklib.errors import ArgumentError

MODULE = """
import keras

class Doubling(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2

def own_loss(y_true, y_pred):
    return keras.ops.mean(y_true - y_pred)
"""


@pytest.fixture
def loading(keras: ModuleType) -> ModuleType:
    from masklib.auditing import loading

    return loading


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that another process saved: plain, with a custom layer and loss, with code."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "my_layers.py").write_text(MODULE)
    program = """
    import keras
    from keras import layers
    from my_layers import Doubling, own_loss

    x = keras.Input((None, 3), name="x")
    keras.Model(x, layers.LSTM(2)(layers.Masking()(x))).save("plain.keras")
    keras.Model(x, layers.LSTM(2)(x)).save("older.h5")
    keras.Model(x, Doubling()(x)).save("layer.keras")
    model = keras.Model(x, layers.Dense(2)(x))
    model.compile(loss=own_loss)
    model.save("loss.keras")
    keras.Model(x, layers.Lambda(lambda x: x + 1)(x)).save("code.keras")
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    return folder


@pytest.mark.parametrize("name", ["plain.keras", "older.h5"])
def test_a_saved_model_is_loaded(loading: ModuleType, saved: Path, name: str):
    assert loading.load_model(saved / name).layers[-1].units == 2


@pytest.mark.parametrize(("file", "name"), [("layer.keras", "Doubling"), ("loss.keras", "own_loss")])
def test_a_model_with_custom_code_needs_and_takes_it(
    loading: ModuleType, saved: Path, monkeypatch: pytest.MonkeyPatch, file: str, name: str
):
    with pytest.raises(
        ArgumentError,
        match=rf"needs {name}, which is not part of Keras. Give it: --custom module:{name}, or custom=\['module:{name}'\]",
    ):
        loading.load_model(saved / file)
    monkeypatch.syspath_prepend(saved)
    assert loading.load_model(saved / file, custom=[f"my_layers:{name}"]).built


@pytest.mark.parametrize(
    ("text", "match"),
    [("Doubling", "must be module:name"), ("no_such_module:x", "No module named"), ("json:Doubling", "no attribute")],
)
def test_missing_custom_code_is_reported(loading: ModuleType, text: str, match: str):
    with pytest.raises(ArgumentError, match=match):
        loading.find_custom(text)


def test_code_in_a_file_is_executed_only_if_it_is_allowed(loading: ModuleType, saved: Path):
    with pytest.raises(ArgumentError, match=r"holds code.*allow_unsafe=True"):
        loading.load_model(saved / "code.keras")
    assert loading.load_model(saved / "code.keras", allow_unsafe=True).built


def test_a_model_of_a_newer_keras_is_reported_as_such(loading: ModuleType, saved: Path, tmp_path: Path):
    newer = tmp_path / "newer.keras"
    with zipfile.ZipFile(saved / "plain.keras") as old, zipfile.ZipFile(newer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps({**json.loads(content), "keras_version": "3.99.0"}).encode()
            new.writestr(name, content.replace(b'"units": 2', b'"units": 2, "of_the_future": 1'))
    with pytest.raises(ArgumentError, match=r"was saved by Keras 3\.99\.0 and cannot be loaded by .* Install the newer Keras"):
        loading.load_model(newer)


def test_what_is_not_a_model_is_refused(loading: ModuleType, tmp_path: Path):
    (tmp_path / "text.keras").write_text("hello")
    (tmp_path / "model.pb").write_text("hello")
    (tmp_path / "text.h5").write_text("hello")
    (tmp_path / "folder").mkdir()
    for name, match in {
        "text.keras": "something else",
        "model.pb": "something else",
        "folder": "is a folder",
        "nothing.keras": "there is no",
        "text.h5": "cannot be loaded",
    }.items():
        with pytest.raises(ArgumentError, match=match):
            loading.load_model(tmp_path / name)


def test_arrays_come_in_the_order_and_structure_of_the_models_inputs(loading: ModuleType, keras: ModuleType, tmp_path: Path):
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    total = keras.layers.Concatenate()([a, b])
    x, y = np.zeros((1, 2)), np.ones((1, 3))
    np.savez(tmp_path / "named.npz", b=y, a=x, y=np.full((1, 5), 2.0), sample_weight=np.full(1, 3.0))
    np.savez(tmp_path / "ordered.npz", x, y)

    def shapes(model: Any, file: str) -> Any:
        return keras.tree.map_structure(np.shape, loading.load_arrays(tmp_path / file, model).inputs)

    for file in ("named.npz", "ordered.npz"):
        assert keras.tree.flatten(shapes(keras.Model([a, b], total), file)) == [1, 2, 1, 3]
        assert set(loading.load_arrays(tmp_path / file, keras.Model({"a": a, "b": b}, total)).inputs) == {"a", "b"}
    given = loading.load_arrays(tmp_path / "named.npz", keras.Model([a, b], total))
    assert given.targets.tolist() == [[2.0] * 5]
    assert given.sample_weight.tolist() == [3.0]


def test_one_array_is_the_input_and_those_of_several_outputs_have_their_names(
    loading: ModuleType, keras: ModuleType, tmp_path: Path
):
    x = keras.Input((2,))
    model = keras.Model(x, {"p": keras.layers.Dense(1)(x), "q": keras.layers.Dense(1)(x)})
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 2)), **{"y/p": np.zeros((4, 1)), "y/q": np.ones((4, 1))})

    assert loading.load_arrays(tmp_path / "x.npy", model).inputs.shape == (4, 2)
    assert loading.load_arrays(tmp_path / "x.npy", model).targets is None
    assert set(loading.load_arrays(tmp_path / "x.npz", model).targets) == {"p", "q"}


def test_arrays_that_do_not_fit_or_are_pickled_are_refused(loading: ModuleType, keras: ModuleType, tmp_path: Path):
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], keras.layers.Concatenate()([a, b]))
    np.savez(tmp_path / "one.npz", a=np.zeros((1, 2)))
    np.save(tmp_path / "pickled.npy", np.array([{}]), allow_pickle=True)
    refused = {"one.npz": r"2 inputs \(a, b\).* has 1 arrays", "pickled.npy": "plain arrays", "no.npz": "there is no"}
    for name, match in refused.items():
        with pytest.raises(ArgumentError, match=match):
            loading.load_arrays(tmp_path / name, model)


CODE = """
import keras
import numpy as np

def build():
    ids = keras.Input((None,), dtype="int32")
    return keras.Model(ids, keras.layers.LSTM(2)(keras.layers.Embedding(9, 4, mask_zero=True)(ids)))

model = build()
def needs(size): return size
def batch(): return np.array([[1, 2], [3, 0]]), np.ones((2, 2))
def batches():
    yield batch()
many = (1, 2, 3, 4)
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with a model and inputs, one that stops, and one that does not work."""
    (tmp_path / "a_users_models.py").write_text(CODE)
    (tmp_path / "that_exits.py").write_text("import sys; sys.exit(1)")
    (tmp_path / "that_fails.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("name", ["build", "model"])
def test_a_model_given_as_code_is_built(loading: ModuleType, name: str):
    assert loading.load_model(f"a_users_models:{name}").layers[-1].units == 2


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("name", ["batch", "batches"])
def test_inputs_given_as_code_are_taken(loading: ModuleType, name: str):
    import masklib

    model = loading.load_model("a_users_models:build")
    given = loading.load_arrays(f"a_users_models:{name}", model)

    assert (given.targets is None) == (name == "batches")
    assert masklib.audit(model, given.inputs, given.targets).verdict == "no leak found"


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a_users_models:no_such", "MODEL a_users_models:no_such cannot be imported: .*no attribute"),
        ("a_users_models:needs", "must be callable without arguments, it raised TypeError"),
        ("a_users_models:batch", "must be a keras.Model, or a function that returns one, got tuple"),
        ("that_exits:model", "MODEL that_exits:model cannot be imported"),
        ("that_fails:model", "division by zero"),
        ("not_there:model", "No module named"),
    ],
)
def test_code_that_gives_no_model_is_reported_in_one_sentence(loading: ModuleType, text: str, match: str):
    with pytest.raises(ArgumentError, match=match):
        loading.load_model(text)
    with pytest.raises(ArgumentError, match="got 4 things"):
        loading.load_arrays("a_users_models:many", None)
