"""The fork server: a process that imports the libraries once, computes nothing, and forks a kernel for each request.

Run as a script with arguments `LISTENER LIFELINE FOLDER SPARES IDLE_S MODULE...`: the file descriptors of a listening Unix
socket and of a pipe from the driver, a private folder for the kernels' sockets, how many kernels are forked ahead, and after how
many seconds without a kernel the server ends; 0 for one that ends with its driver. A request is one
connection: a line of JSON, with the descriptor of the kernel's log. The answers come on the same connection, a line each:
`{"pid": ..., "server": ...}`, the processes, when a kernel has the request, `{"connection": {...}}` from the kernel when it
listens, `{"exit": code, "max_rss_bytes": ...}` when it has ended (code is minus the signal that killed it). A kernel whose
connection closes is killed, and what a kernel leaves running is killed after it; when the lifeline closes, every kernel is
killed, the folder removed, and the server ends. A byte on the lifeline, or the request `{"leave": true}`, asks it to take no
more requests, and to end once it has no kernel; `{"idle_s": ...}` lets a server that waits for requests wait longer.

Once it has imported, the file `read` in its folder names the environment variables that Python code has asked for meanwhile: a
kernel whose own value of one of them is another cannot come from here. All others reach a kernel with its request. The file
`loaded` of a server that outlives its driver names the files that it has imported, with the time of their last change and size.

masklib itself is not imported here, not even for this file, so that no kernel runs a stale version of it.
"""

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import random
import select
import shutil
import signal
import socket
import sys
import time
import warnings
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LARGEST_REQUEST = 1 << 20
RUN_VARIABLE = "MASKLIB_RUN_DIR"  # is set for a kernel of a run
_FRAMEWORKS = ("keras", "tensorflow", "jax", "torch")
READERS = {  # by the beginning of a variable's name: the libraries that read it
    "TF_CPP_": (),  # of logs
    **dict.fromkeys(("KERAS_", "TF_", "JAX_", "XLA_", "CUDA_"), _FRAMEWORKS),
    **dict.fromkeys(("OMP_", "MKL_", "OPENBLAS_"), ("numpy",)),
}


