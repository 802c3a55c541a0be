"""The fork server: a process that imports the libraries once, computes nothing, and forks a kernel for each request.

Run as a script with arguments `LISTENER LIFELINE MODULE...`: the file descriptors of a listening Unix socket and
of a pipe from the driver. A request is one connection: a line of JSON, with the descriptor of the kernel's log. The answers
come on the same connection, a line each: `{"pid": ...}` when the kernel is forked, `{"connection": {...}}` from the kernel when
it listens, `{"exit": code}` when it has ended (minus the signal that killed it). A kernel whose connection closes is killed;
when the lifeline closes, every kernel is killed and the server ends.

masklib itself is not imported here, not even for this file, so that no kernel runs a stale version of it.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_LARGEST_REQUEST = 1 << 20


class ForkServer:
    """Accepts requests and forks; one thread, one loop.

    Args:
        listener: a listening Unix stream socket.
        lifeline: the reading end of a pipe that the driver holds open.
    """

    def __init__(self, listener: socket.socket, lifeline: int):
        self.listener = listener
        self.lifeline = lifeline
        self.kernels: dict[int, socket.socket] = {}  # by process id

    def serve(self) -> None:
        """Serve until the lifeline closes."""
        wake, self.waker = socket.socketpair()
        wake.setblocking(False)
        self.waker.setblocking(False)
        signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        while True:
            watched: list[Any] = [self.listener, self.lifeline, wake, *self.kernels.values()]
            ready = select.select(watched, [], [])[0]
            if self.lifeline in ready:
                break
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    wake.recv(4096)
            self._reap()
            for pid, connection in list(self.kernels.items()):
                if connection in ready:
                    self._obey(pid, connection)
            if self.listener in ready:
                self._launch()
        self._end()

    def _launch(self) -> None:
        """Accept one request and fork its kernel."""
        connection = self.listener.accept()[0]
        request, descriptors = _receive(connection)
        if request is None:
            connection.close()
            return
        pid = os.fork()
        if pid == 0:
            self._become_kernel(connection, request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self.kernels[pid] = connection
        _send(connection, {"pid": pid})

    def _become_kernel(self, connection: socket.socket, request: dict[str, Any], descriptors: list[int]) -> NoReturn:
        """Turn this forked process into a kernel; never returns."""
        code = 1
        try:
            os.setsid()
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for other in (self.listener, self.waker, *self.kernels.values()):
                other.close()
            os.close(self.lifeline)
            if descriptors:
                os.dup2(descriptors[0], 1)
                os.dup2(descriptors[0], 2)
            run_kernel(connection, request)
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
        """Tell of every kernel that has ended."""
        for pid, connection in list(self.kernels.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                del self.kernels[pid]
                _send(connection, {"exit": os.waitstatus_to_exitcode(status)})
                connection.close()

    def _end(self) -> None:
        """Kill every kernel and wait for it."""
        for pid in self.kernels:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self.kernels:
            os.waitpid(pid, 0)


def run_kernel(connection: socket.socket, request: dict[str, Any]) -> None:
    """Run an IPython kernel in this process until it ends.

    Args:
        connection: told where the kernel listens.
        request: `environment` (the whole of it), `cwd`, and `connection_file` (ports 0: the kernel binds its own).
    """
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    sys.argv = ["ipykernel_launcher", "-f", request["connection_file"]]
    sys.path[0] = request["cwd"]

    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.clear_instance()
    app = IPKernelApp.instance(parent_handle=os.getppid(), capture_fd_output=False)
    app.initialize(["-f", request["connection_file"], "--HistoryManager.enabled=False"])
    with open(request["connection_file"], encoding="utf-8") as file:  # noqa: PTH123 (no need of pathlib here)
        _send(connection, {"connection": json.load(file)})
    app.start()


def _receive(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Return a request and its descriptors; None if the driver went away while it sent it."""
    data, descriptors, _, _ = socket.recv_fds(connection, _LARGEST_REQUEST, 1)
    while data and not data.endswith(b"\n"):
        more = connection.recv(_LARGEST_REQUEST)
        data = data + more if more else b""
    if data:
        return json.loads(data), descriptors
    for descriptor in descriptors:
        os.close(descriptor)
    return None, []


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one line; a driver that is gone is found out by its connection."""
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")


def main() -> None:
    """Import, then serve."""
    listener, lifeline, *modules = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    ForkServer(socket.socket(fileno=int(listener)), int(lifeline)).serve()


if __name__ == "__main__":
    main()
