"""Environments: their definitions, their creation by real uv, and what becomes of it when it fails."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest

from masklib.engine import distributions, environments, uv
from masklib.engine.environments import (
    FAILED,
    UNAVAILABLE,
    Environment,
    check,
    create,
    environments_folder,
    find_environment,
    last_creation_s,
    load_environments,
    remove,
)
from masklib.engine.notebooks import suite
from masklib.errors import ArgumentError, UnavailableError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TINY = Environment(
    name="tiny",
    title="a small environment",
    keras="3.15.1",
    backend="tensorflow",
    python_version=PYTHON,
    requirements=("six",),
    lock="six==1.17.0\n",
)
TOOK = ".tiny.seconds"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of environments of its own."""
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path / "environments"))
    return tmp_path / "environments"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    """What was said while the tiny environment was made, once; the tests that ask for it find it there."""
    root = tmp_path_factory.mktemp("environments")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(environments.FOLDER_VARIABLE, str(root))
        said: list[str] = []
        create(TINY, said.append)
        yield said


def left(root: Path) -> list[str]:
    """The names of all that is in a folder of environments."""
    return sorted(path.name for path in root.iterdir())


@pytest.mark.parametrize("environment", load_environments().values(), ids=lambda e: e.name)
def test_a_definition_is_whole_and_its_lock_pins_what_it_says(environment: Environment):
    pins = environment.pins
    assert pins["keras"] == environment.keras
    assert {"ipykernel", "pandas", "pyarrow", "matplotlib", "numpy"} <= set(pins)
    package = {"tensorflow": "tensorflow-cpu"}.get(environment.backend, environment.backend)
    assert package in pins
    assert all("==" in line for line in environment.lock.splitlines())
    exact = [r.split("==") for r in environment.requirements if "==" in r]
    assert {name: pins[name] for name, _ in exact} == dict(exact)
    assert min(environment.download_mb, environment.disk_mb) > 0
    assert not environment.startup or (environments.STARTUP / f"{environment.startup}.py").exists()


def test_an_old_numpy_has_a_pyarrow_that_works_with_it():
    for environment in load_environments().values():
        if int(environment.pins["numpy"].split(".")[0]) < 2:
            assert int(environment.pins["pyarrow"].split(".")[0]) < 21, environment.name


def test_an_unknown_name_is_reported_with_the_nearest():
    with pytest.raises(ArgumentError, match=r"got 'keras-2.16'.*keras-2.15"):
        find_environment("keras-2.16")


def test_a_keras_of_another_name_has_its_own_version():
    found = find_environment("tf-keras-2.21")
    assert "\nkeras==" not in found.lock
    assert (found.pins["keras"], found.startup) == (found.pins["tf-keras"], "tf_keras_as_keras")


def test_another_lock_is_another_folder(root: Path):
    assert replace(TINY, lock="six==1.16.0\n").folder != TINY.folder
    assert replace(TINY, title="another title").folder == TINY.folder
    assert TINY.folder.parent == root


def test_an_environment_is_made_from_nothing_and_works_after_its_renaming(tiny: list[str]):
    assert TINY.exists
    assert TINY.size_bytes > 10_000
    assert TINY.python_full_version == ".".join(map(str, sys.version_info[:3]))
    run = [str(TINY.python), "-c", "import six, sys; print(six.__version__, sys.prefix)"]
    told = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert told == ["1.17.0", str(TINY.folder)]
    assert list(TINY.folder.rglob("six.*.pyc")), "bytecode is compiled"
    said = [line for line in tiny if line.startswith(("installing", "Installed", "compiling", "Bytecode"))]
    assert [line.split()[0] for line in said] == ["installing", "Installed", "compiling", "Bytecode"]
    assert left(TINY.folder.parent) == [TOOK, TINY.folder.name]


def test_how_long_a_creation_took_is_known_the_next_time(root: Path):
    assert last_creation_s(TINY) is None
    create(TINY)
    (root / TOOK).write_text("123\n")
    remove(TINY)

    assert last_creation_s(TINY) == 123
    (root / TOOK).write_text("soon")
    assert last_creation_s(TINY) is None


def test_an_environment_that_is_there_is_not_made_again(tiny: list[str]):
    said: list[str] = []
    assert create(TINY, said.append) == TINY.folder
    assert said == []


