"""What is generated of the README, each part between two markers, and the page of all verdicts, `runs/reference/verdicts.md`.

All of it is made of what is committed: `verdicts.csv` and `answers.csv` in `runs/reference`, the figure that `masklib figures`
drew there, the ledger of claims, the titles of the notebooks, and `architecture.toml` for the layout.
`python -m masklib.site.readme` writes them.
"""

import json
from collections import Counter
from html import escape
from pathlib import Path

from masklib.claims.ledger import Claim, Document, load_claims, load_documents
from masklib.claims.verdicts import count_phrases
from masklib.claims.words import OPEN, REFUTED
from masklib.engine.changes import coming
from masklib.engine.committed import (
    ANSWERS,
    MAIN,
    VERDICTS,
    VERSIONS,
    committed_changes,
    first_sentence,
    newest_answers,
    newest_first,
    read_rows,
)
from masklib.engine.notebooks import glance
from masklib.engine.releases import is_pre_release, version_key
from masklib.errors import StoreError
from masklib.site import changes_markdown
from masklib.site.architecture import layout

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "runs" / "reference"
PAGE = "verdicts.md"
COMING = ROOT / "masklib" / "auditing" / "report" / "coming.toml"
FIGURE = "across_versions"
FINDINGS = (  # the notebooks whose answers surprise most
    *("14_does_masking_matter", "12_layer_atlas", "04_concatenate_mask_merging", "15_across_versions"),
    *("13_cost_of_masks", "11_initial_state", "08_losses_and_metrics", "09_empty_and_nan"),
)
ORIGINAL = "2.2.4"  # the Keras for which most of the documents were written
Verdicts = dict[tuple[str, str, str], dict[str, str]]  # rows of the reference, by claim, Keras and backend


def with_parts(text: str, reference: Path = REFERENCE) -> str:
    """Return `text` with what stands between its markers generated again.

    Args:
        text: of the README.
        reference: the folder of the committed results.

    Raises:
        StoreError: the markers, or the reference, are missing.
    """
    parts = {
        "picture": _picture(reference),
        "findings": _findings(reference),
        "counts": f"{_counts(*_measured(reference))}\n{_versions(reference)}".rstrip(),
        "layout": f"```\n{layout()}\n```",
    }
    for name, part in parts.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if begin not in text or end not in text:
            msg = f"README.md must hold the markers {begin} and {end}."
            raise StoreError(msg)
        text = "".join([text.partition(begin)[0], f"{begin}\n{part}\n{end}", text.partition(end)[2]])
    return text


def page(reference: Path = REFERENCE) -> str:
    """Return the page of all verdicts as Markdown: the documents, their claims, and the claims that were found here.

    Args:
        reference: the folder of the committed results.

    Raises:
        StoreError: the committed verdicts are missing.
    """
    verdicts, newest = _measured(reference)
    said = [claim for claim in load_claims().values() if claim.documents]
    found = [claim for claim in load_claims().values() if not claim.documents]
    documents = "\n".join(map(_cited, load_documents().values()))
    parts = [_HEAD, _counts(verdicts, newest), _RULE, "## The documents", documents]
    parts += ["## What the documents say", _table(said, newest, verdicts)]
    parts += ["## What was found here", "No document says these.", _table(found, newest, verdicts)] if found else []
    return "\n\n".join(parts) + "\n"


def _picture(reference: Path) -> str:
    """Return the picture in light and dark, with the texts that stand beside it."""
    path = _needed(reference / f"{FIGURE}.json")
    about = json.loads(path.read_text(encoding="utf-8"))
    folder = REFERENCE.relative_to(ROOT).as_posix()
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="{folder}/{FIGURE}-dark.svg">'
    light = f'<img src="{folder}/{FIGURE}.svg" alt="{escape(about["alt"])}">'
    return "\n".join(["<picture>", f"  {dark}", f"  {light}", "</picture>", "", f"*{about['caption']}*"])


def _findings(reference: Path) -> str:
    """Return a list of questions, each with the first sentence of its answer on the newest Keras, where there is one."""
    answers = newest_answers(row for row in read_rows(reference / ANSWERS) if row["backend"] == MAIN)
    lines = []
    for name in FINDINGS:
        answer = first_sentence(answers[name]["answer"]) if name in answers else ""
        question = glance(ROOT / "notebooks" / f"{name}.ipynb").question
        lines.append(f"- [{question}](notebooks/{name}.ipynb) {answer}".rstrip())
    return "\n".join(lines)


def _measured(reference: Path) -> tuple[Verdicts, str]:
    """Return the committed verdicts, and the newest Keras among them."""
    rows = newest_first(read_rows(_needed(reference / VERDICTS)))
    return {(row["claim"], row["keras"], row["backend"]): row for row in rows}, rows[0]["keras"]


