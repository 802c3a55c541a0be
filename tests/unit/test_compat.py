"""What differs between the generations of Keras; the installed one is Keras 3, the older ones are simulated."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from masklib import compat
from masklib.compat import generations, kernels
from masklib.errors import ArgumentError

STARTUP = Path(compat.__file__).parent / "startup"


def test_the_installed_keras_lacks_nothing():
    assert compat.lacks("zero_output_for_mask") == ""


def test_what_the_original_lacks_is_reported_in_a_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(generations, "IS_ORIGINAL", True)
    assert compat.lacks("zero_output_for_mask").endswith("have no option zero_output_for_mask.")


def test_what_only_the_original_has_is_missing_here(monkeypatch: pytest.MonkeyPatch):
    assert "decay" in compat.lacks("decay of Adam")
    monkeypatch.setattr(generations, "IS_ORIGINAL", True)
    assert compat.lacks("decay of Adam") == ""


def test_keras_takes_padding_at_the_end_for_cudnn(monkeypatch: pytest.MonkeyPatch):
    at_end = np.array([[True, False, False], [True, True, True]])
    expected = (None, None) if keras.backend.backend() == "jax" else (True, False)
    assert (compat.has_layout_of_cudnn(at_end), compat.has_layout_of_cudnn(at_end[:, ::-1])) == expected
    monkeypatch.setattr(kernels, "_KERAS_3", ("keras.no_such_module",))
    assert compat.has_layout_of_cudnn(at_end) is None


def test_gpus_are_those_that_the_backend_sees(monkeypatch: pytest.MonkeyPatch):
    assert all(isinstance(name, str) for name in compat.gpus())
    tensorflow = pytest.importorskip("tensorflow")
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    seen = {"GPU": [tensorflow.config.PhysicalDevice("/physical_device:GPU:0", "GPU")]}
    monkeypatch.setattr(tensorflow.config, "list_physical_devices", lambda kind: seen.get(kind, []))
    assert compat.gpus() == ["/physical_device:GPU:0"]
    seen.clear()
    assert compat.gpus() == []
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    assert compat.gpus() == []


def test_an_unknown_feature_is_refused():
    with pytest.raises(ArgumentError, match="got 'magic'"):
        compat.lacks("magic")


def test_a_structure_keeps_its_form():
    doubled = compat.map_structure(lambda x: 2 * x, {"a": [1, (2, 3)], "b": 4})
    assert doubled == {"a": [2, (4, 6)], "b": 8}


def test_tensors_become_arrays_and_none_stays():
    assert compat.to_numpy(None) is None
    np.testing.assert_array_equal(compat.to_numpy(keras.ops.convert_to_tensor([1, 2])), [1, 2])


def test_dtypes_have_the_same_names_everywhere():
    assert compat.dtype_name(keras.ops.zeros(1, "float16").dtype) == "float16"
    assert compat.floatx(None) == "float32"
    assert [compat.is_float(name) for name in ("bfloat16", "int32")] == [True, False]


def test_static_shapes_are_plain_numbers():
    class Dimension:
        value = 3

    class Tensor:
        shape = (None, Dimension())

    assert compat.static_shape(Tensor()) == (None, 3)
    assert compat.static_shape(np.zeros((2, 5))) == (2, 5)


def test_named_outputs_are_predicted_by_name():
    inputs = keras.Input((2,))
    model = compat.model_of(inputs, {"one": keras.layers.Dense(1, name="one")(inputs)})
    assert list(compat.predict(model, np.zeros((3, 2)))) == ["one"]


def test_the_operations_of_keras_2_are_those_of_keras_3():
    from masklib.compat.tensorflow_ops import ops as old

    x = np.arange(6, dtype="float32").reshape(2, 3)
    for name, arguments in {
        "flip": (x, 1),
        "full": ((2, 2), 3.0),
        "take": (x, [0, 4]),
        "sum": (x, -1),
        "size": (x,),
        "softmax": (x,),
        "where": (x > 2, x, np.float32(0)),
        "divide_no_nan": (x, x),
        "expand_dims": (x, -1),
    }.items():
        wanted = keras.ops.convert_to_numpy(getattr(keras.ops, name)(*arguments))
        np.testing.assert_allclose(old.convert_to_numpy(getattr(old, name)(*arguments)), wanted, rtol=1e-6, err_msg=name)


def test_what_runs_before_keras_runs_when_keras_is_first_looked_for(tmp_path: Path):
    (tmp_path / "mark.py").write_text("def prepare():\n    print('prepared')\n")
    (tmp_path / "keras.py").write_text("print('keras')\n")
    code = "import json; print('first'); import keras, masklib.errors"
    path = f"{STARTUP}:{tmp_path}"
    variables = {"PYTHONPATH": path, "MASKLIB_STARTUP": "mark"}
    told = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True).stdout
    assert told.split() == ["first", "prepared", "keras"]


def test_tf_keras_is_keras_and_each_of_its_modules_is_loaded_once(tmp_path: Path):
    package = tmp_path / "tf_keras"
    package.mkdir()
    (package / "__init__.py").write_text("from tf_keras import layers\n__version__ = '2.21.0'\n")
    (package / "layers.py").write_text("print('loaded')\nclass Dense: ...\n")
    code = "import keras, keras.layers, tf_keras; from keras.layers import Dense; assert Dense is tf_keras.layers.Dense\n"
    code += "assert keras is tf_keras; import keras.no_such_module"
    variables = {"PYTHONPATH": f"{STARTUP}:{tmp_path}", "MASKLIB_STARTUP": "tf_keras_as_keras"}
    told = subprocess.run([sys.executable, "-W", "error", "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert told.stdout.split() == ["loaded"]
    assert told.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'keras.no_such_module'"


def test_variables_that_an_error_took_out_of_a_model_are_put_back(monkeypatch: pytest.MonkeyPatch):
    """As Keras 3.0 to 3.4 does on JAX in `evaluate`; notebook 03 goes on after such an error."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    lost, kept = keras.Variable([1.0, 2.0]), keras.Variable([3.0])
    model = SimpleNamespace(variables=[lost, kept])

    def fails() -> None:
        with generations.kept_variables(model):
            lost._value, kept._value = None, keras.ops.convert_to_tensor([4.0])
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fails()
    assert np.asarray(lost._value).tolist() == [1.0, 2.0]
    assert np.asarray(kept._value).tolist() == [4.0]
