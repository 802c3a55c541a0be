"""Files are data: a configuration that names code outside Keras is refused before any Keras loads it."""

import json
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import pytest

from masklib.errors import ArgumentError
from masklib.migrating.trusting import check_is_data


def saved(tmp_path: Path, config: Any, suffix: str = ".keras") -> Path:
    """A file with a configuration and nothing else."""
    path = tmp_path / f"model{suffix}"
    if suffix == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
    else:
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(config)
    return path


LAMBDA_2 = {"class_name": "Lambda", "config": {"function": ["4wEAAAA", None, None], "function_type": "lambda"}}
LAMBDA_3 = {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA"}}}}
FOREIGN = {"module": "os", "class_name": "function", "config": "system"}
BUILTIN = {"module": "builtins", "class_name": "function", "config": "eval"}
OWN = {"module": "my_layers", "class_name": "Attention", "config": {}}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("hostile", [LAMBDA_2, LAMBDA_3, FOREIGN, BUILTIN, OWN])
def test_code_is_refused_however_deep_it_lies(hostile: Any, suffix: str, tmp_path: Path):
    config = {"class_name": "Functional", "config": {"layers": [{"class_name": "Dense", "config": {"activation": hostile}}]}}
    with pytest.raises(ArgumentError, match="--allow-unsafe"):
        check_is_data(saved(tmp_path, config, suffix))


def test_what_the_user_names_is_allowed_and_nothing_else(tmp_path: Path):
    path = saved(tmp_path, [OWN, {"module": "builtins", "class_name": "function", "config": "my_loss"}])
    check_is_data(path, ["my_layers:Attention"])
    check_is_data(path, ["elsewhere:Attention"])  # the same class, imported from another module
    with pytest.raises(ArgumentError, match="Give it: --custom my_layers:Attention"):
        check_is_data(path, ["my_other_layers:Other"])


def test_models_of_keras_and_masklib_are_data(keras: ModuleType, tmp_path: Path):
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(9, 4, mask_zero=True)(ids)
    x = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))(x)[:, 1:] * 2.0
    model = keras.Model(ids, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(loss="mse", metrics=["mae", keras.metrics.MeanSquaredError()])
    model.save(tmp_path / "model.keras")
    check_is_data(tmp_path / "model.keras")


def test_what_is_no_configuration_is_left_to_keras(tmp_path: Path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = [1.0]
    check_is_data(tmp_path / "weights.h5")


@pytest.mark.parametrize("name", ["broken.keras", "broken.h5"])
def test_a_damaged_file_is_refused_in_one_sentence(name: str, tmp_path: Path):
    whole = saved(tmp_path, {"class_name": "Dense"}, Path(name).suffix).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArgumentError, match=r"broken\.(keras|h5) must be a whole .* Save or copy it again\.$"):
        check_is_data(tmp_path / name)
