"""What people install: the wheel alone, in environments of its own, by the lines of the README."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path
from textwrap import dedent

import nbformat
import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from masklib.engine.uv import find_interpreter, find_uv, uv_environ
from masklib.errors import UnavailableError
from masklib.extras import BACKENDS, EXTRAS, imported, missing
from tests.engine.conftest import notebook

ROOT = Path(__file__).parents[1]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
CORE = {"click", "h5py", "markdown-it-py", "masklib", "mdurl", "numpy", "packaging", "pygments", "rich"}
KERAS = {"absl-py", "keras", "ml-dtypes", "namex", "optree", "typing-extensions"}
JAX = {"jax", "jaxlib", "opt-einsum", "scipy"}
LEAKING = """
    import keras
    from keras import layers
    ids = keras.Input((None,), dtype="int32")
    x = layers.Conv1D(4, 3, padding="same")(layers.Embedding(9, 4, mask_zero=True)(ids))
    keras.Model(ids, layers.GlobalAveragePooling1D()(x)).save("leaking.keras")
"""
QUICK = (
    "import masklib, sys; print(sorted({name.partition('.')[0] for name in sys.modules} & {'keras', 'numpy', 'pandas', 'click'}))"
)

Environment = Callable[..., Path]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel, and the versions of `uv.lock` as constraints."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--wheel", "--out-dir", folder, ROOT)
    export = ("--locked", "--no-hashes", "--no-emit-project", "--all-groups", "--all-extras", "--quiet")
    uv("export", *export, "--project", ROOT, "--output-file", folder / "constraints.txt")
    return folder


def uv(*arguments: object) -> str:
    command = [find_uv(), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=uv_environ(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Make an environment with the wheel and an extra, and return the folder of its commands."""
    made: dict[str, Path] = {}

    def make(extra: str = "", *others: str) -> Path:
        name = " ".join([extra, *others])
        if name not in made:
            folder = tmp_path_factory.mktemp("environment")
            (wheel,) = built.glob("*.whl")
            uv("venv", "--quiet", "--python", sys.executable, folder)
            where = ("--quiet", "--python", folder / "bin" / "python", "--constraint", built / "constraints.txt")
            uv("pip", "install", *where, f"{wheel}[{extra}]" if extra else wheel, *others)
            made[name] = folder / "bin"
        return made[name]

    return make


def call(folder: Path, *command: object) -> "subprocess.CompletedProcess[str]":
    """Run a command in a folder, with the variables that a shell has at least."""
    path = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "KERAS_HOME": str(folder)}
    done = subprocess.run([*map(str, command)], cwd=folder, env=path, capture_output=True, text=True, check=False, timeout=240)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def packages(commands: Path) -> set[str]:
    found = uv("pip", "list", "--quiet", "--format", "freeze", "--python", commands / "python")
    return {canonicalize_name(line.partition("==")[0].partition(" @")[0]) for line in found.splitlines()}


@pytest.mark.slow
def test_the_wheel_holds_what_the_checkout_holds(built: Path):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "masklib").rglob("*") if path.is_file()}
    assert {name for name in code if "__pycache__" not in name} <= names
    own = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("runs/reference/*"), *ROOT.glob("runs/specs/*")]
    assert {f"masklib/suite/{path.relative_to(ROOT).as_posix()}" for path in own} <= names
    assert [name for name in names if name.startswith(("tests/", "bench/"))] == []


@pytest.mark.slow
def test_the_core_is_light_and_audits_a_model_on_jax(environment: Environment, tmp_path: Path):
    assert packages(environment()) == CORE
    assert call(tmp_path, environment() / "python", "-W", "error", "-c", QUICK).stdout == "[]\n"
    refused = call(tmp_path, environment() / "masklib", "audit", "--custom", "a", "pyproject.toml:model")
    assert (refused.returncode, "pip install 'masklib[jax]'" in refused.stderr) == (2, True), refused.stderr

    commands = environment("jax")
    assert packages(commands) == CORE | KERAS | JAX
    (tmp_path / "make.py").write_text(f"import os\nos.environ['KERAS_BACKEND'] = 'jax'\n{dedent(LEAKING)}")
    assert call(tmp_path, commands / "python", "make.py").returncode == 0
    found = call(tmp_path, commands / "masklib", "audit", "leaking.keras", "--quick", "--html", "report.html")
    assert found.returncode == 1, found.stderr
    assert "LEAK  MSK101  the mask is lost at 'conv1d'" in found.stdout
    assert "Keras is set to tensorflow, which is not installed: jax is used instead. Choose one with --backend." in found.stderr
    assert "MSK101" in (tmp_path / "report.html").read_text()
    for command, extra in {"run 02_rnn_carry_over": "engine", "sweep a.ipynb -g n=1,2": "engine", "report": "engine"}.items():
        refused = call(tmp_path, commands / "masklib", *command.split())
        assert (refused.returncode, f"pip install 'masklib[{extra}]'" in refused.stderr) == (2, True), refused.stderr


