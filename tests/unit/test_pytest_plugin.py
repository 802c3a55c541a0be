"""The pytest plugin, in test suites of users: what a failure shows and keeps."""

import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import keras
import pytest

def model(pad_safe):
    ids = keras.Input((None,), dtype="int32")
    return keras.Model(ids, keras.layers.LSTM(4)(keras.layers.Embedding(9, 4, mask_zero=pad_safe)(ids)))

@pytest.mark.parametrize("pad_safe", [True, False])
def test_model(assert_padding_invariant, pad_safe):
    assert_padding_invariant(model(pad_safe), quick=True, allow_untested="gradients,loss,metrics")

def test_other():
    pass
"""


def run(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run the suite of a user, in which warnings are errors."""
    (folder / "test_user.py").write_text(SUITE)
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:timeout",
        *options,
        "test_user.py",
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_a_failure_reads_like_one_of_pytest_and_its_report_is_kept(tmp_path: Path, workers: tuple[str, ...]):
    done = run(tmp_path, "--masklib-report", "kept", *workers)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 2 passed" in done.stdout
    assert "E       AssertionError: functional" in done.stdout
    assert "LEAK  MSK" in done.stdout
    assert "masklib/auditing" not in done.stdout, "the frames are those of the user's test"
    (page,) = (tmp_path / "kept").iterdir()
    assert page.name == "test_user.py-test_model-False.html"
    assert f"The report: {page}" in done.stdout
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_audits_can_be_left_out_and_nothing_is_imported_for_the_others(tmp_path: Path):
    (tmp_path / "conftest.py").write_text(
        "def pytest_sessionfinish():\n    import sys\n    print('loaded', 'masklib.auditing' in sys.modules)\n"
    )
    done = run(tmp_path, "-m", "not audit", "--strict-markers", "-s")
    assert (done.returncode, "1 passed, 2 deselected" in done.stdout) == (0, True), done.stdout + done.stderr
    assert "loaded False" in done.stdout


def test_a_folder_that_cannot_be_made_is_refused_before_any_test(tmp_path: Path):
    (tmp_path / "kept").write_text("a file")
    done = run(tmp_path, "--masklib-report", "kept")
    assert done.returncode == 4
    assert "--masklib-report must be a folder that can be made, kept cannot" in done.stderr


def test_a_process_that_has_imported_masklib_may_call_pytest(tmp_path: Path):
    (tmp_path / "test_user.py").write_text("def test_other():\n    pass\n")
    code = "import sys, masklib, pytest; sys.exit(pytest.main(['-W', 'error', '-p', 'no:cacheprovider', 'test_user.py']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr
