"""The verdict table of the README, generated from `runs/reference/verdicts.csv` between two markers.

`python -m masklib.site.readme` writes it, and copies the README's figure from the last runs.
"""

import csv
import re
import shutil
from pathlib import Path

from masklib.errors import StoreError
from masklib.ledger import Claim, load_claims

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "runs" / "reference"
FIGURE = Path("03_masked_evaluate_loss") / "loss_denominators"
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
    """Return the verdicts as Markdown: a row a claim, what is open last."""
    rows = _reference()
    keras, backend = rows[-1]["keras"], rows[-1]["backend"]
    verdicts = {row["claim"]: row for row in rows if (row["keras"], row["backend"]) == (keras, backend)}
    measured = [_row(claim, verdicts[claim.id]) for claim in load_claims().values() if claim.id in verdicts]
    refuted = sum(row["verdict"] == "refuted" for row in verdicts.values())
    counts = f"{len(verdicts) - refuted} hold, {refuted} are refuted, {len(load_claims()) - len(verdicts)} are not measured yet"
    head = [f"Measured on Keras {keras} with {backend}: {counts}.", "", "| claim | documents say | verdict | decided by |"]
    return "\n".join([*head, "|---|---|---|---|", *measured])


def _row(claim: Claim, verdict: dict[str, str]) -> str:
    """Return one row of the table."""
    shown = "**refuted**" if verdict["verdict"] == "refuted" else verdict["verdict"]
    cells = [f"[{claim.id}](notebooks/{claim.notebook}.ipynb)", claim.statement, shown, verdict["reason"]]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


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
