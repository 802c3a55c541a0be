"""Reads the model that is compared, in any version of Keras from 2.2.4 on, and carries weights from one version to another."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped,unused-ignore] # it publishes no types
import keras
import numpy as np
from numpy.typing import NDArray

from masklib import compat
from masklib.auditing import loading
from masklib.auditing.files import is_in_code, metadata
from masklib.errors import ArgumentError

Array = NDArray[Any]
KINDS = ("trainable_weights", "non_trainable_weights")  # the order of all weights differs between Keras 2 and 3
SAME_LAYERS = "Let the function build the same layers in both versions."
MOST_MISMATCHES = 5  # that an error names


def load_model(path: str, *, custom: Sequence[str], allow_unsafe: bool, limit_bytes: int) -> tuple[Any, list[str]]:
    """Return a saved model, or one that is made by code, and notes on how it was read.

    Raises:
        ArgumentError: this Keras cannot load the file, or the function does not return a model.
    """
    if is_in_code(path):
        return loading.load_model(path), []
    objects = dict(loading.find_custom(text) for text in custom)
    with _readable(path) as (file, notes):
        try:
            if compat.IS_KERAS_3:
                options: dict[str, Any] = {"allow_unsafe": allow_unsafe, "limit_bytes": limit_bytes}
                return loading.load_model(file, custom=custom, **options), notes
            return keras.models.load_model(file, custom_objects=objects), notes
        except Exception as error:  # any error that Keras raises for this file; perhaps only of its optimizer
            found = _without_compiling(file, objects, allow_unsafe)
            if found is None:
                raise ArgumentError(_cannot(path, error).replace(file, path)) from error
            loss = _named_loss(file)
            if loss:
                compat.compile_model(found, loss)
            how = f"its loss {loss!r} is compiled again, without metrics" if loss else "it is not compiled here"
            said = f"Keras {keras.__version__} cannot read how {path} was compiled, {how}: {_first_line(error)}"
            return found, [*notes, said.replace(file, path)]


def check_takes_numbers(model: Any) -> None:
    """Raise if an input of a model is text.

    Raises:
        ArgumentError: one is.
    """
    texts = [one.name for one in getattr(model, "inputs", None) or () if "string" in str(one.dtype)]
    if texts:
        msg = f"Models are compared from their numbers on, the input {', '.join(map(repr, texts))} is text. "
        raise ArgumentError(msg + "Build the part after the layer that makes ids, such as TextVectorization: module:function.")


@contextmanager
def _readable(path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield a file that this Keras can read, and notes: a `.h5` file of Keras 2 without a setting that Keras 3 refuses."""
    try:
        with h5py.File(path, "r") as file:
            config = json.loads(file.attrs["model_config"])
    except (OSError, KeyError, ValueError):
        config = {}
    kept = _without_old_settings(config)
    if not compat.IS_KERAS_3 or kept == config:
        yield path, []
        return
    with tempfile.TemporaryDirectory(prefix="masklib-h5-") as folder:
        copy = str(Path(folder, Path(path).name))
        shutil.copyfile(path, copy)
        with h5py.File(copy, "r+") as file:
            file.attrs["model_config"] = json.dumps(kept)
        said = f"Keras {keras.__version__} itself cannot load {path}, whose recurrent layers have the setting time_major=False"
        yield copy, [f"{said}; here it is left out, which changes nothing that the model computes"]


def _without_old_settings(config: Any) -> Any:
    """Return a configuration without `time_major=False` of recurrent layers: Keras 3 refuses it, and it changes nothing."""
    if isinstance(config, list):
        return [_without_old_settings(one) for one in config]
    if not isinstance(config, dict):
        return config
    kept = {name: value for name, value in config.items() if name != "time_major" or value}
    return {name: _without_old_settings(value) for name, value in kept.items()}


def _without_compiling(path: str, objects: Mapping[str, Any], allow_unsafe: bool) -> Any:
    """Return a saved model that is not compiled; None if this Keras cannot load it."""
    safe = {"safe_mode": not allow_unsafe} if compat.IS_KERAS_3 else {}
    try:
        return keras.models.load_model(path, custom_objects=dict(objects), compile=False, **safe)
    except Exception:  # the first error is reported
        return None


def _named_loss(path: str) -> str:
    """Return the loss with which the model of a `.h5` file was compiled, if it has one that is given by its name; else ""."""
    try:
        with h5py.File(path, "r") as file:
            loss = json.loads(file.attrs["training_config"])["loss"]
    except (OSError, KeyError, ValueError, TypeError):
        return ""
    return loss if isinstance(loss, str) else ""


