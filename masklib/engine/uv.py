"""uv, the tool that makes environments: where it is, in which environment it runs, and what it says when it fails."""

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from masklib.errors import UnavailableError


def find_interpreter(version: str) -> str | None:
    """Return the path of a Python of this version, such as "3.10": the one that runs this, uv's own, on PATH, or of pyenv."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return str(getattr(sys, "_base_executable", sys.executable))
    command = [find_uv(), "python", "find", "--system", "--no-project", "--no-python-downloads", version]
    found = subprocess.run(command, env=uv_environ(), capture_output=True, text=True, cwd=Path.home(), check=False)
    return found.stdout.strip() or None if found.returncode == 0 else None


def find_uv() -> str:
    """Return the path of uv: on PATH, that of `make setup`, or the one of the Python package.

    Raises:
        UnavailableError: there is none.
    """
    own = Path(__file__).parents[2] / ".uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(own) if own.exists() else None)
    if found:
        return found
    if importlib.util.find_spec("uv"):
        return str(importlib.import_module("uv").find_uv_bin())
    msg = "Environments are made by uv, which is neither on PATH nor in .uv/bin. Install it, for example by: pip install uv"
    raise UnavailableError(msg)


def run_uv(arguments: list[str], name: str, on_progress: Callable[[str], None]) -> None:
    """Run uv and pass on what it says; again with the system's certificates where its own are not enough.

    Args:
        arguments: of uv.
        name: of the environment that is made.
        on_progress: called with each line that uv says.

    Raises:
        UnavailableError: uv failed; the message ends with what it said.
    """
    said = _run(arguments, uv_environ(), on_progress)
    if said and "certificate" in " ".join(said):
        said = _run(arguments, uv_environ() | {"UV_SYSTEM_CERTS": "1"}, on_progress)
    if said:
        msg = f"{name} cannot be made: uv {' '.join(arguments[:2])} failed.\n"
        raise UnavailableError(msg + "\n".join(f"  {line}" for line in said[-12:]))


def _run(arguments: list[str], environ: dict[str, str], on_progress: Callable[[str], None]) -> list[str]:
    """Run uv; return what it said if it failed, else []."""
    said: list[str] = []
    command = [find_uv(), *arguments]
    kwargs: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "cwd": Path.home()}
    with subprocess.Popen(command, env=environ, **kwargs) as process:
        try:
            for line in process.stderr or ():
                said.append(line.rstrip())
                on_progress(line.strip())
        except BaseException:
            process.kill()  # it must write no more
            raise
    return (said or ["It said nothing."]) if process.returncode else []


def uv_environ() -> dict[str, str]:
    """Return the environment in which uv runs: it uses the links that pip is given, and finds Pythons of pyenv."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k not in ("VIRTUAL_ENV", "CONDA_PREFIX")}
    if "PIP_FIND_LINKS" in environ:
        environ.setdefault("UV_FIND_LINKS", ",".join(environ["PIP_FIND_LINKS"].split()))
    root = Path(environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    pythons = [str(path) for path in sorted(root.glob("versions/*/bin"))]
    return environ | {"PATH": os.pathsep.join([environ.get("PATH", ""), *pythons])}


def where_torch_is(backend: str) -> list[str]:
    """Return the option of uv that finds the CPU build of PyTorch, which PyPI does not have; none where links are given."""
    return ["--torch-backend", "cpu"] if backend == "torch" and "UV_FIND_LINKS" not in uv_environ() else []
