"""One run: from a notebook and its parameters to a published folder."""

import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from masklib.claims.recording import FOLDER_VARIABLE
from masklib.engine.dependencies import Present, changes, check_patterns, declared_files, declared_patterns, found
from masklib.engine.environments import find_environment
from masklib.engine.execution import SERVER_GONE, Execution, OnCell
from masklib.engine.identity import BACKEND_PACKAGES, identity, kernel_source_hash_now, key_of
from masklib.engine.kernels.servers import private_folder
from masklib.engine.limits import DEFAULT_LIMITS, Limits
from masklib.engine.notebooks import Notebook, read_notebook
from masklib.engine.parameters import CURRENT, ENVIRONMENT, Parameter, declared_parameters, resolve
from masklib.engine.record import FAILED, OK, Failure, Record, sizes_of
from masklib.engine.settings import kernel_environment, numeric_settings, settings_for
from masklib.engine.store import Store, store_error
from masklib.errors import ParameterError, UnavailableError

EXECUTED = "notebook.ipynb"
KERNEL_LOG = "kernel.log"
_WAYS_TO_INSTALL = {"jax": 'pip install "masklib[jax]".', "torch": "-p environment keras-3.15-torch."}
LOOK_AGAIN_S = 0.2  # at a run that another process is at


@dataclass(frozen=True)
class Plan:
    """A run that is fully determined and checked, and not yet executed.

    Attributes:
        notebook: as read.
        parameters: resolved, with defaults filled in.
        settings: the environment variables that can change numbers.
        inputs: the identity; see `masklib.engine.identity`.
        key: its hash.
        depends: absolute patterns of files that its results are declared to follow from; see `declare`.
    """

    notebook: Notebook
    parameters: dict[str, Any]
    settings: dict[str, str]
    inputs: dict[str, Any]
    key: str
    depends: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The absolute path of the folder of the notebook."""
        return str(self.notebook.path.absolute().parent)


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
    notebook: str | Path | Notebook, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, str] | None = None
) -> Plan:
    """Return the plan of a run; everything about its input is checked here.

    Args:
        notebook: a path, a name of the suite, or a notebook as read.
        parameters: those that differ from the defaults.
        settings: environment variables that can change numbers; by default `masklib.engine.settings.numeric_settings()`.

    Raises:
        NotebookError, ParameterError: before any work is done.
    """
    if not isinstance(notebook, Notebook):
        notebook = read_notebook(notebook)
    declared = declared_parameters(notebook)
    resolved = _resolve(declared, parameters or {})
    settings = settings_for(numeric_settings() if settings is None else settings, resolved)
    files = [resolved[one.name] for one in declared if one.is_file and resolved[one.name]]
    inputs = identity(notebook, resolved, settings, files)
    if ENVIRONMENT not in resolved:
        _check_backend(settings["KERAS_BACKEND"], inputs["versions"])
    return Plan(notebook, resolved, settings, inputs, key_of(inputs))


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
    return Stored(result, changed, declared_patterns(record.uses, plan.folder))


def changes_of(plan: Plan, record: Record, present: Present) -> tuple[str, ...]:
    """Return what has changed of what a run of this plan used, a few words each; () where it counts.

    A record of an earlier masklib does not say what it used: it counts as it did then.
    """
    if record.uses is None:
        return ()
    return tuple(changes(record.uses, plan.folder, plan.depends, plan.settings, present))


def _resolve(declared: Iterable[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter with its value; `environment` only if it is another one than that of this process.

    Raises:
        ParameterError: as `masklib.engine.parameters.resolve`; or the environment has another backend than the one given.
        UnavailableError: the environment is not there.
    """
    resolved = resolve(declared, given)
    if resolved[ENVIRONMENT] == CURRENT:
        del resolved[ENVIRONMENT]
        return resolved
    other = find_environment(resolved[ENVIRONMENT])
    if given.get("backend", other.backend) != other.backend:
        msg = f"The backend must be that of the environment, {other.name} has {other.backend}, got {given['backend']}."
        raise ParameterError(msg)
    if not other.exists:
        msg = f"The environment {other.name} must be there, it is not: masklib env create {other.name}."
        raise UnavailableError(msg)
    return {**resolved, "backend": other.backend} if "backend" in resolved else resolved


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

    Where the fork server of the kernel was killed during the run, the attempt is kept and the run executed once more.

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
    record = Record(plan.notebook.name, plan.key, OK, plan.inputs, launch="spawn", started=started)
    work = store.begin(record)
    declared = declared_files(plan.depends, Present())
    clock = time.monotonic()
    try:
        execution = _execute(plan, work, limits=limits, warm=warm, on_cell=on_cell)
    except OSError as error:
        msg = f"The run could not be written, its work is kept in {work}"
        raise store_error(msg, error) from None
    uses = found(plan.notebook, execution.imports, work, declared, plan.depends)
    record = replace(
        record,
        status=execution.status,
        error=execution.failure,
        launch=execution.launch,
        duration_s=round(time.monotonic() - clock, 3),
        steps=execution.steps,
        memory_bytes=execution.memory_bytes,
        uses=uses,
        files=sizes_of(work),
    )
    return Result(record, store.finish(work, record, again=again), cached=False)


def _execute(plan: Plan, work: Path, *, limits: Limits, warm: bool, on_cell: OnCell | None) -> Execution:
    """Execute a plan in its work folder through papermill, and return what came of it."""
    execution = Execution()
    with execution.step("import papermill"):
        import papermill
        from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)  # its regex does not see what `resolve` has checked
    with private_folder() as private:
        environment = kernel_environment(plan.settings, Path(private)) | {FOLDER_VARIABLE: str(work)}
        with suppress(PapermillExecutionError):  # told by execution.failure, with more
            papermill.execute_notebook(
                plan.notebook.node,
                None,
                parameters={name: value for name, value in plan.parameters.items() if name != ENVIRONMENT},
                engine_name="masklib",
                kernel_name="python3",
                language="python",
                progress_bar=False,
                save_to=work / EXECUTED,
                environment=environment,
                kernel_log=work / KERNEL_LOG,
                working_folder=work,
                execution=execution,
                on_cell=on_cell,
                warm=warm,
                find_imports=True,
                **asdict(limits),
            )
    execution.failure = execution.failure or _source_change(plan.inputs["masklib"])
    return execution


def _source_change(planned: str) -> Failure | None:
    """Return the failure of a run during which masklib changed: its kernel may have run either; None if it did not."""
    if kernel_source_hash_now() == planned:
        return None
    return Failure(FAILED, "SourceChanged", "masklib's source changed since this run was planned; run it again")
