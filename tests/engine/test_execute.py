"""Real kernels: every way in which a notebook can end is reported correctly."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from masklib.claims import recording
from masklib.claims.outputs import Shown, shown_by
from masklib.engine.limits import Limits
from masklib.engine.record import Failure
from masklib.engine.run import Result, execute_plan, plan_run
from masklib.engine.store import Store, read_record
from masklib.errors import NotebookError, ParameterError, StoreError
from tests.engine.conftest import START, Write, notebook
from tests.stores import attempts_in, runs_in

CLAIM = "run.claim('emb-1', 1.0, 1.0)"


def run(path: Path, store: Store, parameters: dict[str, Any] | None = None, **options: Any) -> Result:
    return execute_plan(plan_run(path, parameters), store, **options)


def statuses(result: Result) -> list[str]:
    """The papermill status of each code cell after the parameters."""
    node = nbformat.read(result.folder / "notebook.ipynb", as_version=4)
    return [cell.metadata.papermill.status for cell in node.cells[3:]]


def error_of(result: Result) -> Failure:
    assert result.record.error is not None
    return result.record.error


def processes_with(text: str) -> list[str]:
    """The command lines of processes whose environment holds `text`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_a_run_is_published_with_its_records_and_not_executed_again(write: Write, store: Store):
    path = write(START, "run.metric('m', width, unit='m')", CLAIM)
    first = run(path, store, {"width": 2})
    second = run(path, store, {"width": 2.0})

    assert (first.record.status, first.cached, second.cached) == ("ok", False, True)
    assert second.record == first.record
    assert {f.name for f in first.folder.iterdir()} == {"record.json", "notebook.ipynb", "records.jsonl", "kernel.log"}
    assert recording.read(first.folder)[0] == {"kind": "metric", "name": "m", "value": 2.0, "unit": "m"}
    assert first.record.parameters == {"seed": 0, "profile": "smoke", "width": 2.0}
    assert statuses(first) == ["completed"] * 3
    assert list((store.root / "tiny").iterdir()) == [first.folder]


def test_an_error_keeps_its_evidence_and_leaves_later_cells_pending(write: Write, store: Store):
    result = run(write(START, CLAIM, "1 / 0", "x = 1"), store)
    error = error_of(result)

    assert (result.record.status, error.ename, error.cell) == ("failed", "ZeroDivisionError", 5)
    assert "1 / 0" in "".join(error.traceback)
    assert statuses(result) == ["completed", "completed", "failed", "pending"]
    assert [r["claim"] for r in recording.read(result.folder)] == ["emb-1"]
    assert result.folder.parent.name == "failed"
    assert runs_in(store) == []


@pytest.mark.parametrize("code", ["0", "", "3"])
def test_sys_exit_is_a_failure_whatever_its_code(write: Write, store: Store, code: str):
    result = run(write(START, f"import sys\nsys.exit({code})", "x = 1"), store)

    assert (result.record.status, error_of(result).ename) == ("failed", "SystemExit")
    assert statuses(result) == ["completed", "failed", "pending"]


def test_a_cell_that_hangs_is_ended_by_its_time_limit(write: Write, store: Store):
    result = run(write(START, "import time\ntime.sleep(60)", "x = 1"), store, limits=Limits(cell_timeout=2))

    assert (result.record.status, error_of(result).ename, error_of(result).cell) == ("timeout", "CellTimeoutError", 4)
    assert statuses(result) == ["completed", "failed", "pending"]
    assert result.record.duration_s < 20
    assert processes_with(str(store.root)) == []


def test_the_whole_notebook_has_a_time_limit(write: Write, store: Store):
    naps = ["import time\ntime.sleep(1.2)"] * 5
    result = run(write(START, *naps), store, limits=Limits(timeout=4))

    assert result.record.status == "timeout"
    assert statuses(result)[-1] == "pending"


def test_a_kernel_that_is_killed_is_died_with_its_signal(write: Write, store: Store):
    kill = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    result = run(write(START, CLAIM, kill, "x = 1"), store)
    error = error_of(result)

    assert (result.record.status, error.signal, error.cell) == ("died", "SIGKILL", 5)
    assert statuses(result) == ["completed", "completed", "failed", "pending"]
    assert [r["claim"] for r in recording.read(result.folder)] == ["emb-1"]


def test_a_kernel_that_leaves_by_itself_is_died_with_its_exit_code(write: Write, store: Store):
    result = run(write(START, "import os\nos._exit(7)", "x = 1"), store)
    assert (result.record.status, error_of(result).exit_code) == ("died", 7)


