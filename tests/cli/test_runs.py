"""`masklib runs`: what a store holds is shown, compared and removed, and nothing else is."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest

from masklib.engine.inventory import parse_age
from masklib.engine.record import read_record
from masklib.engine.run import execute_plan, plan_run
from masklib.engine.store import Store
from masklib.engine.stores import open_store
from masklib.errors import ArgumentError
from tests.cli.test_cli import call
from tests.engine.conftest import START, notebook


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store: a run of two seeds, one executed again after its module was edited, and a failed attempt."""
    folder = tmp_path_factory.mktemp("made")
    cell = f"import sys\nsys.path.insert(0, {str(folder)!r})\nimport helper\nrun.metric('m', helper.f(seed))"
    nbformat.write(notebook(START, cell, "run.claim('emb-1', seed, 1)"), folder / "tiny.ipynb")
    store = Store(folder / "runs")
    for factor, seed in ((1, 1), (20, 1), (20, 2), (0, 3)):
        (folder / "helper.py").write_text(f"def f(v): return {factor} * v if {factor} else 1 / 0")
        os.utime(folder / "helper.py", times=(time.time() - 100 + factor,) * 2)
        execute_plan(plan_run(folder / "tiny.ipynb", {"seed": seed}), store)
    (folder / "helper.py").write_text("def f(v): return 20 * v if 20 else 1 / 0")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stands in a copy of its store; the notebook stays where it is."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MASKLIB_RUNS", raising=False)
    return tmp_path


def listed(*arguments: object) -> list[tuple[str, Any]]:
    """State and seed of the runs that are listed."""
    result = call("runs", "list", "--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return [(row["state"], row["parameters"]["seed"]) for row in json.loads(result.stdout)]


def key_of(seed: int, made: Path) -> str:
    return plan_run(made / "tiny.ipynb", {"seed": seed}).key


def test_list_shows_what_there_is_and_what_changed_since(here: Path, made: Path):
    assert sorted(listed()) == [("earlier", 1), ("failed", 3), ("ok", 1), ("ok", 2)]
    assert listed("--status", "failed", "--status", "earlier") == [("failed", 3), ("earlier", 1)]
    assert listed("--stale") == [("failed", 3), ("earlier", 1)]
    assert listed("other") == []
    shown = call("runs", "list", "--stale").stdout
    assert f"tiny/earlier/{key_of(1, made)[:12]}-1" in shown
    assert "helper.py changed since" in shown


def test_what_cannot_be_found_again_is_said(here: Path, made: Path):
    path = made / "tiny.ipynb"
    content = path.read_text()
    try:
        path.write_text(content.replace("helper.f(seed)", "1"))
        assert "the code of the notebook changed since" in call("runs", "list").stdout
        path.unlink()
        assert "it cannot be planned any more: A notebook must be a file" in call("runs", "list", "--json").stdout
    finally:
        path.write_text(content)


def test_show_prints_parameters_results_and_what_was_used(here: Path, made: Path):
    key = key_of(2, made)
    text, found = call("runs", "show", key[:9]).stdout, json.loads(call("runs", "show", f"tiny/{key[:9]}", "--json").stdout)
    assert [line.split() for line in text.splitlines() if "metric" in line] == [["metric", "m", "40.0"]]
    assert "module     helper.py" in text
    assert (found["state"], found["changed"], found["record"]["key"]) == ("ok", [], key)
    assert found["results"][0]["value"] == 40.0


def test_diff_prints_how_two_runs_differ(here: Path, made: Path):
    one, two = key_of(1, made), key_of(2, made)
    between = json.loads(call("runs", "diff", one[:12], two[:12], "--json").stdout)["differences"]
    again = json.loads(call("runs", "diff", f"tiny/earlier/{one[:12]}-1", one[:12], "--json").stdout)["differences"]
    text = call("runs", "diff", one[:12], two[:12]).stdout

    assert between == {"parameters": {"seed": [1, 2]}, "metrics": {"m": [20.0, 40.0]}, "claims": {"emb-1": [1, 2]}}
    assert list(again) == ["modules", "metrics"]
    assert again["metrics"] == {"m": [1.0, 20.0]}
    assert "parameters  seed" in text
    assert call("runs", "diff", one[:12], one[:12]).stdout == "The two runs do not differ.\n"


def test_diff_shows_code_line_by_line(here: Path, tmp_path: Path, made: Path):
    nbformat.write(notebook(START, "x = 1\ny = 2"), tmp_path / "tiny.ipynb")
    result = execute_plan(plan_run(tmp_path / "tiny.ipynb"), Store("runs"))
    assert result is not None
    text = call("runs", "diff", key_of(1, made), result.folder).stdout
    assert "\n+x = 1\n+y = 2" in text
    assert "\n-import helper\n" in text


def test_remove_takes_what_is_named_and_only_after_a_dry_run_says_so(here: Path, made: Path):
    key = key_of(2, made)
    dry = call("runs", "remove", key[:12], "--dry-run")
    assert (dry.stdout, dry.stderr, len(listed())) == (f"tiny/{key[:12]}: ok\n", "1 run would be removed.\n", 4)
    assert call("runs", "remove", key[:12], "nothing").exit_code == 2
    assert len(listed()) == 4
    assert call("runs", "remove", key[:12], f"runs/tiny/{key}").stderr == "1 run removed.\n"
    assert sorted(listed()) == [("earlier", 1), ("failed", 3), ("ok", 1)]
    assert {path.name[:1] for path in (here / "runs" / "tiny").iterdir()} & {"."} == set()


def test_a_run_that_another_process_is_at_is_kept(here: Path, made: Path):
    key = key_of(2, made)
    lock = Store("runs").lock("tiny", key)
    assert lock is not None
    with lock:
        result = call("runs", "remove", key[:12])
    assert (result.exit_code, len(listed())) == (1, 4)
    assert f"kept: tiny/{key[:12]}, because another process is using it." in result.stderr


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (("--status", "failed"), [("earlier", 1), ("ok", 1), ("ok", 2)]),
        (("--stale",), [("ok", 1), ("ok", 2)]),
        (("--stale", "--status", "earlier"), [("failed", 3), ("ok", 1), ("ok", 2)]),
        (("--older", "1h"), [("earlier", 1), ("failed", 3), ("ok", 1), ("ok", 2)]),
        (("--older", "0m"), []),
    ],
)
def test_prune_removes_what_meets_every_condition(here: Path, options: tuple[str, ...], left: list[Any]):
    would = json.loads(call("runs", "prune", *options, "--dry-run", "--json").stdout)
    assert len(listed()) == 4
    did = json.loads(call("runs", "prune", *options, "--json").stdout)
    assert (would, sorted(listed())) == (did, left)
    assert len(did) == 4 - len(left)


