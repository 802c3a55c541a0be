"""What masklib is published with, in `runs/reference`: verdicts, answers, what changed. As text; nothing heavy is imported."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from masklib.engine.notebooks import notebooks_folder
from masklib.engine.releases import is_pre_release, version_key

VERDICTS, ANSWERS = "verdicts.csv", "answers.csv"
VERSIONS, CHANGES = "versions.csv", "changes.csv"
MAIN = "tensorflow"  # the backend whose results are shown first
_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z0-9`\"(])")  # of a sentence
SHORT = 12  # characters; a sentence that is shorter, such as "No.", is shown with the next one

Row = dict[str, str]


def reference_folder() -> Path:
    """Return `runs/reference` beside the notebooks that the suite executes."""
    return notebooks_folder().parent / "runs" / "reference"


def committed_verdicts() -> list[Row]:
    """Return the rows of the committed verdicts; [] where the notebooks that are executed have none."""
    return read_rows(reference_folder() / VERDICTS)


def committed_answers() -> list[Row]:
    """Return the committed answers, by notebook, Keras and backend; [] where the notebooks that are executed have none."""
    return read_rows(reference_folder() / ANSWERS)


def committed_versions() -> list[Row]:
    """Return the committed cells of the matrix of versions; see `masklib.engine.versions`."""
    return read_rows(reference_folder() / VERSIONS)


def committed_changes() -> list[Row]:
    """Return where committed verdicts, and layers, changed from one version to the next."""
    return read_rows(reference_folder() / CHANGES)


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a CSV file; [] if it is not there."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_csv(columns: Iterable[str], rows: Iterable[Row]) -> str:
    """Return rows as the text of a CSV file."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def newest_first(rows: Iterable[Row]) -> list[Row]:
    """Return rows with the newest release of Keras first, of one Keras that on `MAIN`; pre-releases last."""
    return sorted(rows, key=lambda row: newness(row["keras"], row["backend"])[:-1], reverse=True)


def newness(keras: str, backend: str) -> tuple[bool, tuple[int, ...], bool, str]:
    """Return what sorts versions and backends: pre-releases of Keras, its releases by age, the main backend last."""
    return not is_pre_release(keras), version_key(keras), backend == MAIN, backend


def newest_answers(rows: Iterable[Row]) -> dict[str, Row]:
    """Return by notebook the row with the answer on the newest Keras."""
    return {row["notebook"]: row for row in reversed(newest_first(rows))}


def first_sentence(answer: str) -> str:
    """Return the first sentence of an answer as one line, with the next one where it is as short as "No."."""
    found, *rest = _END.split(" ".join(answer.split()))
    return f"{found} {first_sentence(' '.join(rest))}" if rest and len(found) < SHORT else found
