"""What a run used is found by real runs, and a run counts only while all of that is unchanged."""

import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from masklib.claims import recording
from masklib.engine import dependencies, distributions
from masklib.engine.dependencies import Uses
from masklib.engine.grid import plan_sweep
from masklib.engine.kernels import servers
from masklib.engine.run import Result, declare, execute_plan, look_up, plan_run
from masklib.engine.store import Store, read_record, write_record
from masklib.engine.stores import open_store
from masklib.engine.sweep import run_sweep
from masklib.errors import ArgumentError
from tests.engine.conftest import START, Write
from tests.engine.test_sweep import Diary
from tests.stores import attempts_in, runs_in

HELPER = "import sys\nsys.path.insert(0, {folder!r})\nfrom helper import f"


@pytest.fixture
def helper(tmp_path: Path) -> Callable[[int], Path]:
    """Writes a module beside the notebook, whose function multiplies by a number."""

    def write_helper(factor: int) -> Path:
        path = tmp_path / "helper.py"
        path.write_text(f"def f(value): return {factor} * value")
        os.utime(path, times=(time.time() - 100 + factor,) * 2)  # another time than the last one, however coarse the clock is
        return path

    return write_helper


@pytest.fixture
def path(write: Write, tmp_path: Path, helper: Callable[[int], Path]) -> Path:
    """A notebook that imports it."""
    helper(2)
    return write(START, HELPER.format(folder=str(tmp_path)), "run.metric('m', f(width))")


def run(path: Path, store: Store, depends: tuple[str, ...] = (), **options: Any) -> Result:
    (plan,) = declare([plan_run(path)], depends)
    result = execute_plan(plan, store, **options)
    assert result is not None
    return result


def uses_of(result: Result) -> Uses:
    assert result.record.uses is not None
    return result.record.uses