def _cannot(path: str, error: Exception) -> str:
    """Return that a file cannot be loaded, and what to do."""
    saved_by = str((metadata(Path(path)) or {}).get("keras_version", ""))
    if saved_by[:1] in ("2", "3") and saved_by[:1] != keras.__version__[:1]:
        told = f"{path} was saved by Keras {saved_by}, and Keras {keras.__version__} cannot load it"
    else:
        told = str(error) if isinstance(error, ArgumentError) else f"{path} cannot be loaded: {_first_line(error)}"
    remedy = f"Build the model on both sides by a function, with the weights of the file: module:function --weights {path}"
    return f"{told.rstrip('.')}. {remedy}."


def _first_line(error: Exception) -> str:
    """Return the first line of an error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def load_weights(model: Any, path: str) -> None:
    """Give a model the weights of a file.

    Raises:
        ArgumentError: they do not fit.
    """
    try:
        model.load_weights(path)
    except Exception as error:  # any error that Keras raises for this file
        msg = f"--weights must be a file that Keras {keras.__version__} can load, {path} is not: {_first_line(error)}"
        raise ArgumentError(msg) from error


def weights_of(model: Any) -> dict[str, Array]:
    """Return the weights of a model by kind and name, such as "trainable_weights/0/lstm/kernel"."""
    return {
        f"{kind}/{index}/{_name(one)}": np.asarray(compat.to_numpy(one))
        for kind in KINDS
        for index, one in enumerate(getattr(model, kind))
    }


def set_weights(model: Any, arrays: Mapping[str, Array]) -> int:
    """Give a model the weights of `weights_of` another Keras: by name if the names are the same, else by their order.

    Returns:
        How many had another value before.

    Raises:
        ArgumentError: their number or shapes differ; each difference is named.
    """
    changed = 0
    pairs = [pair for kind in KINDS for pair in _pairs(kind, getattr(model, kind), arrays)]
    wrong = [
        f"{name} has shape {value.shape} there and {tuple(one.shape)} here"
        for one, name, value in pairs
        if tuple(one.shape) != value.shape
    ]
    if wrong:
        named = "; ".join(wrong[:MOST_MISMATCHES])
        msg = f"The weights of both sides must have the same shapes, {len(wrong)} have not: {named}. {SAME_LAYERS}"
        raise ArgumentError(msg)
    for one, _, value in pairs:
        if not np.array_equal(compat.to_numpy(one), value, equal_nan=value.dtype.kind == "f"):
            _assign(one, value)
            changed += 1
    return changed


def _pairs(kind: str, variables: Sequence[Any], arrays: Mapping[str, Array]) -> list[tuple[Any, str, Array]]:
    """Return each variable of a kind with the name and the value that it gets."""
    own = [name for name in arrays if name.startswith(f"{kind}/")]
    if len(own) != len(variables):
        what = kind.replace("_", " ").replace("non trainable", "non-trainable")
        msg = f"Both sides must have as many {what}, there are {len(own)} there and {len(variables)} here. {SAME_LAYERS}"
        raise ArgumentError(msg)
    by_name = {name.split("/", 2)[2]: name for name in own}
    here = [_name(one) for one in variables]
    if len(by_name) == len(own) and set(here) == set(by_name):
        own = [by_name[name] for name in here]
    return [(one, name.split("/", 2)[2], arrays[name]) for one, name in zip(variables, own, strict=True)]


def _name(variable: Any) -> str:
    """Return the name of a variable with those of its layers, as far as this Keras gives it."""
    return str(getattr(variable, "path", None) or variable.name).partition(":")[0]


def _assign(variable: Any, value: Array) -> None:
    """Give a variable a value."""
    if compat.IS_ORIGINAL:
        keras.backend.set_value(variable, value)
    else:
        variable.assign(value)


def is_compiled(model: Any) -> bool:
    """Return whether a model was compiled with a loss."""
    compiled = getattr(model, "compiled", getattr(model, "optimizer", None) is not None)
    return bool(compiled) and getattr(model, "loss", None) is not None


def open_batch(path: str | Path, model: Any) -> loading.Given:
    """Return the batch of a file as a model takes it."""
    with np.load(path, allow_pickle=False) as file:
        inputs, targets, weights = loading.arrange(dict(file), model, path)
    return loading.Given(inputs, _as_list(targets, loading.TARGETS), _as_list(weights, loading.WEIGHTS))


def _as_list(arrays: Any, kind: str) -> Any:
    """Return arrays that were a list, and so are named "y_0", "y_1" and so on, as that list; others as they are."""
    names = [f"{kind}_{index}" for index in range(len(arrays))] if isinstance(arrays, Mapping) else []
    return [arrays[name] for name in names] if names and set(names) == set(arrays) else arrays
