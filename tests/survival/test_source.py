"""masklib's own source changes between the plan of a sweep and its runs: it is reported, and nothing is published wrongly."""

import os
import shutil
from pathlib import Path

import masklib
from tests.stores import runs_in
from tests.survival.conftest import POINTS, House, assert_as_undisturbed, assert_nothing_is_left, sweep_undisturbed
from tests.waiting import until

WAIT = "import time\nwhile trouble.exists():\n    time.sleep(0.05)"


def test_the_source_changes_while_a_sweep_runs(house: House):
    package = Path(str(masklib.__file__)).parent
    original, copy = (package / "errors.py").read_text(), house.folder / "copy" / "masklib"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = house.environment["PYTHONPATH"]
    house.environment["PYTHONPATH"] = os.pathsep.join([path.partition(os.pathsep)[0], str(copy.parent)])
    house.trouble(1, WAIT)
    driver = house.start(jobs=1)
    assert until(lambda: house.begun == 2)
    (copy / "errors.py").write_text(original + "\n# changed\n")
    (house.folder / "trouble" / "1.py").unlink()
    out, err = driver.communicate(timeout=60)

    assert driver.returncode == 1
    assert "SourceChanged: masklib's source changed since this run was planned; run it again" in err
    assert f"failed  {POINTS - 1}" in out
    assert_nothing_is_left(house)
    assert len(runs_in(house.store)) == 1
    (copy / "errors.py").write_text(original)
    other = House(house.folder / "calm", house.temporary)  # PYTHONPATH counts, so the same for both
    other.environment |= {"PYTHONPATH": house.environment["PYTHONPATH"]}
    assert_as_undisturbed(house, sweep_undisturbed(other))
