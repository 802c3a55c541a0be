"""Runs masklib itself in the Python of another environment, so with its Keras: nothing has to be installed there.

masklib is found as its kernels find it, see `masklib/compat/startup/sitecustomize.py`. Pure-Python libraries that the command
line needs and the environment has not, such as click, are imported from this process's own packages, each by its name: the
folder that holds them is full of libraries for another Python. The current folder is not searched for modules.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from masklib.engine.environments import STARTUP, Environment, find_environment
from masklib.engine.releases import version_key
from masklib.errors import UnavailableError

SUPPORTED_FROM = "3.4.1"  # Keras with which the audit tests every part of a model: up to 3.3 `compute_loss` takes other arguments
LENT = ("click",)  # what `masklib.cli` imports and not every environment has
LENT_VARIABLE = "MASKLIB_LENT"  # JSON: the folders of what is lent, by name, and that of masklib's metadata
_CODE = """
import sys
del sys.path[0]
import importlib.metadata, importlib.util, json, os, pathlib

class Lent:
    folders = json.loads(os.environ.pop("{variable}"))

    def find_spec(self, name, path=None, target=None):
        if name not in self.folders:
            return None
        folder = self.folders[name]
        return importlib.util.spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])

    def find_distributions(self, context):
        if context.name in self.folders.get("metadata", {{}}):
            yield importlib.metadata.PathDistribution(pathlib.Path(self.folders["metadata"][context.name]))

sys.meta_path.append(Lent())
from {module} import {function}
{function}(*json.loads(sys.argv.pop(1)))
"""


def made_environment(name: str) -> Environment:
    """Return an environment that was made.

    Raises:
        ArgumentError: there is none of this name.
        UnavailableError: it was not made yet.
    """
    found = find_environment(name)
    if not found.exists:
        msg = f"The environment {name} must be made before it is used, it was not. Make it: masklib env create {name}."
        raise UnavailableError(msg)
    return found


def check_audited(environment: Environment) -> None:
    """Raise UnavailableError if the audit does not work with the Keras of an environment."""
    if version_key(environment.keras) < version_key(SUPPORTED_FROM):
        msg = f"masklib audit needs Keras {SUPPORTED_FROM} or newer, {environment.name} has Keras {environment.keras}. "
        raise UnavailableError(msg + "Choose a newer environment, or compare with a newer Keras by masklib migrate-check.")


def call_inside(
    environment: Environment | None,
    function: str,
    arguments: Sequence[object] = (),
    *,
    variables: Mapping[str, str] | None = None,
    is_captured: bool = False,
) -> "subprocess.CompletedProcess[str]":
    """Call a function of masklib in a process of its own, in the current folder, and return how the process ended.

    Args:
        environment: whose Python it is; None: this Python.
        function: such as "masklib.cli.audit:main".
        arguments: of it, as JSON holds them.
        variables: environment variables beside those of the environment.
        is_captured: whether stderr is kept; else it goes where that of this process goes.
    """
    module, _, name = function.partition(":")
    code = _CODE.format(module=module, function=name, variable=LENT_VARIABLE)
    kept = {k: v for k, v in os.environ.items() if not environment or not k.startswith(("PYTHON", "KERAS_"))}
    searched = os.pathsep.join(filter(None, (str(STARTUP), os.environ.get("PYTHONPATH"))))
    own = environment.variables() if environment else {"PYTHONPATH": searched}
    environ = {**kept, **own, LENT_VARIABLE: json.dumps(_lent()), **(variables or {})}
    command = [str(environment.python) if environment else sys.executable, "-c", code, json.dumps(list(arguments))]
    return subprocess.run(command, env=environ, text=True, stderr=subprocess.PIPE if is_captured else None, check=False)


def _lent() -> dict[str, object]:
    """Return the folders of what is lent, by the name of its package, and that of masklib's metadata."""
    specs = {name: find_spec(name) for name in LENT}
    found: dict[str, object] = {name: str(Path(spec.origin).parent) for name, spec in specs.items() if spec and spec.origin}
    try:
        metadata = getattr(distribution("masklib"), "_path", None)
    except PackageNotFoundError:
        metadata = None
    return {**found, "metadata": {"masklib": str(metadata)} if metadata else {}}
