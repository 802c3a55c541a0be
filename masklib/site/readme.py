"""The generated parts of the README, each between two markers: its picture, the table of verdicts, and the layout.

The first two are made of what is committed in `runs/reference`: `verdicts.csv`, and a figure that `masklib figures` drew there.
The layout comes from `architecture.toml`.
`python -m masklib.site.readme` writes them.
"""

import csv
import json
import re
from collections import Counter
from html import escape
from pathlib import Path

from masklib.claims.ledger import Claim, load_claims
from masklib.claims.words import HOLDS, REFUTED, UNTESTED
from masklib.errors import StoreError
from masklib.site.architecture import layout

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "runs" / "reference"
FIGURE = "loss_denominators"
MAIN, ORIGINAL = "tensorflow", "2.2.4"  # the backend and the Keras of the documents 000, 001 and 004
Verdicts = dict[tuple[str, str, str], dict[str, str]]  # rows of the reference, by claim, Keras and backend


def with_parts(text: str) -> str:
    """Return `text` with what stands between its markers generated again.

    Raises:
        StoreError: the markers, or the reference, are missing.
    """
    for name, part in (("picture", _picture()), ("verdicts", _table()), ("layout", f"```\n{layout()}\n```")):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if begin not in text or end not in text:
            msg = f"README.md must hold the markers {begin} and {end}."
            raise StoreError(msg)
        text = "".join([text.partition(begin)[0], f"{begin}\n{part}\n{end}", text.partition(end)[2]])
    return text


def _picture() -> str:
    """Return the picture in light and dark, with the texts that stand beside it."""
    told = json.loads(_reference(f"{FIGURE}.json"))
    folder = REFERENCE.relative_to(ROOT).as_posix()
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="{folder}/{FIGURE}-dark.svg">'
    light = f'<img src="{folder}/{FIGURE}.svg" alt="{escape(told["alt"])}">'
    return "\n".join(["<picture>", f"  {dark}", f"  {light}", "</picture>", "", f"*{told['caption']}*"])


def _table() -> str:
    """Return the verdicts as Markdown: a row a claim, a column for the newest Keras and one for that of the documents."""
    verdicts = {(row["claim"], row["keras"], row["backend"]): row for row in _verdicts()}
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


def _verdicts() -> list[dict[str, str]]:
    """Return the committed verdicts."""
    return list(csv.DictReader(_reference("verdicts.csv").splitlines()))


def _reference(name: str) -> str:
    """Return a committed file of results."""
    path = REFERENCE / name
    if not path.exists():
        msg = f"The README needs {path.relative_to(ROOT)}, which is missing. Run `make reference`."
        raise StoreError(msg)
    return path.read_text(encoding="utf-8")


def main() -> None:
    """Write the generated parts into the README."""
    path = ROOT / "README.md"
    path.write_text(with_parts(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
