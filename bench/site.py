"""How long the site takes: of the suite and a sweep, and again when one run changed; beside plain nbconvert of its notebooks.

`python bench/site.py --points 1000`. It needs the runs of `make reproduce`; the points of the sweep are made from one of them.
"""

# ruff: noqa: T201 -- a benchmark prints

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from masklib.engine.store import RESERVED
from masklib.engine.stores import open_store
from masklib.site.build import HIDDEN, build

SUBJECT = "02_rnn_carry_over"
LARGEST = 1_500_000  # bytes that a page may have


def seconds(act: Callable[[], Any]) -> float:
    """Return how long `act` takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def make_point(source: Path, root: Path, index: int) -> None:
    """Write a run of a sweep, made from a real one: other parameters, other numbers; each fiftieth failed."""
    draw = random.Random(index)  # noqa: S311 (numbers to draw)
    record = json.loads((source / "record.json").read_text())
    lines = [json.loads(line) for line in (source / "records.jsonl").read_text().splitlines()]
    record["inputs"]["parameters"] |= {"seed": ["int", index], "units": ["int", 2 + index % 4]}
    record["key"] = f"{index:064x}"
    folder = root / SUBJECT / record["key"]
    if index % 50 == 49:
        folder = root / SUBJECT / "failed" / f"{record['key']}-1"
        error = {"ename": "ValueError", "evalue": f"steps {index % 3}", "traceback": "Traceback\n  line\n" * 20, "cell": 5}
        record |= {"status": "failed", "error": error}
    for line in lines:
        if line["kind"] == "metric":
            line["value"] *= 1 + 0.1 * draw.random()
    text = "".join(json.dumps(line) + "\n" for line in lines)
    record["files"] = {"records.jsonl": len(text.encode())}
    folder.mkdir(parents=True)
    (folder / "records.jsonl").write_text(text)
    (folder / "record.json").write_text(json.dumps(record))


def make_store(runs: Path, root: Path, points: int) -> None:
    """Copy the runs of the suite, and add those of a sweep."""
    for folder in sorted(runs.iterdir()):
        if folder.is_dir() and folder.name not in RESERVED:
            shutil.copytree(folder, root / folder.name)
    source = next(path for path in sorted((runs / SUBJECT).iterdir()) if (path / "record.json").exists())
    for index in range(points):
        make_point(source, root, index)


def change_one(root: Path) -> None:
    """Let one published run of the suite have been executed anew: another record, as a later one would have."""
    path = next(p for p in sorted((root / SUBJECT).glob("*/record.json")) if not p.parent.name.startswith("0000"))
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"duration_s": record["duration_s"] + 1.0}))


def nbconvert(notebooks: list[Path], out: Path) -> None:
    """Convert notebooks to HTML with nbconvert as it is."""
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", "--output-dir", str(out), *map(str, notebooks)]
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    """Print the times and the largest page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        make_store(chosen.runs, root, chosen.points)
        store = open_store(root)
        first = seconds(lambda: build(store))
        change_one(root)
        changed = seconds(lambda: build(store))
        same = seconds(lambda: build(store))
        notebooks = sorted((root / "site" / "evidence").rglob("notebook.ipynb"))
        plain = seconds(lambda: nbconvert(notebooks, Path(folder) / "plain"))
        pages = [p for p in (root / "site").rglob("*.html") if HIDDEN not in p.parts]
        largest = max(pages, key=lambda p: p.stat().st_size)
        print(f"The site of {len(notebooks)} notebooks and {chosen.points} points of a sweep, {len(pages)} pages")
        print(f"  from nothing                {first:7.1f} s")
        print(f"  when one run changed        {changed:7.1f} s")
        print(f"  when nothing changed        {same:7.2f} s")
        print(f"  plain nbconvert of {len(notebooks)}       {plain:7.1f} s (no tables, verdicts, search)")
        print(f"  largest page                {largest.stat().st_size / 1e6:7.2f} MB of {LARGEST / 1e6} MB: {largest.name}")
        if largest.stat().st_size > LARGEST:
            sys.exit("A page is larger than it may be.")


if __name__ == "__main__":
    main()
