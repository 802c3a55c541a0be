"""A run is recognised by what its numbers follow from, and by nothing else."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from masklib.engine import identity as module
from masklib.engine.environments import find_environment
from masklib.engine.notebooks import read_notebook, suite
from masklib.engine.run import execute_plan, plan_run
from masklib.engine.settings import numeric_settings
from masklib.engine.store import Store
from masklib.errors import ParameterError, UnavailableError
from tests.engine.conftest import PARAMETERS, START, Write, notebook

PACKAGE = Path(module.__file__).parents[1]


def key(path: Path, **parameters: Any) -> str:
    return plan_run(path, parameters).key


def save(path: Path, node: Any) -> str:
    nbformat.write(node, path)
    return key(path)


def test_markdown_display_tags_ids_and_outputs_do_not_count(tmp_path: Path):
    path, node = tmp_path / "n.ipynb", notebook("x = 1")
    before = save(path, node)
    node.cells[0].source = "# Another title"
    node.cells[2].metadata.tags = ["hide-input"]
    node.cells[2].id = "other"
    node.cells[2].outputs = [nbformat.v4.new_output("stream", text="seen")]
    node.cells.append(nbformat.v4.new_markdown_cell("More prose, and a verdict: holds."))

    assert save(path, node) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda node: node.cells[2].update(source="x = 2"),
        lambda node: node.cells[2].metadata.update(tags=["skip-execution"]),
        lambda node: node.cells.reverse(),
        lambda node: node.cells.append(nbformat.v4.new_code_cell("y = 1")),
    ],
)
def test_code_and_execution_tags_count(tmp_path: Path, change: Any):
    path, node = tmp_path / "n.ipynb", notebook("x = 1", "z = 1")
    before = save(path, node)
    change(node)

    assert save(path, node) != before


def test_spelling_out_a_default_gives_the_same_key(write: Write):
    path = write()
    assert key(path, seed=0, width=1.5) == key(path)


@pytest.mark.parametrize("parameters", [{"seed": 1}, {"width": 1.5000000000000002}, {"profile": "full"}])
def test_every_parameter_counts_to_the_last_bit(write: Write, parameters: dict[str, Any]):
    path = write()
    assert key(path, **parameters) != key(path)


def test_types_count():
    assert len({module.key_of({"parameters": {"x": [type(v).__name__, v]}}) for v in (1, 1.0, True)}) == 3


def test_settings_that_change_numbers_count(write: Write, monkeypatch: pytest.MonkeyPatch):
    path = write()
    before = key(path)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert key(path) != before


def test_settings_that_change_no_number_do_not_count(write: Write, monkeypatch: pytest.MonkeyPatch):
    path = write()
    before = key(path)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # the engine fixes it
    monkeypatch.setenv("COLUMNS", "200")
    assert key(path) == before


def test_versions_and_source_count(write: Write, monkeypatch: pytest.MonkeyPatch):
    path = write()
    keys = {key(path)}
    monkeypatch.setattr(module, "versions", lambda *given: {"keras": "0.0", "tensorflow": "0.0"})
    keys.add(key(path))
    monkeypatch.setattr(module, "kernel_source_hash", lambda: "other")
    keys.add(key(path))
    assert len(keys) == 3


def changes_with(file: str, folder: Path) -> tuple[bool, bool]:
    """Whether a comment at the end of a file of masklib changes the hash of the kernel side, and that of all its source."""
    original, copy = PACKAGE / file, folder / "masklib"
    (copy / file).parent.mkdir(parents=True, exist_ok=True)
    (copy / file).write_bytes(original.read_bytes())
    before = module.kernel_source_hash_now(copy), module.source_hash_now(copy)
    (copy / file).write_text(original.read_text() + "\n# a comment\n")
    after = module.kernel_source_hash_now(copy), module.source_hash_now(copy)
    return before[0] != after[0], before[1] != after[1]


def test_of_masklib_what_a_kernel_can_import_counts_and_nothing_else(tmp_path: Path):
    files = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]
    found = {file: changes_with(file, tmp_path / str(place)) for place, file in enumerate(files)}
    counted = {file.partition("/")[0].removesuffix(".py") for file, (kernel, _) in found.items() if kernel}
    left_out = {file.partition("/")[0].removesuffix(".py") for file, (kernel, _) in found.items() if not kernel}

    assert left_out == {"engine", "site", "cli", "migrating", "pytest_plugin", "__main__"}
    assert counted == {
        *("__init__", "_steps", "auditing", "checks", "claims", "compat", "errors", "experiments", "extras", "figures"),
        *("layers", "losses", "metrics", "reference"),
    }
    assert all(everything for _, everything in found.values())
    assert changes_with("claims/claims.toml", tmp_path / "claims") == (True, True)
    assert changes_with("site/front.toml", tmp_path / "front") == (False, True)


@pytest.mark.slow
def test_every_module_of_masklib_that_a_notebook_imports_counts():
    cells = [ast.parse(cell.source) for path in suite() for cell in read_notebook(path).code_cells]
    imports = {ast.unparse(node) for cell in cells for node in ast.walk(cell) if isinstance(node, ast.Import | ast.ImportFrom)}
    wanted = sorted(line for line in imports if "masklib" in line)
    code = "\n".join([*wanted, "import sys", "print(*(name for name in sys.modules if name.partition('.')[0] == 'masklib'))"])
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.split(".")[1] for name in told.splitlines()[-1].split() if "." in name}

    assert len(wanted) > 20
    assert loaded & {*module.RUNNER} == set()
    assert {"auditing", "claims", "compat", "experiments", "figures", "losses", "reference"} <= loaded


def test_threads_are_part_of_the_settings():
    assert numeric_settings(threads=2, environment={})["OMP_NUM_THREADS"] == "2"
    assert numeric_settings(environment={"KERAS_BACKEND": "jax"})["KERAS_BACKEND"] == "jax"
    assert numeric_settings(environment={"XLA_FLAGS": "--xla_dump_to=x --xla_cpu_multi_thread_eigen=true"})["XLA_FLAGS"] == (
        "--xla_dump_to=x --xla_cpu_multi_thread_eigen=false"
    )


SECRETS = [
    *("TF_HTTP_PASSWORD", "TF_ENCRYPTION", "TF_API_TOKEN", "TF_TOKEN_app", "TF_VAR_password", "TF_CLI_ARGS", "XLA_SECRET"),
    *("KERAS_API_KEY", "JAX_TOKEN", "CUDA_LICENSE", "MKL_PASSWORD", "OMP_KEY", "OPENBLAS_SECRET", "AWS_SECRET_ACCESS_KEY"),
]


@pytest.mark.parametrize("name", SECRETS)
def test_only_variables_that_are_known_to_change_numbers_are_settings(name: str):
    assert numeric_settings(environment={name: "hunter2"}) == numeric_settings(environment={})


def test_the_kernel_has_what_its_user_has_and_the_record_has_no_secret(
    write: Write, store: Store, monkeypatch: pytest.MonkeyPatch
):
    for name in SECRETS:
        monkeypatch.setenv(name, "hunter2")
    code = f"import os\nassert all(os.environ[name][::-1] == '2retnuh' for name in {SECRETS})"
    result = execute_plan(plan_run(write(START, code)), store)
    assert result is not None
    assert result.record.status == "ok"
    assert [path for path in result.folder.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()] == []


def test_the_backend_of_a_notebook_is_that_of_its_parameter(write: Write, monkeypatch: pytest.MonkeyPatch):
    path = write(parameters=f'{PARAMETERS}\nbackend: str = "tensorflow"  # {{tensorflow, jax, torch}}')
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert plan_run(path).settings["KERAS_BACKEND"] == "tensorflow"
    assert plan_run(path, {"backend": "jax"}).settings["KERAS_BACKEND"] == "jax"


def test_a_backend_that_is_not_there_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(ParameterError, match="one of tensorflow, jax, torch, numpy, got 'theano'"):
        plan_run(write())
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(module, "_version", lambda name, installed_at: "3.15.0" if name == "keras" else None)
    with pytest.raises(ParameterError, match=r"needs jax, which is not installed. Install it: pip install .masklib\[jax\]"):
        plan_run(write())


def test_where_keras_is_not_installed_no_backend_is_needed_unless_the_notebook_chooses_one(
    write: Write, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_version", lambda name, installed_at: None)
    assert plan_run(write()).inputs["versions"]["keras"] is None
    chooses = write(name="chooses", parameters='backend: str = "jax"  # of Keras {jax, torch}')
    with pytest.raises(ParameterError, match="needs jax, which is not installed"):
        plan_run(chooses)


def test_an_environment_that_is_not_there_is_refused_and_told_how_to_make_it(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("MASKLIB_ENVIRONMENTS", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"masklib env create keras-2\.15"):
        plan_run(write(), {"environment": "keras-2.15"})
    with pytest.raises(
        ParameterError, match=r"environment must be one that masklib env list shows, or keras@VERSION .*got 'keras-9'"
    ):
        plan_run(write(), {"environment": "keras-9"})


def test_an_environment_gives_its_python_versions_and_backend(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("MASKLIB_ENVIRONMENTS", str(tmp_path / "environments"))
    other = find_environment("keras-3.15-torch")
    other.folder.mkdir(parents=True)
    (other.folder / "masklib.json").write_text("{}")
    (other.folder / "pyvenv.cfg").write_text("version_info = 3.11.99")
    path = write(parameters=f'{PARAMETERS}\nbackend: str = "tensorflow"  # {{tensorflow, jax, torch}}')

    plan = plan_run(path, {"environment": other.name})

    assert plan.parameters["backend"] == "torch"
    assert plan.settings["KERAS_BACKEND"] == "torch"
    assert plan.inputs["python"] == "CPython 3.11.99"
    assert plan.inputs["versions"]["keras"] == "3.15.1"
    assert plan.inputs["versions"]["torch"].startswith("2.13.0")
    assert plan.inputs["environment"]["lock"]
    assert plan.key != plan_run(path).key
    with pytest.raises(ParameterError, match=r"keras-3\.15-torch has torch, got jax"):
        plan_run(path, {"environment": other.name, "backend": "jax"})


def test_the_environment_of_this_process_adds_nothing(write: Write):
    assert plan_run(write(), {"environment": "current"}).key == plan_run(write()).key


def test_what_a_file_holds_counts_and_not_when_it_was_written(tmp_path: Path):
    path, file = tmp_path / "n.ipynb", tmp_path / "model.keras"
    node = notebook("x = 1")
    cell = next(cell for cell in node.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source = 'model: str = ""  # a model {file}'
    file.write_bytes(b"one")
    nbformat.write(node, path)
    without, before = key(path), key(path, model=str(file))
    file.write_bytes(b"one")
    again = key(path, model=str(file))
    file.write_bytes(b"two")

    assert before == again
    assert len({without, before, key(path, model=str(file))}) == 3


def test_a_library_that_is_replaced_in_a_session_makes_another_run(write: Write, monkeypatch: pytest.MonkeyPatch):
    before = plan_run(write())
    monkeypatch.setattr(module, "version", lambda name: "99.0")
    assert plan_run(write()).key == before.key, "asked once, for ten thousand points"
    monkeypatch.setattr(module.distributions, "stamp", lambda folders: (1,))
    after = plan_run(write())
    assert set(after.inputs["versions"].values()) == {"99.0"}
    assert after.key != before.key
