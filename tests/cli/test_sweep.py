"""`masklib sweep`: real driver processes, what they print and how they end, undisturbed and disturbed."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from rich.console import Console

from masklib.cli import console
from masklib.cli.options import parse_bytes
from masklib.engine.run import execute_plan, plan_run
from masklib.engine.store import Store, read_record
from masklib.errors import ArgumentError
from tests.cli.test_cli import call
from tests.engine.conftest import START, notebook
from tests.engine.test_execute import processes_with
from tests.stores import attempts_in, runs_in
from tests.waiting import GONE_S, until

COUNT = """
import os
def note(text):
    file = os.open(os.environ["EXECUTIONS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{text}\\n".encode())
    os.close(file)
note(f"begin {seed}")
"""
LINGER = "import time\ntime.sleep(width)"
END = 'note(f"end {seed}")\nrun.metric("m", seed * 2.0)'


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one notebook, `tiny`, in which the caller stands; a run of it takes `width` seconds."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "runs" / "specs").mkdir(parents=True)
    nbformat.write(notebook(START, COUNT, LINGER, "1 / (seed - 1)", END), tmp_path / "notebooks" / "tiny.ipynb")
    nbformat.write(notebook(START, COUNT, LINGER, END), tmp_path / "notebooks" / "fine.ipynb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXECUTIONS", str(tmp_path / "executions"))  # also identifies the processes of this test
    return tmp_path


def start(*arguments: object) -> "subprocess.Popen[str]":
    """Start `masklib sweep` with these arguments."""
    command = [sys.executable, "-m", "masklib", "sweep", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(driver: "subprocess.Popen[str]", *, timeout: float = 120) -> SimpleNamespace:
    stdout, stderr = driver.communicate(timeout=timeout)
    return SimpleNamespace(code=driver.returncode, out=stdout, err=stderr)


def masklib(*arguments: object) -> SimpleNamespace:
    return finish(start(*arguments))


def notes(house: Path, word: str) -> list[int]:
    """The seeds of the executions that came to a word, sorted."""
    path = house / "executions"
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted(int(line.split()[1]) for line in lines if line.startswith(word))


def left_running(house: Path) -> list[str]:
    return processes_with(f"EXECUTIONS={house / 'executions'}")


def published(house: Path) -> list[int]:
    return sorted(read_record(folder).parameters["seed"] for folder in runs_in(Store(house / "runs")))


def test_a_sweep_says_what_became_of_each_point_and_once_more_executes_nothing(house: Path):
    first = masklib("fine", "-g", "seed=0:3,1", "-p", "width", 0, "--jobs", 2)
    again = masklib("fine", "-g", "seed=0:3", "-p", "width", 0)

    assert (first.code, again.code) == (0, 0), first.err
    assert "1 duplicate points were left out." in first.err
    assert "3 points: 0 already there, 3 to run." in first.err
    for seed in range(3):
        assert f"/3] fine seed={seed}: ok in " in first.err
    assert first.out.splitlines()[1:3] == ["state  points", "ok     3     "]
    assert first.out.endswith(f"Tables in {house / 'runs' / 'tables'}.\n")
    assert "3 points: 3 already there, 0 to run." in again.err
    assert notes(house, "begin") == [0, 1, 2]
    assert "0.0" in (house / "runs" / "tables" / "measurements.csv").read_text()


@pytest.mark.slow
def test_a_failure_is_shown_with_its_evidence_and_executed_again_with_retry_only(house: Path):
    first = masklib("tiny", "-g", "seed=0:3", "-p", "width", 0)
    again = masklib("tiny", "-g", "seed=0:3", "-p", "width", 0)
    as_json = json.loads(masklib("tiny", "-g", "seed=0:3", "-p", "width", 0, "--json").out)
    retried = masklib("tiny", "-g", "seed=0:3", "-p", "width", 0, "--retry", "failed")

    assert (first.code, again.code, retried.code) == (1, 1, 1)
    (attempt, _) = attempts_in(Store(house / "runs"))
    assert f"tiny seed=1 failed: ZeroDivisionError in cell 6: division by zero\n  evidence: {attempt}\n" in first.out
    assert "tiny seed=1 failed before: ZeroDivisionError" in again.out
    assert "executed again with --retry failed" in again.out
    assert "3 points: 2 already there, 1 failed before, 0 to run." in again.err
    assert as_json["states"] == {"already there": 2, "failed before": 1}
    assert [(p["parameters"]["seed"], p["status"], p["cached"]) for p in as_json["points"]][1] == (1, "failed", True)
    assert as_json["points"][1]["reason"].startswith("ZeroDivisionError")
    assert notes(house, "begin") == [0, 1, 1, 2]


def test_a_dry_run_shows_the_plan_and_executes_nothing(house: Path):
    (house / "runs" / "specs" / "mine.toml").write_text(
        'title = "Mine"\n[[sweep]]\nnotebook = "tiny"\ngrid = {seed = "0:3"}\nfixed = {width = 0}\n'
    )
    for seed in (0, 1):
        execute_plan(plan_run("tiny", {"seed": seed, "width": 0}), Store(house / "runs"))
    before = notes(house, "begin")
    found, rows = masklib("mine", "--dry-run"), json.loads(masklib("mine", "--dry-run", "--json").out)

    assert found.code == 0
    lines = [line.split() for line in found.out.splitlines()]
    assert lines[:2] == [["Mine"], ["notebook", "parameters", "key", "state"]]
    assert [line[:2] + line[3:5] for line in lines[2:5]] == [
        ["tiny", "seed=0", "already", "there"],
        ["tiny", "seed=1", "failed", "before:"],
        ["tiny", "seed=2", "to", "run"],
    ]
    assert found.out.endswith("3 points, 1 to run.\n")
    assert [row["key"][:12] for row in rows] == [line[2] for line in lines[2:5]]
    assert rows[2]["parameters"] == {"seed": 2, "profile": "smoke", "width": 0.0}
    assert notes(house, "begin") == before


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["nowhere"], ["there is no 'nowhere'"]),
        (["tiny", "-g", "sed=1"], ["sed is unknown, did you mean seed?"]),
        (
            ["tiny", "-g", "seed=a", "-g", "profile=huge", "-p", "width", "x"],
            ["3 problems", "seed must be", "profile must be", "width"],
        ),
        (["tiny", "-g", "seed=1", "-p", "seed", "2"], ["seed is given more than once"]),
        (["tiny", "-g", "seed=1", "-g", "seed=2"], ["seed is given more than once"]),
        (["tiny", "-g", "seed=3:3"], ["seed has no values"]),
        (["tiny", "-g", "seed"], ["must be NAME=VALUES"]),
        (["tiny", "-g", "=1"], ["must be NAME=VALUES"]),
        (["tiny", "--memory", "much"], ["--memory must be a size such as 500MB or 2GB, got 'much'"]),
        (["tiny", "--jobs", "0"], ["--jobs"]),
        (["tiny", "--retry", "all"], ["--retry"]),
        (["broken"], ["broken.toml must be TOML"]),
        (["runs/specs/wrong.toml"], ["notebok is unknown, did you mean notebook?", "title is missing"]),
    ],
)
def test_bad_input_is_reported_and_ends_with_status_2(house: Path, arguments: list[str], facts: list[str]):
    (house / "runs" / "specs" / "broken.toml").write_text("[")
    (house / "runs" / "specs" / "wrong.toml").write_text('[[sweep]]\nnotebok = "tiny"\n')
    result = call("sweep", *arguments)

    assert result.exit_code == 2
    assert [fact for fact in facts if fact not in result.stderr] == []
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert [folder.name for folder in (house / "runs").iterdir()] == ["specs"]


@pytest.mark.slow
def test_two_sweeps_at_once_execute_every_point_once(house: Path):
    drivers = [start("fine", "-g", "seed=0:8", "-p", "width", 0.5, "--jobs", 2, "--json") for _ in range(2)]
    results = [finish(driver) for driver in drivers]

    assert [result.code for result in results] == [0, 0], results[0].err + results[1].err
    assert notes(house, "begin") == list(range(8))
    points = [json.loads(result.out)["points"] for result in results]
    assert [[point["status"] for point in found] for found in points] == [["ok"] * 8] * 2
    assert sorted(found[seed]["cached"] for seed in range(8) for found in points) == [False] * 8 + [True] * 8
    assert published(house) == list(range(8))


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_nothing_and_the_sweep_goes_on_where_it_was(house: Path):
    driver = start("fine", "-g", "seed=0:6", "-p", "width", 1, "--jobs", 2)
    assert until(lambda: len(notes(house, "begin")) >= 3)
    driver.kill()
    driver.communicate()

    assert until(lambda: left_running(house) == [], GONE_S), left_running(house)
    done = published(house)
    assert set(done) <= set(notes(house, "end"))
    result = masklib("fine", "-g", "seed=0:6", "-p", "width", 1)
    assert result.code == 0, result.err
    assert f"6 points: {len(done)} already there, {6 - len(done)} to run." in result.err
    assert published(house) == list(range(6))
    assert {read_record(folder).status for folder in attempts_in(Store(house / "runs"))} == {"interrupted"}


@pytest.mark.slow
def test_ctrl_c_once_lets_the_running_ones_end(house: Path):
    driver = start("fine", "-g", "seed=0:20", "-p", "width", 2, "--jobs", 2)
    assert until(lambda: len(notes(house, "begin")) >= 2)
    driver.send_signal(signal.SIGINT)
    result = finish(driver, timeout=30)

    assert result.code == 1
    assert "no further run starts, 2 running ones are finished; Ctrl-C again to stop now." in result.err
    assert notes(house, "end") == notes(house, "begin") == published(house)
    assert len(published(house)) <= 3
    assert "not run" in result.out
    assert attempts_in(Store(house / "runs")) == []
    assert until(lambda: left_running(house) == [], GONE_S)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_twice_interrupts_the_running_ones(house: Path, number: signal.Signals):
    driver = start("fine", "-g", "seed=0:20", "-p", "width", 100, "--jobs", 2)
    assert until(lambda: len(notes(house, "begin")) == 2)
    for _ in range(2):
        driver.send_signal(number)
        time.sleep(0.5)
    result = finish(driver, timeout=30)

    assert result.code == 1
    assert "Stopping: the runs that are executed are interrupted." in result.err
    attempts = attempts_in(Store(house / "runs"))
    assert [read_record(folder).status for folder in attempts] == ["interrupted"] * 2
    assert all(f"evidence: {folder}" in result.out for folder in attempts)
    assert "interrupted  2" in result.out
    assert published(house) == []
    assert until(lambda: left_running(house) == [], GONE_S)


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("500MB", 500_000_000), ("2GB", 2 * 10**9), ("1.5 GiB", 1_610_612_736), ("2g", 2 * 10**9)]
)
def test_a_size_is_read_as_it_is_written(text: str, size: int):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "2PB", "0"])
def test_what_is_not_a_size_is_refused(text: str):
    with pytest.raises(ArgumentError, match="must be a size such as"):
        parse_bytes(text)


def point(key: str, status: str = "ok", *, seconds: float = 4.0) -> Any:
    """An outcome as a tracker sees it."""
    record = SimpleNamespace(duration_s=seconds)
    plan = SimpleNamespace(key=key)
    return SimpleNamespace(plan=plan, status=status, state=status, cached=False, record=record, reason="")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is shown on stderr, as on a terminal of 80 columns."""
    file = io.StringIO()
    monkeypatch.setattr(console, "log", Console(file=file, force_terminal=True, width=80, highlight=False, color_system=None))
    return file


def test_on_a_terminal_counts_the_time_left_and_each_run_are_shown(screen: io.StringIO):
    tracker = console.SweepTracker({key: f"nb cell=[bold]{key}" for key in "abcdef"})
    with tracker.shown():
        tracker.on_begin([point("z")], [point(key).plan for key in "abcdef"])
        for key in "abc":
            tracker.on_event(point(key).plan, {"event": "start"})
        tracker.on_outcome(point("a"))
        tracker.on_outcome(point("b", "failed", seconds=2.0))
        tracker.on_event(point("c").plan, {"event": "cell", "done": 2, "total": 9})
        tracker.on_event(point("d").plan, {"event": "start"})
        lines = [str(line) for line in tracker._lines().renderables]

    assert lines[0] == "2/6: 1 done, 1 skipped, 1 failed, 2 running, about 0:00:06 left"
    assert lines[1:] == ["  nb cell=[bold]c: cell 3/9, 0 s", "  nb cell=[bold]d: starting a kernel, 0 s"]
    assert "[2/6] nb cell=[bold]b: failed in 2.0 s" in screen.getvalue()
    assert "cell=[bold]a: ok" not in screen.getvalue()  # the counts tell it


def test_without_a_terminal_a_line_comes_when_nothing_else_does(monkeypatch: pytest.MonkeyPatch):
    file = io.StringIO()
    monkeypatch.setattr(console, "log", Console(file=file, width=80, highlight=False))
    monkeypatch.setattr(console, "HEARTBEAT_S", 0.1)
    tracker = console.SweepTracker({"a": "nb seed=1 " + "x" * 90})
    with tracker.shown():
        tracker.on_begin([], [point("a").plan])
        tracker.on_event(point("a").plan, {"event": "cell", "done": 0, "total": 5})
        assert until(lambda: "at cell 1/5" in file.getvalue())
        tracker.on_outcome(point("a"))
    assert file.getvalue().endswith(f"[1/1] nb seed=1 {'x' * 90}: ok in 4.0 s\n")
