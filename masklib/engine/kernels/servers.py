"""The fork servers: a few, each for the kernels whose environment is that in which it imported; owned by who started it.

A server serves every environment that has the same values of what was read while it imported, by Python or, as far as that is
known, by libraries in C. Where one more is needed than there may be, that which was used least lately ends, once it is idle.
A process can share its servers with its children by an environment variable; see `shared`.
"""

import atexit
import contextlib
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

from masklib.claims.recording import FOLDER_VARIABLE
from masklib.engine import distributions
from masklib.engine.environments import STARTUP_VARIABLE
from masklib.engine.kernels import ServerError
from masklib.engine.private import PrivateFolder
from masklib.engine.settings import PYTHON_VARIABLE, SERVERS_VARIABLE, kernel_environment

# What a kernel of the suite imports, in the order of the time that it takes. masklib is not among it; see forkserver.
PRELOAD = ("keras", "pandas", "pyarrow.parquet", "matplotlib.pyplot", "matplotlib_inline.backend_inline", "ipykernel.kernelapp")
FORKSERVER = str(Path(__file__).with_name("forkserver.py"))
STOP_S = 10.0  # then the server is killed; its kernels die with it
MOST = 3  # servers of a process
INSTALLED = "PYTHON packages"  # beside the variables: a server that has imported a library which was replaced since is stale
READ, HELD = "read", "environment"  # files of a server: the names that it read, and a hash of each variable that it had
# What the system, the interpreter and libraries in C read when a process starts or a library is loaded.
READ_IN_C = (
    *("CUDA_", "JAX_", "KERAS_", "MKL_", "OMP_", "OPENBLAS_", "TF_", "XLA_"),
    *("ABSL_", "ARROW_", "BLIS_", "DNNL_", "DYLD_", "GLIBC_", "GOMP_", "GOTO_", "GRPC_", "HDF5_", "HIP_", "HOME", "HSA_", "KMP_"),
    *(
        "LANG",
        "LC_",
        "LD_",
        "MALLOC_",
        "NPROC",
        "NUMEXPR_",
        "NVIDIA_",
        "NVPL_",
        "ONEDNN_",
        "PYTHON",
        "PYTORCH_",
        "ROCR_",
        "TORCH",
    ),
    *("TZ", "VECLIB_", PYTHON_VARIABLE, STARTUP_VARIABLE),
)
# Variables of a single run.
OF_A_RUN = (FOLDER_VARIABLE, "JPY_SESSION_NAME", "JPY_PARENT_PID", "PWD", "OLDPWD")
PRIVATE = ("KERAS_HOME", "IPYTHONDIR")  # the engine gives each kernel empty ones; under a server they are the server's


class Server:
    """A fork server of this process or of the one that started it.

    Args:
        path: of its socket.
    """

    def __init__(self, path: Path):
        self.path = path
        self.is_given_up = False  # it did not answer

    def give_up(self) -> None:
        """Use this server no more; one that is stopped takes requests and never answers."""
        self.is_given_up = True

    @property
    def is_alive(self) -> bool:
        """Whether the server listens."""
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(str(self.path)) == 0

    def suits(self, hashes: Mapping[str, str]) -> bool:
        """Return whether kernels of an environment can come from this server; while it imports, only those of its very own.

        Args:
            hashes: of the variables, see `_hashes`.
        """
        try:
            held = json.loads(self.path.with_name(HELD).read_bytes())
            read = self.path.with_name(READ)
            names = set(json.loads(read.read_bytes())) if read.exists() else None
        except (OSError, ValueError):  # it has ended
            return False
        differing = {name for name in {*held, *hashes} if held.get(name) != hashes.get(name)}
        return not differing if names is None else not any(name in names or name.startswith(READ_IN_C) for name in differing)

    def request(
        self, environment: Mapping[str, str], cwd: str, log: IO[bytes] | int | None, connection_file: str = ""
    ) -> socket.socket:
        """Ask for a kernel and return the connection on which the server reports on it.

        Args:
            environment: of the kernel, the whole of it.
            cwd: the folder in which it runs.
            log: where it writes by itself; None for the server's log.
            connection_file: says where it must listen; "" for a place of its own.

        Raises:
            ServerError: the server is gone.
        """
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self.path))
            descriptors = [] if log is None else [log if isinstance(log, int) else log.fileno()]
            data = json.dumps({"environment": dict(environment), "cwd": cwd, "connection_file": connection_file}).encode() + b"\n"
            sent = socket.send_fds(connection, [data], descriptors)
            connection.sendall(data[sent:])
        except OSError as error:
            connection.close()
            msg = f"The fork server must run, it does not answer: {error}. {self.said()}"
            raise ServerError(msg) from None
        return connection

    def said(self) -> str:
        """Return the last lines that the server wrote."""
        try:
            return " ".join(self.path.with_name("log").read_text(errors="replace").splitlines()[-3:])
        except OSError:
            return ""

    def stop(self) -> None:
        """End the server, if it is this process's."""

    def leave(self) -> None:
        """Let the server end once it is idle, if it is this process's."""