def test_what_a_process_that_was_killed_had_not_removed_is_removed_by_the_next_sweep(here: Path):
    (here / "runs" / "tiny" / ".gone-x" / "a").mkdir(parents=True)
    assert len(listed()) == 4
    Store("runs").recover()
    assert not (here / "runs" / "tiny" / ".gone-x").exists()


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("prune",), "needs a condition, none was given"),
        (("prune", "--older", "soon"), "such as 30d, got 'soon'"),
        (("prune", "--status", "bad"), "A status must be one of ok, failed"),
        (("list", "--runs", "nowhere"), "no store of runs at nowhere"),
        (("show", "zzz"), "'zzz' names none"),
        (("show", ""), "'' names none"),
        (("diff", "tiny/", "zzz"), "names none"),
    ],
)
def test_bad_input_is_one_line_and_status_2(here: Path, arguments: tuple[str, ...], fact: str):
    result = call("runs", *arguments)
    assert (result.exit_code, result.stderr.count("\n"), result.stdout) == (2, 1, "")
    assert fact in result.stderr


def test_a_record_that_cannot_be_read_is_shown_and_can_be_removed(here: Path, made: Path):
    key = key_of(2, made)
    (here / "runs" / "tiny" / key / "record.json").write_text("{")
    rows = json.loads(call("runs", "list", "--status", "unreadable", "--json").stdout)
    assert [row["run"] for row in rows] == [f"tiny/{key}"]
    assert call("runs", "show", key[:12]).exit_code == 2
    assert call("runs", "remove", key[:12]).exit_code == 0
    assert len(listed()) == 3


@pytest.mark.parametrize(("text", "age"), [("30d", timedelta(30)), ("12h", timedelta(hours=12)), ("2w", timedelta(14))])
def test_an_age_is_read_as_it_is_written(text: str, age: timedelta):
    assert parse_age(text) == age


def test_an_age_without_a_unit_is_refused():
    with pytest.raises(ArgumentError, match="such as 30d"):
        parse_age("30")


def test_an_object_store_is_looked_at_in_the_same_way(made: Path):
    store = open_store("memory://looked-at")
    plan = plan_run(made / "tiny.ipynb", {"seed": 2})
    for _ in range(2):
        execute_plan(plan, store, force=True)
    try:
        assert listed("--runs", "memory://looked-at") == [("ok", 2), ("earlier", 2)]
        assert call("runs", "prune", "--status", "earlier", "--runs", "memory://looked-at").stderr == "1 run removed.\n"
        assert call("runs", "remove", plan.key[:12], "--runs", "memory://looked-at").exit_code == 0
        assert listed("--runs", "memory://looked-at") == []
        assert [p for p in store._fs.find(store._base) if "tiny" in p] == []  # type: ignore[attr-defined]
    finally:
        store._fs.rm(store._base, recursive=True)  # type: ignore[attr-defined]


def test_the_record_of_an_earlier_run_is_unchanged(made: Path):
    (earlier,) = (made / "runs" / "tiny" / "earlier").iterdir()
    assert read_record(earlier).status == "ok"
