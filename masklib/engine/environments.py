"""Other Keras versions and backends: virtual environments with a kernel of their own, made by uv, outside the repository.

`masklib/engine/environments.toml` says which there are. The folder of one is named after its lock, so that checkouts share it and
another lock makes another environment. It is made beside its place and renamed to it when complete: what exists can be used.
masklib is not installed there; its kernels find the source of the process that starts them, see
`masklib/compat/startup/sitecustomize.py`.

`keras@VERSION` is any release of Keras 3: a small environment with its pure-Python wheel and what only that needs. All else is
found in the environment `RELEASES_ON`, so that releases differ in Keras alone. `keras@VERSION-jax` and `-tensorflow` are it on
another backend: on that of the next release which has an environment of its own, since a new backend breaks an old Keras.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import platformdirs
import tomllib

from masklib.engine import locks
from masklib.engine.releases import version_key
from masklib.engine.uv import find_interpreter, run_uv, where_torch_is
from masklib.errors import ArgumentError

FOLDER_VARIABLE = "MASKLIB_ENVIRONMENTS"
STARTUP_VARIABLE = "MASKLIB_STARTUP"
STARTUP = Path(__file__).parents[1] / "compat" / "startup"
RELEASES_ON = "keras-3.15-torch"  # the environment that has all but Keras for `keras@VERSION`
PRE_RELEASES = "keras-nightly"  # the distribution of releases such as 3.16.0.dev2026102704
ABOUT = "masklib.json"
OK, UNAVAILABLE, FAILED = "ok", "unavailable", "failed"
CREATED, NOT_CREATED, NO_INTERPRETER = "created", "not created", "interpreter missing"
AUDITED_FROM = "3.10.0"  # the first Keras whose models `masklib audit` takes
NUMPY_2_FROM = "3.5.0"  # the first Keras that was made for NumPy 2
CHECK_S = 300.0
LOOK_AGAIN_S = 0.5  # at an environment that another process makes
_DEFINITIONS = Path(__file__).with_name("environments.toml")
LOCKS = "environment_locks"  # the folder beside it
_RELEASE = re.compile(r"keras@(3\.\d+\.\d+[a-z0-9.]*)(?:-(tensorflow|jax|torch))?")
_LOCK_NAME = "lock.txt"  # in the folder of an environment
_BACKENDS = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}  # modules
_CHECK = """
import importlib, json, platform, sys
expected, names = json.loads(sys.argv[1])
found = {name: importlib.import_module(name).__version__ for name in names}
import masklib.compat, masklib.claims.recording, pyarrow.parquet
import keras
backend = keras.backend.backend()
if [found["keras"], backend] != expected:
    sys.exit(f"It must be Keras {expected[0]} on {expected[1]}, it is {found['keras']} on {backend}.")
print(json.dumps({"python": platform.python_version(), **found}))
"""


@dataclass(frozen=True)
class Environment:
    """An environment that there is, or that can be made.

    Attributes:
        name: such as "keras-2.15".
        title: what it is.
        keras: its version.
        backend: of Keras: "tensorflow", "jax" or "torch".
        python_version: such as "3.11".
        requirements: what is wanted.
        lock: what is installed, a pin a line.
        overrides: requirements that hold against those of other packages.
        leaves_out: notebooks of the suite that are not run on it.
        startup: the module of `masklib/compat/startup` that runs before keras is imported; "" for none.
        download_mb: to download at most, and `disk_mb` on disk; as measured once.
        on: the environment in whose packages it finds what it has not itself; None if it has all.
    """

    name: str
    title: str
    keras: str
    backend: str
    python_version: str
    requirements: tuple[str, ...]
    lock: str
    overrides: tuple[str, ...] = ()
    leaves_out: tuple[str, ...] = ()
    startup: str = ""
    download_mb: int = 0
    disk_mb: int = 0
    on: "Environment | None" = None

    @property
    def folder(self) -> Path:
        """Where it is, or would be."""
        made_of = (
            f"{self.python_version}\n{self.on.lock}{self.requirements}" if self.on else f"{self.python_version}\n{self.lock}"
        )
        return environments_folder() / f"{self.name}-{hashlib.sha256(made_of.encode()).hexdigest()[:8]}"

    @property
    def python(self) -> Path:
        """Its interpreter; run it with the variables of `variables`."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def exists(self) -> bool:
        """Whether it is there, complete."""
        return (self.folder / ABOUT).is_file() and (self.on is None or self.on.exists)

    @property
    def pins(self) -> dict[str, str]:
        """The version of each package that is installed, by name."""
        found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", self.lock, re.MULTILINE)
        own = {name.lower().replace("_", "-"): version for name, version in found}
        return {**(self.on.pins if self.on else {}), "keras": self.keras, **own}

    @property
    def python_full_version(self) -> str:
        """The version of its interpreter, such as "3.11.7"; it must exist."""
        told = (self.folder / "pyvenv.cfg").read_text(encoding="utf-8")
        found = re.search(r"^version(?:_info)?\s*=\s*([\d.]+)", told, re.MULTILINE)
        return found[1] if found else self.python_version

    @property
    def size_bytes(self) -> int | None:
        """Its size on disk; None while it is not there."""
        return int(json.loads((self.folder / ABOUT).read_text(encoding="utf-8"))["bytes"]) if self.exists else None

    def variables(self) -> dict[str, str]:
        """Return the environment variables that a process of its interpreter needs, beside the numeric settings."""
        startup = {STARTUP_VARIABLE: self.startup} if self.startup else {}
        return {"PYTHONPATH": str(STARTUP), "KERAS_BACKEND": self.backend, **startup}


