"""Reads what a user brings: a model, and inputs for it, from a file or from code.

Nothing in a file is executed unless it is allowed. What is given as "module:name" is code that the user asks to be run.
"""

import importlib
import inspect
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

import masklib.layers
import masklib.losses
import masklib.metrics  # noqa: F401 # models that use masklib find its classes registered
from masklib.errors import ArgumentError

Array = NDArray[Any]

SUFFIXES = (".keras", ".h5", ".hdf5")
TARGETS, WEIGHTS = "y", "sample_weight"


class Given(NamedTuple):
    """Inputs for a model, and what belongs to them.

    Attributes:
        inputs: as the model takes them: an array, or a list or dict of arrays; or a dataset as `fit` takes it.
        targets: likewise for its outputs; None if not given.
        sample_weight: likewise; None if not given.
    """

    inputs: Any
    targets: Any = None
    sample_weight: Any = None


def load_model(path: str | Path, *, custom: Sequence[str] = (), allow_unsafe: bool = False) -> Any:
    """Return a saved model, or one that lives in code.

    Args:
        path: of a `.keras` file, or one of the older `.h5`; or "module:name" of a model, or of a function that builds one.
        custom: classes and functions of its own that the model uses, each as "module:name".
        allow_unsafe: whether code in the file, such as a Lambda layer's, may be executed.

    Raises:
        ArgumentError: there is no model in this file; or it needs a newer Keras, code that is not given, or a permission.
    """
    if _is_code(path):
        return _built(str(path))
    path = Path(path)
    _check_file(path)
    objects = dict(find_custom(text) for text in custom)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")  # its state does not matter here
        try:
            return keras.saving.load_model(path, custom_objects=objects, safe_mode=not allow_unsafe)
        except Exception as error:  # whatever Keras raises for what is in the file
            raise ArgumentError(_explain(path, str(error))) from error


def find_custom(text: str) -> tuple[str, Any]:
    """Return the name of a class or function given as "module:name", and itself.

    Raises:
        ArgumentError: the text has another form, or names what is not there.
    """
    name = text.partition(":")[2]
    if not name or text.startswith(":"):
        msg = f"--custom must be module:name, such as my_layers:Attention, got {text!r}."
        raise ArgumentError(msg)
    return name, _find(text, "--custom")


def load_arrays(path: str | Path, model: Any) -> Given:
    """Return the arrays of a `.npz` or `.npy` file as the model takes them, or inputs that live in code.

    Args:
        path: of the file. In a `.npz` the inputs have the names of the model's inputs, or stand in their order; `y` holds the
            targets and `sample_weight` the weights, `y/NAME` and `sample_weight/NAME` those of one of several outputs.
            Or "module:name" of a dataset, of inputs, of a tuple of inputs, targets and weights, or of a function that returns
            one of these.
        model: whose inputs they are.

    Raises:
        ArgumentError: there are no such arrays in the file, more or fewer than the model has inputs, or pickled objects.
    """
    if _is_code(path):
        return _given(_called(_find(str(path), "--inputs"), f"--inputs {path}"), str(path))
    path = Path(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = dict(loaded) if hasattr(loaded, "files") else {"x": loaded}
    except (OSError, ValueError, EOFError) as error:
        msg = f"--inputs must be a .npz or .npy file of plain arrays, {path} is not: {error}. Write it by np.savez(path, x=x)."
        raise ArgumentError(msg) from error
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


def _is_code(path: str | Path) -> bool:
    """Return whether a text is "module:name", and no file."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", str(path)) is not None and not Path(path).exists()


def _find(text: str, option: str) -> Any:
    """Return what "module:name" names; whatever goes wrong in that module is told in one sentence."""
    module, _, name = text.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # whatever the user's module does when it is imported
        msg = f"{option} {text} cannot be had: {error or type(error).__name__}. "
        raise ArgumentError(msg + "Name a module that Python finds, and what is defined in it.") from error


def _called(thing: Any, told: str) -> Any:
    """Return what a function or class makes; anything else as it is."""
    if not inspect.isroutine(thing) and not inspect.isclass(thing):
        return thing
    try:
        return thing()
    except (Exception, SystemExit) as error:  # whatever the user's function does
        msg = f"{told} must be callable without arguments, it raised {type(error).__name__}: {error}. "
        raise ArgumentError(msg + "Name a function that needs none.") from error


def _built(text: str) -> Any:
    """Return the model that "module:name" is or builds."""
    model = _called(_find(text, "MODEL"), f"MODEL {text}")
    if not isinstance(model, keras.Model):
        msg = f"MODEL {text} must be a keras.Model, or a function that returns one, got {type(model).__name__}."
        raise ArgumentError(msg)
    return model


def _given(thing: Any, text: str) -> Given:
    """Return inputs, or a tuple of inputs, targets and weights, by their roles."""
    if not isinstance(thing, tuple):
        return Given(thing)
    if not 1 <= len(thing) <= len(Given._fields):
        msg = f"--inputs {text} must give inputs, (inputs, targets) or (inputs, targets, sample_weight), got {len(thing)} things."
        raise ArgumentError(msg + " Put several inputs into a list or dict.")
    return Given(*thing)


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
        msg = f"MODEL must be a .keras file, {path} is a folder. A SavedModel holds no layers: model.save('model.keras')."
        raise ArgumentError(msg)
    if not path.is_file():
        msg = f"MODEL must be a .keras file, there is no {path}. Save one by model.save('model.keras')."
        raise ArgumentError(msg)
    is_model = _metadata(path) is not None if path.suffix == ".keras" else path.suffix in SUFFIXES
    if not is_model:
        msg = f"MODEL must be a .keras file, {path} is something else. Save the model by model.save('model.keras')."
        raise ArgumentError(msg)


def _metadata(path: Path) -> dict[str, Any] | None:
    """Return what a `.keras` file says of itself; None if it is no such file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return dict(json.loads(archive.read("metadata.json")))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return None


def _explain(path: Path, error: str) -> str:
    """Return why a model could not be loaded, and what to do, in the words of a user."""
    missing = re.findall(r"Could not locate (?:class|function) '([^']+)'", error)
    saved_by = (_metadata(path) or {}).get("keras_version", "")
    if missing:
        return f"{path} needs {missing[0]}, which is not Keras's. Give it: --custom module:{missing[0]}."
    if "unsafe" in error or "safe_mode" in error:
        return f"{path} holds code, in a Lambda layer. If you trust its author: --allow-unsafe."
    if saved_by and _version(saved_by) > _version(keras.__version__):
        return f"{path} was saved by Keras {saved_by}, this is {keras.__version__}, which cannot load it. Install the newer one."
    return f"{path} cannot be loaded by Keras {keras.__version__}: {_last_line(error)}"


def _version(text: str) -> tuple[int, ...]:
    """Return a version as numbers that can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _last_line(error: str) -> str:
    """Return the part of Keras's message that says what went wrong."""
    told = error.rpartition("Exception encountered: ")[2].strip()
    return told.splitlines()[0][:300] if told else "no reason was given."
