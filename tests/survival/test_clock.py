"""A clock that is set back between two sweeps, or while one runs: nothing is lost, and nothing executed twice."""

import shutil
import subprocess
from pathlib import Path

import pytest

from masklib.engine.store import read_record
from tests.stores import runs_in
from tests.survival.conftest import POINTS, House, Undisturbed, assert_as_undisturbed, assert_nothing_is_left
from tests.waiting import until

DAY_S = 86_400
# Every process that loads it is told the time of yesterday, and the real one before the file `set_back` is there.
CLOCK = """
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    long code = syscall(SYS_clock_gettime, clock, now);
    const char *set_back = getenv("MASKLIB_SET_BACK");
    if (clock == CLOCK_REALTIME && set_back && access(set_back, F_OK) == 0) now->tv_sec -= DAY_S;
    return (int) code;
}
"""


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that sets the clock of a process back."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a clock that can be set back needs a C compiler")
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(CLOCK)
    command = [compiler, "-shared", "-fPIC", f"-DDAY_S={DAY_S}", "-o", "clock.so", "clock.c"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "clock.so"


def test_a_clock_that_is_set_back(house: House, undisturbed: Undisturbed, clock: Path):
    set_back = house.folder / "set_back"
    house.environment |= {"LD_PRELOAD": str(clock), "MASKLIB_SET_BACK": str(set_back)}
    house.trouble(POINTS - 1, "import time\ntime.sleep(60)")
    driver = house.start()
    assert until(lambda: house.begun >= 2)
    set_back.touch()
    assert until(lambda: len(runs_in(house.store)) == POINTS - 1)
    driver.kill()
    driver.communicate()
    (house.folder / "trouble" / f"{POINTS - 1}.py").unlink()

    assert_nothing_is_left(house)
    again = house.sweep()
    assert f"{POINTS} points: {POINTS - 1} already there, 1 to run." in again.err
    records = list(map(read_record, runs_in(house.store)))
    assert len({record.started[:10] for record in records}) > 1  # today, and yesterday
    assert min(record.duration_s for record in records) > 0
    assert_as_undisturbed(house, undisturbed)
