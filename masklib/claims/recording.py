"""What a notebook calls: start a run, record a number, a table, a figure, a claim.

Under the engine, each call appends one line to `records.jsonl` in the run's folder as it happens, so that what was recorded
outlives a kernel that dies. Opened by hand in JupyterLab, the same calls only display.
"""

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from masklib.checks import check_one_of
from masklib.claims.ledger import NOT_TESTED, find_claim, judge, plain
from masklib.claims.outputs import FIGURE, mark
from masklib.claims.view import ClaimView, Part
from masklib.errors import ArgumentError, ClaimError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FOLDER_VARIABLE = "MASKLIB_RUN_DIR"
RECORDS = "records.jsonl"
USES = "uses.jsonl"  # files and variables that the notebook names; the engine moves them into the record of the run
PROFILES = ("smoke", "full")
CLAIM_KINDS = ("claim", "untested")  # of records about a part of a claim
ANSWER = "answer"  # kind of record
LONGEST_ANSWER = 600  # characters


def start(namespace: Mapping[str, Any]) -> "Run":
    """Start the run of a notebook: `run = recording.start(globals())`, after its parameters.

    Seeds the generators of `random` and `numpy.random` from the notebook's `seed`, if it has one; it seeds Keras itself.

    Args:
        namespace: the notebook's globals; `seed` there is an int, `profile` "smoke" or "full". Notebooks of the suite have both.

    Raises:
        ArgumentError: `seed` or `profile` is there and is something else.
    """
    if "profile" in namespace:
        check_one_of("profile", namespace["profile"], PROFILES)
    if "seed" in namespace:
        _seed(namespace["seed"])
    folder = os.environ.get(FOLDER_VARIABLE)
    return Run(Path(folder) if folder else None)


def _seed(seed: Any) -> None:
    """Seed the generators of `random` and `numpy.random`."""
    if not isinstance(seed, int | np.integer):
        msg = f"The seed of a notebook must be an int, it is {seed!r}."
        raise ArgumentError(msg)
    random.seed(int(seed))
    np.random.seed(int(seed) % 2**32)