class OwnServer(Server):
    """A fork server that this process starts, and that ends with it.

    Args:
        environment: in which it starts, and every kernel with it.
        spares: kernels that it forks ahead.
    """

    def __init__(self, environment: Mapping[str, str], spares: int):
        self.folder = PrivateFolder(tempfile.gettempdir())
        super().__init__(Path(self.folder.name) / "socket")
        self.owner = os.getpid()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(64)
        reading, self._lifeline = os.pipe()
        # Not as a module, which would import masklib; and nothing is imported from the folder in which this process works.
        run = f"import sys; del sys.path[0]; import runpy; runpy.run_path({FORKSERVER!r}, run_name='__main__')"
        arguments = [str(listener.fileno()), str(reading), self.folder.name, str(spares), *PRELOAD]
        self.log = (Path(self.folder.name) / "log").open("wb")
        self.path.with_name(HELD).write_text(json.dumps(_hashes(environment)))
        private = {name: self.folder.name for name in PRIVATE if name not in environment}
        self.process = subprocess.Popen(
            [environment.get(PYTHON_VARIABLE, sys.executable), "-c", run, *arguments],
            env={**environment, **private, "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
            pass_fds=(listener.fileno(), reading),
            cwd=self.folder.name,  # it would import what lies in the current folder under the name of a library
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        listener.close()
        os.close(reading)

    def give_up(self) -> None:
        """End the server with all its kernels."""
        super().give_up()
        self.process.kill()

    @property
    def is_alive(self) -> bool:
        """Whether the server runs, and is of this process."""
        return self.owner == os.getpid() and self.process.poll() is None

    def leave(self) -> None:
        """Let the server take no more requests, and end once it has no kernel."""
        with contextlib.suppress(OSError):  # it has ended
            os.write(self._lifeline, b"\n")

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


_servers: dict[Path, Server] = {}  # by socket, the one that was used last at the end
_leaving: list[Server] = []
_lock = threading.Lock()


def start(settings: Mapping[str, str], spares: int) -> None:
    """Start the server for runs with these settings, where it can run; it imports while the caller continues.

    Args:
        settings: from `masklib.engine.settings.numeric_settings`.
        spares: kernels that it forks ahead, as many as will run at once.
    """
    environment = kernel_environment(settings, Path()) | {FOLDER_VARIABLE: ""}
    with contextlib.suppress(ServerError):
        server_for(environment, spares=spares)


def shared() -> dict[str, str]:
    """Return the environment variable by which a child process finds the servers of this one."""
    return {SERVERS_VARIABLE: json.dumps([str(path) for path in _servers])}


def server_for(environment: Mapping[str, str], *, spares: int = 1) -> Server:
    """Return the server for kernels in this environment: one that is there, or a new one.

    Raises:
        ServerError: this system cannot fork safely.
    """
    if not sys.platform.startswith("linux"):
        msg = f"Forked kernels need Linux, this is {sys.platform}."
        raise ServerError(msg)
    omitted = OF_A_RUN + (PRIVATE if FOLDER_VARIABLE in environment else ())
    common = {name: value for name, value in environment.items() if name not in omitted}
    hashes = _hashes(common)
    with _lock:
        _forget_the_dead()
        candidates = [*reversed(_servers.values()), *_of_parent()]
        suiting = (one for one in candidates if one.suits(hashes) and one.is_alive and not one.is_given_up)
        found = next(suiting, None) or OwnServer(common, spares)
        _servers.pop(found.path, None)
        _servers[found.path] = found
        while len(_servers) > MOST:
            _leaving.append(_servers.pop(next(iter(_servers))))
            _leaving[-1].leave()
    return found


def _hashes(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a hash of each variable of an environment, of the interpreter of its kernels, and of what is installed for it."""
    python = environment.get(PYTHON_VARIABLE)
    folders = distributions.site_folders_of(Path(python) if python else None)
    variables = {PYTHON_VARIABLE: sys.executable, INSTALLED: json.dumps(distributions.installed(folders)), **environment}
    return {name: hashlib.sha256(value.encode(errors="surrogateescape")).hexdigest() for name, value in variables.items()}


def _forget_the_dead() -> None:
    """Let go of servers that have ended."""
    for server in [one for one in (*_servers.values(), *_leaving) if not one.is_alive or one.is_given_up]:
        server.stop()
        _servers.pop(server.path, None)
        if server in _leaving:
            _leaving.remove(server)


def _of_parent() -> list[Server]:
    """Return the servers that the process which started this one shares."""
    return [Server(Path(path)) for path in json.loads(os.environ.get(SERVERS_VARIABLE, "[]"))]


@atexit.register
def stop_servers() -> None:
    """End every server that this process started."""
    with _lock:
        for server in (*_servers.values(), *_leaving):
            server.stop()
        _servers.clear()
        _leaving.clear()
