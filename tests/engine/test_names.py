"""No name of a notebook loses a run, and nothing that a notebook leaves behind prevents its publication."""

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from masklib.cli.main import main
from masklib.engine.collect import collect
from masklib.engine.limits import Limits
from masklib.engine.naming import tell_apart
from masklib.engine.record import OK, RUNNING, Record
from masklib.engine.run import execute_plan, plan_run
from masklib.engine.store import RESERVED, Store, notebook_at, place_of
from masklib.engine.stores import open_store
from masklib.engine.summaries import summarize
from masklib.engine.sweep import sweep
from masklib.site.survey import survey
from tests.engine.conftest import START, Write
from tests.engine.test_kinds import save
from tests.stores import attempts_in, runs_in

NAMES = ("figures", "site", "tables", ".hidden", "..", ".", "%site", "%", "failed", "corrupt", "tiny")


def record(name: str, status: str = OK) -> Record:
    inputs = {
        "parameters": {},
        "versions": {"keras": None},
        "settings": {"KERAS_BACKEND": "tensorflow"},
        "python": "",
        "device": "",
    }
    return Record(name, "ab" * 32, status, inputs, launch="spawn", started="2026")


@pytest.mark.parametrize("url", ["folder", "memory"])
def test_runs_of_every_name_are_found_listed_and_collected(tmp_path: Path, url: str):
    store = open_store(tmp_path / "store" / "runs" if url == "folder" else f"memory://{tmp_path.name}/runs")
    for name in NAMES:
        store.finish(store.begin(record(name)), record(name))
        store.finish(store.begin(record(name)), record(name, "failed"))
    assert sorted(collect(store).runs["notebook"]) == sorted(NAMES * 2)
    for name in NAMES:
        assert store.find(name, "ab" * 32) == record(name)
        assert store.keys(name) == set(store.attempts_of(name)) == {"ab" * 32}
    if url == "folder":
        assert [path.name for path in (tmp_path / "store").iterdir()] == ["runs"]
        assert set(RESERVED) & {path.name for path in store.root.iterdir()} == set()


def test_the_work_of_a_process_that_is_gone_is_recovered_whatever_its_name(store: Store):
    for name in NAMES:
        store.begin(record(name, RUNNING))
    assert len(store.recover()) == len(attempts_in(store)) == len(NAMES)
    assert sorted(collect(store).runs["notebook"]) == sorted(NAMES)


def test_a_name_and_its_place_belong_together():
    assert [notebook_at(place_of(name)) for name in NAMES] == list(NAMES)
    assert len({place_of(name) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("file", ["figures.ipynb", ".hidden.ipynb", "...ipynb"])
def test_a_notebook_of_such_a_name_runs_once_and_is_in_the_tables(tmp_path: Path, store: Store, file: str):
    path = save(tmp_path / file, "print(1)")
    assert [execute_plan(plan_run(path), store).cached for _ in range(2)] == [False, True]
    assert collect(store).runs["notebook"].to_list() == [file.removesuffix(".ipynb")]


LEAVE = "import os\nfolder = os.environ['MASKLIB_RUN_DIR']\n"


@pytest.mark.parametrize(
    "what",
    [
        "os.mkfifo(f'{folder}/pipe')",
        "os.symlink('nowhere', f'{folder}/last')",
        "os.symlink('.', f'{folder}/round')",
        "import socket\nos.chdir(folder)\nsocket.socket(socket.AF_UNIX).bind('socket')",
        "os.mkdir(f'{folder}/figures')\nos.mkfifo(f'{folder}/figures/a.png')",
    ],
)
def test_what_is_no_file_in_the_folder_of_a_run_neither_hangs_nor_prevents_its_publication(write: Write, store: Store, what: str):
    result = execute_plan(plan_run(write(START, LEAVE + what)), store, limits=Limits(timeout=20))
    assert (result.record.status, runs_in(store)) == ("ok", [result.folder])
    assert collect(store).unreadable == []


def test_a_pipe_beside_the_notebook_is_left_there(write: Write, store: Store, tmp_path: Path):
    result = execute_plan(plan_run(write("import os\nos.mkfifo('pipe')\nos.symlink('nowhere', 'last')")), store)
    assert result.record.status == "ok"
    assert {"pipe", "last"} <= set(os.listdir(tmp_path))  # noqa: PTH208 (a dangling link is there, too)


def test_two_notebooks_of_one_name_are_distinguished_by_their_folders(tmp_path: Path, store: Store):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        path = save(tmp_path / name / "study.ipynb", f"{START}\nrun.metric('m', len({name!r}))", parameters="seed = 1")
        assert execute_plan(plan_run(path), store).record.status == "ok"
    assert execute_plan(plan_run(save(tmp_path / "other.ipynb", "1")), store).record.status == "ok"
    tables = collect(store)

    assert store.find("study", str(tables.runs["key"][1])).origin in ("first", "second")
    assert sorted(tables.runs["notebook"]) == ["first/study", "other", "second/study"]
    assert dict(zip(tables.measurements["notebook"], tables.measurements["value"], strict=True)) == {
        "first/study": 5,
        "second/study": 6,
    }
    assert collect(store).runs.equals(tables.runs), "as what was read before says, too"
    assert set(summarize(tables.measurements)["notebook"]) == {"first/study", "second/study"}
    assert set(survey(store).experiments) == {"first/study", "other", "second/study"}


def test_the_same_code_in_two_folders_is_two_runs(tmp_path: Path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "study.ipynb", "print(open('data.csv').read())")
    assert plan_run(tmp_path / "first" / "study.ipynb").key != plan_run(tmp_path / "second" / "study.ipynb").key


@pytest.mark.parametrize(
    ("origins", "names"),
    [
        ([("a", "/x/one"), ("a", "/x/two")], ["one/a", "two/a"]),
        ([("a", "/x/one"), ("b", "/x/two")], ["a", "b"]),
        ([("a", "/x/one/n"), ("a", "/x/two/n")], ["one/n/a", "two/n/a"]),
        ([("a", "/x"), ("a", "/x/x")], ["//x/a", "x/x/a"]),
        ([("a", ""), ("a", "/x")], ["a", "x/a"]),
        ([("a", None), ("a", "/x")], ["a", "a"]),
        ([("a", "."), ("a", "x")], ["a", "x/a"]),
    ],
)
def test_names_have_as_much_of_the_folder_as_it_takes(origins: list[Any], names: list[str]):
    found = tell_apart(origins)
    assert [found[origin] for origin in origins] == names


def test_a_spec_with_two_notebooks_of_one_name_shows_which_is_which(tmp_path: Path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "study.ipynb", "pass", parameters="n = 1")
    tables = "".join(f'[[sweep]]\nnotebook = "{tmp_path / name / "study.ipynb"}"\n' for name in ("first", "second"))
    (tmp_path / "spec.toml").write_text(f'title = "Both"\n{tables}')
    planned = CliRunner().invoke(main, ["sweep", str(tmp_path / "spec.toml"), "--runs", str(tmp_path / "runs"), "--dry-run"])
    assert "first/study" in planned.stdout
    assert "second/study" in planned.stdout
    found = sweep(tmp_path / "spec.toml", runs=tmp_path / "runs", jobs=1)
    assert found.to_frame()["notebook"].to_list() == ["first/study", "second/study"]
