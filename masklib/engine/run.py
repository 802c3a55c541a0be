"""One run: from a notebook and its parameters to a published folder."""

import logging
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from masklib.claims import recording
from masklib.claims.recording import FOLDER_VARIABLE
from masklib.engine.contents import sums_of
from masklib.engine.dependencies import Present, changes, check_patterns, declared_files, declared_patterns, found
from masklib.engine.environments import find_environment
from masklib.engine.execution import SERVER_GONE, SET_TOO_LATE, Execution, OnCell
from masklib.engine.identity import BACKEND_PACKAGES, identity, key_of, masklib_of
from masklib.engine.kernels.choosing import THIS, Kernel, find_kernel, kernel_name
from masklib.engine.limits import DEFAULT_LIMITS, Limits
from masklib.engine.notebooks import OWN_NOTEBOOKS, Notebook, read_notebook
from masklib.engine.parameters import CURRENT, ENVIRONMENT, declared_parameters, keras_backend, own_parameters, resolve
from masklib.engine.private import PrivateFolder
from masklib.engine.record import FAILED, OK, RECORD, Failure, Record, sizes_of
from masklib.engine.scraps import read_scraps
from masklib.engine.settings import KERNEL_VARIABLE, kernel_environment, numeric_settings, settings_for, settings_in
from masklib.engine.store import Store, is_local, store_error
from masklib.engine.values import is_plain
from masklib.errors import ArgumentError, ParameterError, UnavailableError

EXECUTED = "notebook.ipynb"
KERNEL_LOG = "kernel.log"
SOURCE_CHANGED = "SourceChanged"
_WAYS_TO_INSTALL = {
    "jax": 'Install it: pip install "masklib[jax]".',
    "torch": "Use an environment that has it: -p environment keras-3.15-torch.",
}
LOOK_AGAIN_S = 0.2  # at a run that another process is at


@dataclass(frozen=True)
class Plan:
    """A run that is fully determined and checked, and not yet executed.

    Attributes:
        notebook: as read.
        folder: in which the kernel works, absolute; "" for masklib's own notebooks, see `masklib.engine.notebooks.Notebook`.
        parameters: resolved, with defaults filled in.
        settings: the environment variables that can change numbers.
        inputs: the identity; see `masklib.engine.identity`.
        key: its hash.
        depends: absolute patterns of files that its results are declared to follow from; see `declare`.
    """

    notebook: Notebook
    folder: str
    parameters: dict[str, Any]
    settings: dict[str, str]
    inputs: dict[str, Any]
    key: str
    depends: tuple[str, ...] = ()

    @property
    def beside(self) -> str:
        """The folder of the notebook, absolute: what a run used is named from there."""
        return str(self.notebook.path.absolute().parent)

    @property
    def kernel(self) -> Kernel:
        """The kernel in which it runs."""
        return find_kernel(self.settings.get(KERNEL_VARIABLE, THIS))


@dataclass(frozen=True)
class Result:
    """What became of a plan.

    Attributes:
        record: the record of the run.
        folder: where the run is published, or the failed attempt kept.
        cached: whether the run was there already.
    """

    record: Record
    folder: Path
    cached: bool


@dataclass(frozen=True)
class Stored:
    """What the store has of a plan.

    Attributes:
        result: the run that counts; None if there is none.
        changes: why a run that is there does not count, a few words each.
        depends: the patterns of files that were declared for the run that is there: they stay declared.
    """

    result: Result | None = None
    changes: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()


