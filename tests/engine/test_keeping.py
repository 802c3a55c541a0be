"""Fork servers that stay for the next command: `--keep-warm`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from masklib.engine.kernels import ServerError, keeping, servers
from tests.engine.conftest import START, Write
from tests.engine.test_execute import processes_with
from tests.waiting import GONE_S, until

QUICK = "from masklib.engine.kernels import servers; servers.PRELOAD = ('numpy', 'ipykernel.kernelapp')"
COMMAND = f"{QUICK}; from masklib.cli.main import main; main()"
PARENT = "import os\nrun.metric('server', os.getppid())"

pytestmark = [pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forked kernels need Linux"), pytest.mark.slow]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The runtime folder of a user; no server of it is left."""
    with TemporaryDirectory(prefix="keep-") as folder:
        Path(folder).chmod(0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)
        servers.stop_kept()
        assert until(lambda: processes_with(f"XDG_RUNTIME_DIR={folder}\0") == []), "a server is left"


def masklib(*arguments: object, check: bool = True, **variables: str) -> str:
    """Run a command and return what it printed."""
    command = [sys.executable, "-W", "error", "-c", COMMAND, *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout + done.stderr


def run(path: Path, *arguments: object, **variables: str) -> tuple[str, int]:
    """Run a notebook again; how its kernel was launched, and the parent of the kernel."""
    masklib("run", path, "--force", "--runs", path.parent / "runs", *arguments, **variables)
    written = path.parent.glob("runs/tiny/[0-9a-f]*/record.json")
    folder = max(written, key=lambda record: record.stat().st_mtime).parent
    metric = json.loads((folder / "records.jsonl").read_text().splitlines()[0])
    return json.loads((folder / "record.json").read_text())["launch"], int(metric["value"])


def listening() -> list[Path]:
    """The kept servers that have imported."""
    return [path for path in keeping.sockets() if path.with_name("read").exists()]


def test_a_server_stays_for_the_next_commands_until_it_is_stopped(write: Write, home: Path):
    path = write(START, PARENT)
    assert run(path)[0] == "spawn"
    assert listening() == []
    launch, server = run(path, "--keep-warm", "10m")
    assert launch == "fork"
    assert len(listening()) == 1
    assert run(path) == ("fork", server)
    assert run(path, "--keep-warm", "10m", ANYTHING="else") == ("fork", server), "no other server where this one serves"
    assert masklib("sweep", path, "-g", "seed=1:3", "--runs", path.parent / "sweep").count("ok") >= 1
    assert len(listening()) == 1

    assert masklib("kernels", "stop") == "Fork servers that stop, each when its last kernel has ended: 1.\n"
    assert until(lambda: keeping.sockets() == [])
    assert list((home / "masklib").iterdir()) == []
    assert masklib("kernels", "stop") == "No fork server was kept.\n"
    assert run(path)[0] == "spawn"


def test_a_server_ends_once_it_was_idle_for_long_enough(write: Write, home: Path):
    path = write(START, PARENT)
    masklib("sweep", path, "-g", "seed=1:3", "--runs", path.parent / "runs", "--keep-warm", "8s")
    assert len(listening()) == 1, "not before"
    assert until(lambda: list((home / "masklib").iterdir()) == [], GONE_S)


def test_a_server_that_imported_what_has_changed_since_ends(write: Write, home: Path):
    path = write(START, PARENT)
    _, old = run(path, "--keep-warm", "10m")
    (socket,) = listening()
    loaded = socket.with_name("loaded")
    about = json.loads(loaded.read_text())
    assert any(file.endswith("numpy/__init__.py") for file in about)
    assert all(keeping.stamp(file) == tuple(value) for file, value in about.items())
    about[next(iter(about))][0] -= 1  # as if it had been written since
    loaded.write_text(json.dumps(about))

    launch, new = run(path, "--keep-warm", "10m")
    assert launch == "fork"
    assert new != old
    assert until(lambda: len(listening()) == 1)


def test_what_was_read_at_import_needs_a_server_of_its_own_and_there_are_a_few_at_most(write: Write, home: Path):
    path = write(START, PARENT)
    for value in range(1, servers.MOST + 2):
        assert run(path, "--keep-warm", "10m", MKL_CBWR=str(value))[0] == "fork"
    assert until(lambda: len(keeping.sockets()) == servers.MOST), keeping.sockets()


def test_a_server_that_was_killed_leaves_nothing(write: Write, home: Path):
    path = write(START, PARENT)
    _, server = run(path, "--keep-warm", "10m")
    os.kill(server, signal.SIGKILL)
    assert until(lambda: keeping.sockets() == [])
    assert list((home / "masklib").iterdir()) == []
    assert run(path)[0] == "spawn"


def test_the_folder_of_a_server_that_is_being_started_stays(home: Path):
    with keeping.only_starter() as folder:
        folder.mkdir()
        assert keeping.sockets() == []
        assert folder.is_dir(), "its socket comes in an instant"
    assert keeping.sockets() == []
    assert not folder.is_dir()


def test_a_folder_that_others_can_use_is_refused(write: Write, home: Path):
    (home / "masklib").mkdir()
    (home / "masklib").chmod(0o755)
    with pytest.raises(ServerError, match="must be a folder of yours alone"), keeping.only_starter():
        pass
    assert keeping.sockets() == []
    path = write(START, PARENT)
    arguments = ("run", path, "--runs", path.parent / "runs", "--keep-warm", "10m")
    assert "must be a folder of yours alone" in masklib(*arguments, check=False)
    assert run(path)[0] == "spawn", "a run that keeps nothing does not mind"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--keep-warm", "soon"), "must be a time such as 30s, 10m or 2h"),
        (("--keep-warm", "99h"), "less than 24h"),
        (("--keep-warm", "10m", "--dask", "tcp://nowhere:1"), "a cluster has none"),
    ],
)
def test_what_cannot_be_kept_is_refused(write: Write, options: tuple[str, ...], word: str):
    path = write(START)
    assert word in masklib("sweep", path, "-g", "seed=1:3", *options, "--runs", path.parent / "runs", check=False)
