"""A disk that is full, read-only or corrupt: it is reported, nothing is lost or half done, and later the sweep goes on."""

import subprocess
from pathlib import Path

import pytest

from tests.stores import runs_in
from tests.survival.conftest import ONCE, POINTS, House, Undisturbed, assert_as_undisturbed

FILL = """
filler = pathlib.Path(os.environ["MASKLIB_RUN_DIR"]).parents[1] / "filler"
with filler.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
"""


@pytest.fixture
def house_on_disk(tmp_path: Path, temporary: Path, disk: Path) -> House:
    return House(tmp_path, temporary, disk / "runs")


def test_a_disk_that_fills_up(house_on_disk: House, undisturbed: Undisturbed):
    house = house_on_disk
    house.trouble(2, ONCE + FILL)
    result = house.sweep()

    assert result.code == 1
    assert "No space left on device" in result.err
    assert 1 <= len(runs_in(house.store)) < POINTS
    (house.store.root / "filler").unlink()
    assert_as_undisturbed(house, undisturbed)


def test_a_store_that_is_read_only(house_on_disk: House, undisturbed: Undisturbed, disk: Path):
    house = house_on_disk
    assert house.sweep(points=3).code == 0
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    result, complete = house.sweep(), house.sweep(points=3)

    assert (result.code, complete.code) == (1, 1)
    assert "Read-only file system" in result.err
    assert "Read-only file system" in complete.err
    assert "already there  3" in complete.out
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert_as_undisturbed(house, undisturbed)


def test_a_corrupt_record_and_a_corrupt_notebook(house: House, undisturbed: Undisturbed):
    assert house.sweep().code == 0
    first, second, *_ = runs_in(house.store)
    for file in (first / "record.json", second / "notebook.ipynb"):
        file.write_bytes(file.read_bytes()[:-9])
    again = house.sweep()

    assert again.code == 0
    for folder in (first, second):
        assert f"set aside: {house.store.root}/tiny/corrupt/{folder.name}-1: {folder}/" in again.err
    assert f"{POINTS} points: {POINTS - 2} already there, 2 to run." in again.err
    assert_as_undisturbed(house, undisturbed)