def changes_of(path: Path, store: Store, depends: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Why the run in the store does not count."""
    (plan,) = declare([plan_run(path)], depends)
    return look_up(plan, store).changes


def metric(result: Result) -> Any:
    return recording.read(result.folder)[0]["value"]


def test_a_run_does_not_count_after_a_module_that_it_imported_was_edited(path: Path, store: Store, helper: Callable[[int], Path]):
    first = run(path, store)
    assert (metric(first), list(uses_of(first).modules)) == (3.0, ["helper.py"])
    assert run(path, store).cached

    helper(20)
    assert changes_of(path, store) == ("helper.py changed since",)
    second = run(path, store)
    assert (second.cached, metric(second)) == (False, 30.0)
    assert run(path, store).cached
    assert runs_in(store) == [second.folder]
    (earlier,) = (store.root / "tiny" / "earlier").iterdir()
    assert read_record(earlier) == first.record

    helper(2)
    assert changes_of(path, store) == ("helper.py changed since",), "what counts is what the newest run used"


def test_a_module_that_is_gone_is_reported(path: Path, store: Store, helper: Callable[[int], Path]):
    run(path, store)
    helper(2).unlink()
    assert changes_of(path, store) == ("helper.py is gone",)
    assert (run(path, store).record.status, len(runs_in(store))) == ("failed", 1)
    helper(2)
    assert run(path, store).cached, "the run counts again once its module is back"


def test_a_folder_that_was_moved_with_its_modules_has_the_same_runs(path: Path, store: Store, tmp_path: Path):
    path.write_text(path.read_text().replace(str(tmp_path), "moved"))
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "helper.py").write_text("def f(value): return value")
    uses = Uses(str(tmp_path), {"moved/helper.py": dependencies.Present().hash_of(str(tmp_path / "moved" / "helper.py")) or ""})
    (tmp_path / "other").mkdir()
    (tmp_path / "moved").rename(tmp_path / "other" / "moved")
    assert dependencies.changes(uses, str(tmp_path / "other"), (), {}, dependencies.Present()) == []
    assert dependencies.changes(uses, str(tmp_path), (), {}, dependencies.Present()) == ["moved/helper.py is gone"]


def test_a_module_that_is_edited_while_a_run_uses_it_is_reported(path: Path, write: Write, store: Store, tmp_path: Path):
    edit = f"import pathlib, time\ntime.sleep(0.1)\npathlib.Path({str(tmp_path)!r}, 'helper.py').write_text('f = None')"
    path = write(START, HELPER.format(folder=str(tmp_path)), edit)
    assert uses_of(run(path, store)).modules == {"helper.py": ""}
    assert changes_of(path, store) == ("helper.py was written while the run used it",)


def test_a_module_that_the_notebook_writes_and_then_imports_counts_as_it_wrote_it(write: Write, store: Store, tmp_path: Path):
    make = f"import pathlib\npathlib.Path({str(tmp_path)!r}, 'helper.py').write_text('def f(v): return v')"
    path = write(START, make, HELPER.format(folder=str(tmp_path)))
    run(path, store)
    assert run(path, store).cached


def test_a_module_that_a_library_makes_for_itself_is_no_dependency(write: Write, store: Store, tmp_path: Path):
    make = (
        f"import importlib.util, pathlib, sys\nmade = pathlib.Path({str(tmp_path)!r}, 'made.py')\nmade.write_text('x = 1')\n"
        "spec = importlib.util.spec_from_file_location('made', made)\n"
        "sys.modules['made'] = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(sys.modules['made'])\n"
        "sys.modules['fake'] = type(sys)('fake')\nsys.modules['fake'].__file__ = 'f.py'"
    )
    assert uses_of(run(write(START, make), store)).modules == {}


def test_modules_are_found_however_they_are_imported(write: Write, store: Store, tmp_path: Path):
    (tmp_path / "package" / "inner").mkdir(parents=True)
    for name in ("package/__init__", "package/inner/__init__", "package/inner/late", "script"):
        (tmp_path / f"{name}.py").write_text("x = 1")
    lazily = "def late():\n    import package.inner.late\nlate()"
    path = write(START, f"import sys\nsys.path.insert(0, {str(tmp_path)!r})", lazily, f"%run {tmp_path}/script.py")
    used = uses_of(run(path, store)).modules
    assert set(used) == {"package/__init__.py", "package/inner/__init__.py", "package/inner/late.py", "script.py"}


def test_what_a_notebook_asks_for_leaves_no_trace_in_it(write: Write, store: Store, tmp_path: Path):
    look = "assert not [name for name in dir() if 'masklib' in name], dir()\nassert len(In) == 4, In"
    result = run(write(look), store)
    assert result.record.status == "ok", result.record.error
    assert '"execution_count": 3' in (result.folder / "notebook.ipynb").read_text()


def test_a_run_whose_kernel_cannot_report_imports_ends_as_it_did(write: Write, store: Store):
    result = run(write("import site\nsite.getsitepackages = None"), store)
    assert (result.record.status, uses_of(result).modules) == ("ok", {})


def test_a_failed_run_says_what_it_used_and_is_executed_again_when_that_was_mended(
    path: Path, store: Store, helper: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(servers, "PRELOAD", ("numpy", "ipykernel.kernelapp"))
    (tmp_path / "helper.py").write_text("def f(value): return 1 / 0")
    plans = plan_sweep(path).plans
    diary = Diary()
    assert [o.state for o in run_sweep(plans, store).outcomes] == ["failed"]
    assert [o.state for o in run_sweep(plans, store).outcomes] == ["failed before"]
    helper(3)
    diary.on_change = lambda plan, changes: diary.lines.append("; ".join(changes))  # type: ignore[method-assign]
    assert [o.state for o in run_sweep(plans, store, listener=diary).outcomes] == ["ok"]
    assert diary.lines[:2] == ["helper.py changed since", "0 known, 1 to run"]
    assert len(attempts_in(store)) == 1


def test_a_forked_kernel_finds_the_modules_that_a_cold_one_does(
    path: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(servers, "PRELOAD", ("numpy", "pandas", "ipykernel.kernelapp"))
    cold, warm = run(path, store), run(path, Store(tmp_path / "warm"), warm=True)
    servers.stop_servers()
    assert (cold.record.launch, warm.record.launch) == ("spawn", "fork")
    assert uses_of(cold).modules == uses_of(warm).modules
    assert "pandas" not in uses_of(warm).distributions, "it is there, but nobody asked for it"


def test_the_distributions_that_were_imported_are_recorded_and_another_version_is_reported(write: Write, store: Store):
    path = write(START, "import pandas")
    result = run(path, store)
    used = uses_of(result).distributions
    assert {name: used[name] for name in ("numpy", "pandas", "python-dateutil")} == {
        name: importlib.metadata.version(name) for name in ("numpy", "pandas", "python-dateutil")
    }
    assert {"ipykernel", "tornado", "masklib", "keras"} & set(used) == set()

    then = replace(result.record, uses=replace(uses_of(result), distributions={"pandas": "0.1", "not-there": "2.0"}))
    write_record(result.folder, then)
    assert changes_of(path, store) == (f"pandas 0.1 then, {used['pandas']} now", "not-there 2.0 then, gone now")


def test_distributions_are_found_by_what_the_code_names_and_what_that_requires(tmp_path: Path):
    def install(name: str, version: str, top: str, *requires: str) -> None:
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "RECORD").write_text(f"{top}/__init__.py,sha256=x,1\n{folder.name}/METADATA,,\n")
        (folder / "METADATA").write_text("".join(f"Requires-Dist: {one}\n" for one in requires))

    install("ipykernel", "7.0", "ipykernel", "tornado>=6", 'Big.One; extra == "test"')
    install("tornado", "6.5", "tornado")
    install("big_one", "1.0", "big", "small-one (>=1)", 'tornado; extra == "web"', 'fast; extra == "all"')
    install("small_one", "2.0.post1", "small")
    install("fast", "3", "fast")
    install("idle", "4", "idle")
    packages = {"ipykernel": False, "tornado": True, "big": False, "small": False, "fast": False, "idle": False}

    def used(*sources: str, **new: bool) -> dict[str, str]:
        return distributions.used([str(tmp_path)], packages | new, sources)

    assert used("import big.thing") == {"big-one": "1.0", "fast": "3", "small-one": "2.0.post1"}
    assert used("import tornado") == {"tornado": "6.5"}
    assert used("x = 1") == {}
    assert used("x = 1", idle=True) == {"idle": "4"}
    assert used("importlib.import_module('small')", small=False) == {"small-one": "2.0.post1"}


def test_a_file_that_the_notebook_declares_is_part_of_its_run(write: Write, store: Store, tmp_path: Path):
    data = tmp_path / "data.csv"
    data.write_text("1")
    path = write(START, f"run.metric('m', float(run.depends({str(data)!r}).read_text()))")
    first = run(path, store)
    assert list(uses_of(first).files) == ["data.csv"]
    assert not (first.folder / recording.USES).exists()
    assert run(path, store).cached
    data.write_text("2")
    assert changes_of(path, store) == ("data.csv changed since",)
    assert metric(run(path, store)) == 2.0


def test_what_is_declared_is_known_of_a_kernel_that_died_too(write: Write, store: Store, tmp_path: Path):
    (tmp_path / "data.csv").write_text("1")
    result = run(write(START, f"run.depends({str(tmp_path / 'data.csv')!r})", "import os\nos._exit(1)"), store)
    assert (result.record.status, list(uses_of(result).files)) == ("died", ["data.csv"])


def test_declared_patterns_show_what_changed_what_is_new_and_what_was_not_declared(
    write: Write, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data [1]").mkdir()
    (tmp_path / "data [1]" / "a.csv").write_text("1")
    (tmp_path / "b.csv").write_text("1")
    path = write(START)
    depends = ("data [1]", "*.csv")
    first = run(path, store, depends)
    assert set(uses_of(first).files) == {"data [1]/a.csv", "b.csv"}
    assert run(path, store, depends).cached
    assert run(path, store).cached, "what was declared once need not be declared again"
    monkeypatch.chdir("/")
    assert look_up(declare([plan_run(path)], [str(tmp_path / "*.csv")])[0], store).changes == ()

    (tmp_path / "data [1]" / "c.csv").write_text("1")
    (tmp_path / "b.csv").write_text("2")
    (tmp_path / "x.txt").write_text("1")
    assert changes_of(path, store, (str(tmp_path / "x.txt"),)) == (
        "b.csv changed since",
        "data [1]/c.csv is new since",
        "x.txt is declared now, it was not then",
    )


def test_what_was_declared_stays_declared_when_the_run_is_executed_again(
    path: Path, store: Store, helper: Callable[[int], Path], tmp_path: Path
):
    (tmp_path / "data.csv").write_text("1")
    run(path, store, (str(tmp_path / "*.csv"),))
    helper(20)
    assert uses_of(run(path, store)).patterns == ["*.csv"]
    assert uses_of(run(path, store, force=True)).patterns == ["*.csv"]
    (tmp_path / "data.csv").write_text("2")
    assert changes_of(path, store) == ("data.csv changed since",)


@pytest.mark.parametrize("pattern", ["no.csv", "*.csv", "empty"])
def test_a_pattern_that_names_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match=r"must be a file, or a pattern of files in quotes; '.*' matches no file in"):
        declare([], [pattern])


def test_a_variable_that_the_notebook_reads_counts_and_its_value_is_not_written(
    write: Write, store: Store, monkeypatch: pytest.MonkeyPatch
):
    path = write(START, "run.metric('m', len(run.variable('SECRET_WORD', 'none')))")
    assert metric(run(path, store)) == 4.0
    monkeypatch.setenv("SECRET_WORD", "open sesame")
    assert changes_of(path, store) == ("SECRET_WORD changed since",)
    result = run(path, store)
    assert (metric(result), run(path, store).cached) == (11.0, True)
    assert "sesame" not in "".join(file.read_text() for file in result.folder.iterdir())


@pytest.mark.parametrize(
    ("call", "fact"),
    [
        ("run.depends('nowhere.csv')", "there is no file nowhere.csv"),
        ("run.variable('NOT_SET')", "NOT_SET must be set, it is not"),
    ],
)
def test_what_is_not_there_is_refused(write: Write, store: Store, call: str, fact: str):
    result = run(write(START, call), store)
    assert result.record.error is not None
    assert fact in result.record.error.evalue


def test_a_run_that_is_forced_takes_the_place_of_the_one_that_was_there(path: Path, store: Store):
    first = run(path, store)
    second = run(path, store, force=True)
    assert (second.cached, second.record.key) == (False, first.record.key)
    assert second.record.started > first.record.started
    assert runs_in(store) == [second.folder]
    assert [read_record(folder) for folder in (store.root / "tiny" / "earlier").iterdir()] == [first.record]


@pytest.fixture
def in_memory() -> Iterator[Store]:
    """An object store."""
    store = open_store("memory://dependencies")
    yield store
    store._fs.rm(store._base, recursive=True)  # type: ignore[attr-defined]


def test_an_object_store_keeps_the_earlier_run_too(path: Path, in_memory: Store, helper: Callable[[int], Path]):
    first = run(path, in_memory)
    assert run(path, in_memory).cached
    helper(20)
    plans = plan_sweep(path).plans
    assert look_up(plans[0], in_memory).changes == ("helper.py changed since",)
    second = run(path, in_memory)
    assert (metric(second), runs_in(in_memory)) == (30.0, [second.folder])
    (earlier,) = (in_memory.root / "tiny" / "earlier").iterdir()
    assert json.loads((earlier / "record.json").read_text())["started"] == first.record.started
