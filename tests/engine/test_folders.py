"""A notebook runs where JupyterLab runs it: beside its modules and its data."""

import os
from pathlib import Path

import nbformat
import pytest

from masklib.engine.kernels import servers
from masklib.engine.run import Result, execute_plan, plan_run
from masklib.engine.settings import kernel_environment, numeric_settings
from masklib.engine.store import Store
from masklib.engine.sweep import sweep
from masklib.engine.worker import make_job, perform
from masklib.errors import ArgumentError
from tests.engine.conftest import Write

WARM = pytest.mark.parametrize("warm", [False, True], ids=["spawned", "forked"])


@pytest.fixture(autouse=True)
def _quick_servers(monkeypatch: pytest.MonkeyPatch):
    """Fork servers that import what these notebooks need, and end with the test."""
    monkeypatch.setattr(servers, "PRELOAD", ("numpy", "ipykernel.kernelapp"))
    yield
    servers.stop_servers()


def printed(result: Result) -> list[str]:
    """What the cells of a run printed; the run must have ended well."""
    assert result.record.status == "ok", result.record.error
    node = nbformat.read(result.folder / "notebook.ipynb", as_version=4)
    return [output.text.strip() for cell in node.cells for output in cell.get("outputs", [])]


@WARM
def test_modules_and_data_beside_the_notebook_are_found(write: Write, store: Store, tmp_path: Path, warm: bool):
    (tmp_path / "helper.py").write_text("def double(x): return 2 * x")
    (tmp_path / "data.csv").write_text("21")
    path = write("from helper import double\nprint(double(int(open('data.csv').read())))", "import os\nprint(os.getcwd())")

    result = execute_plan(plan_run(path), store, warm=warm)
    assert printed(result) == ["42", str(tmp_path)]
    assert result.record.launch == ("fork" if warm else "spawn")


@WARM
def test_what_is_written_beside_the_notebook_stays_and_what_is_written_to_the_run_is_kept_with_it(
    write: Write, store: Store, tmp_path: Path, warm: bool
):
    save = "import os, pathlib\npathlib.Path('here.txt').write_text('a')"
    keep = "pathlib.Path(os.environ['MASKLIB_RUN_DIR'], 'kept.txt').write_text('b')"
    result = execute_plan(plan_run(write(save, keep)), store, warm=warm)

    assert (tmp_path / "here.txt").read_text() == "a"
    assert (result.folder / "kept.txt").read_text() == "b"
    assert result.record.files["kept.txt"] == 1


def test_another_folder_can_be_given_and_is_part_of_the_identity(write: Write, store: Store, tmp_path: Path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "data.csv").write_text("7")
    path = write("print(open('data.csv').read())")
    there, here = plan_run(path, cwd=tmp_path / "other"), plan_run(path)

    assert there.key != here.key
    assert printed(execute_plan(there, store)) == ["7"]
    with pytest.raises(ArgumentError, match=r"folder in which a notebook runs must exist.*there is no .*missing\. See --cwd"):
        plan_run(path, cwd=tmp_path / "missing")


def test_a_worker_runs_a_notebook_in_its_folder_and_refuses_one_that_it_does_not_have(write: Write, store: Store, tmp_path: Path):
    (tmp_path / "folder").mkdir()
    path = write("print(open('data.csv').read())").rename(tmp_path / "folder" / "tiny.ipynb")
    (tmp_path / "folder" / "data.csv").write_text("3")
    plan = plan_run(path)
    job = make_job(plan, nbformat.writes(plan.notebook.node), str(store.root))
    assert perform(job, lambda event: None).record.status == "ok"

    (tmp_path / "folder").rename(tmp_path / "elsewhere")
    with pytest.raises(ArgumentError, match="on each machine that runs it"):
        perform(job, lambda event: None)


def test_the_points_of_a_sweep_find_what_is_beside_the_notebook(write: Write, tmp_path: Path):
    (tmp_path / "helper.py").write_text("def double(x): return 2 * x")
    path = write("from helper import double\nassert double(seed) == 2 * seed")
    found = sweep(path, {"seed": "0:2"}, runs=tmp_path / "runs", jobs=1)
    assert [(o.status, o.record.launch) for o in found.outcomes] == [("ok", "fork")] * 2


