"""The fork servers of this process: one for each environment in which kernels start."""

import atexit
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from masklib.engine.kernels import ServerError

# What a kernel of the suite imports, in the order of the time that it takes. masklib is not among it; see forkserver.
PRELOAD = ("keras", "pandas", "pyarrow.parquet", "matplotlib.pyplot", "matplotlib_inline.backend_inline", "ipykernel.kernelapp")
FORKSERVER = str(Path(__file__).with_name("forkserver.py"))
STOP_S = 10.0  # then the server is killed; its kernels die with it
# Variables of a single run; all others are read by some library when it is imported, and make another server.
OF_A_RUN = ("MASKLIB_RUN_DIR", "JPY_SESSION_NAME", "JPY_PARENT_PID", "PWD", "OLDPWD", "IPYTHONDIR", "KERAS_HOME")


class Server:
    """A fork server, started by this process and ended with it.

    Args:
        environment: in which it starts, and every kernel with it.
    """

    def __init__(self, environment: Mapping[str, str]):
        self.folder = tempfile.TemporaryDirectory(prefix="masklib-server-")  # mode 0700
        self.path = Path(self.folder.name) / "socket"
        self.owner = os.getpid()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(64)
        reading, self._lifeline = os.pipe()
        run = f"import runpy; runpy.run_path({FORKSERVER!r}, run_name='__main__')"  # as a module it would import masklib
        command = [sys.executable, "-c", run, str(listener.fileno()), str(reading), *PRELOAD]
        self.log = (Path(self.folder.name) / "log").open("wb")
        private = {"KERAS_HOME": self.folder.name, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
        self.process = subprocess.Popen(
            command,
            env={**environment, **private},
            pass_fds=(listener.fileno(), reading),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        listener.close()
        os.close(reading)

    @property
    def is_alive(self) -> bool:
        """Whether the server runs, and is of this process."""
        return self.owner == os.getpid() and self.process.poll() is None

    def request(
        self, environment: Mapping[str, str], cwd: str, connection_file: str, log: IO[bytes] | int | None
    ) -> socket.socket:
        """Ask for a kernel and return the connection on which the server tells of it.

        Raises:
            ServerError: the server is gone.
        """
        message = {"environment": dict(environment), "cwd": cwd, "connection_file": connection_file}
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self.path))
            descriptors = [] if log is None else [log if isinstance(log, int) else log.fileno()]
            data = json.dumps(message).encode() + b"\n"
            sent = socket.send_fds(connection, [data], descriptors)
            connection.sendall(data[sent:])
        except OSError as error:
            connection.close()
            msg = f"The fork server must run, it does not answer: {error}. {self.said()}"
            raise ServerError(msg) from None
        return connection

    def said(self) -> str:
        """Return the last lines that the server wrote."""
        return " ".join((Path(self.folder.name) / "log").read_text(errors="replace").splitlines()[-3:])

    def stop(self) -> None:
        """End the server and its kernels."""
        if self.owner != os.getpid():
            return
        os.close(self._lifeline)
        try:
            self.process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.folder.cleanup()


_servers: dict[str, Server] = {}
_lock = threading.Lock()


def server_for(environment: Mapping[str, str]) -> Server:
    """Return the server for kernels in this environment; the first call for it starts one.

    Raises:
        ServerError: this system cannot fork safely.
    """
    if not sys.platform.startswith("linux"):
        msg = f"Forked kernels need Linux, this is {sys.platform}."
        raise ServerError(msg)
    shared = {name: value for name, value in environment.items() if name not in OF_A_RUN}
    key = hashlib.sha256(json.dumps([sys.executable, shared], sort_keys=True).encode()).hexdigest()
    with _lock:
        found = _servers.get(key)
        if found is not None and not found.is_alive:
            found.stop()
            found = None
        if found is None:
            found = _servers[key] = Server(shared)
    return found


@atexit.register
def stop_servers() -> None:
    """End every server that this process started."""
    with _lock:
        for server in _servers.values():
            server.stop()
        _servers.clear()
