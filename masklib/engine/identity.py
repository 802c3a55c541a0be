"""The identity of a run: what its numbers follow from, and the key made of it.

Code cells and their execution tags, parameters with defaults filled in, the source of what a kernel imports of masklib, Python,
platform, versions, device, the settings that can change numbers, and what the files hold that parameters name. Markdown, display
tags, cell ids and outputs do not count, nor does the source of what runs a notebook or shows its results.
"""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from masklib.engine import distributions
from masklib.engine.environments import Environment, find_environment
from masklib.engine.notebooks import Notebook, tags
from masklib.engine.settings import ENVIRONMENT_VARIABLE

SCHEMA = 2
RUNNER = ("engine", "site", "cli", "__main__")  # parts of masklib that run notebooks or show results: no kernel imports them
_PACKAGE = Path(__file__).parents[1]
EXECUTION_TAGS = frozenset({"parameters", "skip-execution", "raises-exception"})
BACKEND_PACKAGES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch", "numpy": "numpy"}


def identity(
    notebook: Notebook, parameters: Mapping[str, Any], settings: Mapping[str, str], files: Iterable[str] = ()
) -> dict[str, Any]:
    """Return everything that the results of a run follow from, as plain JSON values.

    Args:
        notebook: as read.
        parameters: resolved, with defaults filled in.
        settings: from `masklib.engine.settings.numeric_settings`; `KERAS_BACKEND` among them.
        files: paths whose content counts.
    """
    other = find_environment(settings[ENVIRONMENT_VARIABLE]) if ENVIRONMENT_VARIABLE in settings else None
    python = other.python_full_version if other else platform.python_version()
    return {
        "schema": SCHEMA,
        "cells": [[cell.source, sorted(EXECUTION_TAGS.intersection(tags(cell)))] for cell in notebook.code_cells],
        "parameters": {name: [type(value).__name__, value] for name, value in parameters.items()},
        "masklib": kernel_source_hash(),
        "python": f"{platform.python_implementation()} {python}",
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": versions(settings["KERAS_BACKEND"], other.pins if other else None),
        "environment": _environment(other) if other else None,
        "device": device(settings.get("CUDA_VISIBLE_DEVICES")),
        "settings": dict(settings),
        "files": {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in sorted(files)},
    }


def key_of(inputs: Mapping[str, Any]) -> str:
    """Return the sha256, in hex, of an identity in canonical form: sorted keys, floats by repr."""
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def kernel_source_hash() -> str:
    """Return the sha256 of the kernel side of masklib when this process first asked."""
    return kernel_source_hash_now()


def kernel_source_hash_now(package: Path = _PACKAGE) -> str:
    """Return the sha256 of the kernel side of masklib: what a notebook can import, so what can change its numbers.

    Args:
        package: the folder of masklib.
    """
    return _hash(package, [path for path in _sources(package) if path.relative_to(package).parts[0].split(".")[0] not in RUNNER])


@cache
def source_hash() -> str:
    """Return the sha256 of all of masklib's source when this process first asked: what caches are made by."""
    return source_hash_now()


def source_hash_now(package: Path = _PACKAGE) -> str:
    """Return the sha256 of all of masklib's source."""
    return _hash(package, _sources(package))


def _sources(package: Path) -> list[Path]:
    """Return the modules of masklib and the data beside them."""
    return sorted(path for path in package.rglob("*") if path.suffix in {".py", ".toml"})


def _hash(folder: Path, files: Iterable[Path]) -> str:
    """Return the sha256 of files: relative path and bytes of each."""
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _environment(other: Environment) -> dict[str, str]:
    """Return what another environment is made of, besides its name: all its pins, and what runs before Keras is imported."""
    return {"lock": hashlib.sha256(other.lock.encode()).hexdigest(), "startup": other.startup}


def versions(backend: str, pins: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """Return the versions of the libraries whose numbers and figures a run shows; None where one is not installed.

    Args:
        backend: of Keras.
        pins: what is installed in another environment; by default this one is asked.
    """
    names = dict.fromkeys(["keras", BACKEND_PACKAGES.get(backend, backend), "numpy", "pandas", "matplotlib"])
    if pins is not None:
        return {name: next((pins[n] for n in _distributions(name) if n in pins), None) for name in names}
    installed_at = distributions.stamp(distributions.site_folders_of())  # in a session that lasts, a library may be replaced
    return {name: _version(name, installed_at) for name in names}


def _distributions(name: str) -> tuple[str, str]:
    """Return the names under which a library is distributed: TensorFlow also comes as tensorflow-cpu."""
    return name, f"{name}-cpu"


@lru_cache(maxsize=64)
def _version(name: str, installed_at: tuple[int, ...]) -> str | None:
    """Return the version of a distribution, as what was installed then has it."""
    for candidate in _distributions(name):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    return None


@cache
def device(visible: str | None) -> str:
    """Return "cpu", or the names of the NVIDIA devices that a kernel with `CUDA_VISIBLE_DEVICES=visible` may see."""
    if visible in ("", "-1") or not Path("/proc/driver/nvidia").exists():
        return "cpu"
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", *(["-i", visible] if visible else [])]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "cpu"
    return ", ".join(found.split("\n")).strip(", ") or "cpu"
