"""The kernel that a notebook names is the one that runs, of another environment and of another language, too."""

import importlib.util
import json
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from click.testing import CliRunner

from masklib.cli.main import main
from masklib.engine.collect import collect
from masklib.engine.kernels import servers
from masklib.engine.run import Result, execute_plan, plan_run
from masklib.engine.store import Store
from masklib.engine.sweep import sweep
from masklib.errors import NotebookError, ParameterError
from masklib.site.names import ran_on
from masklib.site.single import to_html
from tests.engine.test_folders import WARM, printed
from tests.engine.test_kinds import save

pytestmark = pytest.mark.slow

UNKNOWN_FIELD = pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")  # of bash's kernelspec
SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
WHO = "import sys, cowlib\nprint(sys.prefix, cowlib.V, x)"


def install_spec(data: Path, name: str, **spec: Any) -> None:
    folder = data / "kernels" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.json").write_text(json.dumps({"display_name": name, "language": "python", **spec}))


def install_cowlib(prefix: Path, version: str) -> None:
    """Install a distribution of one module into an environment."""
    for old in (prefix / SITE).glob("cowlib-*"):
        (old / "METADATA").unlink()
        old.rmdir()
    (prefix / SITE / "cowlib.py").write_text(f"V = {version!r}")
    about = prefix / SITE / f"cowlib-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: cowlib\nVersion: {version}\n")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of kernelspecs of the user's own."""
    folder = tmp_path / "jupyter"
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    monkeypatch.setattr(servers, "PRELOAD", ("numpy", "no_such_module.at_all", "ipykernel.kernelapp"))
    yield folder
    servers.stop_servers()