class ForkServer:
    """Accepts requests and forks; one thread, one loop.

    Args:
        listener: a listening Unix stream socket.
        lifeline: the reading end of a pipe that the driver holds open.
        folder: private, for the sockets of the kernels.
        spares: kernels that are forked ahead and wait for a request.
        idle_s: seconds without a kernel after which the server ends; 0.0 for never.
    """

    def __init__(self, listener: socket.socket, lifeline: int, folder: Path, spares: int, idle_s: float = 0.0):
        self.listener = listener
        self.lifeline = lifeline
        self.folder = folder
        self.wanted = spares
        self.idle_s = idle_s
        self.idle_since = time.monotonic()
        self.is_leaving = False
        self.spares: dict[int, socket.socket] = {}  # by process id, the socket by which a spare gets its request
        self.kernels: dict[int, socket.socket] = {}  # by process id, the connection of the request

    def serve(self) -> None:
        """Serve until the lifeline closes, or nobody has asked for a kernel for long enough."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what a kernel leaves running becomes a child of this process
        wake, self.waker = socket.socketpair()
        wake.setblocking(False)
        self.waker.setblocking(False)
        signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        while True:
            watched: list[Any] = [*self._listening(), self.lifeline, wake, *self.kernels.values()]
            ready = select.select(watched, [], [], self._patience())[0]
            if self.lifeline in ready:
                if not os.read(self.lifeline, 1):
                    break
                self._leave()
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    wake.recv(4096)
            self._reap()
            for pid, connection in list(self.kernels.items()):
                if connection in ready:
                    self._obey(pid, connection)
            if self.listener in ready and not self.is_leaving:
                self._launch()
            if not self.kernels and (self.is_leaving or self._time_left() == 0):
                break
            self._fork_ahead()
        self._end()

    def _patience(self) -> float | None:
        """Return how long to wait for something to happen: not at all while spares are to be forked."""
        if len(self.spares) < self.wanted:
            return 0
        return None if self.kernels else self._time_left()

    def _time_left(self) -> float | None:
        """Return the seconds after which this server ends, if it has no kernel until then; None for never."""
        return max(0.0, self.idle_since + self.idle_s - time.monotonic()) if self.idle_s else None

    def _listening(self) -> list[socket.socket]:
        """Return the socket for requests, if they are taken."""
        return [] if self.is_leaving else [self.listener]

    def _leave(self) -> None:
        """Take no more requests."""
        self.is_leaving = True
        self.wanted = 0
        self.listener.close()
        for pid in self.spares:
            os.kill(pid, signal.SIGKILL)

    def _fork_ahead(self) -> None:
        """Fork spare kernels up to the number that is wanted."""
        while len(self.spares) < self.wanted:
            pid, control = self._fork()
            self.spares[pid] = control

    def _launch(self) -> None:
        """Accept one request; one for a kernel is handed to it."""
        connection = self.listener.accept()[0]
        request, descriptors = _receive(connection)
        order = json.loads(request) if request is not None else {}
        if request is not None and "environment" in order:
            self._hand_over(connection, request, descriptors)
        else:
            connection.close()
            self._handle(order)
        for descriptor in descriptors:
            os.close(descriptor)

    def _handle(self, order: dict[str, Any]) -> None:
        """Do what a request asks that is not for a kernel."""
        if order.get("leave"):
            self._leave()
        if self.idle_s:
            self.idle_s = max(self.idle_s, order.get("idle_s", 0.0))

    def _hand_over(self, connection: socket.socket, request: bytes, descriptors: list[int]) -> None:
        """Give a request to a spare kernel, or to a new one where no spare can take it."""
        again = json.loads(request)["connection_file"]  # of a kernel that is restarted: this one must listen where it did
        while True:
            pid, control = self.spares.popitem() if self.spares and not again else self._fork(again)
            with control:
                try:
                    sent = socket.send_fds(control, [request], [connection.fileno(), *descriptors])
                    if sent < len(request):  # nothing is sent to one that has it all, and may have closed its end
                        control.sendall(request[sent:])
                    break
                except OSError:  # this spare died, or is about to
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
        self.kernels[pid] = connection
        self.idle_since = time.monotonic()
        _send(connection, {"pid": pid, "server": os.getpid()})

    def _fork(self, connection_file: str = "") -> tuple[int, socket.socket]:
        """Fork a kernel that waits for its request; return its process id and the socket for the request."""
        control, childs_end = socket.socketpair()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_kernel(childs_end, parent, connection_file)
        childs_end.close()
        return pid, control

    def _become_kernel(self, control: socket.socket, parent: int, connection_file: str) -> NoReturn:
        """Turn this forked process into a kernel; never returns."""
        code = 1
        try:
            os.setsid()
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # its orphans stay its own, to be killed after it
            if os.getppid() != parent:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for other in (self.listener, self.waker, *self.spares.values(), *self.kernels.values()):
                other.close()
            os.close(self.lifeline)
            run_kernel(control, self.folder / str(os.getpid()), connection_file)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc(file=sys.__stderr__)
        finally:
            for stream in (sys.__stdout__, sys.__stderr__):
                with contextlib.suppress(Exception):
                    stream.flush()  # type: ignore[union-attr]
            os._exit(code)

    def _obey(self, pid: int, connection: socket.socket) -> None:
        """Pass a signal on to a kernel; kill it if its connection closed."""
        try:
            data = connection.recv(4096)
        except OSError:
            data = b""
        for line in data.splitlines() or [b'{"signal": 9}']:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, json.loads(line)["signal"])

    def _reap(self) -> None:
        """Tell of every kernel that has ended, and kill what it left running."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    break
                self._bury(pid, status, usage.ru_maxrss * 1024)
        self._kill_strays()

    def _bury(self, pid: int, status: int, max_rss_bytes: int) -> None:
        """Take note that a process has ended."""
        spare = self.spares.pop(pid, None)
        if spare is not None:
            spare.close()
            self.wanted = 0  # a spare died while it waited: something is wrong, fork at request only
        connection = self.kernels.pop(pid, None)
        if connection is not None:
            self.idle_since = time.monotonic()
            _send(connection, {"exit": os.waitstatus_to_exitcode(status), "max_rss_bytes": max_rss_bytes})
            connection.close()
        for path in self.folder.glob(f"{pid}[-.]*"):
            path.unlink(missing_ok=True)

    def _kill_strays(self) -> None:
        """Kill the children of this process that are no kernels: processes that a kernel had started and that outlived it."""
        for pid in _children() - self.kernels.keys() - self.spares.keys():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _end(self) -> None:
        """Kill every kernel, and what it leaves, wait for it, and remove the folder: a driver that was killed cannot."""
        self.kernels.clear()
        self.spares.clear()
        with contextlib.suppress(ChildProcessError):
            while True:
                self._kill_strays()
                os.waitpid(-1, 0)
        shutil.rmtree(self.folder, ignore_errors=True)


def run_kernel(control: socket.socket, base: Path, connection_file: str) -> None:
    """Run an IPython kernel in this process until it ends.

    It is complete, up to its sockets, before it waits for its request; so a kernel that was forked ahead answers at once.

    Args:
        control: brings the request: `environment` (the whole of it) and `cwd`, with the descriptors of the connection to the
            driver and, if there is one, of the log.
        base: of the paths of its connection file and sockets.
        connection_file: says where it listens; "" for sockets and a key of its own.
    """
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    file = connection_file or f"{base}.json"
    sys.argv = ["ipykernel_launcher", "-f", file]

    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.clear_instance()
    where = {} if connection_file else {"transport": "ipc", "ip": str(base)}
    app = IPKernelApp.instance(parent_handle=os.getppid(), capture_fd_output=False, **where)
    app.initialize(["-f", file, "--HistoryManager.enabled=False", "--HistoryManager.hist_file=:memory:"])
    request, descriptors = _receive(control)
    if request is None:
        return
    control.close()
    _take_over(json.loads(request), descriptors[1:])
    with socket.socket(fileno=descriptors[0]) as connection:
        _watch_environment(connection)
        _send(connection, {"connection": json.loads(Path(file).read_text(encoding="utf-8"))})
        app.start()


