"""The two sides of a comparison: each an environment with another Keras, or this Python, found by a name or a version."""

import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from masklib.engine.environments import Environment, find_environment, load_environments, made
from masklib.engine.inside import SUPPORTED_FROM, made_environment
from masklib.engine.releases import version_key
from masklib.engine.settings import numeric_settings
from masklib.errors import ArgumentError, UnavailableError

TODAY = "today"  # the name of this Python
_VERSION = re.compile(r"\d+(\.\d+)*(\.dev\d+)?")


@dataclass(frozen=True)
class Side:
    """A Keras under which a model is observed.

    Attributes:
        name: of the environment, or "today".
        keras: its version.
        backend: of Keras.
        environment: None: this Python.
    """

    name: str
    keras: str
    backend: str
    environment: Environment | None = None

    def __str__(self) -> str:
        return f"Keras {self.keras} on {self.backend}"

    @property
    def can_make_inputs(self) -> bool:
        """Whether the audit, which makes inputs, works with this Keras."""
        return version_key(self.keras) >= version_key(SUPPORTED_FROM)

    @property
    def variables(self) -> dict[str, str]:
        """What the environment itself does not set."""
        return {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": self.backend}


def today() -> Side:
    """Return the Keras of this Python, on the backend that is set or else installed.

    Raises:
        UnavailableError: there is none.
    """
    try:
        return Side(TODAY, version("keras"), numeric_settings()["KERAS_BACKEND"])
    except PackageNotFoundError as error:
        msg = f"{TODAY} is the Keras of {sys.executable}, which has none. Name an environment of masklib env list."
        raise UnavailableError(msg) from error


def find_sides(source: str | None, target: str) -> tuple[Side, Side]:
    """Return the two sides that are named.

    Args:
        source: "today", the name of an environment, or a version such as "2.15"; None: today.
        target: likewise. A version that several environments have is that on the backend of the other side, if one has
            it; if both are such versions, on the backend of this Python.

    Raises:
        ArgumentError: there is no such environment.
        UnavailableError: it was not made.
    """
    first = _find(source or TODAY, numeric_settings()["KERAS_BACKEND"])
    second = _find(target, first.backend)
    if source and second.backend != first.backend and _VERSION.fullmatch(source):
        first = _find(source, second.backend)
    return first, second


def _find(name: str, backend: str) -> Side:
    """Return the side of a name or version, on a backend if there is a choice."""
    if name == TODAY:
        return today()
    if name in load_environments() or not _VERSION.fullmatch(name):
        return _of(made_environment(name))
    found = [side for side in _all() if f"{side.keras}.".startswith(f"{name}.")]
    found = [side for side in found if side.backend == backend] or found
    if found:
        return max(found, key=lambda side: (version_key(side.keras), side.name == TODAY))
    raise UnavailableError(_not_made(name))


def _not_made(version: str) -> str:
    """Return what to make for a version that no environment has."""
    known = [one for one in load_environments().values() if f"{one.keras}.".startswith(f"{version}.")]
    name = known[0].name if known else f"keras@{version}"
    try:
        find_environment(name)
    except ArgumentError:
        return f"There must be an environment with Keras {version}, none was made. Choose one of masklib env list, and make it."
    return f"There must be an environment with Keras {version}, none was made. Make it: masklib env create {name}."


def _all() -> Iterable[Side]:
    """Yield this Python if it has Keras, then every environment that was made."""
    with suppress(UnavailableError):
        yield today()
    yield from map(_of, made())


def _of(environment: Environment) -> Side:
    """Return an environment as a side."""
    return Side(environment.name, environment.keras, environment.backend, environment)
