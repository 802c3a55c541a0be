"""Jupyter's way to a warm kernel: a provisioner that asks the fork server for one.

Registered as the entry point `masklib-warm`; a kernelspec names it in `metadata.kernel_provisioner.provisioner_name`.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from masklib.engine.kernels import ServerError
from masklib.engine.kernels.servers import server_for

START_S = 120.0  # the first kernel of a server waits for its imports
END_S = 5.0  # from the signal that kills a kernel to the server's word that it has ended; without it the server is stopped


class WarmProvisioner(KernelProvisionerBase):
    """Starts a kernel by a fork of a process that has imported the libraries, and owns it through that process."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.max_rss_bytes: int | None = None
        self.server_gone = False  # the server ended before the kernel did
        self.too_late = ""  # the variable for which the kernel ended; see `masklib.engine.kernels.forkserver`
        self._connection: socket.socket | None = None
        self._rest = b""
        self._kernel = self._owner = _Process()  # the kernel, and the server of which it is a child

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel that has not ended."""
        return self._connection is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Name the connection file of a kernel that is restarted: its clients are connected. A new one makes its own."""
        manager: Any = self.parent
        known = manager.transport == "ipc" and bool(manager.shell_port) and Path(manager.ip).parent.is_dir()
        return await super().pre_launch(cmd=[manager.connection_file] if known else [], **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Ask for a kernel and return its connection info once it listens.

        Raises:
            ServerError: the server, or the kernel, ended before.
        """
        environment = kwargs.get("env") or dict(os.environ)
        cwd = kwargs.get("cwd") or os.getcwd()  # noqa: PTH109
        self.pid = self.exit_code = None
        found: dict[str, Any] = {}
        server = server_for(environment)
        connection = server.request(environment, str(cwd), kwargs.get("stderr"), *cmd)
        connection.setblocking(False)
        self._connection = connection
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(START_S, self._time_left())):
                while (info := await self._next_message()) is not None:  # of the server and of the kernel, in any order
                    found |= info
                    if {"pid", "connection"} <= found.keys():
                        return self._take(found["connection"])
        self._close()
        if self._time_left() > 0:
            server.give_up()
        msg = f"a kernel must listen within {START_S:g} s, the forked one did not (exit code {self.exit_code})"
        raise ServerError(msg)

    def _time_left(self) -> float:
        """Return the seconds that the notebook still has."""
        return float(getattr(self.parent, "deadline", float("inf"))) - time.monotonic()

    async def poll(self) -> int | None:
        """Return None while the kernel runs, else its exit code."""
        self._read_what_is_there()
        return None if self._connection is not None else self.exit_code or 0

    async def wait(self) -> int | None:
        """Wait until the kernel has ended, and return its exit code."""
        while self._connection is not None:
            await self._next_message()
        return self.exit_code

    async def send_signal(self, signum: int) -> None:
        """Send the kernel a signal, through the server where the system has no other way that cannot hit another process."""
        if self._connection is not None and signum and not self._kernel.send(signum):
            self._connection.send(json.dumps({"signal": int(signum)}).encode() + b"\n")

    async def kill(self, restart: bool = False) -> None:
        """Kill the kernel and wait until it is gone."""
        await self.send_signal(signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await self.wait()
        if self._connection is not None:  # the server is stopped: it would hold back every run
            self._owner.send(signal.SIGKILL)
            await self.wait()

    async def terminate(self, restart: bool = False) -> None:
        """Ask the kernel to end."""
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """Let go of the kernel; the server kills one that still runs."""
        self._close()

    async def get_provisioner_info(self) -> dict[str, Any]:
        """Return what another process could know of the kernel."""
        return {**await super().get_provisioner_info(), "pid": self.pid}

    def _take(self, found: dict[str, Any]) -> KernelConnectionInfo:
        """Return the connection info of the kernel as Jupyter passes it on."""
        found["key"] = found["key"].encode()
        self.connection_info = cast("KernelConnectionInfo", found)
        return self.connection_info

    async def _next_message(self) -> dict[str, Any] | None:
        """Return the next message of the server, or None when the kernel has ended."""
        loop = asyncio.get_running_loop()
        while self._connection is not None:
            line, separator, rest = self._rest.partition(b"\n")
            if separator:
                self._rest = rest
                return self._handle(json.loads(line))
            try:
                data = await loop.sock_recv(self._connection, 65536)
            except OSError:  # the server died with the request unread
                data = b""
            if not data:
                self._lose()
            self._rest += data
        return None

    def _read_what_is_there(self) -> None:
        """Take note of messages that have come, without waiting."""
        while self._connection is not None:
            try:
                data = self._connection.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self._rest += data
            *lines, self._rest = self._rest.split(b"\n")
            for line in lines:
                self._handle(json.loads(line))
            if not data:
                self._lose()

    def _handle(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Take note of a message; None if it says that the kernel has ended."""
        if "pid" in message:
            self.pid = message["pid"]
            self._kernel, self._owner = _Process(message["pid"]), _Process(message.get("server"))
        self.too_late = message.get("too_late", self.too_late)
        if "exit" not in message:
            return message
        self.exit_code = message["exit"]
        self.max_rss_bytes = message["max_rss_bytes"]
        self._close()
        return None

    def _lose(self) -> None:
        """Take note that the server is gone; its kernel died with it, what the kernel started is killed here."""
        self.server_gone = True
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self._close()

    def _close(self) -> None:
        """Close the connection to the server."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._kernel.close()
            self._owner.close()


class _Process:
    """A process that gets signals, and never another one that has its number by then.

    Args:
        pid: of the process; None for none.
    """

    def __init__(self, pid: int | None = None):
        self._descriptor = -1
        if pid is not None and hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._descriptor = os.pidfd_open(pid)

    def send(self, number: int) -> bool:
        """Send a signal; return whether that can be done here."""
        if self._descriptor < 0:
            return False
        with contextlib.suppress(ProcessLookupError):  # it has ended
            signal.pidfd_send_signal(self._descriptor, number)
        return True

    def close(self) -> None:
        """Let go of the process."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