def test_what_the_process_itself_writes_is_in_the_kernel_log(write: Write, store: Store):
    result = run(write(START, "import sys\nprint('from the process', file=sys.__stderr__, flush=True)"), store)
    assert "from the process" in (result.folder / "kernel.log").read_text()


@pytest.mark.parametrize(
    ("call", "fact"),
    [
        ("run.claim('rnn-99', 1, 1)", "Did you mean rnn-"),
        ("run.claim('emb-1', 1, float('nan'))", "expected must be finite"),
        ("run.metric('m', [1, 2])", "A metric is one number"),
        ("run.table('../t', None)", "a name of its own without '/'"),
        (f"{CLAIM}\n{CLAIM}", "recorded once"),
    ],
)
def test_a_record_that_cannot_be_fails_the_run_with_a_clear_error(write: Write, store: Store, call: str, fact: str):
    result = run(write(START, call), store)
    assert result.record.status == "failed"
    assert fact in error_of(result).evalue


def test_bad_parameters_start_no_kernel_and_leave_nothing(write: Write, store: Store):
    with pytest.raises(ParameterError, match="sed is unknown, did you mean seed"):
        run(write(START), store, {"sed": 1})
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("not json", "must be a Jupyter notebook"),
        ('{"a": 1}', "must be a Jupyter notebook"),
        ("[]", "must be a Jupyter notebook"),
        (
            json.dumps(notebook() | {"metadata": {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}}),
            "The kernel 'ir' is not installed",
        ),
    ],
)
def test_what_is_not_a_notebook_is_refused(tmp_path: Path, content: str, fact: str):
    (tmp_path / "n.ipynb").write_text(content)
    with pytest.raises(NotebookError, match=fact):
        plan_run(tmp_path / "n.ipynb")


def test_a_missing_notebook_is_refused_with_the_nearest_name():
    with pytest.raises(NotebookError, match="02_rnn_carry_over"):
        plan_run("02_rnn_cary_over")


def test_the_users_own_configuration_does_not_reach_a_run(
    write: Write, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for folder, file, content in (
        (".ipython/profile_default/startup", "a.py", "leaked = 1"),
        (".keras", "keras.json", '{"floatx": "float64"}'),
        (".config/matplotlib", "matplotlibrc", "lines.linewidth: 9"),
    ):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / file).write_text(content)
    monkeypatch.setenv("HOME", str(tmp_path))
    check = "import os, matplotlib\nassert 'leaked' not in globals()\nassert matplotlib.rcParams['lines.linewidth'] == 1.5"
    keras = f"assert not os.environ['KERAS_HOME'].startswith({str(tmp_path)!r})"

    assert run(write(START, check, keras), store).record.status == "ok"


def test_figures_and_tables_are_the_same_bytes_for_the_same_run(write: Write, tmp_path: Path):
    draw = "from masklib.figures import plots\nrun.figure('f', plots.plot_rows, [[1, 2]], ['row'], caption='Two.', alt='A row.')"
    table = "import pandas as pd\nrun.table('t', pd.DataFrame({'x': [0.1, 0.2]}))"
    path = write(START, draw, table)
    folders = [run(path, Store(tmp_path / name)).folder for name in ("a", "b")]

    for file in ("figures/f.json", "figures/f.png", "tables/t.parquet", "records.jsonl"):
        first, second = ((folder / file).read_bytes() for folder in folders)
        assert first == second, file
    assert {file.name for file in (folders[0] / "figures").iterdir()} == {"f.json", "f.png"}, "drawn as SVG when asked for"


def test_an_output_says_which_figure_or_table_it_shows(write: Write, store: Store):
    draw = "from masklib.figures import plots\nrun.figure('f', plots.plot_rows, [[1, 2]], ['row'], caption='Two.', alt='A row.')"
    frames = "import pandas as pd\nshort, long = (pd.DataFrame({'x': range(count)}) for count in (2, 100))"
    cells = (
        draw,
        frames,
        "run.table('short', short)",
        "display(run.table('long', long))",
        "run.table('part', long).head()",
        "short",
    )
    result = run(write(START, *cells), store)
    node = nbformat.read(result.folder / "notebook.ipynb", as_version=4)
    found = [shown_by(output) for cell in node.cells for output in cell.get("outputs", [])]

    assert found == [Shown("figure", "f"), Shown("table", "short"), Shown("table", "long", whole=False), Shown(), Shown()]