def plan_run(
    notebook: str | Path | Notebook,
    parameters: Mapping[str, Any] | None = None,
    settings: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    kernel: str | None = None,
) -> Plan:
    """Return the plan of a run; everything about its input is checked here.

    Args:
        notebook: a path, a name of the suite, or a notebook as read.
        parameters: those that differ from the defaults.
        settings: environment variables that can change numbers; by default `masklib.engine.settings.numeric_settings()`.
        cwd: the folder in which the kernel works; by default that of the notebook, as in JupyterLab.
        kernel: the name of a kernel in place of the notebook's own; not for a notebook as read, see `read_notebook`.

    Raises:
        ArgumentError, NotebookError, ParameterError: before any work is done.
    """
    if not isinstance(notebook, Notebook):
        notebook = read_notebook(notebook, kernel)
    declared = declared_parameters(notebook)
    resolved = resolve(declared, parameters or {}, notebook.path.parent)
    backend, environment = keras_backend(own_parameters(notebook), resolved), None
    if declared != own_parameters(notebook):  # it has our parameter `environment`
        environment = _take_environment(resolved, parameters or {})
    chosen = _check_kernel(notebook, resolved, environment)
    settings = settings_in(settings_for(numeric_settings() if settings is None else settings, backend, environment), chosen)
    folder = _check_folder(notebook.folder if cwd is None else str(Path(cwd).absolute()))
    files = [resolved[one.name] for one in declared if one.is_file and resolved[one.name]]
    inputs = identity(notebook, resolved, settings, files, folder, chosen)
    if chosen.is_this and not environment and (backend or inputs["versions"]["keras"]):
        _check_backend(settings["KERAS_BACKEND"], inputs["versions"])
    try:
        return Plan(notebook, folder, resolved, settings, inputs, key_of(inputs))
    except UnicodeEncodeError as error:
        told = f"those of {notebook.name} hold {error.object[error.start]!r}"
        msg = f"Cells and parameters must be Unicode text, {told}. Write another character."
        raise ParameterError(msg) from None


def declare(plans: Iterable[Plan], patterns: Iterable[str]) -> list[Plan]:
    """Return plans whose results are declared to follow from files.

    Args:
        plans: from `plan_run`.
        patterns: of paths of files, from the current folder; see `masklib.engine.dependencies.check_patterns`.

    Raises:
        ArgumentError: a pattern names no file.
    """
    depends = check_patterns(list(patterns))
    return [replace(plan, depends=depends) for plan in plans]


def look_up(plan: Plan, store: Store) -> Stored:
    """Return what the store has of a plan: the run that counts, or why the one that is there does not."""
    record = store.find(plan.notebook.name, plan.key)
    if record is None:
        return Stored()
    changed = changes_of(plan, record, Present())
    folder = store.folder(plan.notebook.name, plan.key)
    result = None if changed else Result(record, folder, cached=True)
    return Stored(result, changed, declared_patterns(record.uses, plan.beside))


def changes_of(plan: Plan, record: Record, present: Present) -> tuple[str, ...]:
    """Return what has changed of what a run of this plan used, a few words each; () where it counts.

    A record of an earlier masklib does not say what it used: it counts as it did then.
    """
    if record.uses is None:
        return ()
    return tuple(changes(record.uses, plan.beside, plan.depends, plan.settings, present))


def _take_environment(resolved: dict[str, Any], given: Mapping[str, Any]) -> str | None:
    """Return the environment that the parameters choose, None for that of this process, which is left out of them.

    Raises:
        ParameterError: there is no such environment, or it has another backend than the one given.
        UnavailableError: the environment is not there.
    """
    if resolved[ENVIRONMENT] == CURRENT:
        del resolved[ENVIRONMENT]
        return None
    try:
        other = find_environment(resolved[ENVIRONMENT])
    except ArgumentError as error:
        raise ParameterError(str(error)) from None
    if given.get("backend", other.backend) != other.backend:
        msg = f"The backend must be that of the environment, {other.name} has {other.backend}, got {given['backend']}."
        raise ParameterError(msg)
    if not other.exists:
        msg = f"The environment {other.name} was not made yet. Make it: masklib env create {other.name}."
        raise UnavailableError(msg)
    if "backend" in resolved:
        resolved["backend"] = other.backend
    return other.name


def _check_kernel(notebook: Notebook, parameters: Mapping[str, Any], environment: str | None) -> Kernel:
    """Return the kernel of a notebook, if it is there and takes its parameters.

    Raises:
        NotebookError: it is not installed.
        ParameterError: an environment is chosen beside it, or no value can be written in its language.
    """
    kernel = find_kernel(kernel_name(notebook.node))
    if environment and not kernel.is_this:
        msg = f"An environment brings its own kernel, {notebook.name} has the kernel {kernel.name}. Choose python3 with --kernel."
        raise ParameterError(msg)
    if not kernel.is_python:
        check_translation(kernel, {name: value for name, value in parameters.items() if name != ENVIRONMENT or not environment})
    return kernel