@pytest.mark.slow
def test_the_core_audits_a_model_on_pytorch_without_tensorflow(environment: Environment, tmp_path: Path):
    pytorch = ("torch==2.13.0+cpu", *(() if "UV_FIND_LINKS" in uv_environ() else ("--torch-backend", "cpu")))
    commands = environment("", "keras", *pytorch)
    assert packages(commands) & {"tensorflow", "jax", "pandas", "matplotlib"} == set()
    (tmp_path / "make.py").write_text(f"import os\nos.environ['KERAS_BACKEND'] = 'torch'\n{dedent(LEAKING)}")
    assert call(tmp_path, commands / "python", "make.py").returncode == 0
    found = call(tmp_path, commands / "masklib", "audit", "leaking.keras", "--quick")
    assert found.returncode == 1, found.stderr
    assert "LEAK  MSK101  the mask is lost at 'conv1d'" in found.stdout
    assert "Keras is set to tensorflow, which is not installed: torch is used instead." in found.stderr


@pytest.mark.slow
def test_the_engine_sweeps_a_notebook_without_keras(environment: Environment, tmp_path: Path):
    commands = environment("engine")
    assert packages(commands) & {"keras", "tensorflow", "matplotlib", "jupyterlab", "sphinx"} == set()
    node = notebook("from masklib.claims import recording\nrun = recording.start(globals())\nrun.metric('double', 2 * width)")
    nbformat.write(node, tmp_path / "own.ipynb")
    done = call(tmp_path, commands / "masklib", "sweep", "own.ipynb", "-g", "width=1,2")
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "runs" / "tables" / "measurements.csv").read_text()
    assert sorted(line.split(",")[3] for line in table.splitlines()[1:]) == ["2.0", "4.0"]


@pytest.mark.slow
def test_the_suite_runs_in_an_empty_folder(environment: Environment, tmp_path: Path):
    masklib = environment("suite") / "masklib"
    assert "02_rnn_carry_over" in call(tmp_path, masklib, "list").stdout
    committed = call(tmp_path, masklib, "list", "--claims")
    assert (committed.returncode, "committed" in committed.stdout, "open" in committed.stdout) == (0, True, False)
    done = call(tmp_path, masklib, "run", "02_rnn_carry_over", "-p", "cell", "lstm")
    assert done.returncode == 0, done.stderr
    assert call(tmp_path, masklib, "notebooks", "mine").returncode == 0
    assert len(list((tmp_path / "mine").glob("*.ipynb"))) == len(list((ROOT / "notebooks").glob("*.ipynb")))
    refused = call(tmp_path, masklib, "notebooks", "mine")
    assert (refused.returncode, "mine is not empty" in refused.stderr) == (2, True)


@pytest.mark.full
def test_the_core_works_with_the_lowest_versions_that_it_declares(built: Path, tmp_path: Path):
    lowest, python = tmp_path / "lowest.txt", tmp_path / "lowest" / "bin" / "python"
    declared = ("--resolution", "lowest-direct", "--extra", "jax", ROOT / "pyproject.toml", "--output-file", lowest)
    uv("pip", "compile", "--quiet", *declared)
    assert "keras==3.10.0" in lowest.read_text()
    uv("venv", "--quiet", "--python", sys.executable, tmp_path / "lowest")
    uv("pip", "install", "--quiet", "--python", python, "-r", lowest, *built.glob("*.whl"))
    (tmp_path / "make.py").write_text(f"import os\nos.environ['KERAS_BACKEND'] = 'jax'\n{dedent(LEAKING)}")
    assert call(tmp_path, python, "make.py").returncode == 0
    found = call(tmp_path, python.with_name("masklib"), "audit", "leaking.keras", "--html", "report.html")
    assert found.returncode == 1, found.stderr
    assert "LEAK  MSK101  the mask is lost at 'conv1d'" in found.stdout


@pytest.mark.full
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_the_core_works_on_every_python_that_is_declared(version: str, built: Path, tmp_path: Path):
    interpreter = find_interpreter(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} here")
    python = tmp_path / "venv" / "bin" / "python"
    uv("venv", "--quiet", "--python", interpreter, tmp_path / "venv")
    uv("pip", "install", "--quiet", "--python", python, *(f"{wheel}[jax]" for wheel in built.glob("*.whl")))
    (tmp_path / "make.py").write_text(f"import os\nos.environ['KERAS_BACKEND'] = 'jax'\n{dedent(LEAKING)}")
    assert call(tmp_path, python, "make.py").returncode == 0
    found = call(tmp_path, python.with_name("masklib"), "audit", "leaking.keras", "--quick")
    assert (found.returncode, "LEAK  MSK101" in found.stdout) == (1, True), found.stderr


def test_each_module_of_an_extra_is_known_by_it():
    providers = {module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()}
    for module, extra in EXTRAS.items():
        names = {canonicalize_name(Requirement(line).name) for line in DECLARED[extra]}
        assert providers.get(module, {module}) & names, f"{module} is not of {extra}"


@pytest.mark.parametrize("name", ["pandas", "keras", "matplotlib", *BACKENDS])
def test_what_is_missing_is_a_sentence_that_says_what_to_install(name: str):
    error = missing(ModuleNotFoundError(f"No module named {name!r}", name=f"{name}.part"))
    assert error is not None
    assert "pip install" in str(error)
    assert missing(ModuleNotFoundError("No module named 'own'", name="own")) is None


def test_a_module_that_is_missing_is_asked_for():
    assert imported("json", "plot").__name__ == "json"
    with pytest.raises(UnavailableError, match=r"This needs nowhere_to_be_found, .* pip install 'masklib\[plot\]'"):
        imported("nowhere_to_be_found", "plot")