def test_an_interrupt_ends_the_kernel_and_keeps_the_evidence(write: Write, store: Store):
    path = write(START, CLAIM, "import time\ntime.sleep(60)", "x = 1")
    driver = subprocess.Popen(
        [sys.executable, "-m", "masklib", "run", path, "--runs", store.root], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(store.root.glob("tiny/.work-*/records.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    driver.send_signal(signal.SIGTERM)
    _, stderr = driver.communicate(timeout=30)

    assert driver.returncode == 1
    (folder,) = attempts_in(store)
    record = read_record(folder)
    assert (record.status, record.error and record.error.ename) == ("interrupted", "KeyboardInterrupt")
    assert [r["claim"] for r in recording.read(folder)] == ["emb-1"]
    assert "evidence:" in stderr
    assert processes_with(str(store.root)) == []


def test_a_driver_that_is_killed_leaves_no_partial_run_and_no_kernel(write: Write, store: Store):
    path = write(START, CLAIM, "import time\ntime.sleep(60)")
    driver = subprocess.Popen([sys.executable, "-m", "masklib", "run", path, "--runs", store.root], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(store.root.glob("tiny/.work-*/records.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    driver.kill()
    driver.wait()

    assert runs_in(store) == []
    (folder,) = store.recover()
    assert read_record(folder).status == "interrupted"
    while processes_with(str(store.root)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_with(str(store.root)) == []


def test_plain_papermill_uses_the_engine_by_its_name(write: Write, tmp_path: Path):
    out = tmp_path / "out.ipynb"
    papermill.execute_notebook(write(START, "print(width)"), out, {"width": 2.5}, engine_name="masklib", progress_bar=False)
    cells = nbformat.read(out, as_version=4).cells
    assert cells[-1].outputs[0].text == "2.5\n"


def test_plain_papermill_is_refused_an_unknown_parameter(write: Write, tmp_path: Path):
    with pytest.raises(ParameterError, match="widht is unknown, did you mean width"):
        papermill.execute_notebook(
            write(START), tmp_path / "out.ipynb", {"widht": 2.5}, engine_name="masklib", progress_bar=False
        )


def test_plain_papermill_is_refused_an_option_that_nobody_knows(write: Write, tmp_path: Path):
    with pytest.raises(TypeError, match=r"unexpected option 'cell_timeouts'\. Did you mean 'cell_timeout'"):
        papermill.execute_notebook(
            write(START), tmp_path / "out.ipynb", engine_name="masklib", progress_bar=False, cell_timeouts=1.0
        )


def test_plain_papermill_is_told_of_sys_exit_and_of_a_dead_kernel(write: Write, tmp_path: Path):
    kill = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(papermill.PapermillExecutionError, match="DeadKernelError"):
        papermill.execute_notebook(write(START, kill, "1"), tmp_path / "out.ipynb", engine_name="masklib", progress_bar=False)


def test_opened_by_hand_the_same_calls_only_display(write: Write, tmp_path: Path):
    from nbclient import NotebookClient

    table = "import pandas as pd\nrun.table('t', pd.DataFrame({'x': [0.5]}))"
    node = nbformat.read(write(START, CLAIM, table), as_version=4)
    before = set(tmp_path.iterdir())
    NotebookClient(node, resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = node.cells[3].outputs[0].data["text/html"]
    assert "emb-1" in shown
    assert "holds" in shown
    assert "0.5" in node.cells[4].outputs[0].data["text/html"]
    assert set(tmp_path.iterdir()) == before


def test_what_libraries_write_to_the_file_descriptor_is_in_the_kernel_log_only(write: Write, store: Store):
    result = run(write(START, "import os\nos.write(2, b'noise of a library')\nprint('said')"), store)
    cell = nbformat.read(result.folder / "notebook.ipynb", as_version=4).cells[-1]

    assert "noise of a library" in (result.folder / "kernel.log").read_text()
    assert [output.text for output in cell.outputs if output.output_type == "stream"] == ["said\n"]


def test_a_disk_that_fills_up_during_a_run_is_reported_and_its_work_kept(write: Write, small_disk: Path):
    store = Store(small_disk / "runs")
    with pytest.raises(StoreError, match=r"could not be written, its work is kept in .*: No space left on device"):
        run(write(START, CLAIM, "print('x' * 400_000)"), store)

    (work,) = store.root.glob("tiny/.work-*")
    assert [r["claim"] for r in recording.read(work)] == ["emb-1"]
    assert [*runs_in(store), *attempts_in(store)] == []
    assert processes_with(str(store.root)) == []