def check_translation(kernel: Kernel, values: Mapping[str, Any]) -> None:
    """Raise ParameterError if papermill cannot write values into notebooks of a kernel's language."""
    from papermill.exceptions import PapermillException
    from papermill.translators import papermill_translators

    try:
        for value in values.values():
            papermill_translators.find_translator(kernel.name, kernel.language).translate(value)
    except (PapermillException, NotImplementedError) as error:
        msg = f"Parameters must be values that papermill can write in {kernel.language}: {error}."
        raise ParameterError(msg) from None


def _check_folder(folder: str) -> str:
    """Return the folder in which a kernel works, if it is there."""
    if folder and not os.path.isdir(folder):  # noqa: PTH112 (a Path for each of ten thousand points takes longer)
        msg = f"The folder in which a notebook runs must exist on each machine that runs it, there is no {folder}. See --cwd."
        raise ArgumentError(msg)
    return folder


def _check_backend(backend: str, versions: Mapping[str, str | None]) -> None:
    """Refuse a backend that is not installed, or that Keras has not."""
    package = BACKEND_PACKAGES.get(backend)
    if package is None:
        msg = f"The backend must be one of {', '.join(BACKEND_PACKAGES)}, got {backend!r}. See KERAS_BACKEND."
        raise ParameterError(msg)
    if versions[package] is None:
        msg = f"The backend {backend} needs {package}, which is not installed. {_WAYS_TO_INSTALL.get(backend, '')}".rstrip()
        raise ParameterError(msg)


def execute_plan(
    plan: Plan,
    store: Store,
    *,
    limits: Limits = DEFAULT_LIMITS,
    warm: bool = False,
    wait: bool = True,
    force: bool = False,
    on_cell: OnCell | None = None,
) -> Result | None:
    """Execute a plan unless the store has its run, publish what came of it, and return it.

    A run that is there and of whose inputs something has changed is executed again; it then goes to the earlier runs.

    Where the fork server of the kernel was killed during the run, the attempt is kept and the run executed again.

    Args:
        plan: from `plan_run`.
        store: where runs are looked up and published.
        limits: of time and memory.
        warm: whether the kernel is forked from a process that has imported the libraries.
        wait: whether to wait for another process that is at this same run.
        force: whether it is executed even if the store has its run.
        on_cell: called with the number of cells started so far and their total.

    Returns:
        Result; None if another process is at this run and `wait` is False.

    Raises:
        StoreError: the store cannot be written; what was written of the run is kept.
    """
    while True:
        stored = Stored() if force else look_up(plan, store)
        if stored.result:
            return stored.result
        lock = store.lock(plan.notebook.name, plan.key)
        if lock:
            break
        if not wait:
            return None
        time.sleep(LOOK_AGAIN_S)
    with lock:
        stored = look_up(plan, store)
        plan = replace(plan, depends=tuple(dict.fromkeys([*plan.depends, *stored.depends])))
        again = force or bool(stored.changes)
        attempt = partial(_attempt, plan, store, again=again, limits=limits, warm=warm, on_cell=on_cell)
        result = attempt() if force or not stored.result else stored.result
        error = result.record.error
        return attempt() if error and error.ename == SERVER_GONE else result


def _attempt(plan: Plan, store: Store, *, again: bool, limits: Limits, warm: bool, on_cell: OnCell | None) -> Result:
    """Execute a plan and publish what came of it; `again`: in place of a run that does not count."""
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    record = Record(plan.notebook.name, plan.key, OK, plan.inputs, "spawn", started, origin=_origin(plan.notebook, store))
    work = store.begin(record)
    declared = declared_files(plan.depends, Present())
    clock = time.monotonic()
    try:
        execution = _execute_as_set(plan, work, limits=limits, warm=warm, on_cell=on_cell)
    except OSError as error:
        msg = f"The run could not be written, its work is kept in {work}"
        raise store_error(msg, error) from None
    uses = found(plan.notebook, execution.imports, work, declared, plan.depends)
    files = sizes_of(work)
    record = replace(
        record,
        status=execution.status,
        error=execution.failure,
        launch=execution.launch,
        duration_s=round(time.monotonic() - clock, 3),
        steps=execution.steps,
        memory_bytes=execution.memory_bytes,
        kernel=execution.kernel,
        uses=uses,
        files=files,
        sums=sums_of(work, files),
    )
    return Result(record, store.finish(work, record, again=again), cached=False)


