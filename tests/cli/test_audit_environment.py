"""`masklib audit --environment`: the same report as in this Python, by a process of another one; what cannot be is refused."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from masklib.cli.main import main
from masklib.engine import environments, inside
from masklib.engine.environments import ABOUT, Environment, find_environment

NAME = "twin"


def audit(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, arguments)])


def place(environment: Environment) -> None:
    """Let an environment be there, empty."""
    environment.folder.mkdir(parents=True)
    (environment.folder / ABOUT).write_text('{"bytes": 1}')


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of environments."""
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path / "environments"))
    return tmp_path / "environments"


@pytest.fixture
def twin(root: Path, keras: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment with the packages of this Python, but its own interpreter."""
    found = Environment(NAME, "a twin", keras.__version__, "tensorflow", f"3.{sys.version_info.minor}", (), "")
    monkeypatch.setattr(environments, "load_environments", lambda: {NAME: found})
    place(found)
    prefix = Path(sys.prefix)
    (found.folder / "bin").mkdir()
    (found.folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (found.folder / "lib").symlink_to(prefix / "lib")
    (found.folder / "pyvenv.cfg").write_bytes((prefix / "pyvenv.cfg").read_bytes())
    return found


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process may be started."""

    def refuse(*given: Any, **options: Any) -> Any:
        msg = "a process was started"
        raise AssertionError(msg)

    monkeypatch.setattr(inside, "call_inside", refuse)


@pytest.mark.usefixtures("never", "root")
@pytest.mark.parametrize(
    ("name", "is_made", "told"),
    [
        ("nope", False, "got 'nope'."),
        ("keras@3.12.0", False, "Make it: masklib env create keras@3.12.0."),
        ("keras-2.15", True, "keras-2.15 has Keras 2.15.0"),
        ("keras-3.3", True, f"needs Keras {inside.SUPPORTED_FROM} or newer, keras-3.3 has Keras 3.3.3"),
        ("keras-3.11", True, "there is no model.keras"),
    ],
)
def test_an_environment_that_cannot_be_used_is_refused_in_one_sentence_with_status_2(name: str, is_made: bool, told: str):
    if is_made:
        place(find_environment(name))
    found = audit("model.keras", "--environment", name)
    assert (found.exit_code, found.stdout) == (2, "")  # 1 would mean a leak
    assert told in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.usefixtures("never", "root")
def test_a_backend_beside_an_environment_must_be_its_own():
    place(find_environment("keras-3.11"))
    assert "Leave --backend out" in audit("model.keras", "--environment", "keras-3.11", "--backend", "jax").stderr


@pytest.mark.usefixtures("never", "root")
def test_a_file_that_names_code_is_refused_since_older_versions_execute_it(tmp_path: Path):
    import h5py

    place(find_environment("keras-3.11"))
    path = tmp_path / "hostile.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Lambda", "config": {"function": ["4wEAAAA", None, None]}})
    found = audit(path, "--environment", "keras-3.11")
    assert found.exit_code == 2
    assert "holds code, in a Lambda layer" in found.stderr


def test_the_first_supported_keras_is_supported_and_the_one_before_is_not():
    one = find_environment(f"keras@{inside.SUPPORTED_FROM}")
    inside.check_audited(one)
    with pytest.raises(Exception, match=r"3\.3\.3"):
        inside.check_audited(replace(one, keras="3.3.3"))


@pytest.mark.slow
@pytest.mark.timeout(900)  # three processes import a backend
@pytest.mark.skipif(sys.prefix == sys.base_prefix or os.name == "nt", reason="needs a virtual environment to make a twin of")
@pytest.mark.filterwarnings("ignore:.*destroy the mask:UserWarning")
def test_the_report_is_that_of_this_python_in_every_form(
    twin: Environment, keras: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    ids = keras.Input((None,), dtype="int32", name="ids")
    model = keras.Model(ids, keras.layers.LSTM(3)(keras.layers.Embedding(20, 4)(ids)), name="leaky")
    monkeypatch.chdir(tmp_path)
    model.save("leaky.keras")
    (tmp_path / "click.py").write_text("raise SystemExit('a module of the current folder was imported')")
    for form, html in (("text", "--html"), ("json", "")):
        options = ["leaky.keras", "--quick", "--format", form]
        here = audit(*options, *([html, "here.html"] if html else []))
        capfd.readouterr()
        there = audit(*options, *([html, "there.html"] if html else []), "--environment", NAME)
        assert capfd.readouterr().out == here.stdout != ""
        assert there.exit_code == here.exit_code == 1
    pages = [Path(name).read_text().partition("<svg") for name in ("there.html", "here.html")]  # names in a drawing are random
    assert pages[0][:2] == pages[1][:2]
    told = audit("missing:model", "--environment", NAME)
    assert told.exit_code == 2
    assert "MODEL missing:model cannot be imported" in capfd.readouterr().err