def test_masklibs_own_notebooks_are_the_same_runs_in_every_checkout():
    assert plan_run("01_mask_zero_outputs").folder == ""


@WARM
def test_pythonpath_reaches_the_kernel_and_counts(
    write: Write, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: bool
):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "elsewhere.py").write_text(f"NAME = {name!r}")
    path = write("import elsewhere\nprint(elsewhere.NAME)")
    monkeypatch.chdir(tmp_path)
    seen = {}
    for name in ("one", "two"):
        monkeypatch.setenv("PYTHONPATH", name)  # relative to where the command is given
        plan = plan_run(path)
        seen[plan.key] = printed(execute_plan(plan, store, warm=warm))
    assert list(seen.values()) == [["one"], ["two"]]


def test_pythonpath_and_what_another_environment_needs_on_it_are_both_there(tmp_path: Path):
    settings = numeric_settings(environment={"PYTHONPATH": str(tmp_path)}) | {"MASKLIB_ENVIRONMENT": "keras-2.15"}
    first, second = kernel_environment(settings, tmp_path)["PYTHONPATH"].split(os.pathsep)
    assert (Path(first).name, second) == ("startup", str(tmp_path))


def test_a_module_beside_the_notebook_that_is_named_as_a_loaded_one_is_the_one_that_is_imported(
    write: Write, store: Store, tmp_path: Path
):
    (tmp_path / "numpy.py").write_text("NAME = 'mine'")
    (tmp_path / "random.py").write_text("NAME = 'mine'")  # Python's own comes first, as in JupyterLab
    path = write("import numpy, random\nprint(numpy.NAME, hasattr(random, 'NAME'))")
    cold, warm = (execute_plan(plan_run(path), Store(tmp_path / name), warm=name == "warm") for name in ("cold", "warm"))

    assert printed(cold) == printed(warm) == ["mine False"]
    assert warm.record.launch == "spawn"


def test_the_fork_server_imports_nothing_from_where_it_is_started(
    write: Write, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "numpy.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path / "cwd")
    result = execute_plan(plan_run(write("import numpy\nprint(numpy.zeros(1)[0])")), store, warm=True)
    assert (printed(result), result.record.launch) == (["0.0"], "fork")


@WARM
def test_folders_are_searched_in_the_order_of_an_ordinary_kernel(write: Write, store: Store, warm: bool):
    result = execute_plan(
        plan_run(write("import sys\nprint(sys.path.index(''), 'site' in sys.path[sys.path.index('') + 1])")), store, warm=warm
    )
    place, follows = printed(result)[0].split()
    assert int(place) > 0
    assert follows == "True"


SET = "import os\nos.environ['KERAS_BACKEND'] = 'numpy'\nimport keras\nprint(keras.BACKEND)"


@pytest.fixture
def small_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that reads a variable when it is imported, as Keras does; the fork server imports it."""
    (tmp_path / "libraries").mkdir()
    (tmp_path / "libraries" / "keras.py").write_text("import os\nBACKEND = os.environ['KERAS_BACKEND']")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "libraries"))
    monkeypatch.setattr(servers, "PRELOAD", ("keras", "ipykernel.kernelapp"))


def test_a_variable_that_a_notebook_sets_before_it_imports_its_library_holds_in_a_sweep_as_in_a_run(
    small_keras: None, write: Write, store: Store
):
    plan = plan_run(write("x = 1", SET))
    result = execute_plan(plan, store, warm=True)
    assert (printed(result), result.record.launch) == (["numpy"], "spawn")
    assert [folder.name for folder in (store.root / "tiny").iterdir()] == [plan.key], "no failed attempt is told"


@pytest.mark.parametrize("cell", ["os.environ['KERAS_BACKEND'] = 'tensorflow'", "os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'"])
def test_a_variable_that_changes_nothing_leaves_the_kernel_forked(small_keras: None, write: Write, store: Store, cell: str):
    result = execute_plan(plan_run(write(f"import os\n{cell}\nimport keras\nprint(keras.BACKEND)")), store, warm=True)
    assert (printed(result), result.record.launch) == (["tensorflow"], "fork")