def _execute_as_set(plan: Plan, work: Path, *, limits: Limits, warm: bool, on_cell: OnCell | None) -> Execution:
    """Execute a plan; again in a cold kernel if the notebook set a variable that the warm kernel had read before."""
    execution = _execute(plan, work, limits=limits, warm=warm, on_cell=on_cell)
    if execution.failure and execution.failure.ename == SET_TOO_LATE:
        _empty(work)
        return _execute(plan, work, limits=limits, warm=False, on_cell=on_cell)
    return execution


def _empty(work: Path) -> None:
    """Remove what an execution has left in its work folder."""
    for path in work.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != RECORD:
            path.unlink()


def _origin(notebook: Notebook, store: Store) -> str:
    """Return the folder of a notebook as its record has it: a project that is moved with its store stays the same."""
    folder = Path(notebook.folder)
    if not notebook.folder or not is_local(store.root) or not folder.is_relative_to(store.root.parent):
        return notebook.folder
    return folder.relative_to(store.root.parent).as_posix()


def _execute(plan: Plan, work: Path, *, limits: Limits, warm: bool, on_cell: OnCell | None) -> Execution:
    """Execute a plan in its work folder through papermill, and return what came of it."""
    execution = Execution()
    with execution.step("import papermill"):
        import papermill
        from papermill.exceptions import PapermillExecutionError

        from masklib.engine.injecting import every_value

    logging.getLogger("papermill").setLevel(logging.ERROR)  # its regex does not see what `resolve` has checked
    with PrivateFolder() as private, suppress(PapermillExecutionError), every_value():  # execution.failure says more of an error
        executed = papermill.execute_notebook(
            plan.notebook.node,
            None,
            parameters=_injected(plan),
            engine_name="masklib",
            progress_bar=False,
            environment=kernel_environment(plan.settings, Path(private)) | {FOLDER_VARIABLE: str(work)},
            execution=execution,
            on_cell=on_cell,
            **_paths(plan, work),
            **_kernel_options(plan.kernel, warm=warm),
            **asdict(limits),
        )
        recording.add_metrics(work, read_scraps(executed))
    execution.failure = execution.failure or _source_change(plan)
    return execution


def _paths(plan: Plan, work: Path) -> dict[str, Path | str]:
    """Return the options of the engine for files: what it writes, and the folder in which the kernel works."""
    folder = plan.folder or (OWN_NOTEBOOKS if OWN_NOTEBOOKS.is_dir() else work)
    return {"save_to": work / EXECUTED, "kernel_log": work / KERNEL_LOG, "working_folder": folder}


def _kernel_options(kernel: Kernel, *, warm: bool) -> dict[str, Any]:
    """Return the options of the engine for a kernel."""
    options = {"kernel_name": kernel.name, "language": kernel.language, "find_imports": kernel.is_python}
    return {**options, "kernel": kernel, "warm": warm and kernel.forkable}


def _injected(plan: Plan) -> dict[str, Any]:
    """Return what is written into the notebook: all values but defaults that JSON does not have, which are there already."""
    own = {parameter.name: parameter for parameter in own_parameters(plan.notebook)}
    values = {name: value for name, value in plan.parameters.items() if name in own}
    return {name: value for name, value in values.items() if is_plain(value) or own[name].computed or value != own[name].default}


def _source_change(plan: Plan) -> Failure | None:
    """Return the failure of a run during which masklib changed: its kernel may have run either; None if it did not."""
    if masklib_of(plan.kernel, now=True) == plan.inputs["masklib"]:
        return None
    return Failure(FAILED, SOURCE_CHANGED, "masklib's source changed since this run was planned; run it again")
