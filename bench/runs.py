"""How long runs take: stock papermill, nbclient, masklib with cold and with warm kernels, and the cells alone.

Prints medians and ratios, all measured in this call. `python bench/runs.py --only a,e` measures a part.
"""

# ruff: noqa: T201 -- a benchmark prints

import argparse
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import nbformat

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SUBJECT = "02_rnn_carry_over"
CELLS = ("lstm", "gru")
FLOOR = """
import json, os, sys, tempfile, time
import keras, pandas, pyarrow.parquet, matplotlib
matplotlib.use("agg")
import matplotlib.pyplot
sources, times = json.load(open(sys.argv[1])), []
for _ in range(int(sys.argv[2]) + 1):
    os.environ["MASKLIB_RUN_DIR"] = tempfile.mkdtemp()
    namespace, started = {"__name__": "__main__"}, time.perf_counter()
    for source in sources:
        exec(source, namespace)
    times.append(time.perf_counter() - started)
json.dump(times, open(sys.argv[1], "w"))
"""

PEER = "ploomber-engine==0.0.33"
IN_ONE_PROCESS = """
import json, sys, tempfile
from ploomber_engine import execute_notebook
for cell, seed in json.loads(sys.argv[2]):
    with tempfile.TemporaryDirectory() as folder:
        execute_notebook(sys.argv[1], folder + "/out.ipynb", parameters={"cell": cell, "seed": seed}, progress_bar=False)
"""


