"""The papermill engine `masklib`: papermill executes, and what it would let pass is refused or told.

Registered as an entry point, so `papermill --engine masklib in.ipynb out.ipynb` uses it too. Parameters are checked before a
kernel starts; cells and the whole notebook have time limits; a kernel that dies, a time limit, an interrupt and `sys.exit`
mark their cell failed and leave the later ones pending; the notebook is written whole or not at all.

papermill loads this module when it is imported, so `import papermill` must come before any other way to it.
"""

import contextlib
import inspect
import math
import sys
import time
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

import nbformat
from papermill.engines import Engine, NotebookExecutionManager
from papermill.iorw import LocalHandler, papermill_io, write_ipynb

from masklib.engine.client import Client
from masklib.engine.declaring import Parameter, read_parameters
from masklib.engine.execution import Execution, OnCell
from masklib.engine.notebooks import check_parameters_cell, language_of, parameters_source
from masklib.engine.parameters import keras_backend, resolve
from masklib.engine.private import PrivateFolder
from masklib.engine.record import Failure
from masklib.engine.settings import PYTHON_VARIABLE, kernel_environment, numeric_settings, settings_for
from masklib.engine.store import write_atomically
from masklib.engine.values import as_json

SAVE_EVERY_S = 30.0
START_TIMEOUT_S = 120.0
OUTPUT_TIMEOUT_S = 60  # for the last outputs of a cell; papermill's 4 s is short for a cell that prints much


class MaskEngine(Engine):  # type: ignore[misc] # papermill publishes no types
    """papermill's engine `masklib`."""

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool = True,
        log_output: bool = False,
        autosave_cell_every: float = SAVE_EVERY_S,
        *,
        save_to: str | Path | None = None,
        execution: Execution | None = None,
        on_cell: OnCell | None = None,
        **kwargs: Any,
    ) -> Any:
        """Execute a notebook that papermill has parameterized, and return it, failed or not.

        Args:
            nb: the notebook; a failure is marked in it.
            kernel_name: of the kernelspec; "python3" is the Python that runs this.
            output_path: where the notebook is written at the start, now and then, and at the end; or None. A file is written
                whole or not at all, through links; any other address as papermill writes it.
            progress_bar: papermill's own.
            log_output: whether papermill logs the outputs of cells.
            autosave_cell_every: seconds between two writes.
            save_to: in place of `output_path`; papermill then writes nothing itself.
            execution: where it is noted what came of it.
            on_cell: called with the number of cells started so far and their total.
            **kwargs: of `execute_managed_notebook`.

        Raises:
            ParameterError, NotebookError, TypeError: before a kernel starts; a TypeError for an option that nobody knows.
        """
        _check_options(cls.execute_managed_notebook, kwargs)
        parameters = check_parameters(nb)
        _describe_parameters(nb)
        target = save_to or (output_path and find_target(output_path))
        manager = _Manager(nb, target, log_output, progress_bar, autosave_cell_every)
        manager.execution, manager.on_cell = execution or manager.execution, on_cell or manager.on_cell
        manager.of_run = save_to is not None
        manager.notebook_start()
        try:
            backend = keras_backend(_read_parameters(nb), parameters)
            settings = settings_for(numeric_settings(), backend)
            cls.execute_managed_notebook(manager, kernel_name, log_output=log_output, settings=settings, **kwargs)
        finally:
            manager.cleanup_pbar()
            manager.notebook_complete()
        return manager.nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: "_Manager",
        kernel_name: str,
        *,
        cell_timeout: float | None = None,
        timeout: float | None = None,
        start_timeout: float = START_TIMEOUT_S,
        execution_timeout: float | None = None,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        working_folder: str | Path | None = None,
        kernel_log: str | Path | None = None,
        input_path: object = None,
        **kwargs: Any,
    ) -> None:
        """Start a kernel, execute the cells, stop the kernel; papermill's `execution_timeout` is our `cell_timeout`.

        As papermill itself, it sets no limit of time that is not given.

        What is not named here goes to nbclient: `warm` and `memory_bytes` among others.
        """
        del input_path
        deadline = time.monotonic() + (timeout or math.inf)
        limit = execution_timeout or cell_timeout or math.inf
        with PrivateFolder() as private, contextlib.ExitStack() as stack:
            environment = environment or kernel_environment(settings or numeric_settings(), Path(private))
            log = stack.enter_context(Path(kernel_log).open("ab")) if kernel_log else None
            client = Client(
                nb_man,
                kernel_name=kernel_name,
                timeout_func=lambda _: _seconds(min(limit, deadline - time.monotonic())),
                startup_timeout=min(start_timeout, timeout or math.inf),
                deadline=deadline,
                iopub_timeout=OUTPUT_TIMEOUT_S,
                shutdown_kernel="immediate",
                record_timing=False,
                ipython_hist_file=":memory:",
                private=private,
                python=environment.get(PYTHON_VARIABLE, sys.executable),
                **kwargs,
            )
            client.execute(env=dict(environment), cwd=str(working_folder or Path.cwd()), **_log_to(log))


