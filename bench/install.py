"""What an installation costs: packages, size, and the seconds to install and to a first result, for five kinds of user.

Each environment is new and is installed from the wheel alone. Packages come from uv's cache: a first installation, not
timed, fills it. `python bench/install.py --only core-jax,engine` measures a part.
"""

# ruff: noqa: T201 -- a benchmark prints

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

from masklib.engine.uv import find_uv, uv_environ

ROOT = Path(__file__).parents[1]
MODEL = """
import os
os.environ["KERAS_BACKEND"] = "{backend}"
import keras
from keras import layers
ids = keras.Input((None,), dtype="int32")
x = layers.Conv1D(4, 3, padding="same")(layers.Embedding(9, 4, mask_zero=True)(ids))
keras.Model(ids, layers.GlobalAveragePooling1D()(x)).save("model.keras")
"""
PYTORCH = () if "UV_FIND_LINKS" in uv_environ() else ("--torch-backend", "cpu")  # where its builds for the CPU are
OWN = "width: int = 1  # steps"


@dataclass(frozen=True)
class User:
    """A kind of user.

    Attributes:
        wanted: what is installed: "" for the wheel alone, or an extra; and packages beside it.
        first: the command whose result is the first.
        backend: of the model that is audited; "" for none.
        status: the exit status of `first`: an audit that finds a leak ends with 1.
    """

    wanted: tuple[str, ...]
    first: tuple[str, ...]
    backend: str = ""
    status: int = 0


AUDIT = ("audit", "model.keras", "--quick")
USERS = {
    "core-jax": User(("jax",), AUDIT, "jax", 1),
    "core-torch": User(("", "keras>=3.10", "torch==2.13.0+cpu", *PYTORCH), AUDIT, "torch", 1),
    "core-tensorflow": User(("tensorflow",), AUDIT, "tensorflow", 1),
    "suite": User(("suite",), ("run", "02_rnn_carry_over", "-p", "cell", "lstm")),
    "engine": User(("engine",), ("sweep", "own.ipynb", "-g", "width=1,2")),
}


def call(folder: Path, *command: object, status: int = 0) -> float:
    """Run a command in a folder; return its seconds, or end the benchmark if it ends with another status."""
    started = time.perf_counter()
    done = subprocess.run([*map(str, command)], cwd=folder, env=uv_environ(), capture_output=True, text=True, check=False)
    if done.returncode != status:
        sys.exit(f"{command} ended with status {done.returncode}, not {status}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started


def install(wheel: Path, user: User, folder: Path) -> float:
    """Make an environment for a kind of user; return the seconds."""
    extra, *others = user.wanted
    venv = folder / ".venv"
    took = call(folder, find_uv(), "venv", "--quiet", "--python", sys.executable, venv)
    where = ("--quiet", "--compile-bytecode", "--python", venv / "bin" / "python")
    return took + call(folder, find_uv(), "pip", "install", *where, f"{wheel}[{extra}]" if extra else wheel, *others)


def measure(name: str, wheel: Path) -> None:
    """Print what one kind of user pays."""
    user = USERS[name]
    with tempfile.TemporaryDirectory() as warming:
        install(wheel, user, Path(warming))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        took = install(wheel, user, folder)
        commands = folder / ".venv" / "bin"
        prepare(user, folder, commands)
        first = call(folder, commands / "masklib", *user.first, status=user.status)
        packages = sum(1 for _ in folder.glob(".venv/lib/python*/site-packages/*.dist-info"))
        size = sum(
            path.stat().st_size for path in folder.joinpath(".venv").rglob("*") if path.is_file() and not path.is_symlink()
        )
        print(
            f"  {name:<18} {packages:4} packages {size / 1e6:7.0f} MB {took:7.1f} s to install {first:7.1f} s to the first result"
        )


def prepare(user: User, folder: Path, commands: Path) -> None:
    """Write the model or the notebook that the user has."""
    if user.backend:
        folder.joinpath("make.py").write_text(MODEL.format(backend=user.backend))
        call(folder, commands / "python", "make.py")
    else:
        cell = nbformat.v4.new_code_cell(OWN, metadata={"tags": ["parameters"]})
        nbformat.write(nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell("print(width)")]), folder / "own.ipynb")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the kinds of users that are asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(USERS), help=f"of {', '.join(USERS)}, separated by commas")
    chosen = parser.parse_args(arguments).only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        call(ROOT, find_uv(), "build", "--quiet", "--wheel", "--out-dir", folder)
        (wheel,) = Path(folder).glob("*.whl")
        print("Installed from the wheel alone:")
        for name in chosen:
            measure(name, wheel)


if __name__ == "__main__":
    main()