def _take_over(request: dict[str, Any], log: list[int]) -> None:
    """Give this process the environment, the folder and the log of a request."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])  # "" is on sys.path already, where IPython puts it
    for descriptor in log:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
    hidden = [name for name in _loaded() if _is_other(name, request["cwd"])]
    if hidden:
        told = (
            f"{request['cwd']} has modules of its own named as loaded ones: {', '.join(hidden)}. No kernel can be forked there."
        )
        raise RuntimeError(told)


def _watch_environment(connection: socket.socket) -> None:
    """See that no variable is set after the library that reads it was imported: an ordinary kernel would use it.

    A kernel of a run then ends, and says why; any other warns.
    """
    set_variable = os.putenv

    def putenv(name: Any, value: Any) -> None:
        text = os.fsdecode(name)
        if any(module in sys.modules for module in _readers(text)) and os.environ.get(text) != os.fsdecode(value):
            if RUN_VARIABLE in os.environ:
                _send(connection, {"too_late": text})
                os._exit(1)
            warnings.warn(f"This kernel has imported what reads {text} before it was set; use an ordinary kernel.", stacklevel=3)
        set_variable(name, value)

    os.putenv = putenv


def _readers(variable: str) -> tuple[str, ...]:
    """Return the libraries that read a variable when they are imported, or first used."""
    return next((modules for prefix, modules in READERS.items() if variable.startswith(prefix)), ())


def _loaded() -> set[str]:
    """Return the names of the modules that were imported, those of Python itself left out: nothing in a folder hides these."""
    return {name.partition(".")[0] for name in sys.modules} - getattr(sys, "stdlib_module_names", frozenset()) - {"__main__"}


def _is_other(name: str, folder: str) -> bool:
    """Return whether a kernel that starts in a folder would import another module of that name than the one that is loaded."""
    found = PathFinder.find_spec(name, [folder])
    return found is not None and found.has_location and found.origin != getattr(sys.modules.get(name), "__file__", None)


def _receive(connection: socket.socket) -> tuple[bytes | None, list[int]]:
    """Return a line and the descriptors that came with it; None if the sender went away meanwhile."""
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, _LARGEST_REQUEST, 2)
        while data and not data.endswith(b"\n"):
            more = connection.recv(_LARGEST_REQUEST)
            data = data + more if more else b""
    except OSError:
        return None, []
    return data or None, descriptors


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one line; a driver that is gone is found out by its connection."""
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")


def _children() -> set[int]:
    """Return the process ids of the children of this process."""
    found = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(word) for word in found.read_text().split()} if found.exists() else set()


def _prctl(option: int, value: int) -> None:
    """Call Linux's prctl."""
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def import_all(modules: list[str]) -> set[str]:
    """Import modules, and return the names of the environment variables that Python code asks for meanwhile, set or not."""
    read: set[str] = set()
    kind = type(os.environ)
    usual = kind.__getitem__

    def noted(self: Any, name: Any) -> Any:
        read.add(os.fsdecode(name))
        return usual(self, name)

    setattr(kind, "__getitem__", noted)  # noqa: B010 (mypy knows no other way to put a method in another's place)
    try:
        for module in modules:
            _import(module)
    finally:
        setattr(kind, "__getitem__", usual)  # noqa: B010
    return read


def _import(name: str) -> None:
    """Import a module, unless it, or what it needs, is not installed: then a kernel cannot import it either."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if importlib.util.find_spec((error.name or name).partition(".")[0]) is not None:
            raise


def _loaded_files() -> dict[str, tuple[int, int]]:
    """Return, for the file of each module that is loaded, the time of its last change in ns, and its size."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    about = {str(file): Path(file).stat() for file in files if file and Path(file).exists()}
    return {file: (one.st_mtime_ns, one.st_size) for file, one in about.items()}


def _write(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(value))
    part.rename(path)


def main() -> None:
    """Import, then serve."""
    listener, lifeline, folder, spares, idle_s, *modules = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
    read = import_all(modules)
    if float(idle_s):
        _write(Path(folder) / "loaded", _loaded_files())
    _write(Path(folder) / "read", sorted(read))
    gc.collect()
    gc.freeze()
    ForkServer(socket.socket(fileno=int(listener)), int(lifeline), Path(folder), int(spares), float(idle_s)).serve()


if __name__ == "__main__":
    main()