def _seconds(left: float) -> float | None:
    """Return a limit of time as nbclient takes it: None for no limit, and never 0, which means the same."""
    return None if left == math.inf else max(1.0, left)


def find_target(output_path: str) -> Path | str:
    """Return the file that papermill's output path means, links followed; the path itself where that is no file.

    A kernel may work in another folder than papermill: its paths are seen from where it was started.
    """
    handler = papermill_io.get_handler(output_path)
    if not isinstance(handler, LocalHandler):
        return output_path
    here = handler.cwd(None)
    handler.cwd(here)
    path = Path(here or "", output_path).resolve()
    return path if path.is_file() or not path.exists() else output_path


def check_parameters(nb: Any) -> dict[str, Any]:
    """Return the parameters of a notebook, defaults filled in; refuse those that are not of its parameters cell.

    Raises:
        NotebookError: several parameters cells, or one that cannot be read.
        ParameterError: unknown, missing or of the wrong type: all of them.
    """
    check_parameters_cell(nb, "The notebook")
    return resolve(_read_parameters(nb), nb.metadata.get("papermill", {}).get("parameters", {}))


def _read_parameters(nb: Any) -> tuple[Parameter, ...]:
    """Return the parameters that a notebook declares."""
    return read_parameters(parameters_source(nb), language=language_of(nb.metadata))


def _describe_parameters(nb: Any) -> None:
    """Write the parameters that papermill was given as JSON has them: dates as texts."""
    told = nb.metadata.get("papermill", {}).get("parameters", {})
    told.update({name: as_json(value) for name, value in told.items()})


def _check_options(call: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuse options that neither `call` nor nbclient's client knows: nbclient itself takes any name.

    Raises:
        TypeError: it names them.
    """
    known = {*inspect.signature(call).parameters, *Client.class_trait_names()}
    unknown = sorted(set(given) - known)
    if unknown:
        near = get_close_matches(unknown[0], known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        msg = f"The engine masklib got an unexpected option {', '.join(map(repr, unknown))}.{hint}"
        raise TypeError(msg)


class _Manager(NotebookExecutionManager):  # type: ignore[misc]
    """papermill's state of an execution, telling the truth: atomic writes, later cells stay pending after a failure."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.execution = Execution()
        self.on_cell: OnCell = lambda done, total: None
        self.of_run = False
        self._saved_at = float("-inf")

    def notebook_start(self, **kwargs: Any) -> None:
        """Start, in a run without the volatile paths that papermill writes into the notebook."""
        if self.of_run:
            self.nb.metadata.papermill |= {"input_path": None, "output_path": None}
        super().notebook_start(**kwargs)

    def save(self, *, force: bool = False, **kwargs: Any) -> None:
        """Write the notebook if it is time, whole or not at all."""
        now = time.monotonic()
        if self.output_path and (force or now - self._saved_at >= (self.autosave_cell_every or float("inf"))):
            self._write()
            self._saved_at = now

    def _write(self) -> None:
        """Write the notebook: a file at once, and any other address, such as s3://, as papermill does."""
        if isinstance(self.output_path, Path):
            write_atomically(self.output_path, nbformat.writes(self.nb).encode())
        else:
            write_ipynb(self.nb, self.output_path)

    def autosave_cell(self, **kwargs: Any) -> None:
        """Write the notebook if it is time: a cell printed something."""
        self.save()

    def cell_start(self, cell: Any, cell_index: int = 0, **kwargs: Any) -> None:
        """Mark a cell running, and notify the caller."""
        super().cell_start(cell, cell_index, **kwargs)
        self.on_cell(cell_index, len(self.nb.cells))

    def fail(self, failure: Failure) -> None:
        """Mark the notebook, and the cell that failed, as failed, with an error output that says why."""
        self.execution.failure = failure
        self.nb.metadata.papermill["exception"] = True
        if failure.cell is None:
            return
        cell = self.nb.cells[failure.cell]
        self.cell_exception(cell, failure.cell)
        if not any(output.output_type == "error" for output in cell.get("outputs", [])):
            lines = list(failure.traceback) or [f"{failure.ename}: {failure.evalue}"]
            output = nbformat.v4.new_output("error", ename=failure.ename, evalue=failure.evalue, traceback=lines)
            cell.setdefault("outputs", []).append(output)

    def notebook_complete(self, **kwargs: Any) -> None:
        """End, leaving cells that never ran pending, and write the notebook."""
        statuses = [cell.metadata.papermill["status"] for cell in self.nb.cells]
        super().notebook_complete(**kwargs)
        for cell, status in zip(self.nb.cells, statuses, strict=True):
            cell.metadata.papermill["status"] = status
        self.save(force=True)


def _log_to(log: IO[bytes] | None) -> dict[str, Any]:
    """Return the arguments that send what the kernel's process writes by itself to `log`."""
    return {"stdout": log, "stderr": log} if log else {}
