"""A house: a folder with a notebook, a store and a temporary folder, in which sweeps run as a user starts them.

What disturbs a run is no part of its identity: it is code in a file outside of the notebook, which is executed if it is there.
So a disturbed sweep, gone on to its end, must have the tables of an undisturbed one.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import nbformat
import pandas as pd
import pytest

from masklib.engine.collect import collect
from masklib.engine.store import Store
from tests.engine.conftest import START, notebook
from tests.engine.test_execute import processes_with
from tests.waiting import GONE_S, until

QUICK = Path(__file__).with_name("quick")
POINTS = 6
TROUBLE = """
import os, pathlib
house = pathlib.Path(os.environ["MASKLIB_HOUSE"])
(house / "begun" / f"{seed}").touch()
trouble = house / "trouble" / f"{seed}.py"
if trouble.exists():
    exec(trouble.read_text())
"""
MEASURE = """
import random, time
time.sleep(width)
run.metric("m", random.random())
run.claim("emb-1", seed, seed)
"""
ONCE = "trouble.unlink()\n"  # before a trouble that must not come again
BEFORE_SERVER = {"socket", "log"}  # left by a driver that is killed in the instant before its server starts
OF_ONE_SWEEP = ["launch", "started", "duration_s"]  # columns in which two equal sweeps differ


Tables = dict[str, pd.DataFrame]


class Undisturbed(NamedTuple):
    """What a sweep that nothing disturbed has, and how long it takes."""

    tables: Tables
    seconds: float


class House:
    """Where sweeps run.

    Args:
        folder: of the house.
        temporary: where its processes put what they need for themselves.
        root: of its store.
    """

    def __init__(self, folder: Path, temporary: Path, root: Path | None = None):
        self.folder = folder
        self.temporary = temporary
        self.store = Store(root or folder / "runs")
        for name in ("begun", "notebooks", "trouble"):
            (folder / name).mkdir(parents=True)
        self.write("tiny", TROUBLE, MEASURE)
        path = os.pathsep.join(filter(None, [str(QUICK), os.environ.get("PYTHONPATH")]))
        self.environment = {"MASKLIB_HOUSE": str(folder), "TMPDIR": str(temporary), "PYTHONPATH": path}

    def write(self, name: str, *cells: str) -> None:
        """Write a notebook of a run with these cells."""
        nbformat.write(notebook(START, *cells), self.folder / "notebooks" / f"{name}.ipynb")

    def start(
        self, *arguments: object, points: int = POINTS, width: float = 0.2, jobs: int = 2, name: str = "tiny"
    ) -> "subprocess.Popen[str]":
        """Start a sweep of a notebook of the house."""
        plan = [name, "-g", f"seed=0:{points}", "-p", "width", width, "--jobs", jobs, "--runs", self.store.root]
        plan += ["--cwd", QUICK]  # the same for all houses: a run is known by its folder, too
        return subprocess.Popen(
            [sys.executable, "-m", "masklib", "sweep", *map(str, [*plan, *arguments])],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sweep(self, *arguments: object, timeout: float = 120, **options: Any) -> SimpleNamespace:
        """Sweep to the end."""
        driver = self.start(*arguments, **options)
        out, err = driver.communicate(timeout=timeout)
        assert "Traceback" not in out + err, out + err
        return SimpleNamespace(code=driver.returncode, out=out, err=err)

    def trouble(self, seed: int, code: str) -> None:
        """Let the run of a seed execute this."""
        (self.folder / "trouble" / f"{seed}.py").write_text(code)

    @property
    def begun(self) -> int:
        """How many points have begun, at some time."""
        return len(list((self.folder / "begun").iterdir()))

    @property
    def processes(self) -> list[str]:
        """The command lines of the processes that sweeps of this house started, and that still run."""
        return processes_with(f"MASKLIB_HOUSE={self.folder}\0")

    def tables(self) -> Tables:
        """The tables of the runs that ended well, without what differs from sweep to sweep."""
        found = collect(self.store)
        assert found.unreadable == []
        runs = found.runs[found.runs["status"] == "ok"].reset_index(drop=True)
        every = {"runs": runs, "claims": found.claims, "measurements": found.measurements}
        return {name: table.drop(columns=OF_ONE_SWEEP, errors="ignore") for name, table in every.items()}


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary folder whose path is short enough for sockets."""
    with TemporaryDirectory(prefix="survival-") as folder:
        yield Path(folder)


@pytest.fixture
def house(tmp_path: Path, temporary: Path) -> House:
    return House(tmp_path, temporary)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    with TemporaryDirectory(prefix="survival-") as folder:
        return sweep_undisturbed(House(tmp_path_factory.mktemp("undisturbed"), Path(folder)))


def sweep_undisturbed(house: House) -> Undisturbed:
    """Sweep in a house that nothing disturbs."""
    started = time.monotonic()
    assert house.sweep().code == 0
    seconds = time.monotonic() - started
    assert_nothing_is_left(house)
    assert list(house.store.root.glob("tables/.*")) == []
    tables = house.tables()
    assert {name: len(table) for name, table in tables.items()} == dict.fromkeys(("runs", "claims", "measurements"), POINTS)
    return Undisturbed(tables, seconds)


def assert_as_undisturbed(house: House, undisturbed: Undisturbed) -> None:
    """The sweep, gone on to its end, has the tables of an undisturbed one, and nothing of it is left."""
    result = house.sweep("--retry", "failed")
    assert result.code == 0, result.err + result.out
    assert_nothing_is_left(house)
    assert list(house.store.root.glob("tables/.*")) == []
    tables = house.tables()
    for name, expected in undisturbed.tables.items():
        pd.testing.assert_frame_equal(tables[name], expected)


def assert_nothing_is_left(house: House) -> None:
    """Within seconds no process of the house is left, no temporary folder, and no work in progress.

    What was half written into the folder of the tables stays there until the next command writes them.
    """
    assert until(lambda: house.processes == [], GONE_S), house.processes
    folders = {path.name: {file.name for file in path.iterdir()} for path in house.temporary.glob("masklib-*")}
    assert {name: files for name, files in folders.items() if files - BEFORE_SERVER} == {}
    house.store.recover()
    assert [path for path in house.store.root.glob("*/.*") if path.parent.name != "tables"] == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of survival are slow: each executes sweeps, and disturbs them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
