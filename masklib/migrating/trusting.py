"""Refuses model files whose configuration names code outside Keras: older versions of Keras import or execute it.

`safe_mode` is ignored for .h5 files up to Keras 3.11, and unknown to Keras up to 2.12. So the configuration is read here, as
data, before any Keras loads the file.
"""

import builtins
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from masklib.errors import ArgumentError

OF_KERAS = ("keras", "tf_keras", "masklib", "tensorflow.keras", "tensorflow.python.keras")


def check_is_data(path: str | Path, custom: Sequence[str] = ()) -> None:
    """Raise if the configuration of a model in a file names code that is neither Keras's nor the user's.

    Args:
        path: of a `.keras` or `.h5` file.
        custom: the user's classes and functions, each as "module:name".

    Raises:
        ArgumentError: it holds a Lambda layer, or an object of another module; or the file is damaged.
    """
    allowed = (*OF_KERAS, *(text.partition(":")[0] for text in custom))
    names = {text.partition(":")[2] for text in custom}
    for one in _objects(_configuration(Path(path))):
        module, name = str(one.get("module") or ""), str(one.get("class_name") or "")
        if _holds_code(name, one.get("config")):
            msg = f"{path} holds code, in a Lambda layer. If you trust its author: --allow-unsafe."
            raise ArgumentError(msg)
        named = str(one.get("config")) if name == "function" else name
        is_custom = named in names or (module == "builtins" and not hasattr(builtins, named))  # Keras writes so of any function
        if module and not is_custom and not any(f"{module}.".startswith(f"{own}.") for own in allowed):
            msg = f"{path} names {named} of the module {module}, which is not part of Keras. "
            raise ArgumentError(msg + f"Give it: --custom {module}:{named}, or if you trust its author: --allow-unsafe.")


def _holds_code(name: str, config: Any) -> bool:
    """Return whether an object of a configuration is, or has, a function as bytecode."""
    if name != "Lambda" or not isinstance(config, Mapping):
        return name == "__lambda__"
    kinds = [value for key, value in config.items() if key.endswith("_type")]
    return "lambda" in kinds or isinstance(config.get("function"), list)


def _configuration(path: Path) -> Any:
    """Return the configuration in a file; None where there is none, which Keras then reports."""
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        import h5py  # type: ignore[import-untyped,unused-ignore] # it publishes no types

        with h5py.File(path, "r") as file:
            return [_text(file.attrs[name]) for name in ("model_config", "training_config") if name in file.attrs]
    except (OSError, zipfile.BadZipFile) as error:
        msg = f"{path} must be a whole .keras or .h5 file, it cannot be read: {error}. Save or copy it again."
        raise ArgumentError(msg) from error
    except (ValueError, KeyError):
        return None


def _text(attribute: Any) -> Any:
    """Return an attribute of a file, JSON, as what it holds."""
    return json.loads(attribute.decode() if isinstance(attribute, bytes) else attribute)


def _objects(config: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every dict of a configuration that describes an object."""
    if isinstance(config, Mapping):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from _objects(value)
    elif isinstance(config, list):
        for value in config:
            yield from _objects(value)
