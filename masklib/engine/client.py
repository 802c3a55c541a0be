"""The client of one kernel: it starts it, waits until it is there, executes the cells, and sees every way in which they can end.

papermill must be imported before this module; see `masklib.engine.execute`.
"""

import contextlib
import os
import re
import signal
import sys
import time
from queue import Empty
from typing import Any

import nbformat
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from papermill.clientwrap import PapermillNotebookClient
from traitlets import Any as Any_
from traitlets import Bool, Dict, Float, Int, Unicode

from masklib.engine.execution import SERVER_GONE, SET_TOO_LATE
from masklib.engine.kernels import ServerError, probe
from masklib.engine.kernels.choosing import THIS, Kernel
from masklib.engine.kernels.spec import python_spec
from masklib.engine.memory import MemoryLimit
from masklib.engine.notebooks import tags
from masklib.engine.record import DIED, FAILED, INTERRUPTED, TIMEOUT, Failure

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ANSWER_S = 1.0  # then it is looked whether the kernel lives, and asked again
_ECHO_S = 0.1  # from a kernel's answer to its message that it is idle, which comes at once or was missed


class Client(PapermillNotebookClient):  # type: ignore[misc]
    """papermill's client, which sees every way in which a cell can end."""

    warm = Bool(False)
    python = Unicode(sys.executable)
    kernel = Any_(None, allow_none=True, help="The kernel of a run; None for what `kernel_name` names.")
    memory_bytes = Int(None, allow_none=True)
    deadline = Float(float("inf"), help="Of the notebook, by the clock of `time.monotonic`.")
    find_imports = Bool(False)
    private = Unicode("", help="A folder of mode 0700 for the kernel's connection file and sockets; \"\" for Jupyter's own.")

    def create_kernel_manager(self) -> AsyncKernelManager:
        """Return a manager of the kernel; "python3" is `python`, whatever kernelspecs the user has."""
        self.km = AsyncKernelManager(
            kernel_name=self.kernel_name, kernel_spec_manager=_Specs(warm=self.warm, python=self.python, kernel=self.kernel)
        )
        self.km.client_factory = _Connection
        self.km.deadline = self.deadline  # type: ignore[attr-defined] # the provisioner asks for it
        ours = self.kernel is None or self.kernel.forkable  # others may know TCP alone
        if self.private and ours and os.name == "posix":  # sockets in a private folder: no port that another could take first
            self.km.transport, self.km.ip = "ipc", f"{self.private}/kernel"
            self.km.connection_file = f"{self.private}/kernel.json"
        return self.km

    def start_new_kernel(self, **kwargs: Any) -> None:
        """Start a kernel: a forked one if asked for, an ordinary one where that cannot be."""
        with self.nb_man.execution.step("start the kernel"):
            try:
                super().start_new_kernel(**kwargs)
            except ServerError as error:
                if time.monotonic() >= self.deadline:
                    raise TimeoutError(str(error)) from None
                self.warm = False
                self.create_kernel_manager()
                super().start_new_kernel(**kwargs)
        self.nb_man.execution.launch = "fork" if self.warm else "spawn"

    def start_new_kernel_client(self) -> Any:
        """Connect to the kernel, and wait until it answers."""
        provisioner = self.km.provisioner
        with self.nb_man.execution.step("wait for the kernel"):
            try:
                client = super().start_new_kernel_client()
            except RuntimeError:
                if getattr(provisioner, "server_gone", False):
                    self.nb_man.fail(_without_server())
                raise
        told = getattr(client, "language_info", {})
        self.nb.metadata["language_info"] = told
        self.nb_man.execution.kernel = f"{told.get('name', '')} {told.get('version', '')}".strip()
        return client

    def _cleanup_kernel(self) -> None:
        """End the kernel."""
        with self.nb_man.execution.step("end the kernel"):
            provisioner = self.km.provisioner
            super()._cleanup_kernel()
            self.nb_man.execution.memory_bytes = getattr(provisioner, "max_rss_bytes", None)

    def execute(self, **kwargs: Any) -> Any:
        """Execute the notebook; a kernel that does not start is a failure of the notebook, not of the caller.

        In place of papermill's own, which asks the kernel for its language afterwards: one that hangs never answers.
        """
        self.reset_execution_trackers()
        try:
            with self.setup_kernel(**kwargs):
                self.papermill_execute_cells()
                self.set_widgets_metadata()
        except KeyboardInterrupt:
            self.nb_man.fail(Failure(INTERRUPTED, "KeyboardInterrupt", "interrupted while the kernel started or ended"))
        except TimeoutError as error:
            self.nb_man.fail(Failure(TIMEOUT, "TimeoutError", f"the time limit of the notebook: {error}"))
        except RuntimeError as error:  # nbclient and jupyter_client raise it for a kernel that died or did not answer
            if self.nb_man.execution.failure is None:
                self.nb_man.fail(Failure(DIED, type(error).__name__, str(error)))
        return self.nb

    def papermill_execute_cells(self) -> None:
        """Execute the cells in order, up to the first that fails; then ask what was imported, if that is wanted."""
        with MemoryLimit(getattr(self.km.provisioner, "pid", None), self.memory_bytes) as self._memory:
            if self.find_imports:
                self._ask("watch")
            failure = self._execute_in_order()
            if self.find_imports and (failure is None or failure.status == FAILED):
                self.nb_man.execution.imports = self._ask("told")

    def _ask(self, function: str) -> Any:
        """Return what a function of `masklib.engine.kernels.imports` returns in the kernel; None where it cannot be asked."""
        with self.nb_man.execution.step("find what was imported"):
            return run_sync(probe.ask)(self.kc, function)

    def _execute_in_order(self) -> Failure | None:
        """Execute the cells, up to the first that fails; return why it did."""
        failure = None
        for index, cell in enumerate(self.nb.cells):
            self.nb_man.cell_start(cell, index)
            with self.nb_man.execution.step(_step_of(cell, index)):
                failure = self._execute_one(cell, index)
            if failure:
                self.nb_man.fail(failure)
            self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)
            if failure:
                break
        return failure

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        """Take what the kernel sends; an output that no notebook can hold is left out, and that is said in its place."""
        try:
            return super().process_message(msg, cell, cell_index)
        except nbformat.ValidationError:
            told = "An output of this cell was left out: it does not have the form that Jupyter asks for.\n"
            cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text=told))
            return None

    def _execute_one(self, cell: Any, index: int) -> Failure | None:
        """Execute a cell and return why it failed, or None."""
        try:
            self.execute_cell(cell, index)
        except CellExecutionError as error:
            return Failure(FAILED, error.ename, error.evalue, _traceback(cell), index)
        except CellTimeoutError as error:
            return Failure(TIMEOUT, "CellTimeoutError", _first_line(error), cell=index)
        except DeadKernelError:
            return self._death(index)
        except KeyboardInterrupt:
            return Failure(INTERRUPTED, "KeyboardInterrupt", "the run was interrupted", cell=index)
        return None

    def _death(self, index: int) -> Failure:
        """Return why the kernel died in a cell."""
        held, limit = self._memory.exceeded_bytes, self.memory_bytes
        if held and limit:
            told = f"the kernel held {held / 1e6:.0f} MB, its limit is {limit / 1e6:.0f} MB"
            return Failure(DIED, "MemoryLimit", told, cell=index, signal="SIGKILL")
        variable = getattr(self.km.provisioner, "too_late", "")
        if variable:
            return Failure(DIED, SET_TOO_LATE, f"a forked kernel has read {variable} before the notebook sets it", cell=index)
        if getattr(self.km.provisioner, "server_gone", False):
            return _without_server(index)
        name, code = self._cause_of_death()
        return Failure(DIED, "DeadKernelError", _death(name, code), cell=index, signal=name, exit_code=code)

    def _cause_of_death(self) -> tuple[str | None, int | None]:
        """Return the signal that killed the kernel, or its exit code."""
        provisioner = self.km.provisioner
        process = getattr(provisioner, "process", None)
        code = process.poll() if process is not None else getattr(provisioner, "exit_code", None)
        if code is not None and code < 0:
            return signal.Signals(-code).name, None
        return None, code


