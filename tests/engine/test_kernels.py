"""Warm kernels: forked from a process that has imported the libraries, and otherwise as cold ones."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import papermill
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from masklib.claims import recording
from masklib.engine import client
from masklib.engine.kernels import provisioner, servers, spec
from masklib.engine.limits import Limits
from masklib.engine.run import Result, execute_plan, plan_run
from masklib.engine.store import Store
from tests.engine.conftest import START, Write, notebook
from tests.engine.test_execute import error_of, statuses
from tests.stores import runs_in
from tests.waiting import GONE_S, until

CLAIM = "run.claim('emb-1', 1.0, 1.0)"


@pytest.fixture(autouse=True)
def _no_server_is_left() -> Iterator[None]:
    yield
    servers.stop_servers()


@pytest.fixture(autouse=True)
def _quick_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that imports what these notebooks need: NumPy and the kernel."""
    monkeypatch.setattr(servers, "PRELOAD", ("numpy", "ipykernel.kernelapp"))


def warm(path: Path, store: Store, **options: Any) -> Result:
    return execute_plan(plan_run(path), store, warm=True, **options)


def the_server() -> servers.Server:
    (server,) = servers._servers.values()
    return server


def is_running(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_warm_run_records_what_a_cold_one_does(write: Write, tmp_path: Path):
    numbers = "import random, numpy as np\nrun.metric('a', random.random())\nrun.metric('b', np.random.normal())"
    hashed = "run.metric('c', hash('text'))"
    where = "import sys\nassert 'masklib.engine' not in sys.modules"
    path = write(START, numbers, hashed, where)
    cold, forked = execute_plan(plan_run(path), Store(tmp_path / "cold")), warm(path, Store(tmp_path / "warm"))

    assert (cold.record.status, forked.record.status) == ("ok", "ok"), forked.record.error
    assert (cold.record.launch, forked.record.launch) == ("spawn", "fork")
    assert recording.read(cold.folder) == recording.read(forked.folder)


def test_every_run_has_a_process_of_its_own(write: Write, store: Store):
    first = warm(write(START, "import sys\nsys.left_over = 1", "import os\nrun.metric('pid', os.getpid())", name="first"), store)
    second = warm(
        write(
            START, "import sys\nassert not hasattr(sys, 'left_over')", "import os\nrun.metric('pid', os.getpid())", name="second"
        ),
        store,
    )

    assert (first.record.status, second.record.status) == ("ok", "ok")
    assert recording.read(first.folder) != recording.read(second.folder)
    assert len(servers._servers) == 1
    assert until(lambda: len(children_of(the_server().process.pid)) <= 1), "no kernel is left but the spare one"


def test_the_server_imports_nothing_of_masklib(write: Write, store: Store):
    look = "import sys\nrun.metric('n', sum(name.split('.')[0] == 'masklib' for name in before))"
    result = warm(write("import sys\nbefore = set(sys.modules)", START, look), store)
    assert [r["value"] for r in recording.read(result.folder)] == [0.0]


def test_a_kernel_keeps_its_history_in_memory_as_nbclients_own_do(write: Write, store: Store):
    result = warm(write("assert get_ipython().history_manager.hist_file == ':memory:'"), store)
    assert (result.record.status, result.record.launch) == ("ok", "fork"), result.record.error


def test_a_kernel_that_is_killed_is_died_with_its_signal(write: Write, store: Store):
    result = warm(write(START, CLAIM, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "x = 1"), store)

    assert (result.record.status, error_of(result).signal, result.record.launch) == ("died", "SIGKILL", "fork")
    assert statuses(result) == ["completed", "completed", "failed", "pending"]
    assert [r["claim"] for r in recording.read(result.folder)] == ["emb-1"]


def test_a_kernel_that_leaves_by_itself_is_died_with_its_exit_code(write: Write, store: Store):
    result = warm(write(START, "import os\nos._exit(7)"), store)
    assert (result.record.status, error_of(result).exit_code) == ("died", 7)


def test_a_cell_that_hangs_is_ended_by_its_time_limit_and_its_kernel_with_it(write: Write, store: Store):
    result = warm(write(START, "import time\ntime.sleep(60)"), store, limits=Limits(cell_timeout=2))

    assert result.record.status == "timeout"
    assert until(lambda: len(children_of(the_server().process.pid)) <= 1), "no kernel is left but the spare one"


def test_a_server_that_is_killed_takes_its_kernels_with_it_and_the_next_run_has_a_new_one(write: Write, store: Store):
    killer = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nimport time\ntime.sleep(60)"
    result = warm(write(START, CLAIM, killer, name="killer"), store)
    first = the_server().process.pid

    assert result.record.status == "died"
    assert warm(write(START, CLAIM, name="next"), store).record.launch == "fork"
    assert the_server().process.pid != first


def test_a_server_that_is_killed_while_a_kernel_starts_costs_nothing(write: Write, store: Store, monkeypatch: pytest.MonkeyPatch):
    killed, wait = [], client._Connection.wait_for_ready

    async def kill_server_and_wait(self: Any, timeout: float | None = None) -> None:
        if not killed:
            killed.append(the_server().process.pid)
            os.kill(killed[0], signal.SIGKILL)
        await wait(self, timeout)

    monkeypatch.setattr(client._Connection, "wait_for_ready", kill_server_and_wait)
    result = warm(write(START, CLAIM), store)
    assert (result.record.status, result.record.launch) == ("ok", "fork")
    assert the_server().process.pid != killed[0]


def test_what_the_process_itself_writes_is_in_the_kernel_log(write: Write, store: Store):
    result = warm(write(START, "import os\nos.write(2, b'noise of a library')"), store)
    assert "noise of a library" in (result.folder / "kernel.log").read_text()


def test_where_fork_is_not_there_an_ordinary_kernel_runs_and_the_record_says_so(
    write: Write, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(servers.sys, "platform", "darwin")
    result = warm(write(START, CLAIM), store)
    assert (result.record.status, result.record.launch) == ("ok", "spawn")


def test_a_server_that_cannot_start_gives_way_to_an_ordinary_kernel(
    write: Write, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "broken_library.py").write_text("raise RuntimeError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(servers, "PRELOAD", ("broken_library",))
    result = warm(write(START, CLAIM), store)
    assert (result.record.status, result.record.launch) == ("ok", "spawn")


@pytest.mark.slow
def test_a_server_that_hangs_gives_way_to_an_ordinary_kernel(
    write: Write, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "hangs.py").write_text("import time\ntime.sleep(60)")
    monkeypatch.setattr(servers, "FORKSERVER", str(tmp_path / "hangs.py"))
    monkeypatch.setattr(provisioner, "START_S", 1.0)
    monkeypatch.setattr(servers, "STOP_S", 1.0)
    result = warm(write(START, CLAIM), store)
    assert (result.record.status, result.record.launch) == ("ok", "spawn")


def test_the_folder_of_the_socket_is_private(write: Write, store: Store):
    warm(write(START), store)
    assert Path(the_server().folder.name).stat().st_mode & 0o777 == 0o700


DRIVER = """
import sys
from masklib.engine.kernels import servers
from masklib.engine.run import execute_plan, plan_run
from masklib.engine.store import Store
servers.PRELOAD = ("numpy", "ipykernel.kernelapp")
server = servers.server_for
def told(environment):
    found = server(environment)
    print(found.process.pid, flush=True)
    return found
from masklib.engine.kernels import provisioner
provisioner.server_for = told
execute_plan(plan_run(sys.argv[1]), Store(sys.argv[2]), warm=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_driver_that_is_killed_leaves_no_server_and_no_kernel(write: Write, store: Store, number: int):
    path = write(START, CLAIM, "import time\ntime.sleep(60)")
    command = [sys.executable, "-c", DRIVER, str(path), str(store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        assert driver.stdout is not None
        server = int(driver.stdout.readline())
        assert until(lambda: bool(list(store.root.glob("tiny/.work-*/records.jsonl"))), 30)
        kernels = children_of(server)
        driver.send_signal(number)
        driver.wait()

    assert len(kernels) == 2, "the kernel and a spare one"
    assert until(lambda: not any(map(is_running, [server, *kernels])), GONE_S)
    assert runs_in(store) == []


def test_a_process_that_was_forked_from_a_driver_does_not_stop_its_server(write: Write, store: Store):
    warm(write(START), store)
    pid = os.fork()
    if pid == 0:
        servers.stop_servers()
        os._exit(0)
    os.waitpid(pid, 0)
    assert the_server().is_alive


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kernelspec `masklib`, installed where only this test sees it."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    monkeypatch.setattr(spec.sys, "prefix", str(tmp_path))
    spec.install()
    return spec.NAME


def test_nbclient_starts_a_warm_kernel_by_the_installed_kernelspec(installed: str):
    node = notebook("import sys, os\nprint('numpy' in before, os.getppid())", parameters="import sys\nbefore = set(sys.modules)")
    NotebookClient(node, kernel_name=installed).execute()

    loaded, parent = node.cells[-1].outputs[0].text.split()
    assert (loaded, int(parent)) == ("True", the_server().process.pid)


def test_plain_papermill_starts_a_warm_kernel_by_the_installed_kernelspec(installed: str, write: Write, tmp_path: Path):
    path = write("import os\nprint(os.getppid())")
    executed = papermill.execute_notebook(path, tmp_path / "out.ipynb", kernel_name=installed, progress_bar=False)
    assert int(executed.cells[-1].outputs[0].text) == the_server().process.pid


def test_a_warm_kernel_can_be_interrupted_and_restarted(installed: str):
    manager, client = start_new_kernel(kernel_name=installed)
    try:
        asked = client.execute("import time; x = 1; print('sleeps', flush=True); time.sleep(30)", stop_on_error=False)
        while client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
            pass
        manager.interrupt_kernel()
        while (reply := client.get_shell_msg(timeout=10))["parent_header"].get("msg_id") != asked:
            pass  # an answer to the question whether the kernel is ready
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        assert client.execute("x", reply=True, timeout=10)["content"]["status"] == "ok"

        manager.restart_kernel(now=True)
        client.wait_for_ready(timeout=30)
        assert client.execute("x", reply=True, timeout=10)["content"]["ename"] == "NameError"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert until(lambda: len(children_of(the_server().process.pid)) <= 1), "no kernel is left but the spare one"


def execute_in(monkeypatch: pytest.MonkeyPatch, kernel: str, cell: str, **variables: str) -> str:
    """Execute a cell with nbclient while this process has some environment variables, and return what it printed."""
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        node = notebook(cell)
        NotebookClient(node, kernel_name=kernel).execute()
    return node.cells[-1].outputs[0].text.strip()


def test_a_variable_that_nothing_imported_has_read_reaches_the_kernel_of_the_same_server(
    installed: str, monkeypatch: pytest.MonkeyPatch
):
    cell = "import os\nprint(os.environ['RUN_ID'], os.getppid())"
    told = [execute_in(monkeypatch, installed, cell, RUN_ID=str(number)).split() for number in range(4)]
    assert [number for number, _ in told] == ["0", "1", "2", "3"]
    assert {int(parent) for _, parent in told} == {the_server().process.pid}


def test_a_variable_that_was_read_at_import_makes_another_server(installed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """One that Python code asks for, set or not, and one that only libraries in C could have asked for."""
    (tmp_path / "asks.py").write_text("import os\nanswer = os.environ.get('ASKED_FOR', 'nothing')")
    monkeypatch.setattr(servers, "PRELOAD", ("asks", "ipykernel.kernelapp"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    cell = "import asks, os\nprint(asks.answer, os.getppid())"
    told = [
        execute_in(monkeypatch, installed, cell, **variables).split()
        for variables in ({}, {"ASKED_FOR": "one"}, {}, {"OMP_PROC_BIND": "true"}, {"ASKED_FOR": "one", "OTHER": "x"})
    ]
    assert [answer for answer, _ in told] == ["nothing", "one", "nothing", "nothing", "one"]
    parents = [int(parent) for _, parent in told]
    assert (parents[0], parents[1]) == (parents[2], parents[4])
    assert len(set(parents)) == 3


def test_a_library_that_was_replaced_makes_another_server(installed: str, monkeypatch: pytest.MonkeyPatch):
    cell = "import os\nprint(os.getppid())"
    first = execute_in(monkeypatch, installed, cell)
    with monkeypatch.context() as patch:
        patch.setattr(servers.distributions, "installed", lambda folders: {"numpy": "99"})
        second = execute_in(patch, installed, cell)
    assert first != second
    assert execute_in(monkeypatch, installed, cell) == first


def test_at_most_a_few_servers_run_and_the_idle_ones_end(installed: str, monkeypatch: pytest.MonkeyPatch):
    cell = "import os\nprint(os.getppid())"
    parents = [int(execute_in(monkeypatch, installed, cell, OMP_NUM_THREADS=str(number))) for number in range(1, 7)]
    assert len(set(parents)) == 6
    assert until(lambda: sum(map(is_running, parents)) == servers.MOST), parents
    assert [pid for pid in parents if is_running(pid)] == parents[-servers.MOST :], "those that were used last"
    assert int(execute_in(monkeypatch, installed, cell, OMP_NUM_THREADS="6")) == parents[-1]
    assert until(lambda: not servers._leaving or servers._forget_the_dead() or not servers._leaving)


def test_a_server_that_is_to_end_waits_for_its_kernels(installed: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(servers, "MOST", 1)
    with monkeypatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "7")
        manager, client = start_new_kernel(kernel_name=installed)
    first = the_server().process.pid
    try:
        execute_in(monkeypatch, installed, "print(1)", OMP_NUM_THREADS="8")
        assert the_server().process.pid != first
        assert client.execute("1 + 1", reply=True, timeout=10)["content"]["status"] == "ok"
        assert until(lambda: len(children_of(first)) == 1), "its spare kernel is gone, the one at work is not"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert until(lambda: not is_running(first), GONE_S)


def test_a_worker_finds_the_servers_of_the_process_that_started_it(monkeypatch: pytest.MonkeyPatch):
    mine = servers.server_for({"PATH": os.environ["PATH"]})
    code = (
        "import os, sys\nfrom masklib.engine.kernels import servers\n"
        "server = servers.server_for({'PATH': os.environ['PATH'], **dict([sys.argv[1].split('=')])})\n"
        "print(server.path == servers.Path(sys.argv[2]))\nservers.stop_servers()"
    )
    assert until(lambda: mine.path.with_name(servers.READ).exists())
    found = [
        subprocess.run(
            [sys.executable, "-c", code, variable, mine.path],
            env={**os.environ, **servers.shared()},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for variable in ("UNREAD=1", "OMP_NUM_THREADS=9")
    ]
    assert (found, mine.is_alive) == (["True\n", "False\n"], True)


@pytest.mark.parametrize("order", [("pid", "connection"), ("connection", "pid")])
def test_the_process_of_a_kernel_is_known_once_it_listens_whichever_message_comes_first(
    order: tuple[str, str], monkeypatch: pytest.MonkeyPatch
):
    """The server and the kernel write to one socket; a memory limit needs the process."""
    ours, theirs = socket.socketpair()
    messages = {"pid": {"pid": 4711}, "connection": {"connection": {"key": "k"}}}
    theirs.sendall("".join(json.dumps(messages[name]) + "\n" for name in order).encode())
    monkeypatch.setattr(provisioner, "server_for", lambda environment: SimpleNamespace(request=lambda *arguments: ours))
    one = provisioner.WarmProvisioner()

    asyncio.run(one.launch_kernel([]))

    assert one.pid == 4711
    theirs.close()
    ours.close()
