"""JupyterLab with warm kernels: a notebook of the suite, opened and run as the browser does it, has a kernel at once."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
import pytest
import websocket

from masklib.engine.kernels import lab, servers
from tests.engine.conftest import START, notebook
from tests.engine.test_kernels import is_running
from tests.waiting import GONE_S, until

TOKEN = uuid.uuid4().hex
QUICK = """
import sys
from masklib.engine.kernels import lab, servers
servers.PRELOAD = ("numpy", "pandas", "ipykernel.kernelapp")
lab.main(sys.argv[1:])
"""
CELLS = (
    START,
    "import os, sys\nprint(os.getppid(), 'numpy' in before)",
    "import pandas as pd\nrun.table('t', pd.DataFrame({'a': [1]}))",
    "run.claim('emb-1', 1.0, 2.0)",
)


class Browser:
    """What JupyterLab's page does: sessions by REST, cells by the kernel's websocket."""

    def __init__(self, port: int):
        self.address = f"127.0.0.1:{port}"

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """Return the answer of the server."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {TOKEN}"}
        request = urllib.request.Request(f"http://{self.address}/api/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def open(self, name: str, kernel: str) -> dict[str, Any]:
        """Open a notebook."""
        return self.ask("sessions", "POST", {"path": name, "name": name, "type": "notebook", "kernel": {"name": kernel}})

    def connect(self, kernel: str) -> websocket.WebSocket:
        """Connect to a kernel."""
        return websocket.create_connection(f"ws://{self.address}/api/kernels/{kernel}/channels?token={TOKEN}", timeout=60)

    def run_all(self, channel: websocket.WebSocket, sources: list[str]) -> list[dict[str, Any]]:
        """Run cells one after another, and return the messages that hold outputs; an error ends it."""
        outputs: list[dict[str, Any]] = []
        for source in sources:
            asked = uuid.uuid4().hex
            header = {
                "msg_id": asked,
                "msg_type": "execute_request",
                "session": "s",
                "username": "u",
                "date": "",
                "version": "5.3",
            }
            content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
            message = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell", "content": content}
            channel.send(json.dumps(message))
            waiting = {"execute_reply", "idle"}
            while waiting:
                got = json.loads(channel.recv())
                if got["parent_header"].get("msg_id") == asked:
                    waiting -= {got["msg_type"], got["content"].get("execution_state", "")}
                    outputs += [got] if got["msg_type"] in ("stream", "execute_result", "display_data", "error") else []
        return outputs


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Browser]:
    """A JupyterLab without a browser, in a folder with one notebook, once its fork server had the time to import."""
    warm = "import sys\nbefore = set(sys.modules)\nseed: int = 0  # seed\nprofile: str = 'smoke'  # {smoke, full}"
    nbformat.write(notebook(*CELLS, parameters=warm), tmp_path / "tiny.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{what}_DIR": str(tmp_path / what.lower()) for what in ("CONFIG", "DATA", "RUNTIME")}
    options = ["--no-browser", f"--ServerApp.port={port}", f"--IdentityProvider.token={TOKEN}", str(tmp_path)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-c", QUICK, *options], env=os.environ | own, stdout=log, stderr=log)
    browser = Browser(port)

    def answers() -> bool:
        try:
            return bool(browser.ask("status"))
        except OSError:
            return process.poll() is not None

    try:
        assert until(answers), (tmp_path / "log").read_text()
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield browser
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_a_notebook_that_is_opened_has_a_warm_kernel_of_its_own(opened: Browser, tmp_path: Path):
    node = nbformat.read(tmp_path / "tiny.ipynb", as_version=4)
    sources = [cell.source for cell in node.cells if cell.cell_type == "code"]
    began = time.monotonic()
    session = opened.open("tiny.ipynb", node.metadata.kernelspec.name)
    with closing(opened.connect(session["kernel"]["id"])) as channel:
        outputs = opened.run_all(channel, sources)
    took = time.monotonic() - began

    assert [message["msg_type"] for message in outputs] == ["stream", "execute_result", "display_data"]
    parent, loaded = outputs[0]["content"]["text"].split()
    assert loaded == "True", "the libraries were there before the first cell"
    assert "forkserver.py" in Path(f"/proc/{parent}/cmdline").read_text()
    assert "<table" in outputs[1]["content"]["data"]["text/html"]
    assert "refuted" in outputs[2]["content"]["data"]["text/html"]
    assert took < 15, "of opening and running; two seconds where nothing else runs"

    opened.ask(f"kernels/{session['kernel']['id']}/restart", "POST", {})
    with closing(opened.connect(session["kernel"]["id"])) as channel:
        again = opened.run_all(channel, ["print('numpy' in __import__('sys').modules, 'run' in globals())"])
    assert again[-1]["content"]["text"] == "True False\n", "restarted, and warm again"

    opened.ask("shutdown", "POST")
    assert until(lambda: not is_running(int(parent)), GONE_S), "the fork server ends with JupyterLab"


def test_where_kernels_cannot_be_forked_ordinary_ones_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(servers.sys, "platform", "darwin")
    assert lab.options() == []
    assert "Forked kernels need Linux" in capsys.readouterr().err


@pytest.mark.parametrize(("user", "allowed"), [(0, ["--allow-root"]), (1000, [])])
def test_root_may_open_the_lab(monkeypatch: pytest.MonkeyPatch, user: int, allowed: list[str]):
    given: list[list[str]] = []
    monkeypatch.setattr(lab.os, "geteuid", lambda: user)
    monkeypatch.setattr(lab, "options", list)
    monkeypatch.setattr("jupyterlab.labapp.LabApp.launch_instance", given.append)
    lab.main(["notebooks"])

    assert given == [[*allowed, "notebooks"]]
