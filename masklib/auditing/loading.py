"""Reads what a user gives: a model and a batch, saved or made by code. Code in a file is executed only if the user allows it."""

import importlib
import inspect
import operator
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
from numpy.typing import NDArray
from packaging.version import InvalidVersion, Version

import masklib.layers
import masklib.losses
import masklib.metrics  # noqa: F401 # models that use masklib find its classes registered
from masklib.auditing.files import LIMIT_BYTES, check_model_file, has_code_form, is_in_code, metadata, read_arrays
from masklib.errors import ArgumentError

Array = NDArray[Any]

TARGETS, WEIGHTS = "y", "sample_weight"


class Given(NamedTuple):
    """Inputs for a model, with targets and weights.

    Attributes:
        inputs: as the model takes them: an array, or a list or dict of arrays; or a dataset as `fit` takes it.
        targets: as `fit` takes them; None if not given.
        sample_weight: as `fit` takes it; None if not given.
    """

    inputs: Any
    targets: Any = None
    sample_weight: Any = None


def load_model(
    path: str | Path, *, custom: Sequence[str] = (), allow_unsafe: bool = False, limit_bytes: int = LIMIT_BYTES
) -> Any:
    """Return a saved model, or one that is made by code.

    Args:
        path: of a `.keras` file, or of an older `.h5` file; or "module:name" of a model, or of a function that returns one.
        custom: the user's classes and functions that the model needs, each as "module:name".
        allow_unsafe: whether code in the file, such as that of a Lambda layer, may be executed.
        limit_bytes: the largest size that the file may have unpacked.

    Raises:
        ArgumentError: the file holds no model; or the model needs a newer Keras, `custom`, or `allow_unsafe`.
    """
    if is_in_code(path):
        return _built(str(path))
    path = check_model_file(path, limit_bytes)
    objects = dict(find_custom(text) for text in custom)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")  # its state does not matter here
        try:
            return keras.saving.load_model(path, custom_objects=objects, safe_mode=not allow_unsafe)
        except (Exception, SystemExit) as error:  # any error that Keras or the user's code raises for this file
            raise ArgumentError(_explain(path, error)) from error


def find_custom(text: str) -> tuple[str, Any]:
    """Return the name of a class or function given as "module:name", and the class or function.

    Raises:
        ArgumentError: the text has another form, or names something that does not exist.
    """
    return text.partition(":")[2], find_object(text, "--custom")


def find_object(text: str, option: str) -> Any:
    """Return the object that is given as "module:name"; the module is imported.

    Args:
        text: such as "my_layers:Attention".
        option: by which it was given, for messages.

    Raises:
        ArgumentError: the text has another form, or names something that does not exist; or the module cannot be imported.
    """
    if not has_code_form(text):
        msg = f"{option} must be module:name, such as my_layers:Attention, got {text!r}."
        raise ArgumentError(msg)
    module, _, name = text.partition(":")
    try:
        return operator.attrgetter(name)(importlib.import_module(module))
    except (Exception, SystemExit) as error:  # any error that the user's module raises at import
        msg = f"{option} {text} cannot be imported: {_summary(error)}. Name a module that Python finds, and an object in it."
        raise ArgumentError(msg) from error


def load_arrays(path: str | Path, model: Any) -> Given:
    """Return the arrays of a `.npz` or `.npy` file as the model takes them, or inputs that are made by code.

    Args:
        path: of the file. In a `.npz` the inputs have the names of the model's inputs, or are in their order; `y` holds the
            targets and `sample_weight` the weights, `y/NAME` and `sample_weight/NAME` those of one of several outputs.
            Or "module:name" of inputs, of a dataset, of a tuple (inputs, targets) or (inputs, targets, sample_weight), or of a
            function that returns one of these.
        model: whose inputs they are.

    Raises:
        ArgumentError: the file holds more or fewer arrays than the model has inputs, or pickled objects.
    """
    if is_in_code(path):
        return _given(_called(find_object(str(path), "--inputs"), f"--inputs {path}"), str(path))
    return arrange(read_arrays(path), model, path)


