"""The identity of a run: what its numbers follow from, and the key made of it.

Code cells and their execution tags, the folder in which they run, parameters with defaults filled in, the source of what a kernel
imports of masklib, Python, platform, versions, device, the settings that can change numbers, and what the files hold that
parameters name. Markdown, display tags, cell ids and outputs do not count, nor does the source of what runs a notebook or shows
its results.
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
from masklib.engine.kernels.choosing import THIS_KERNEL, Kernel
from masklib.engine.notebooks import Notebook
from masklib.engine.settings import ENVIRONMENT_VARIABLE
from masklib.engine.values import as_json

SCHEMA = 2
RUNNER = (
    "engine",
    "site",
    "cli",
    "migrating",
    "pytest_plugin",
    "__main__",
)  # parts of masklib that run notebooks, compare versions or show results: no kernel imports them
SUITE = "suite"  # beside them in an installed masklib: its notebooks and verdicts
_PACKAGE = Path(__file__).parents[1]
BACKEND_PACKAGES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch", "numpy": "numpy"}


def identity(
    notebook: Notebook,
    parameters: Mapping[str, Any],
    settings: Mapping[str, str],
    files: Iterable[str] = (),
    folder: str = "",
    kernel: Kernel = THIS_KERNEL,
) -> dict[str, Any]:
    """Return everything that the results of a run follow from, as plain JSON values.

    Args:
        notebook: as read.
        parameters: resolved, with defaults filled in.
        settings: from `masklib.engine.settings.numeric_settings`; `KERAS_BACKEND` among them.
        files: paths whose content counts.
        folder: in which the kernel works: what lies there is found by relative paths, and can be imported.
        kernel: in which it runs.
    """
    other = find_environment(settings[ENVIRONMENT_VARIABLE]) if ENVIRONMENT_VARIABLE in settings else None
    python, pins = _python(other, kernel)
    return {
        "schema": SCHEMA,
        "cells": notebook.executed,
        "folder": folder,
        "parameters": {name: [type(value).__name__, as_json(value)] for name, value in parameters.items()},
        "masklib": masklib_of(kernel),
        "kernel": None if kernel.is_this else kernel.describe(),
        "python": python,
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": versions(settings["KERAS_BACKEND"], pins),
        "environment": _environment(other) if other else None,
        "device": device(settings.get("CUDA_VISIBLE_DEVICES")),
        "settings": dict(settings),
        "files": {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in sorted(files)},
    }


def _python(other: Environment | None, kernel: Kernel) -> tuple[str | None, Mapping[str, str] | None]:
    """Return the Python that a run is executed by, and what is installed there; None for what is installed here."""
    implementation = platform.python_implementation()
    if other:
        return f"{implementation} {other.python_full_version}", other.pins
    if kernel.is_this:
        return f"{implementation} {platform.python_version()}", None
    return (kernel.python.python, kernel.python.versions) if kernel.python and kernel.is_python else (None, {})


def masklib_of(kernel: Kernel, *, now: bool = False) -> str | None:
    """Return the sha256 of the kernel side of the masklib that a kernel can import; None if it has none.

    Args:
        kernel: in which a notebook runs.
        now: whether it is looked again for that of this Python.
    """
    if kernel.is_this:
        return kernel_source_hash_now() if now else kernel_source_hash()
    folder = kernel.python.masklib if kernel.python and kernel.is_python else ""
    return kernel_source_hash_now(Path(folder)) if folder else None


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
    parts = {path: path.relative_to(package).parts[0].partition(".")[0] for path in _sources(package)}
    return _hash(package, [path for path, part in parts.items() if part not in (*RUNNER, SUITE)])


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
