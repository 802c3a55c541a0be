"""Notebooks that ask much: the sweep goes on, and nothing of them is left."""

from tests.stores import runs_in
from tests.survival.conftest import House, Undisturbed, assert_as_undisturbed, assert_nothing_is_left

PRINT = "for _ in range(100_000):\n    print('x' * 999)"  # 100 MB
CHILDREN = """
import multiprocessing, subprocess, time
subprocess.Popen(["sleep", "1000"], start_new_session=True)
multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,)).start()
if os.fork() == 0:  # and one that nobody waits for
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
"""


def test_one_that_prints_100_million_bytes_and_one_that_forks_children_of_its_own(house: House, undisturbed: Undisturbed):
    house.trouble(1, PRINT)
    house.trouble(2, CHILDREN)
    assert house.sweep().code == 0
    assert_nothing_is_left(house)
    assert max(folder.joinpath("notebook.ipynb").stat().st_size for folder in runs_in(house.store)) > 100_000_000
    assert_as_undisturbed(house, undisturbed)
