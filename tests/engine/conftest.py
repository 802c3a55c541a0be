"""Tiny notebooks, one for each way in which a run can go."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from masklib.engine.store import Store

PARAMETERS = 'seed: int = 0  # seed\nprofile: str = "smoke"  # {smoke, full}\nwidth: float = 1.5  # width, m'
START = "from masklib.claims import recording\nrun = recording.start(globals())"

Write = Callable[..., Path]


def notebook(*cells: str, parameters: str = PARAMETERS) -> Any:
    """Return a notebook: a title, the parameters cell, then the given code cells."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    rest = [nbformat.v4.new_code_cell(source) for source in cells]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A title"), first, *rest], metadata=metadata)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a notebook of the given code cells, and return its path."""

    def write_notebook(*cells: str, name: str = "tiny", parameters: str = PARAMETERS) -> Path:
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(notebook(*cells, parameters=parameters), path)
        return path

    return write_notebook


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)