class Run:
    """The records of one execution of a notebook.

    Args:
        folder: the folder of the run, made by the engine; None displays only.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = folder
        self._view = ClaimView()
        records = read(folder) if folder else []
        self._claimed = {(r["claim"], r["part"]) for r in records if r["kind"] in CLAIM_KINDS}
        self._answered = any(r["kind"] == ANSWER for r in records)

    def metric(self, name: str, value: float, *, unit: str = "") -> None:
        """Record one number.

        Args:
            name: unique in the run.
            value: a number or a boolean.
            unit: such as "s"; "" for a number without one.

        Raises:
            ArgumentError: `value` is not one number, or `name` or `unit` no text.
        """
        _check_text(name=name, unit=unit)
        if np.ndim(value) != 0 or np.asarray(value).dtype.kind not in "biuf":
            msg = f"A metric is one number, {name!r} is {value!r}. Record a table for more."
            raise ArgumentError(msg)
        value = float(value)
        self._append({"kind": "metric", "name": name, "value": value, "unit": unit})
        _show(f"{name} = {value:g} {unit}".rstrip())

    def table(self, name: str, frame: "pd.DataFrame", *, page: str = "") -> "pd.DataFrame":
        """Record a tidy table as `tables/<name>.parquet`, and return it so that the cell shows it.

        Args:
            name: unique in the run.
            frame: the table.
            page: the title of a page of its own in the report, where the rows of the newest run on each Keras and backend
                stand together; "" for none.

        Raises:
            ArgumentError: the name is taken, or holds a "/"; or it or `page` is no text.
        """
        _check_text(name=name, page=page)
        if self.folder is not None:
            from masklib.claims.tables import recorded

            path = _new_file(self.folder, f"tables/{name}.parquet")
            frame.to_parquet(path, index=False)
            shown = recorded(frame, name)
            told = {"kind": "table", "name": name, "rows": len(frame), "columns": list(map(str, frame.columns))}
            self._append(told | ({"page": page} if page else {}))
            return shown
        return frame

    def figure(
        self,
        name: str,
        plot: "Callable[..., Axes]",
        *values: Any,
        caption: str = "",
        alt: str = "",
        **options: Any,
    ) -> None:
        """Draw a figure from data, record it, and show it.

        `run.figure("rows", figures.plot_rows, rows, labels, title="Rows", caption="...", alt="...")` records
        `figures/<name>.json`, from which `masklib figures` and `masklib report` draw it in any theme, width and format, and
        `figures/<name>.png`, which the notebook shows; the same bytes for the same data.

        Args:
            name: unique in the run.
            plot: a function of `masklib.figures.plots`.
            *values: arguments of the function: numbers, words, arrays, series, mappings.
            caption: what stands below the figure.
            alt: what the figure shows, for readers who cannot see it.
            **options: arguments of the function by name.

        Raises:
            ArgumentError: the function is another one, its arguments do not fit, a text is missing, or the name is taken.
        """
        from masklib.figures import recipes

        recipe = recipes.make_recipe(name, plot, values, options, caption=caption, alt=alt)
        files = {"png": recipes.preview(recipe), "json": json.dumps(recipes.as_json(recipe), ensure_ascii=False).encode()}
        if self.folder is not None:
            self._write_figure(name, files)
        self._show_png(name, files["png"])

    def depends(self, path: str | Path) -> Path:
        """Say that the results follow from a file, and return its path: `pd.read_csv(run.depends("data.csv"))`.

        The run then counts only while the file holds what it holds now.

        Args:
            path: of a file; absolute, or from the folder in which the notebook runs.

        Raises:
            ArgumentError: there is no such file.
        """
        file = Path(path).resolve()
        if not file.is_file():
            msg = f"A run depends on files, there is no file {path} in {Path.cwd()}. Give its path from there, or the whole path."
            raise ArgumentError(msg)
        if self.folder is not None:
            with file.open("rb") as content:
                _append_line(self.folder / USES, json.dumps({"file": str(file), "sha256": sha256_of(content)}))
        return file

    def variable(self, name: str, default: str | None = None) -> str:
        """Return an environment variable, and say that the results follow from it; its value is recorded as a hash only.

        Args:
            name: of the variable.
            default: its value where it is not set.

        Raises:
            ArgumentError: it is not set, and there is no default.
        """
        value = os.environ.get(name)
        if self.folder is not None:
            _append_line(self.folder / USES, json.dumps({"variable": name, "sha256": variable_hash(name, value)}))
        found = default if value is None else value
        if found is None:
            msg = f"The environment variable {name} must be set, it is not. Set it, or give a default."
            raise ArgumentError(msg)
        return found

    def _write_figure(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write the files of a figure and record it."""
        folder = cast("Path", self.folder)
        for path, content in [(_new_file(folder, f"figures/{name}.{suffix}"), content) for suffix, content in files.items()]:
            path.write_bytes(content)
        self._append({"kind": "figure", "name": name})

    def _show_png(self, name: str, content: bytes) -> None:
        """Show a figure: what was recorded, in the size at which it is printed."""
        from IPython.display import Image

        from masklib.figures.style import DPI

        width = int.from_bytes(content[16:20], "big")  # of the header of a PNG
        image = Image(content, format="png", width=width * 100 // DPI)
        _show(image, mark(FIGURE, name) if self.folder is not None else {})

    def claim(self, claim: str, observed: Any, expected: Any, *, atol: float = 0.0, part: str = "") -> None:
        """Record what was observed for a claim, and what is expected if it is true.

        A claim about several cases is recorded part by part; it holds if every part holds. The verdict is not recorded:
        it follows, by `masklib.claims.ledger.judge`, whenever the records are read.

        Args:
            claim: the claim's id in the ledger.
            observed: number, string, None, list or array: what was measured.
            expected: the same, from a source independent of what is measured.
            atol: absolute tolerance; 0.0 asks for equality.
            part: names the case; unique for the claim in the run.

        Raises:
            ClaimError: the ledger has no such claim, the part is recorded already, or the two cannot be compared.
            ArgumentError: `part` is no text.
        """
        find_claim(claim)
        _check_text(part=part)
        judgement = judge(observed, expected, atol)
        row = {
            "claim": claim,
            "part": part,
            "observed": plain(observed),
            "expected": plain(expected),
            "atol": float(atol),
        }
        self._append_part({"kind": "claim", **row})
        self._view.add(Part(claim, part, judgement, row["observed"], row["expected"], row["atol"]))

    def untested(self, claim: str, reason: str, *, part: str = "") -> None:
        """Record that a claim, or a part of it, cannot be measured here: it neither holds nor is refuted by this run.

        Args:
            claim: the claim's id in the ledger.
            reason: why, as a sentence, such as that of `masklib.compat.lacks`.
            part: names the case; unique for the claim in the run.

        Raises:
            ClaimError: the ledger has no such claim, the part is recorded already, or no reason is given.
        """
        find_claim(claim)
        _check_text(part=part, reason=reason)
        if not reason.strip():
            msg = f"What is not tested needs a reason, {claim} {part!r} has none. Say what is missing."
            raise ClaimError(msg)
        self._append_part({"kind": "untested", "claim": claim, "part": part, "reason": reason})
        self._view.add(Part(claim, part, NOT_TESTED, reason, None, 0.0))

    def answer(self, text: str) -> None:
        """Record the answer to the notebook's question: what its page, the site and `masklib list` show first.

        `run.answer(f"{dropped} of {len(rows)} layers drop the mask.")`: written from the results, so that it follows them.

        Args:
            text: sentences in plain Markdown, such as `code`; once in a run.

        Raises:
            ArgumentError: it is no text, empty, longer than `LONGEST_ANSWER`, or the run has an answer already.
        """
        _check_text(answer=text)
        text = " ".join(text.split())
        if not 0 < len(text) <= LONGEST_ANSWER:
            msg = f"An answer needs between 1 and {LONGEST_ANSWER} characters, got {len(text)}. Keep what a reader asks for."
            raise ArgumentError(msg)
        if self._answered:
            msg = "A run has one answer, it is there already. Say all of it in one call."
            raise ArgumentError(msg)
        self._append({"kind": ANSWER, "text": text})
        self._answered = self.folder is not None  # opened by hand, a cell may be run again
        _show_markdown(f"**Answer.** {text}")

    def _append_part(self, record: dict[str, Any]) -> None:
        """Append the record of a part of a claim, which may be there once."""
        claim, part = record["claim"], record["part"]
        if (claim, part) in self._claimed:
            msg = f"Each part of a claim is recorded once, {claim} {part!r} is there already. Name the part."
            raise ClaimError(msg)
        self._append(record)
        if self.folder is not None:  # opened by hand, a cell may be run again
            self._claimed.add((claim, part))

    def _append(self, record: dict[str, Any]) -> None:
        """Append one line to the records; it is on its way to the disk when this returns."""
        if self.folder is not None:
            _append_line(self.folder / RECORDS, json.dumps(record, ensure_ascii=False))


def read(folder: Path) -> list[dict[str, Any]]:
    """Return the records of the run in `folder`, in the order in which they were made; [] if there are none."""
    path = folder / RECORDS
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def answer_of(records: Iterable[Mapping[str, Any]]) -> str:
    """Return the answer among the records of a run, as Markdown; "" if it gave none."""
    return next((str(record["text"]) for record in records if record["kind"] == ANSWER), "")


def add_metrics(folder: Path, values: Mapping[str, float]) -> None:
    """Append numbers that a notebook recorded by another tool to the records of its run; names that are there stay as they are.

    Args:
        folder: of the run.
        values: by name.
    """
    if not values:
        return
    known = {record["name"] for record in read(folder) if record["kind"] == "metric"}
    lines = [{"kind": "metric", "name": name, "value": value, "unit": ""} for name, value in values.items() if name not in known]
    for line in lines:
        _append_line(folder / RECORDS, json.dumps(line, ensure_ascii=False))


def sha256_of(file: BinaryIO) -> str:
    """Return the sha256, in hex, of what an open file holds."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def variable_hash(name: str, value: str | None) -> str:
    """Return a hash of the value of an environment variable, which does not show it; "" where it is not set."""
    return "" if value is None else hashlib.sha256(f"{name}={value}".encode(errors="surrogateescape")).hexdigest()


def _append_line(path: Path, line: str) -> None:
    """Append a line to a file; it is on its way to the disk when this returns."""
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _check_text(**values: Any) -> None:
    """Raise an ArgumentError unless each value is a text that a file can hold."""
    for name, value in values.items():
        if not isinstance(value, str) or value != value.encode(errors="ignore").decode():
            msg = f"What is recorded needs a {name} that is text, got {value!r}. Give a str."
            raise ArgumentError(msg)


def _new_file(folder: Path, name: str) -> Path:
    """Return the path of a new file of the run; a name that is taken or leaves the folder is refused."""
    path = folder / name
    if path.exists() or path.parent.parent != folder:
        msg = f"A table or figure needs a name of its own without '/', got {Path(name).stem!r}."
        raise ArgumentError(msg)
    path.parent.mkdir(exist_ok=True)
    return path


def _show_markdown(text: str) -> None:
    """Display Markdown in a notebook; elsewhere `display` prints that there is some, so the text itself is printed."""
    from IPython import get_ipython
    from IPython.display import Markdown

    _show(Markdown(text) if get_ipython() else text)


def _show(value: Any, metadata: Mapping[str, Any] | None = None) -> None:
    """Display `value` in a notebook, print it elsewhere.

    Args:
        value: what is shown.
        metadata: of the output.
    """
    from IPython.display import display

    if isinstance(value, str):
        print(value)  # noqa: T201 (this is the notebook's output)
    else:
        display(value, metadata=dict(metadata or {}))
