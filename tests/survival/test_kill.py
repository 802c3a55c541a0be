"""kill -9, of any process at any moment: what was published stays, the rest is executed by the next sweep."""

import os
import random
import time

import pytest

from tests.stores import runs_in
from tests.survival.conftest import ONCE, POINTS, House, Undisturbed, assert_as_undisturbed, assert_nothing_is_left
from tests.waiting import until

KILLS = 5  # of one sweep
HOLD = "held = bytearray(500_000_000)\nimport time\ntime.sleep(60)"
KILL_KERNEL = "import signal\nos.kill(os.getpid(), signal.SIGKILL)"
KILL_SERVER = "import signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)"
KILL_WORKER = (
    "import json, signal, time\nwork = pathlib.Path(os.environ['MASKLIB_RUN_DIR'])\n"
    "os.kill(json.loads((work / 'record.json').read_text())['pid'], signal.SIGKILL)\ntime.sleep(60)"
)


@pytest.mark.parametrize("sweep", [0, *(pytest.param(number, marks=pytest.mark.full) for number in range(1, 10))])
def test_the_driver_at_random_moments(house: House, undisturbed: Undisturbed, sweep: int):
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"The moments of sweep {sweep} are those of random.Random({seed}).")  # noqa: T201 (shown when it fails)
    chance = random.Random(seed)
    for _ in range(KILLS):
        driver = house.start()
        time.sleep(chance.uniform(0, undisturbed.seconds))
        driver.kill()
        driver.communicate()
        assert_nothing_is_left(house)
    assert_as_undisturbed(house, undisturbed)


def test_the_driver_while_runs_are_executed_leaves_no_file(house: House, undisturbed: Undisturbed):
    driver = house.start(width=60)
    assert until(lambda: house.begun == 2)
    driver.kill()
    driver.communicate()

    assert_nothing_is_left(house)
    assert list(house.temporary.iterdir()) == []


# Each disturbance has a sweep of its own: a killed server ends the other kernels, too, whatever they were started for.
@pytest.mark.parametrize(
    ("code", "said", "lost"),
    [
        (KILL_KERNEL, "tiny seed=1 died: DeadKernelError in cell 4: the kernel was killed by SIGKILL", 1),
        (HOLD, "tiny seed=1 died: MemoryLimit in cell 4: the kernel held ", 1),
        (KILL_WORKER, "", 0),
        (KILL_SERVER, "", 0),
    ],
    ids=["a kernel", "a kernel over its memory limit", "a worker", "the fork server"],
)
def test_what_is_killed_costs_its_own_run_at_most(house: House, undisturbed: Undisturbed, code: str, said: str, lost: int):
    house.trouble(1, ONCE + code)
    result = house.sweep("--memory", "300MB")

    assert (result.code, said in result.out) == (int(lost > 0), True), result.out + result.err
    assert len(runs_in(house.store)) == POINTS - lost
    assert_as_undisturbed(house, undisturbed)
