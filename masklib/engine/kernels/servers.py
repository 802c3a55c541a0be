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
from typing import IO, Any

from masklib.claims.recording import FOLDER_VARIABLE
from masklib.engine import distributions
from masklib.engine.environments import STARTUP_VARIABLE
from masklib.engine.kernels import ServerError, keeping
from masklib.engine.kernels.keeping import SOCKET
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
        return keeping.listens(self.path)

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

    def order(self, **order: Any) -> None:
        """Send the server a request that is not for a kernel: `leave=True`, or `idle_s`."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:  # it has ended
            connection.connect(str(self.path))
            connection.sendall(json.dumps(order).encode() + b"\n")

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
        super().__init__(Path(self.folder.name) / SOCKET)
        self.owner = os.getpid()
        reading, self._lifeline = os.pipe()
        self.process, self.log = _start(self.path.parent, environment, [reading], spares, 0.0)
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


def _start(
    folder: Path, environment: Mapping[str, str], lifeline: list[int], spares: int, idle_s: float
) -> tuple["subprocess.Popen[bytes]", IO[bytes]]:
    """Start a fork server that listens at the socket in a folder, and return its process and its log.

    Args:
        folder: private, empty.
        environment: of the server.
        lifeline: descriptors of a pipe, the reading end first; with the other end, too, the server outlives this process.
        spares: kernels that it forks ahead.
        idle_s: see `masklib.engine.kernels.forkserver`.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / SOCKET))
        listener.listen(64)
        # Not as a module, which would import masklib; and nothing is imported from the folder in which this process works.
        run = f"import sys; del sys.path[0]; import runpy; runpy.run_path({FORKSERVER!r}, run_name='__main__')"
        arguments = [str(listener.fileno()), str(lifeline[0]), str(folder), str(spares), str(idle_s), *PRELOAD]
        log = (folder / "log").open("wb")
        (folder / HELD).write_text(json.dumps(_hashes(environment)))
        private = {name: str(folder) for name in PRIVATE if name not in environment}
        process = subprocess.Popen(
            [environment.get(PYTHON_VARIABLE, sys.executable), "-c", run, *arguments],
            env={**environment, **private, "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
            pass_fds=(listener.fileno(), *lifeline),
            cwd=folder,  # it would import what lies in the current folder under the name of a library
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process, log


_servers: dict[Path, Server] = {}  # by socket, the one that was used last at the end
_leaving: list[Server] = []
_lock = threading.Lock()


def start(settings: Mapping[str, str], spares: int, keep_s: float = 0.0) -> None:
    """Start the server for runs with these settings, where it can run; it imports while the caller continues.

    Args:
        settings: from `masklib.engine.settings.numeric_settings`.
        spares: kernels that it forks ahead, as many as will run at once.
        keep_s: seconds without a kernel after which it ends, where it is to stay for the next command; 0.0 for one that ends
            with this process.

    Raises:
        ServerError: it cannot be kept.
    """
    environment = kernel_environment(settings, Path()) | {FOLDER_VARIABLE: ""}
    try:
        server_for(environment, spares=spares, keep_s=keep_s)
    except ServerError:
        if keep_s:
            raise


def is_kept_for(settings: Mapping[str, str]) -> bool:
    """Return whether an earlier command has left a server for runs with these settings."""
    hashes = _hashes(_common(kernel_environment(settings, Path()) | {FOLDER_VARIABLE: ""}))
    return any(one.suits(hashes) for one in _kept())


def stop_kept() -> int:
    """Ask the servers that earlier commands left to end, each once it has no kernel, and return how many there are."""
    found = _kept()
    for server in found:
        server.order(leave=True)
    return len(found)


def shared() -> dict[str, str]:
    """Return the environment variable by which a child process finds the servers of this one."""
    return {SERVERS_VARIABLE: json.dumps([str(path) for path in _servers])}


def server_for(environment: Mapping[str, str], *, spares: int = 1, keep_s: float = 0.0) -> Server:
    """Return the server for kernels in this environment: one that is there, or a new one.

    Args:
        environment: of the kernels.
        spares: kernels that a new server forks ahead.
        keep_s: see `start`.

    Raises:
        ServerError: this system cannot fork safely, or a server cannot be kept.
    """
    if not sys.platform.startswith("linux"):
        msg = f"Forked kernels need Linux, this is {sys.platform}."
        raise ServerError(msg)
    common = _common(environment)
    hashes = _hashes(common)
    with _lock:
        _forget_the_dead()
        candidates = [*reversed(_servers.values()), *_of_parent(), *_kept()]
        suiting = (one for one in candidates if one.suits(hashes) and one.is_alive and not one.is_given_up)
        found = next(suiting, None) or (_keep(common, spares, keep_s) if keep_s else OwnServer(common, spares))
        if keep_s:
            found.order(idle_s=keep_s)
        _servers.pop(found.path, None)
        _servers[found.path] = found
        while len(_servers) > MOST:
            _leaving.append(_servers.pop(next(iter(_servers))))
            _leaving[-1].leave()
    return found


def _common(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment without those that each kernel has its own."""
    omitted = OF_A_RUN + (PRIVATE if FOLDER_VARIABLE in environment else ())
    return {name: value for name, value in environment.items() if name not in omitted}


def _kept() -> list[Server]:
    """Return the servers that earlier commands left; those that imported what has changed since are asked to end."""
    found = [Server(path) for path in reversed(keeping.sockets())]
    stale = [one for one in found if one.path.with_name(READ).exists() and not keeping.is_current(one.path)]
    for server in stale:
        server.order(leave=True)
    return [one for one in found if one not in stale]


def _keep(environment: Mapping[str, str], spares: int, idle_s: float) -> Server:
    """Start a server that stays after this process, and return it; of more than `MOST`, that which forked least lately ends."""
    with keeping.only_starter() as folder:
        for old in keeping.sockets()[: 1 - MOST]:
            Server(old).order(leave=True)
        folder.mkdir(mode=0o700)
        lifeline = list(os.pipe())
        process, log = _start(folder, environment, lifeline, spares, idle_s)
        process.returncode = 0  # nobody waits for it: without this Python warns that it still runs
        log.close()
        for descriptor in lifeline:
            os.close(descriptor)
    return Server(folder / SOCKET)


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