def _without_server(cell: int | None = None) -> Failure:
    """Return that the server was killed, and the kernel with it: in a cell, or before it answered."""
    return Failure(DIED, SERVER_GONE, "the fork server of the kernel was killed", cell=cell)


class _Connection(AsyncKernelClient):
    """jupyter_client's, which knows that a kernel is ready by what it answers, and waits for nothing else."""

    language_info = Dict(help="Of the kernel, once it has answered.")

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait until a request is answered on the shell channel, and its status seen on the IOPub channel.

        Raises:
            RuntimeError: the kernel died, or did not answer within `timeout` seconds.
        """
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while not await self._answers(self.kernel_info()):
            if not await self._async_is_alive():
                msg = "Kernel died before replying to kernel_info"
                raise RuntimeError(msg)
            if time.monotonic() > deadline:
                msg = f"Kernel didn't respond in {timeout:g} seconds"
                raise RuntimeError(msg)

    async def _answers(self, request: str) -> bool:
        """Return whether the kernel answered a kernel_info request on both channels."""
        with contextlib.suppress(Empty):
            while (reply := await self.shell_channel.get_msg(timeout=_ANSWER_S))["parent_header"].get("msg_id") != request:
                pass
            self._handle_kernel_info_reply(reply)
            self.language_info = reply["content"].get("language_info", {})
            while True:
                said = await self.iopub_channel.get_msg(timeout=_ECHO_S)
                if said["parent_header"].get("msg_id") == request and said["content"].get("execution_state") == "idle":
                    return True
        return False


class _Specs(KernelSpecManager):
    """Kernelspecs in which "python3" is the given interpreter: a user's own python3 kernel may be of another environment.

    So is a plain kernel of another Python. What its kernelspec sets in the environment is in that of the run already.
    """

    def __init__(self, *, warm: bool, python: str, kernel: Kernel | None):
        super().__init__()
        self.warm = warm
        self.python = python
        self.kernel = kernel

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the kernelspec of that name."""
        if kernel_name == THIS or (self.kernel and self.kernel.forkable):
            return python_spec(warm=self.warm, python=self.python)
        spec = super().get_kernel_spec(kernel_name)
        if self.kernel:
            spec.env = {}
        return spec


def _traceback(cell: Any) -> tuple[str, ...]:
    """Return the traceback of the error output of a cell, without its colours."""
    lines = next((o.traceback for o in cell.outputs if o.output_type == "error"), ())
    return tuple(_COLOUR.sub("", line) for line in lines)


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().split("\n", 1)[0]


def _death(name: str | None, code: int | None) -> str:
    """Return the sentence that says how a kernel ended."""
    if name:
        return f"the kernel was killed by {name}"
    return "the kernel ended" + (f" by itself with exit code {code}" if code is not None else "")


def _step_of(cell: Any, index: int) -> str:
    """Return the name of a cell's step."""
    kind = " ".join(tags(cell)) if cell.cell_type == "code" else cell.cell_type
    return f"cell {index:2d} {kind}".rstrip()