def test_the_masklib_of_the_checkout_is_found_there(tiny: list[str], tmp_path: Path):
    variables = {"PATH": os.environ["PATH"], **TINY.variables()}
    run = [str(TINY.python), "-c", "import masklib.errors; print(masklib.errors.__file__)"]
    told = subprocess.run(run, env=variables, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert Path(told.strip()) == Path(environments.__file__).parents[1] / "errors.py"


def test_nothing_else_of_this_environment_is_found_there(tiny: list[str], tmp_path: Path):
    variables = {"PATH": os.environ["PATH"], **TINY.variables()}
    run = [str(TINY.python), "-c", "import numpy"]
    assert subprocess.run(run, env=variables, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_what_does_not_import_has_failed_and_says_why(tiny: list[str]):
    found = check(TINY)
    assert (found.status, found.versions) == (FAILED, {})
    assert "No module named 'keras'" in found.reason


def test_what_is_not_there_is_unavailable_and_says_why(root: Path):
    found = check(TINY)
    assert found.status == UNAVAILABLE
    assert "masklib env create tiny" in found.reason
    missing = check(replace(TINY, python_version="3.1"))
    assert missing.status == UNAVAILABLE
    assert "needs Python 3.1" in missing.reason


def test_a_package_that_cannot_be_installed_is_reported_and_leaves_nothing(root: Path):
    broken = replace(TINY, lock="six==0.0.99\n")
    with pytest.raises(UnavailableError, match=r"(?s)tiny cannot be made: uv pip install failed.*six"):
        create(broken)
    assert left(root) == []
    assert not broken.exists


def test_an_interruption_leaves_nothing(root: Path):
    def interrupt(line: str) -> None:
        if "installing" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create(TINY, interrupt)
    assert left(root) == []


def test_what_a_killed_process_left_is_not_an_environment_and_is_made_again(root: Path):
    part = root / f".{TINY.folder.name}.part"
    part.mkdir(parents=True)
    (part / "half").write_text("")
    TINY.folder.mkdir()
    assert not TINY.exists
    create(TINY)
    assert TINY.exists
    assert left(root) == [TOOK, TINY.folder.name]


def test_an_environment_is_removed_with_those_of_earlier_locks(root: Path):
    others = [root / "tiny-0123abcd", root / "tiny-2-0123abcd", root / ".tiny-0123abcd.part"]
    for folder in others:
        folder.mkdir(parents=True)
    assert remove(TINY)
    assert left(root) == ["tiny-2-0123abcd"]
    assert not remove(TINY)


def test_a_missing_uv_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(uv, "__file__", str(tmp_path / "masklib" / "engine" / "uv.py"))
    monkeypatch.setattr(uv.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="neither on PATH"):
        uv.find_uv()


def test_what_an_environment_leaves_out_are_notebooks_of_the_suite():
    names = {path.stem for path in suite()}
    for environment in load_environments().values():
        assert names > set(environment.leaves_out)
        planned = {path.stem for path in suite() if path.stem not in environment.leaves_out}
        assert planned >= {"01_mask_zero_outputs", "06_mask_propagation"}


def test_environments_are_in_the_folder_of_the_variable_or_in_the_cache_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("MASKLIB_ENVIRONMENTS", str(tmp_path / "given"))
    assert environments_folder() == tmp_path / "given"
    monkeypatch.delenv("MASKLIB_ENVIRONMENTS")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, **options: tmp_path / name)
    assert environments_folder() == tmp_path / "masklib" / "environments"


def test_a_release_is_an_environment_of_its_own_beside_that_of_everything_else():
    early, late = find_environment("keras@3.0.5"), find_environment("keras@3.9.2")
    assert (late.keras, late.backend, late.on) == ("3.9.2", "torch", load_environments()[environments.RELEASES_ON])
    assert early.folder != late.folder
    assert (early.startup, late.startup) == ("numpy_1_names", "")
    assert (environments.STARTUP / f"{early.startup}.py").exists()
    assert early.leaves_out == (*late.on.leaves_out, "10_audit_a_model")
    assert late.pins == late.on.pins | {"keras": "3.9.2"}
    assert find_environment("keras@3.16.0.dev2026102704").requirements == ("keras-nightly==3.16.0.dev2026102704",)


def test_a_release_on_another_backend_is_put_on_that_of_the_next_release_with_an_environment():
    known = load_environments()
    assert find_environment("keras@3.9.2-torch") == find_environment("keras@3.9.2")
    between, old = find_environment("keras@3.5.0-jax"), find_environment("keras@3.4.0-tensorflow")
    assert (between.name, between.backend, between.on) == ("keras@3.5.0-jax", "jax", known["keras-3.6-jax"])
    assert (old.backend, old.on) == ("tensorflow", known["keras-3.4"])
    assert find_environment("keras@3.99.0-jax").on == known["keras-3.15-jax"]
    assert environments.name_of("3.5.0", "jax") == between.name


@pytest.mark.parametrize(
    "name", ["keras@2.15.0", "keras@3", "keras@", "keras@3.9.2 ", "keras@3.9.2/x", "keras@latest", "keras@3.9.2-mxnet"]
)
def test_what_is_no_release_of_keras_3_is_no_environment(name: str):
    with pytest.raises(ArgumentError, match="keras@VERSION"):
        find_environment(name)


@pytest.mark.slow
def test_a_release_is_made_in_seconds_and_has_its_own_keras_and_all_else_from_below(with_torch: Path):
    release = find_environment("keras@3.4.1")
    create(release)
    found = check(find_environment("keras@3.4.1"))
    assert (found.status, found.versions["keras"]) == ("ok", "3.4.1"), found.reason
    assert found.versions["numpy"] == release.on.pins["numpy"]
    assert (release.size_bytes or 0) < 50e6
    assert [one.name for one in environments.made()] == [environments.RELEASES_ON, "keras@3.4.1"]
    installed = distributions.installed(distributions.site_folders_of(release.python))
    assert (installed["keras"], installed["torch"]) == ("3.4.1", release.on.pins["torch"])
    assert remove(release)
    assert release.on.exists


@pytest.mark.slow
def test_a_release_that_does_not_exist_leaves_nothing(with_torch: Path):
    before = left(with_torch)
    with pytest.raises(UnavailableError, match=r"keras==3\.99\.0"):
        create(find_environment("keras@3.99.0"))
    assert [name for name in left(with_torch) if not name.endswith(".lock")] == before
