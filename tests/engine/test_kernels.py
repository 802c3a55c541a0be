"""Warm kernels: forked from a process that has imported the libraries, and otherwise as cold ones."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import papermill
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from masklib.claims import recording
from masklib.engine.kernels import provisioner, servers, spec
from masklib.engine.limits import Limits
from masklib.engine.run import Result, execute_plan, plan_run
from masklib.engine.store import Store
from tests.engine.conftest import START, Write, notebook
from tests.engine.test_execute import error_of, statuses
from tests.stores import runs_in

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


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait until the condition is true; whether it came."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


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
    assert until(lambda: not any(map(is_running, [server, *kernels])), 5)
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
        asked = client.execute("import time; x = 1; print('sleeps', flush=True); time.sleep(30)")
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