@dataclass(frozen=True)
class Check:
    """Whether an environment can be used.

    Attributes:
        name: of the environment.
        status: "ok"; "unavailable", it is not there; "failed", it is there and does not import.
        versions: of Python, Keras, its backend, NumPy and others; {} unless it is ok.
        reason: why it cannot be used; "" if it can.
    """

    name: str
    status: str
    versions: dict[str, str]
    reason: str = ""


def environments_folder() -> Path:
    """Return the folder of all environments: `$MASKLIB_ENVIRONMENTS`, or one in the user's cache."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given).absolute()
    return platformdirs.user_cache_path("masklib", appauthor=False, opinion=False) / "environments"


def load_environments(path: Path = _DEFINITIONS) -> dict[str, Environment]:
    """Return every environment by its name, in the order of `environments.toml`."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    return {row["name"]: _environment(row, found, path.with_name(LOCKS)) for row in found["environment"]}


def _environment(row: Mapping[str, Any], every: Mapping[str, Any], locks_folder: Path) -> Environment:
    """Return the environment that a table of the definitions describes, with what holds for every one."""
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items() if name != "python"}
    lock = locks_folder / f"{row['name']}.txt"
    values |= {"python_version": row["python"], "requirements": (*every["common"], *row["requirements"])}
    values |= {"leaves_out": (*every["leaves_out"], *row.get("leaves_out", ()))}
    return Environment(**values, lock=lock.read_text(encoding="utf-8") if lock.exists() else "")


def find_environment(name: str) -> Environment:
    """Return the environment of this name, such as "keras-3.3", or of a release of Keras 3: "keras@3.9.2", "keras@3.9.2-jax".

    Raises:
        ArgumentError: there is none; the message names the nearest.
    """
    known = load_environments()
    if name in known:
        return known[name]
    if release := _RELEASE.fullmatch(name):
        return _of_release(release[1], _below(release[1], release[2] or known[RELEASES_ON].backend, known))
    near = get_close_matches(name, known, n=3, cutoff=0.4)
    required = "An environment must be one that masklib env list shows, or keras@VERSION for a release of Keras 3"
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    msg = f"{required}, got {name!r}.{hint}"
    raise ArgumentError(msg)


def _below(version: str, backend: str, known: Mapping[str, Environment]) -> Environment:
    """Return the environment whose backend a release of Keras 3 is put on."""
    if backend == known[RELEASES_ON].backend:
        return known[RELEASES_ON]
    fitting = [one for one in known.values() if one.backend == backend and version_key(one.keras) >= (3,)]
    later = [one for one in fitting if version_key(one.keras) >= version_key(version)]
    return min(later, key=_age) if later else max(fitting, key=_age)


def _age(environment: Environment) -> tuple[int, ...]:
    """Return a key that sorts environments by their Keras, the oldest first."""
    return version_key(environment.keras)


def _of_release(version: str, base: Environment) -> Environment:
    """Return the environment that has one release of Keras, and all else from another environment."""
    package = PRE_RELEASES if "dev" in version else "keras"
    found = Environment(
        name=name_of(version, base.backend),
        title=f"Keras {version} on the {base.backend} of {base.name}",
        keras=version,
        backend=base.backend,
        python_version=base.python_version,
        requirements=(f"{package}=={version}",),
        lock="",  # what it needs besides is known once it was made
        startup="numpy_1_names" if version_key(version) < version_key(NUMPY_2_FROM) else "",
        leaves_out=(*base.leaves_out, *(("10_audit_a_model",) if version_key(version) < version_key(AUDITED_FROM) else ())),
        download_mb=2,
        disk_mb=25,
        on=base,
    )
    lock = found.folder / _LOCK_NAME
    return replace(found, lock=lock.read_text(encoding="utf-8")) if lock.exists() else found


