"""Reads what a user brings: a saved model, and arrays for it. Nothing in a file is executed unless it is allowed."""

import importlib
import json
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from packaging.version import InvalidVersion, Version

import masklib.layers
import masklib.losses
import masklib.metrics  # noqa: F401 # models that use masklib find its classes registered
from masklib.errors import ArgumentError

Array = NDArray[Any]

SUFFIXES = (".keras", ".h5", ".hdf5")
TARGETS, WEIGHTS = "y", "sample_weight"


class LoadError(ArgumentError):
    """What a user brings cannot be read.

    Attributes:
        argument: the one to give or to change, by its name in this module's functions.
        value: what to give for it, where that is known.
    """

    def __init__(self, message: str, argument: str, value: str = "") -> None:
        super().__init__(message)
        self.argument = argument
        self.value = value


class Given(NamedTuple):
    """Arrays for a model.

    Attributes:
        inputs: as the model takes them: an array, or a list or dict of arrays.
        targets: likewise for its outputs; None if not given.
        sample_weight: likewise; None if not given.
    """

    inputs: Any
    targets: Any = None
    sample_weight: Any = None


def load_model(path: str | Path, *, custom: Sequence[str] = (), allow_unsafe: bool = False) -> Any:
    """Return a saved model.

    Args:
        path: of a `.keras` file, or one of the older `.h5`.
        custom: classes and functions of its own that the model uses, each as "module:name".
        allow_unsafe: whether code in the file, such as a Lambda layer's, may be executed.

    Raises:
        ArgumentError: there is no model in this file; or it needs a newer Keras, code that is not given, or a permission.
    """
    path = Path(path)
    _check_file(path)
    objects = dict(find_custom(text) for text in custom)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")  # its state does not matter here
        try:
            return keras.saving.load_model(path, custom_objects=objects, safe_mode=not allow_unsafe)
        except Exception as error:  # whatever Keras raises for what is in the file
            raise _explained(path, str(error)) from error


def find_custom(text: str) -> tuple[str, Any]:
    """Return the name of a class or function given as "module:name", and itself.

    Raises:
        ArgumentError: the text has another form, or names what is not there.
    """
    module, _, name = text.partition(":")
    if not module or not name:
        msg = f"custom code must be named as 'module:name', such as 'my_layers:Attention', got {text!r}."
        raise LoadError(msg, "custom", "my_layers:Attention")
    try:
        return name, getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        msg = f"Custom code {text!r} cannot be imported: {error}. Name a module that Python finds, and what is defined in it."
        raise LoadError(msg, "custom") from error


def load_arrays(path: str | Path, model: Any) -> Given:
    """Return the arrays of a `.npz` or `.npy` file as the model takes them.

    Args:
        path: of the file. In a `.npz` the inputs have the names of the model's inputs, or stand in their order; `y` holds the
            targets and `sample_weight` the weights, `y/NAME` and `sample_weight/NAME` those of one of several outputs.
        model: whose inputs they are.

    Raises:
        ArgumentError: there are no such arrays in the file, more or fewer than the model has inputs, or pickled objects.
    """
    path = Path(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = dict(loaded) if hasattr(loaded, "files") else {"x": loaded}
    except (OSError, ValueError, EOFError) as error:
        msg = f"Inputs must be a .npz or .npy file of plain arrays, {path} is not: {error}. Write it by np.savez(path, x=x)."
        raise LoadError(msg, "inputs") from error
    names = input_names(model)
    own = {name: array for name, array in arrays.items() if name in names or name.partition("/")[0] not in (TARGETS, WEIGHTS)}
    beside = {name: array for name, array in arrays.items() if name not in own}
    return Given(_arrange(own, names, model, path), _named(beside, TARGETS), _named(beside, WEIGHTS))


def input_names(model: Any) -> list[str]:
    """Return the names of a model's inputs in their order; [] if it does not know them, as a subclassed one."""
    struct = getattr(model, "input", None) if getattr(model, "inputs", None) else None
    if isinstance(struct, Mapping):
        return list(struct)
    return [tensor.name for tensor in model.inputs] if struct is not None else []


def _arrange(arrays: Mapping[str, Array], names: Sequence[str], model: Any, path: Path) -> Any:
    """Return arrays in the structure of a model's inputs."""
    if names and len(arrays) != len(names):
        msg = f"The model has {len(names)} inputs ({', '.join(names)}), {path} has {len(arrays)} arrays ({', '.join(arrays)})."
        raise ArgumentError(msg + " Give one array for each input; targets are named y, weights sample_weight.")
    ordered = [arrays[name] for name in names] if names and set(arrays) == set(names) else list(arrays.values())
    struct = model.input if names else None
    if isinstance(struct, Mapping):
        return dict(zip(names, ordered, strict=True))
    if len(ordered) == 1 and not isinstance(struct, (list, tuple)):
        return ordered[0]
    return ordered if names else dict(arrays)


def _named(arrays: Mapping[str, Array], kind: str) -> Any:
    """Return the array of a kind, or a dict of those of several outputs, or None."""
    several = {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(f"{kind}/")}
    return several or arrays.get(kind)


def _check_file(path: Path) -> None:
    """Refuse what cannot hold a model.

    Raises:
        ArgumentError: the path is of nothing, of a folder, or of another kind of file.
    """
    if path.is_dir():
        msg = f"A model must be a .keras file, {path} is a folder. A SavedModel holds no layers: model.save('model.keras')."
        raise ArgumentError(msg)
    if not path.is_file():
        msg = f"A model must be a .keras file, there is no {path}. Save one by model.save('model.keras')."
        raise ArgumentError(msg)
    is_model = _metadata(path) is not None if path.suffix == ".keras" else path.suffix in SUFFIXES
    if not is_model:
        msg = f"A model must be a .keras file, {path} is something else. Save the model by model.save('model.keras')."
        raise ArgumentError(msg)


def _metadata(path: Path) -> dict[str, Any] | None:
    """Return what a `.keras` file says of itself; None if it is no such file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return dict(json.loads(archive.read("metadata.json")))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return None


def _explained(path: Path, error: str) -> ArgumentError:
    """Return why a model could not be loaded, and what to do, in the words of a user."""
    missing = re.findall(r"Could not locate (?:class|function) '([^']+)'", error)
    saved_by = (_metadata(path) or {}).get("keras_version", "")
    if missing:
        value = f"module:{missing[0]}"
        return LoadError(f"{path} needs {missing[0]}, which is not Keras's. Give it: custom=[{value!r}].", "custom", value)
    if "unsafe" in error or "safe_mode" in error:
        msg = f"{path} holds code, in a Lambda layer. If you trust its author: allow_unsafe=True."
        return LoadError(msg, "allow_unsafe")
    own = keras.__version__
    if _is_newer(saved_by):
        return ArgumentError(f"{path} was saved by Keras {saved_by}, this is {own}, which cannot load it. Install the newer one.")
    return ArgumentError(f"{path} cannot be loaded by Keras {own}: {_last_line(error)}")


def _is_newer(version: str) -> bool:
    """Return whether a version of Keras is newer than this one; False for a text that is no version."""
    try:
        return Version(version) > Version(keras.__version__)
    except InvalidVersion:
        return False


def _last_line(error: str) -> str:
    """Return the part of Keras's message that says what went wrong."""
    reason = error.rpartition("Exception encountered: ")[2].strip()
    return reason.splitlines()[0][:300] if reason else "no reason was given."