@pytest.fixture
def other(tmp_path: Path, data: Path) -> Path:
    """Another environment, with a kernel `myenv`: its own interpreter and distribution, and what is installed here."""
    prefix = tmp_path / "other"
    venv.create(prefix, with_pip=False)
    (prefix / SITE / "shared.pth").write_text(sysconfig.get_paths()["purelib"])
    install_cowlib(prefix, "1.0")
    install_spec(data, "myenv", argv=[str(prefix / "bin/python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"])
    return prefix


def run(path: Path, store: Store, parameters: dict[str, Any] | None = None, *, warm: bool = False) -> Result:
    return execute_plan(plan_run(path, parameters), store, warm=warm)


def published(result: Result) -> Any:
    return nbformat.read(result.folder / "notebook.ipynb", as_version=4).metadata


@WARM
def test_a_kernel_of_another_environment_is_that_environments(other: Path, tmp_path: Path, store: Store, warm: bool):
    assert importlib.util.find_spec("cowlib") is None
    path = save(tmp_path / "n.ipynb", WHO, parameters="x = 1", name="myenv", language="python")
    result = run(path, store, {"x": 5}, warm=warm)

    assert printed(result) == [f"{other} 1.0 5"]
    assert result.record.launch == ("fork" if warm else "spawn")
    assert published(result).kernelspec.name == "myenv"
    assert published(result).language_info.version == sys.version.split()[0]
    assert result.record.kernel == f"python {sys.version.split()[0]}"
    kernel = result.record.inputs["kernel"]
    assert (kernel["name"], kernel["argv"][0]) == ("myenv", str(other / "bin/python"))
    assert run(path, store, {"x": 5}).cached


def test_what_is_installed_there_counts_and_what_is_installed_here_does_not(other: Path, tmp_path: Path):
    path = save(tmp_path / "n.ipynb", WHO, parameters="x = 1", name="myenv")
    before = plan_run(path)
    install_cowlib(other, "2.0")
    assert plan_run(path).key != before.key


def test_the_points_of_a_sweep_are_forked_from_a_server_of_its_interpreter(other: Path, tmp_path: Path):
    path = save(tmp_path / "n.ipynb", WHO, parameters="x = 1", name="myenv")
    found = sweep(path, {"x": "0:3"}, runs=tmp_path / "runs", jobs=2)
    assert found.ok, found.to_frame()["reason"].to_list()
    assert {o.record.launch for o in found.outcomes} == {"fork"}
    shown = [output for o in found.outcomes for output in printed(Result(o.record, Path(o.folder), False))]
    assert shown == [f"{other} 1.0 {x}" for x in range(3)]


def test_what_its_kernelspec_sets_reaches_it_and_counts(other: Path, data: Path, tmp_path: Path, store: Store):
    argv = [str(other / "bin/python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    path = save(tmp_path / "n.ipynb", "import os\nprint(os.environ['GREETING'], os.environ['KERAS_BACKEND'])", name="myenv")
    seen = {}
    for greeting in ("hello", "servus"):
        install_spec(data, "myenv", argv=argv, env={"GREETING": greeting, "KERAS_BACKEND": "numpy"})
        plan = plan_run(path)
        seen[plan.key] = [printed(execute_plan(plan, store, warm=warm)) for warm in (False,)]
        assert plan.settings["KERAS_BACKEND"] == "numpy"
        assert greeting not in json.dumps(plan.inputs), "what an environment holds may be a secret"
    assert list(seen.values()) == [[["hello numpy"]], [["servus numpy"]]]


@pytest.mark.parametrize(
    ("options", "forked"),
    [
        (["-m", "ipykernel"], True),
        (["-Xfrozen_modules=off", "-m", "ipykernel_launcher"], True),
        (["-m", "ipykernel_launcher", "--quiet"], False),
    ],
)
def test_a_kernel_with_options_of_its_own_is_started_as_it_says(
    other: Path, data: Path, tmp_path: Path, store: Store, options: list[str], forked: bool
):
    install_spec(data, "myenv", argv=[str(other / "bin/python"), *options, "-f", "{connection_file}"])
    result = run(save(tmp_path / "n.ipynb", WHO, parameters="x = 1", name="myenv"), store, warm=True)
    assert (printed(result), result.record.launch) == ([f"{other} 1.0 1"], "fork" if forked else "spawn")


def test_a_kernel_of_this_environment_under_another_name_is_this_python(data: Path, tmp_path: Path):
    install_spec(data, "alias", argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])
    keys = {plan_run(save(tmp_path / "n.ipynb", "1", name=name)).key for name in ("alias", "python3")}
    assert len(keys) == 1


def test_a_kernel_that_is_not_there_is_refused_before_any_work_with_those_that_are(data: Path, tmp_path: Path, store: Store):
    path = save(tmp_path / "n.ipynb", "1", name="ir", language="R")
    with pytest.raises(NotebookError, match=r"The kernel 'ir' is not installed \(installed: .*python3.*\)\. .* --kernel\."):
        run(path, store)
    install_spec(data, "gone", argv=["/nowhere/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"])
    with pytest.raises(NotebookError, match=r"The kernel 'gone' must start /nowhere/python, which is not there"):
        run(save(tmp_path / "n.ipynb", "1", name="gone"), store)
    assert not store.root.exists()


def test_another_kernel_can_be_chosen_and_the_published_notebook_says_which(tmp_path: Path, data: Path):
    path = save(tmp_path / "n.ipynb", "print(x)", parameters="x = 1", name="somebodys-env", language="python")
    arguments = [str(path), "--runs", str(tmp_path / "runs"), "--kernel", "python3"]
    refused = CliRunner().invoke(main, ["run", *arguments[:-2]])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert CliRunner().invoke(main, ["sweep", *arguments, "-g", "x=1,2", "--jobs", "1"]).exit_code == 0
    found = CliRunner().invoke(main, ["run", *arguments, "--json"])
    assert json.loads(found.stdout)["cached"]
    node = nbformat.read(Path(json.loads(found.stdout)["folder"]) / "notebook.ipynb", as_version=4)
    assert node.metadata.kernelspec.name == "python3"


def test_an_environment_of_ours_and_a_kernel_of_the_notebooks_own_are_not_both_chosen(
    other: Path, tmp_path: Path, monkeypatch: Any
):
    monkeypatch.setattr("masklib.engine.environments.Environment.exists", True)
    path = save(tmp_path / "n.ipynb", WHO, parameters="x = 1", name="myenv")
    with pytest.raises(ParameterError, match="An environment brings its own kernel, n has the kernel myenv"):
        plan_run(path, {"environment": "keras-2.15"})


@pytest.fixture
def bash(data: Path) -> None:
    """bash_kernel, as its own installer installs it."""
    pytest.importorskip("bash_kernel", reason="bash_kernel is in the group dev")
    command = [sys.executable, "-m", "bash_kernel.install", "--prefix", str(data.parent)]
    subprocess.run(command, check=True, capture_output=True)
    data.mkdir(exist_ok=True)
    (data.parent / "share" / "jupyter" / "kernels").rename(data / "kernels")


@UNKNOWN_FIELD
def test_a_notebook_of_another_language_runs_in_its_kernel_with_its_parameters(bash: None, tmp_path: Path, store: Store):
    (tmp_path / "data.txt").write_text("beside")
    parameters = "who=world\nn=1\nflag=false"
    path = save(tmp_path / "b.ipynb", 'echo "$who $n $flag $(cat data.txt)"', parameters=parameters, name="bash", language="bash")
    assert printed(run(path, store)) == ["world 1 false beside"]
    result = run(path, store, {"who": "it's $me", "n": 3, "flag": True}, warm=True)

    assert printed(result) == ["it's $me 3 true beside"]
    assert (result.record.launch, result.record.status) == ("spawn", "ok")
    assert published(result).kernelspec.name == "bash"
    assert published(result).language_info.name == "bash"
    assert result.record.kernel == "bash"
    assert (result.record.keras, result.record.inputs["versions"]["keras"], ran_on(result.record)) == (
        "",
        None,
        result.record.kernel,
    )
    assert "Keras" not in to_html(result.folder).partition("</p>")[0]
    with pytest.raises(ParameterError, match="nn is unknown, did you mean n"):
        plan_run(path, {"nn": 1})
    with pytest.raises(ParameterError, match="Parameters must be values that papermill can write in bash: dict type"):
        plan_run(path, {"n": {"a": 1}})


@UNKNOWN_FIELD
def test_it_is_swept_collected_and_its_failures_are_reported(bash: None, tmp_path: Path):
    path = save(tmp_path / "b.ipynb", "echo $n; [ $n -lt 3 ]", parameters="n=1", name="bash", language="bash")
    found = sweep(path, {"n": "1,2"}, runs=tmp_path / "runs", jobs=1)
    assert found.ok, found.to_frame()["reason"].to_list()
    runs = collect(Store(tmp_path / "runs")).runs
    assert (sorted(runs["param_n"]), set(runs["keras"]), set(runs["python"].isna())) == ([1, 2], {""}, {True})


@UNKNOWN_FIELD
def test_papermill_with_our_engine_runs_it_too(bash: None, tmp_path: Path):
    path = save(tmp_path / "b.ipynb", "echo $n", parameters="n=1", name="bash", language="bash")
    node = papermill.execute_notebook(path, tmp_path / "o.ipynb", {"n": 7}, engine_name="masklib", progress_bar=False)
    assert node.cells[-1].outputs[0].text.strip() == "7"
    assert (tmp_path / "o.ipynb").exists()
