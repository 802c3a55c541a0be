"""The verdict table of the README, generated from `runs/reference/verdicts.csv` between two markers.

`python -m masklib.site.readme` writes it, and copies the README's figure from the last runs.
"""

import csv
import re
import shutil
from collections import Counter
from pathlib import Path

from masklib.errors import StoreError
from masklib.ledger import HOLDS, REFUTED, UNTESTED, Claim, load_claims

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "runs" / "reference"
FIGURE = Path("03_masked_evaluate_loss") / "loss_denominators"
MAIN, ORIGINAL = "tensorflow", "2.2.4"  # the backend and the Keras of the documents 000, 001 and 004
Verdicts = dict[tuple[str, str, str], dict[str, str]]  # rows of the reference, by claim, Keras and backend
BEGIN, END = "<!-- verdicts: begin -->", "<!-- verdicts: end -->"


def with_table(text: str) -> str:
    """Return `text` with the table between its markers made anew.

    Raises:
        StoreError: the markers, or the reference, are missing.
    """
    if BEGIN not in text or END not in text:
        msg = f"README.md must hold the markers {BEGIN} and {END}."
        raise StoreError(msg)
    table = f"{BEGIN}\n{_table()}\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: table, text, flags=re.DOTALL)


def _table() -> str:
    """Return the verdicts as Markdown: a row a claim, a column for the newest Keras and one for that of the documents."""
    verdicts = {(row["claim"], row["keras"], row["backend"]): row for row in _reference()}
    newest = max({keras for _, keras, _ in verdicts}, key=_as_numbers)
    counts = _counts(verdicts, newest)
    head = [f"{counts}", "", f"| claim | documents say | Keras {newest} | Keras {ORIGINAL} | decided by, on Keras {newest} |"]
    rows = [_row(claim, newest, verdicts) for claim in load_claims().values()]
    return "\n".join([*head, "|---|---|---|---|---|", *rows])


def _counts(verdicts: Verdicts, newest: str) -> str:
    """Return how many claims have which verdict on the newest Keras, as a sentence."""
    found = Counter(row["verdict"] for (_, keras, backend), row in verdicts.items() if (keras, backend) == (newest, MAIN))
    told = f"{found[HOLDS]} hold, {found[REFUTED]} are refuted, {found[UNTESTED]} could not be tested"
    return f"Measured on Keras {newest} with {MAIN}: of {len(load_claims())} claims {told}."


def _row(claim: Claim, newest: str, verdicts: Verdicts) -> str:
    """Return one row of the table."""
    now = verdicts.get((claim.id, newest, MAIN), {"verdict": "", "reason": "not measured yet"})
    others = [
        f"{backend}: {row['verdict']}"
        for (name, keras, backend), row in sorted(verdicts.items())
        if (name, keras) == (claim.id, newest) and row["verdict"] != now["verdict"]
    ]
    then = verdicts.get((claim.id, ORIGINAL, MAIN), {"verdict": ""})["verdict"]
    shown = ", ".join([_shown(now["verdict"]), *others])
    cells = [f"[{claim.id}](notebooks/{claim.notebook}.ipynb)", claim.statement, shown, _shown(then), now["reason"]]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _shown(verdict: str) -> str:
    """Return a verdict as the table shows it."""
    return f"**{verdict}**" if verdict == REFUTED else verdict


def _as_numbers(version: str) -> tuple[int, ...]:
    """Return a version so that it can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _reference() -> list[dict[str, str]]:
    """Return the committed verdicts."""
    path = REFERENCE / "verdicts.csv"
    if not path.exists():
        msg = f"The table needs {path.relative_to(ROOT)}, which is missing. Run `make reference`."
        raise StoreError(msg)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Write the table into the README, and the README's figure beside the reference."""
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
    figure = ROOT / "runs" / "figures" / FIGURE.with_suffix(".png")
    shutil.copy(figure, REFERENCE / figure.name)


if __name__ == "__main__":
    main()
