"""A small store for the site: runs as the engine would publish them, some of whose names and messages are markup."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from masklib.claims.outputs import mark
from masklib.engine.contents import sums_of
from masklib.engine.record import FAILED, OK, Failure, Record, sizes_of, write_record
from masklib.figures import plots, recipes

EVIL = "<script>alert(1)</script>"
PARAMETERS = 'seed: int = 0  # seed\nprofile: str = "smoke"  # {smoke, full}\nlabel: str = "plain"  # of the layer'
FIRST, SWEPT = "01_first", "02_swept"
LONG = 2_500  # rows of the table with a page of its own
FAILURES = {f"{EVIL} in layer": 6, "negative width": 3}


def make_checkout(folder: Path) -> Path:
    """Write a suite of two notebooks, and return the store of their runs."""
    for name in (FIRST, SWEPT):
        (folder / "notebooks").mkdir(exist_ok=True)
        nbformat.write(_source(name), folder / "notebooks" / f"{name}.ipynb")
    runs = folder / "runs"
    _suite_run(runs, "3.15.1", "tensorflow", verdict=False)
    _suite_run(runs, "2.15.0", "tensorflow", verdict=True)
    for seed in range(1, 121):
        for label in ("plain", EVIL):
            _point(runs, seed, label)
    index = 0
    for message, count in FAILURES.items():
        for _ in range(count):
            _failure(runs, index, message)
            index += 1
    return runs


def record(notebook: str, key: str, keras: str = "3.15.1", backend: str = "tensorflow", **values: Any) -> Record:
    """Return the record of a run that ended well unless `values` say otherwise."""
    parameters = {"seed": 0, "profile": "smoke", "label": "plain"} | values.pop("parameters", {})
    inputs = {
        "parameters": {name: [type(value).__name__, value] for name, value in parameters.items()},
        "versions": {"keras": keras, backend: "1.0"},
        "settings": {"KERAS_BACKEND": backend},
        "python": "CPython 3.11.7",
        "device": "cpu",
    }
    told = {"status": OK, "launch": "fork", "started": "2026-01-01T00:00:00+00:00", "duration_s": 2.0, **values}
    return Record(notebook=notebook, key=key, inputs=inputs, **told)


def publish(runs: Path, run: Record, lines: list[dict[str, Any]], *, failed: bool = False) -> Path:
    """Write a run into the store; its other files are there already."""
    name = f"failed/{run.key}-1" if failed else run.key
    folder = runs / run.notebook / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sizes = sizes_of(folder)
    write_record(folder, Record(**{**vars(run), "files": sizes, "sums": sums_of(folder, sizes)}))
    return folder


def _source(name: str) -> Any:
    """A notebook without outputs."""
    cells = [
        nbformat.v4.new_markdown_cell(f"# {name[:2]} · Does it hold?\n\nSome prose with <b>markup</b>."),
        nbformat.v4.new_markdown_cell("**Question.** What is it?"),
        nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print('experiment')", metadata={"tags": ["experiment"]}),
        nbformat.v4.new_code_cell("table", metadata={"tags": ["table"]}),
        nbformat.v4.new_code_cell("figure", metadata={"tags": ["figure"]}),
        nbformat.v4.new_markdown_cell("**Limits.** A few."),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def _suite_run(runs: Path, keras: str, backend: str, *, verdict: bool) -> None:
    """Publish a run of the suite: every kind of output, two claims, a figure, a table with a page of its own."""
    key = f"{keras.replace('.', ''):f<64}"
    folder = runs / FIRST / key
    for name in ("figures", "tables"):
        (folder / name).mkdir(parents=True)
    recipe = recipes.make_recipe(
        "line", plots.plot_curves, ([1, 2, 3], {EVIL: [1.0, 2.0, 4.0]}), {"xlabel": EVIL, "ylabel": "y"}, caption=EVIL, alt=EVIL
    )
    files = {"png": recipes.preview(recipe), "json": json.dumps(recipes.as_json(recipe)).encode()}
    for suffix, content in files.items():
        (folder / "figures" / f"line.{suffix}").write_bytes(content)
    atlas = pd.DataFrame({"layer": [EVIL, *(f"layer {i}" for i in range(LONG - 1))], "error": [i / 7 for i in range(LONG)]})
    atlas.to_parquet(folder / "tables" / "atlas.parquet")
    node = _source(FIRST)
    _fill(node, files["png"])
    nbformat.write(node, folder / "notebook.ipynb")
    lines = [
        {"kind": "table", "name": "atlas", "rows": LONG, "columns": ["layer", "error"], "page": f"Atlas of {EVIL}"},
        {"kind": "figure", "name": "line"},
        {"kind": "metric", "name": "width", "value": 2.0, "unit": ""},
        {"kind": "claim", "claim": "mask-3", "part": EVIL, "observed": EVIL, "expected": "y", "atol": 0.0},
        {"kind": "claim", "claim": "loss-7", "part": "", "observed": 1.0, "expected": 1.0 if verdict else 2.0, "atol": 0.0},
    ]
    publish(runs, record(FIRST, key, keras, backend), lines)


def _fill(node: Any, png: bytes) -> None:
    """Give a notebook outputs of every kind; what could run in a browser is in each."""
    import base64

    experiment, table, figure = node.cells[3:6]
    html = pd.DataFrame({"name": ["b", EVIL, "a"], "value": [2.0, 10.0, 1.0]}).to_html()
    raw = f"<p onclick='alert(2)'>raw {EVIL}</p><img src=x onerror=alert(3)><style>body{{display:none}}</style><table></table>"
    part = "<table></table><p>the first rows</p>"
    experiment.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=f"printed {EVIL}\n"),
        nbformat.v4.new_output("display_data", data={"text/markdown": f"**bold** {EVIL}", "text/plain": f"plain {EVIL}"}),
        nbformat.v4.new_output("display_data", data={"application/javascript": "alert(4)", "text/plain": "a script"}),
        nbformat.v4.new_output("display_data", data={"text/latex": "$x$", "text/plain": "x"}),
    ]
    table.outputs = [
        nbformat.v4.new_output("display_data", data={"text/html": html, "text/plain": "t"}),
        nbformat.v4.new_output("display_data", data={"text/html": raw, "text/plain": "r"}),
        nbformat.v4.new_output("display_data", data={"text/html": part}, metadata=mark("table", "atlas", whole=False)),
    ]
    figure_data = {"image/png": base64.b64encode(png).decode(), "text/plain": "f"}
    drawn = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(5)</script></svg>'
    figure.outputs = [
        nbformat.v4.new_output("display_data", data=figure_data, metadata=mark("figure", "line")),
        nbformat.v4.new_output("display_data", data={"image/svg+xml": drawn, "text/plain": "g"}),
    ]


def _point(runs: Path, seed: int, label: str) -> None:
    """Publish a run of a sweep."""
    key = f"{seed:032x}{len(label):032x}"
    lines = [
        {"kind": "metric", "name": name, "value": value, "unit": "s"} for name, value in (("error", seed / 3), (EVIL, seed * 2.0))
    ]
    publish(runs, record(SWEPT, key, parameters={"seed": seed, "label": label}), lines)


def _failure(runs: Path, index: int, message: str) -> None:
    """Publish a failed attempt."""
    error = Failure(FAILED, "ValueError", message, (f"Traceback of {message}", "  line 1"), cell=3)
    run = record(SWEPT, f"{index:f<64}", status=FAILED, error=error, parameters={"seed": 1000 + index})
    publish(runs, run, [], failed=True)