def name_of(version: str, backend: str) -> str:
    """Return the name of the environment of a release of Keras 3 on a backend; PyTorch, on which all of them run, is left out."""
    return f"keras@{version}" if backend == load_environments()[RELEASES_ON].backend else f"keras@{version}-{backend}"


def newest(name: str) -> str:
    """Return a name with the version that it means: of "keras@latest" the newest release, of "keras@nightly" the newest nightly.

    Raises:
        UnavailableError: the index of packages cannot be asked.
    """
    package = {"keras@latest": "keras", "keras@nightly": PRE_RELEASES}.get(name)
    if package is None:
        return name
    base = load_environments()[RELEASES_ON]
    wanted = replace(base, name=name, requirements=(package,), on=base)
    return f"keras@{replace(wanted, lock=lock(wanted), on=None).pins[package]}"


def made() -> list[Environment]:
    """Return the environments that were made: those of `environments.toml`, then those of releases, the oldest first.

    Those of releases that only another masklib knows, which shares the folder, are left out.
    """
    names = {path.name.rpartition("-")[0] for path in environments_folder().glob("keras@*") if (path / ABOUT).is_file()}
    names = {name for name in names if _RELEASE.fullmatch(name)}
    found = [*load_environments().values(), *map(find_environment, sorted(names, key=version_key))]
    return [environment for environment in found if environment.exists]


def state(environment: Environment) -> str:
    """Return whether an environment is "created", "not created", or cannot be since its "interpreter" is "missing"."""
    if environment.exists:
        return CREATED
    return NOT_CREATED if find_interpreter(environment.python_version) else NO_INTERPRETER


def create(environment: Environment, on_progress: Callable[[str], None] = lambda line: None) -> Path:
    """Make an environment unless it is there, and return its folder; on any failure no files are left.

    Args:
        environment: to make.
        on_progress: called with a line on each step.

    Raises:
        UnavailableError: no uv, no interpreter, or a package cannot be had; the message ends with what uv says.
    """
    root, folder = environments_folder(), environment.folder
    root.mkdir(parents=True, exist_ok=True)
    with _lock(root / f".{folder.name}.lock", on_progress):
        if environment.exists:
            return folder
        work = root / f".{folder.name}.part"
        shutil.rmtree(work, ignore_errors=True)  # of a process that was killed
        started = time.monotonic()
        try:
            if environment.on:
                create(environment.on, on_progress)
            _install(environment, work, on_progress)
            (work / ABOUT).write_text(json.dumps({"name": environment.name, "bytes": _size(work)}), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)  # without its last file it is no environment
            work.rename(folder)
            _took(environment).write_text(f"{time.monotonic() - started:.0f}\n", encoding="utf-8")
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    return folder