def _counts(verdicts: Verdicts, newest: str) -> str:
    """Return how many claims have which verdict on the newest Keras, as a sentence."""
    said = [claim.id for claim in load_claims().values() if claim.documents]
    counts = Counter(verdicts.get((name, newest, MAIN), {"verdict": OPEN})["verdict"] for name in said)
    more = len(load_claims()) - len(said)
    found = {0: "", 1: "; 1 more was found here"}.get(more, f"; {more} more were found here")
    return f"On Keras {newest} ({MAIN}): of {len(said)} claims in the documents {', '.join(count_phrases(counts))}{found}."


def _versions(reference: Path) -> str:
    """Return a sentence that leads to what changed between versions of Keras; "" if that was not measured."""
    rows = read_rows(reference / VERSIONS)
    measured = {row["keras"] for row in rows}
    if not measured:
        return ""
    link = f"{REFERENCE.relative_to(ROOT).as_posix()}/{changes_markdown.PAGE}"
    upcoming = sorted(filter(is_pre_release, measured), key=version_key)
    after = f", and what {upcoming[-1].partition('.dev')[0]} will change" if upcoming else ""
    return f"{len(measured)} versions of Keras were measured: [what changed in which release{after}]({link})."


def _cited(document: Document) -> str:
    """Return a document as an entry of the list of documents."""
    title = f"[{document.title}]({document.address})" if document.address else document.title
    return f"- **{document.name}**: {title}, {document.author} ({document.date})"


def _table(claims: list[Claim], newest: str, verdicts: Verdicts) -> str:
    """Return claims with their verdicts: a column for the newest Keras, and one for that of the documents."""
    head = f"| claim | who says it | what it says | Keras {newest} | Keras {ORIGINAL} | decided by, on Keras {newest} |"
    return "\n".join([head, "|---|---|---|---|---|---|", *(_row(claim, newest, verdicts) for claim in claims)])


def _row(claim: Claim, newest: str, verdicts: Verdicts) -> str:
    """Return one row of a table."""
    now = verdicts.get((claim.id, newest, MAIN), {"verdict": "", "reason": "not measured yet"})
    others = [
        f"{backend}: {row['verdict']}"
        for (name, keras, backend), row in sorted(verdicts.items())
        if (name, keras) == (claim.id, newest) and row["verdict"] != now["verdict"]
    ]
    then = verdicts.get((claim.id, ORIGINAL, MAIN), {"verdict": ""})["verdict"]
    link = f"[{claim.id}](../../notebooks/{claim.notebook}.ipynb)" if claim.notebook else claim.id
    quote = f'<br>"{claim.quote}"' if claim.quote else ""
    shown = ", ".join([_shown(now["verdict"]), *others])
    cells = [link, claim.source, f"{claim.statement}{quote}", shown, _shown(then), now["reason"]]
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _shown(verdict: str) -> str:
    """Return a verdict as a table shows it."""
    return f"**{verdict}**" if verdict == REFUTED else verdict


def _needed(path: Path) -> Path:
    """Return the path of a committed file, which must be there."""
    if not path.exists():
        msg = f"The README needs runs/reference/{path.name}, which is missing. Run `make reference`."
        raise StoreError(msg)
    return path


_HEAD = """# The verdicts

<!-- Generated by `python -m masklib.site.readme`; changes are made in the ledger and the notebooks. -->"""
_RULE = (
    "A claim holds if everything that it says was so in every case that was measured. One case refutes it; it may then be true "
    "under conditions that the document does not name. A claim that is refuted now and holds on Keras "
    f"{ORIGINAL} was right when it was written. *(implied)* marks what a document relies on without saying it, *(asked)* what it "
    "asks. Each verdict was also measured on JAX and PyTorch; where one differs, the table says so. The notebook of a claim "
    "shows all cases. [verdicts.csv](verdicts.csv) has the versions of Keras between the two."
)


def coming_layers() -> str:
    """Return `coming.toml`, by which the audit knows what the next Keras changes, as it follows from the committed changes."""
    keras, layers = coming(committed_changes())
    told = "# Layers that hand a mask on today, and not on this Keras. Generated by python -m masklib.site.readme."
    return f"{told}\nkeras = {json.dumps(keras)}\nlayers = {json.dumps(layers)}\n"


def main() -> None:
    """Write what is generated of the README, the pages of verdicts and of changes, and what the audit knows of the next Keras."""
    path = ROOT / "README.md"
    path.write_text(with_parts(path.read_text(encoding="utf-8")), encoding="utf-8")
    (REFERENCE / PAGE).write_text(page(), encoding="utf-8")
    (REFERENCE / changes_markdown.PAGE).write_text(changes_markdown.page(), encoding="utf-8")
    COMING.write_text(coming_layers(), encoding="utf-8")


if __name__ == "__main__":
    main()