def seconds(act: Callable[[], Any]) -> float:
    """Return how long `act` takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def show(name: str, took: float, against: float | None = None) -> None:
    """Print a median, and how many times faster it is than the first of its group."""
    ratio = "" if against is None else f"  {against / took:6.1f} times"
    print(f"  {name:<48} {took:8.2f} s{ratio}", flush=True)


def stock(cell: str, seed: int) -> None:
    """Execute one run with papermill as it is."""
    import papermill

    logging.getLogger("papermill").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        source, target = NOTEBOOKS / f"{SUBJECT}.ipynb", Path(folder) / "out.ipynb"
        papermill.execute_notebook(source, target, parameters={"cell": cell, "seed": seed}, progress_bar=False)


def plain_nbclient() -> None:
    """Execute the notebook with nbclient."""
    from nbclient import NotebookClient

    NotebookClient(nbformat.read(NOTEBOOKS / f"{SUBJECT}.ipynb", as_version=4)).execute()


def ours(root: Path, seed: int, *, warm: bool) -> None:
    """Execute one run with masklib in this process."""
    import papermill  # noqa: F401 (before any other way to the engine)

    from masklib.engine.run import execute_plan, plan_run
    from masklib.engine.store import Store

    result = execute_plan(plan_run(SUBJECT, {"seed": seed}), Store(root), warm=warm)
    assert result is not None
    assert (result.cached, result.record.status, result.record.launch) == (False, "ok", "fork" if warm else "spawn")


def floor(repeats: int) -> tuple[float, float]:
    """Return the time of the cells alone, in a process that has everything imported: the first time, and the median after it."""
    from masklib.engine.settings import kernel_environment, numeric_settings

    node = nbformat.read(NOTEBOOKS / f"{SUBJECT}.ipynb", as_version=4)
    sources = [cell.source for cell in node.cells if cell.cell_type == "code"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cells.json"
        file.write_text(json.dumps(sources))
        environment = kernel_environment(numeric_settings(), Path(folder))
        command = [sys.executable, "-c", FLOOR, str(file), str(repeats)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        first, *others = json.loads(file.read_text())
        return first, statistics.median(others)


def one_run(repeats: int) -> None:
    """(a): one run of notebook 02."""
    print(f"(a) one run of {SUBJECT}, all four cells, smoke; median of {repeats}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ours(root / "first", 1000, warm=True)  # starts the fork server, as the first run of a sweep does
        ways: dict[str, Callable[[int], None]] = {
            "stock papermill": lambda seed: stock("all", seed),
            "nbclient": lambda seed: plain_nbclient(),
            "masklib, cold kernel": lambda seed: ours(root / "cold", seed, warm=False),
            "masklib, warm kernel": lambda seed: ours(root / "warm", seed, warm=True),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for seed in range(repeats):
            for name, act in ways.items():
                times[name].append(seconds(lambda act=act, seed=seed: act(seed)))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    for name, took in medians.items():
        show(name, took, medians["stock papermill"])
    first, lowest = floor(repeats)
    show("the same cells alone, the first time in a process", first, medians["stock papermill"])
    show("the same cells in one warm process (the floor)", lowest, medians["stock papermill"])
    above = medians["masklib, warm kernel"] - lowest
    print(f"  masklib, warm: {above:.2f} s above the floor, {first - lowest:.2f} s of them TensorFlow's for a first time")


def sweep(points: int) -> None:
    """(b): a sweep on all cores."""
    cores = len(os.sched_getaffinity(0))
    seeds = points // len(CELLS)
    print(f"(b) a sweep of {points} points of {SUBJECT} on {cores} cores")

    def pool() -> None:
        with ProcessPoolExecutor(cores) as executor:
            waiting = [executor.submit(stock, cell, seed) for cell in CELLS for seed in range(seeds)]
            for future in waiting:
                future.result()

    usual = seconds(pool)
    show("stock papermill in a process pool", usual, usual)
    with tempfile.TemporaryDirectory() as folder:
        grid = ["-g", f"seed=0:{seeds}", "-g", f"cell={','.join(CELLS)}"]
        show("masklib sweep", seconds(lambda: masklib("sweep", SUBJECT, *grid, "--runs", folder)), usual)
    in_one_process(seeds, cores, usual)


def in_one_process(seeds: int, cores: int, usual: float) -> None:
    """The same points by ploomber-engine, which executes them in one process a core: no kernel, no isolation of runs."""
    uv = shutil.which("uv") or ".uv/bin/uv"
    python = [uv, "run", "--locked", "--with", PEER, "python", "-c"]
    if subprocess.run([*python, "import ploomber_engine"], capture_output=True, check=False).returncode:
        print(f"  {PEER} cannot be had here: not measured")
        return
    points = [[cell, seed] for cell in CELLS for seed in range(seeds)]

    def act() -> None:
        parts = [json.dumps(points[core::cores]) for core in range(cores)]
        started = [subprocess.Popen([*python, IN_ONE_PROCESS, str(NOTEBOOKS / f"{SUBJECT}.ipynb"), part]) for part in parts]
        assert [process.wait() for process in started] == [0] * cores

    show("ploomber-engine, one process a core, not isolated", seconds(act), usual)


def suite() -> None:
    """(c): the suite from an empty store, and from a full one."""
    print("(c) masklib reproduce")
    with tempfile.TemporaryDirectory() as folder:
        command = ("reproduce", "--no-site", "--runs", folder)
        empty = seconds(lambda: masklib(*command))
        show("from an empty store", empty, empty)
        show("from a full one", statistics.median(seconds(lambda: masklib(*command)) for _ in range(3)), empty)


def collecting() -> None:
    """(d): collecting many runs."""
    print("(d) masklib.load_results")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        masklib("run", SUBJECT, "--runs", str(root / "one"))
        (run,) = (path.parent for path in root.glob("one/*/*/record.json"))
        record = json.loads((run / "record.json").read_text())
        for number in (1_000, 10_000):
            store = root / str(number)
            for seed in range(number):
                key = f"{seed:064x}"
                target = store / SUBJECT / key
                target.mkdir(parents=True)
                record["key"], record["inputs"]["parameters"]["seed"] = key, ["int", seed]
                (target / "record.json").write_text(json.dumps(record))
                shutil.copy(run / "records.jsonl", target)
            code = f"import masklib; masklib.load_results({str(store)!r})"
            first = seconds(lambda code=code: subprocess.run([sys.executable, "-c", code], check=True))
            show(f"{number:,} runs, the first time", first, first)
            show(
                f"{number:,} runs, again",
                seconds(lambda code=code: subprocess.run([sys.executable, "-c", code], check=True)),
                first,
            )


def front_door() -> None:
    """(e): the help."""
    print("(e) masklib --help")
    show("median of 5", statistics.median(seconds(lambda: masklib("--help")) for _ in range(5)))


def masklib(*arguments: str) -> None:
    """Execute a command of masklib."""
    subprocess.run([sys.executable, "-m", "masklib", *arguments], check=True, capture_output=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="a,b,c,d,e", help="parts to measure")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind in (a)")
    parser.add_argument("--points", type=int, default=40, help="points of the sweep in (b)")
    given = parser.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "a": lambda: one_run(given.repeats),
        "b": lambda: sweep(given.points),
        "c": suite,
        "d": collecting,
        "e": front_door,
    }
    for part in given.only.split(","):
        parts[part]()


if __name__ == "__main__":
    main()
