"""The releases of Keras: their order, and when each was made. Nothing heavy is imported."""

import re
from functools import cache
from importlib.resources import files

import tomllib


def version_key(version: str) -> tuple[int, ...]:
    """Return a version so that it can be compared; a pre-release, such as "3.16.0.dev2026102704", comes before its release."""
    numbers = [int(part) for part in re.findall(r"\d{1,12}", version)]
    release = (*numbers[:3], 0, 0, 0)[:3]
    return (*release, -1 if is_pre_release(version) else 0, *numbers[3:])


def is_pre_release(version: str) -> bool:
    """Return whether a version is one before its release."""
    return bool(re.search(r"\d(a|b|rc|\.?dev)\d", version))


def releases() -> list[str]:
    """Return the releases of Keras that are known here, the oldest first, and the pre-releases that were tried."""
    return sorted(_dates(), key=version_key)


def released(version: str) -> str:
    """Return when a version of Keras was made, such as "2024-06-25"; "" if that is not known."""
    return _dates().get(version, "")


@cache
def _dates() -> dict[str, str]:
    """Return when each release of Keras was made, by version."""
    found = tomllib.loads(files("masklib.engine").joinpath("releases.toml").read_text(encoding="utf-8"))
    return {version: str(date) for version, date in found.items()}