def arrange(arrays: Mapping[str, Array], model: Any, path: str | Path) -> Given:
    """Return the arrays of a file as a model takes them.

    Args:
        arrays: by name, as `read_arrays` returns them.
        model: whose inputs they are.
        path: of the file, for messages.

    Raises:
        ArgumentError: there are more or fewer arrays than the model has inputs.
    """
    names = input_names(model)
    own = {name: array for name, array in arrays.items() if name in names or name.partition("/")[0] not in (TARGETS, WEIGHTS)}
    beside = {name: array for name, array in arrays.items() if name not in own}
    return Given(_arrange(own, names, model, path), _named(beside, TARGETS), _named(beside, WEIGHTS))


def input_names(model: Any) -> list[str]:
    """Return the names of a model's inputs in their order; [] if they are not known, as for a subclassed model."""
    struct = getattr(model, "input", None) if getattr(model, "inputs", None) else None
    if isinstance(struct, Mapping):
        return list(struct)
    return [tensor.name for tensor in model.inputs] if struct is not None else []


def _arrange(arrays: Mapping[str, Array], names: Sequence[str], model: Any, path: str | Path) -> Any:
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


def _called(thing: Any, name: str) -> Any:
    """Return the result of a function or class; anything else is returned unchanged.

    Raises:
        ArgumentError: the function needs arguments, or fails.
    """
    if not inspect.isroutine(thing) and not inspect.isclass(thing):
        return thing
    try:
        return thing()
    except (Exception, SystemExit) as error:  # any error that the user's function raises
        msg = f"{name} must be callable without arguments, it raised {_summary(error)}. Name a function that needs none."
        raise ArgumentError(msg) from error


def _built(text: str) -> Any:
    """Return the model that "module:name" names, or that the function of this name returns.

    Raises:
        ArgumentError: it is not a model and does not return one.
    """
    model = _called(find_object(text, "MODEL"), f"MODEL {text}")
    if not isinstance(model, keras.Model):
        msg = f"MODEL {text} must be a keras.Model, or a function that returns one, got {type(model).__name__}. Return the model."
        raise ArgumentError(msg)
    return model


def _given(thing: Any, text: str) -> Given:
    """Return inputs, or a tuple of inputs, targets and weights, as a `Given`.

    Raises:
        ArgumentError: the tuple has a wrong length.
    """
    if not isinstance(thing, tuple):
        return Given(thing)
    if not 1 <= len(thing) <= len(Given._fields):
        msg = f"--inputs {text} must give inputs, (inputs, targets) or (inputs, targets, sample_weight), got {len(thing)} things."
        raise ArgumentError(msg + " Put several inputs into a list or dict.")
    return Given(*thing)


def _summary(error: BaseException) -> str:
    """Return an error in one line."""
    if isinstance(error, SystemExit):
        return f"sys.exit({error.code!r})"
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".rstrip(": .")


def _explain(path: Path, raised: BaseException) -> str:
    """Return why a model could not be loaded, and what the user can do."""
    error = str(raised)
    missing = re.findall(r"Could not locate (?:class|function) '([^']+)'", error)
    saved_by = (metadata(path) or {}).get("keras_version", "")
    if missing:
        code = f"module:{missing[0]}"
        return f"{path} needs {missing[0]}, which is not part of Keras. Give it: --custom {code}, or custom=[{code!r}]."
    if "unsafe" in error or "safe_mode" in error:
        return f"{path} holds code, in a Lambda layer. If you trust its author: --allow-unsafe, or allow_unsafe=True."
    if _is_newer(saved_by):
        return f"{path} was saved by Keras {saved_by} and cannot be loaded by Keras {keras.__version__}. Install the newer Keras."
    return f"{path} cannot be loaded by Keras {keras.__version__}: {_last_line(raised)}"


def _is_newer(version: str) -> bool:
    """Return whether a version of Keras is newer than this one; False for a text that is not a version."""
    try:
        return Version(version) > Version(keras.__version__)
    except InvalidVersion:
        return False


def _last_line(error: BaseException) -> str:
    """Return the part of Keras's message that says what went wrong."""
    reason = str(error).rpartition("Exception encountered: ")[2].strip()
    return reason.splitlines()[0][:300] if reason and not isinstance(error, SystemExit) else _summary(error)
