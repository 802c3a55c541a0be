"""papermill --engine masklib does what papermill does: addresses, folders, links, and no limit of time that is not given."""

import os
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from papermill.iorw import papermill_io

from tests.engine.test_kinds import save
from tests.engine.test_objects import BUCKET, endpoint, log, s3

__all__ = ["endpoint", "log", "s3"]  # fixtures


def execute(source: Path, target: str | Path, **options: Any) -> Any:
    return papermill.execute_notebook(str(source), str(target), engine_name="masklib", progress_bar=False, **options)


def shown(path: Path) -> list[str]:
    node = nbformat.read(path, as_version=4)
    return [output.text.strip() for cell in node.cells for output in cell.get("outputs", ())]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebook that prints where it runs; papermill runs in the folder of it."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "outs").mkdir()
    monkeypatch.chdir(tmp_path)
    return save(tmp_path / "a.ipynb", "import os\nprint(os.getcwd())", name="python3", language="python")


@pytest.mark.parametrize("target", ["out.ipynb", "outs/out.ipynb"])
def test_the_output_is_where_papermill_was_started_whatever_folder_the_kernel_works_in(source: Path, tmp_path: Path, target: str):
    execute(source, target, cwd="sub")
    assert shown(tmp_path / target) == [str(tmp_path / "sub")]
    assert len(list(tmp_path.rglob("*out.ipynb*"))) == 1


def test_a_link_as_output_stays_a_link_and_its_file_is_written(source: Path, tmp_path: Path):
    (tmp_path / "link.ipynb").symlink_to("outs/real.ipynb")
    for _ in range(2):
        execute(source, "link.ipynb")
        assert shown(tmp_path / "outs" / "real.ipynb") == [str(tmp_path)]
    assert (tmp_path / "link.ipynb").is_symlink()


def test_what_is_no_file_is_written_to_and_not_replaced(source: Path, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.ipynb")
    reading = os.open(tmp_path / "pipe.ipynb", os.O_RDONLY | os.O_NONBLOCK)
    execute(source, "pipe.ipynb")
    assert (tmp_path / "pipe.ipynb").is_fifo()
    assert os.read(reading, 1 << 20).startswith(b"{")
    os.close(reading)


class Memory:
    """A store of notebooks at addresses that papermill has a handler for."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def write(self, text: str, path: str) -> None:
        """Keep a notebook."""
        self.files[path] = text

    def pretty_path(self, path: str) -> str:
        """Return an address as it is shown."""
        return path


def test_any_address_that_papermill_writes_is_written(source: Path, tmp_path: Path):
    memory = Memory()
    papermill_io.register("memory-of-test://", memory)
    execute(source, "memory-of-test://bucket/out.ipynb")
    assert str(tmp_path) in memory.files["memory-of-test://bucket/out.ipynb"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ipynb", "outs", "sub"]


def test_the_paths_that_papermill_notes_are_kept(source: Path, tmp_path: Path):
    told = execute(source, "out.ipynb").metadata.papermill
    assert (told.input_path, told.output_path) == (str(source), "out.ipynb")


def test_there_is_no_limit_of_time_unless_one_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    limits = []
    monkeypatch.setattr("masklib.engine.execute._seconds", lambda left: limits.append(left))
    execute(save(tmp_path / "a.ipynb", "1", name="python3", language="python"), tmp_path / "out.ipynb")
    assert set(limits) == {float("inf")}


@pytest.mark.parametrize("option", ["timeout", "cell_timeout", "execution_timeout"])
def test_a_limit_that_is_given_holds(tmp_path: Path, option: str):
    begun = time.monotonic()
    with pytest.raises(papermill.PapermillExecutionError, match="CellTimeoutError"):
        execute(
            save(tmp_path / "a.ipynb", "import time\ntime.sleep(60)", name="python3", language="python"),
            tmp_path / "out.ipynb",
            **{option: 2},
        )
    assert time.monotonic() - begun < 50


@pytest.mark.slow
def test_s3_is_written(s3: Any, source: Path):
    execute(source, f"s3://{BUCKET}/d/out.ipynb")
    assert b"nbformat" in s3.get_object(Bucket=BUCKET, Key="d/out.ipynb")["Body"].read()