def last_creation_s(environment: Environment) -> int | None:
    """Return how many seconds the last creation of an environment took on this machine; None where that is not known."""
    try:
        return int(_took(environment).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _took(environment: Environment) -> Path:
    """Return the file that holds how long the last creation took; it stays when the environment is removed."""
    return environments_folder() / f".{environment.name}.seconds"


def _install(environment: Environment, work: Path, on_progress: Callable[[str], None]) -> None:
    """Make the virtual environment in `work` and install the lock, compiled to bytecode."""
    interpreter = find_interpreter(environment.python_version) or environment.python_version  # the version: uv may bring one
    on_progress(f"making a virtual environment of Python {environment.python_version}")
    run_uv(["venv", "--relocatable", "--python", interpreter, str(work)], environment.name, on_progress)
    lock = work / _LOCK_NAME
    lock.write_text(environment.lock or _lock_beside(environment), encoding="utf-8")
    if environment.on:
        _look_into(environment.on, work)
    on_progress(f"installing {len(re.findall('==', lock.read_text(encoding='utf-8')))} packages")
    arguments = ["--python", str(work), "--no-deps", "--only-binary", ":all:", "--compile-bytecode", "--requirements", str(lock)]

    def report(line: str) -> None:
        on_progress(line)
        if line.startswith("Installed "):  # uv says nothing while it compiles
            on_progress("compiling all of it to bytecode, so that kernels start fast")

    run_uv(["pip", "install", *arguments, *where_torch_is(environment.backend)], environment.name, report)


def _lock_beside(environment: Environment) -> str:
    """Return the lock of what an environment has itself: what its requirements need and the environment below has not."""
    below = environment.on.pins if environment.on else {}
    own = environment.requirements[0].partition("==")[0]
    names = {line: line.partition("==")[0] for line in lock(environment).splitlines()}
    return "".join(f"{line}\n" for line, name in names.items() if name == own or name not in below)


def _look_into(base: Environment, work: Path) -> None:
    """Let the Python in `work` find what is not installed there among the packages of another environment."""
    (folder,) = work.glob("lib/python*/site-packages")
    (packages,) = base.folder.glob("lib/python*/site-packages")
    (folder / "masklib-base.pth").write_text(f"{packages}\n", encoding="utf-8")


def remove(environment: Environment) -> bool:
    """Remove an environment, those of its earlier locks, and what killed processes left; return whether there was one."""
    root = environments_folder()
    pattern = re.compile(re.escape(environment.name) + r"-[0-9a-f]{8}")
    found = [path for path in root.glob("*") if pattern.fullmatch(path.name)]
    found += [path for path in root.glob(".*.part") if pattern.fullmatch(path.name[1:-5])]
    for path in found:
        gone = root / f".{path.name.lstrip('.')}.gone"
        path.rename(gone)  # at once: what exists can be used
        shutil.rmtree(gone)
    return bool(found)


def check(environment: Environment) -> Check:
    """Return whether Keras, its backend, and masklib's kernel side import in an environment, and in which versions."""
    if not environment.exists:
        found, needed = state(environment), f"it needs Python {environment.python_version}"
        what = {NOT_CREATED: f"masklib env create {environment.name}", NO_INTERPRETER: needed}[found]
        return Check(environment.name, UNAVAILABLE, {}, f"{environment.name} is not there, {found}: {what}.")
    names = ["keras", _BACKENDS[environment.backend], "numpy", "pandas", "matplotlib", "pyarrow", "ipykernel"]
    expected = json.dumps([[environment.keras, environment.backend], names])
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KERAS_"))}
    variables = {**inherited, **environment.variables(), "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [str(environment.python), "-c", _CHECK, expected]
    where = environment.python.parent  # the current folder may hold what is named like a library
    try:
        ended = subprocess.run(command, cwd=where, env=variables, capture_output=True, text=True, timeout=CHECK_S, check=True)
        told = ended.stdout
    except subprocess.TimeoutExpired:
        return Check(environment.name, FAILED, {}, f"{environment.name} must import within {CHECK_S:g} s, it did not.")
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or [f"it ended with {error.returncode}"])[-1]
        return Check(environment.name, FAILED, {}, f"{environment.name} does not import: {said}")
    except OSError as error:
        return Check(environment.name, UNAVAILABLE, {}, f"The interpreter of {environment.name} does not start: {error}")
    return Check(environment.name, OK, json.loads(told.splitlines()[-1]))


def lock(environment: Environment) -> str:
    """Return the lock that the requirements of an environment resolve to today, a pin a line."""
    with contextlib.ExitStack() as stack:
        folder = environments_folder() / f".{environment.name}.lock-{os.getpid()}"
        folder.mkdir(parents=True)
        stack.callback(shutil.rmtree, folder)
        (folder / "in.txt").write_text("\n".join(environment.requirements), encoding="utf-8")
        (folder / "overrides.txt").write_text("\n".join(environment.overrides), encoding="utf-8")
        below = (
            [f"{name}=={version}" for name, version in environment.on.pins.items() if name != "keras"] if environment.on else []
        )
        (folder / "below.txt").write_text("\n".join(below), encoding="utf-8")
        arguments = ["--python-version", environment.python_version, "--python-platform", "linux", "--only-binary", ":all:"]
        arguments += ["--no-annotate", "--no-header", "--no-emit-find-links", "--overrides", str(folder / "overrides.txt")]
        arguments += ["--constraints", str(folder / "below.txt")]
        arguments += ["--output-file", str(folder / "out.txt"), str(folder / "in.txt"), *where_torch_is(environment.backend)]
        run_uv(["pip", "compile", "--quiet", "--no-python-downloads", *arguments], environment.name, lambda line: None)
        return (folder / "out.txt").read_text(encoding="utf-8")


def write_locks() -> None:
    """Write the lock of every environment again, next to `environments.toml`."""
    for environment in load_environments().values():
        path = _DEFINITIONS.with_name(LOCKS) / f"{environment.name}.txt"
        path.write_text(lock(environment), encoding="utf-8")


@contextlib.contextmanager
def _lock(path: Path, on_progress: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock on the making of an environment; wait for another process that does."""
    held = locks.acquire(path)
    if held is None:
        on_progress("waiting for another process that makes it")
    while held is None:
        time.sleep(LOOK_AGAIN_S)
        held = locks.acquire(path)
    with held:
        yield


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


def row(environment: Environment) -> dict[str, Any]:
    """Return what a list of environments says of one."""
    size = environment.size_bytes
    fields = {name: asdict(environment)[name] for name in ("name", "keras", "backend")}
    return {**fields, "python": environment.python_version, "state": state(environment), "bytes": size}
