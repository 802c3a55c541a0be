"""Which kernel a notebook runs in: the one that its metadata name, as in JupyterLab.

"python3" is the Python that runs this, whatever a user's own kernelspec of that name says. Any other is found by its kernelspec.
A plain IPython kernel can be forked; every other kernel is started as its kernelspec says.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from masklib.engine.kernels import PROVISIONER
from masklib.errors import NotebookError

THIS = "python3"
PROBE_S = 60.0
_WHERE = ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "HOME")  # say where kernelspecs are
_PLAIN = (["-m", "ipykernel_launcher", "-f", "{connection_file}"], ["-m", "ipykernel", "-f", "{connection_file}"])
_WITHOUT_EFFECT = ("-Xfrozen_modules=off", "--IPKernelApp.capture_fd_output=False")
_PROBE = """
import importlib.util, json, platform, sys, sysconfig
from importlib.metadata import distributions
found = importlib.util.find_spec("masklib")
places = list(found.submodule_search_locations or [""]) if found else [""]
print(json.dumps({
    "python": platform.python_implementation() + " " + platform.python_version(),
    "prefix": sys.prefix,
    "versions": {d.metadata["Name"].lower().replace("_", "-"): d.version for d in distributions() if d.metadata["Name"]},
    "masklib": places[0],
    "places": sorted({sysconfig.get_paths()[name] for name in ("purelib", "platlib")}),
}))
"""


@dataclass(frozen=True)
class Python:
    """The Python of a kernel.

    Attributes:
        executable: its interpreter.
        python: implementation and version, such as "CPython 3.12.1".
        prefix: of its environment.
        versions: of every distribution that is installed there, by name.
        masklib: the folder of the masklib that it finds; "" if it finds none.
        places: the folders in which its distributions are.
    """

    executable: str
    python: str
    prefix: str
    versions: Mapping[str, str]
    masklib: str
    places: list[str]


@dataclass(frozen=True)
class Kernel:
    """A kernel that is installed.

    Attributes:
        name: of its kernelspec.
        language: as the kernelspec says.
        argv: the command that starts it.
        variables: of the environment, that its kernelspec sets.
        python: that runs it; None where that is another program, or this Python.
        forkable: whether it is a plain IPython kernel.
    """

    name: str = THIS
    language: str = "python"
    argv: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    python: Python | None = None
    forkable: bool = True

    @property
    def is_this(self) -> bool:
        """Whether it is a kernel of the Python that runs this."""
        return not self.argv

    @property
    def is_python(self) -> bool:
        """Whether notebooks in it are of Python."""
        return self.language.lower() == "python"

    def describe(self) -> dict[str, Any]:
        """Return what results follow from, besides versions: as plain JSON values, without what the environment holds."""
        installed = _digest(self.python.versions) if self.python else None
        return {"name": self.name, "argv": list(self.argv), "variables": _digest(self.variables), "installed": installed}


THIS_KERNEL = Kernel()


def kernel_name(node: Any) -> str:
    """Return the name of the kernel that the metadata of a notebook name; this Python's where they name none."""
    return str(node.metadata.get("kernelspec", {}).get("name") or THIS)


def find_kernel(name: str) -> Kernel:
    """Return the kernel of this name; what was found once counts while its kernelspec and what is installed there stay.

    Raises:
        NotebookError: it is not installed, or its program is not there; the message names those that are.
    """
    if name == THIS:
        return THIS_KERNEL
    key = (name, *(os.environ.get(variable, "") for variable in _WHERE))
    known = _known.get(key)
    if known is None or known.stamp != _stamp(known.paths):
        known = _known[key] = _look_up(name)
    return known.kernel


@dataclass(frozen=True)
class _Known:
    """A kernel that was found, and the files and folders that change with it."""

    kernel: Kernel
    paths: tuple[str, ...]
    stamp: list[int]


_known: dict[tuple[str, ...], _Known] = {}


def _stamp(paths: Iterable[str]) -> list[int]:
    """Return when files and folders were changed, 0 for one that is not there."""
    return [path.stat().st_mtime_ns if (path := Path(name)).exists() else 0 for name in paths]


def _look_up(name: str) -> _Known:
    """Return the kernel of this name, asked anew.

    Raises:
        NotebookError: as `find_kernel`.
    """
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    specs = KernelSpecManager()
    try:
        spec = specs.get_kernel_spec(name)
    except (NoSuchKernel, ValueError):
        known = ", ".join(sorted({THIS, *specs.find_kernel_specs()}))
        msg = f"The kernel {name!r} is not installed (installed: {known}). Install it, or choose another with --kernel."
        raise NotebookError(msg) from None
    kernel = _kernel(name, spec)
    paths = (f"{spec.resource_dir}/kernel.json", *(kernel.python.places if kernel.python else ()))
    return _Known(kernel, paths, _stamp(paths))


def _kernel(name: str, spec: Any) -> Kernel:
    """Return the kernel of a kernelspec."""
    argv = list(spec.argv)
    if argv[:1] and argv[0] in ("python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}"):
        argv[0] = sys.executable  # as jupyter_client does
    program = shutil.which(argv[0]) if argv else None
    if program is None:
        msg = f"The kernel {name!r} must start {argv[0] if argv else 'a program'}, which is not there. Install the kernel anew."
        raise NotebookError(msg)
    python = _probe(program) if Path(program).name.startswith(("python", "pypy")) else None
    provisioner = spec.metadata.get("kernel_provisioner", {}).get("provisioner_name", PROVISIONER)
    options = [option for option in argv[1:] if option not in _WITHOUT_EFFECT]
    forkable = python is not None and options in _PLAIN and provisioner in (PROVISIONER, "local-provisioner")
    variables = {key: Template(value).safe_substitute(os.environ) for key, value in spec.env.items()}
    if forkable and not variables and python is not None and Path(python.prefix) == Path(sys.prefix):
        return THIS_KERNEL
    return Kernel(name, spec.language or "python", tuple(argv), variables, python, forkable)


def _probe(program: str) -> Python | None:
    """Return what a Python says of itself; None if it says nothing, such as one before 3.8."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [program, "-c", "import sys; sys.path[:] = sys.path[1:]" + _PROBE]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S, check=True, env=environment)
        return Python(program, **json.loads(ended.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None


def _digest(texts: Mapping[str, str]) -> str:
    """Return the sha256 of texts by name, in hex."""
    return hashlib.sha256(json.dumps(dict(texts), sort_keys=True).encode()).hexdigest()
