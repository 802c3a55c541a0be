"""Files of parameters: `-f parameters.yaml`, or JSON, which is YAML too."""

from pathlib import Path
from typing import Any

import yaml

from masklib.errors import ParameterError


class Exact(str):
    """A text that is a value as it stands, not one to be read as on a command line."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """Reads dates as the texts that they are, as papermill does: what they mean is the notebook's matter."""


_DATES = "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != _DATES]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_files(paths: tuple[Path, ...]) -> dict[str, Any]:
    """Return the parameters that files give, by name; a later file goes before an earlier one.

    Raises:
        ParameterError: a file cannot be read, or is no mapping of names to values.
    """
    return {name: value for path in paths for name, value in _read(path).items()}


def _read(path: Path) -> dict[str, Any]:
    """Return the parameters that a file gives."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        msg = f"{path} must be YAML or JSON: {' '.join(str(error).split())}."
        raise ParameterError(msg) from None
    except OSError as error:
        msg = f"{path} must be a file that can be read: {error.strerror}."
        raise ParameterError(msg) from None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        msg = f"{path} must give parameters by name, such as `seed: 3` on a line; it holds {type(found).__name__}."
        raise ParameterError(msg)
    return {name: Exact(value) if isinstance(value, str) else value for name, value in found.items()}
