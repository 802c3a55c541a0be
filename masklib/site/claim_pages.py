"""A page for each claim, as a card: its verdict today, every measurement, who says it, the experiment, what to write instead."""

from dataclasses import dataclass
from itertools import groupby

from masklib.claims.ledger import Claim, load_claims, load_documents
from masklib.claims.words import HOLDS, REFUTED, UNTESTED
from masklib.engine.committed import committed_answers
from masklib.engine.releases import version_key
from masklib.site.audit_page import findings_of
from masklib.site.changes import changes_of
from masklib.site.executed import title_of
from masklib.site.front import raw
from masklib.site.names import on_keras
from masklib.site.survey import MAIN, Survey
from masklib.site.text import markdown, render
from masklib.site.verdicts import Column, Found, Matrix, split
from masklib.site.writing import Writer

_CLAIMS = (
    "Much-read documents about Keras masking say these things. Each claim was measured. It *holds* if everything that it says is "
    "so in every case that was tried. It is *refuted* by one case, and may still be true under conditions that the document does "
    "not name. It is *untested* where it could not be measured."
)
_TODAY = {
    HOLDS: "It holds in every case that was measured",
    REFUTED: "It is refuted: one case is enough",
    UNTESTED: "It could not be tested",
}


@dataclass(frozen=True)
class Behind:
    """The experiment behind a claim.

    Attributes:
        title: of its notebook.
        page: of its run in this site; "" where the store has none.
        answer: what it answers, as Markdown; "" for nothing.
    """

    title: str
    page: str
    answer: str


def write_claims(survey: Survey, matrix: Matrix, source: Writer) -> None:
    """Write a page for each claim, which is how search finds them, and the list of all."""
    for claim in load_claims().values():
        source.write(f"claims/fragments/{claim.id}.html", _card(claim, survey, matrix))
        title = f"# {claim.id}: {markdown(claim.statement)}"
        source.write(f"claims/{claim.id}.md", f"---\norphan: true\n---\n\n{title}\n\n{raw(f'fragments/{claim.id}.html')}")
    of_documents, own = split(load_claims().values())
    told = {"of_documents": of_documents, "own": own, "matrix": matrix, "on": on_keras(*matrix.main)}
    source.write("fragments/claims.html", render("claims.html", **told))
    source.write("claims.md", f"# The claims\n\n{_CLAIMS}\n\n{raw('fragments/claims.html')}")


def since(row: dict[Column, Found]) -> str:
    """Return since which Keras a verdict is what it is, in words; "" where no measured version differs from another.

    "holds on 2.2.4, refuted from 2.10.0 on": of the versions that were measured on TensorFlow, in their order.
    """
    found = sorted((version_key(keras), keras, one.verdict) for (keras, backend), one in row.items() if backend == MAIN)
    tested = [(keras, verdict) for _, keras, verdict in found if verdict != UNTESTED]
    spans = [(verdict, [keras for keras, _ in span]) for verdict, span in groupby(tested, key=lambda one: one[1])]
    if len(spans) < 2:
        return ""
    *before, (last, versions) = spans
    told = [f"{verdict} on {_span(names)}" for verdict, names in before]
    return ", ".join([*told, f"{last} from {versions[0]} on" if len(versions) > 1 else f"{last} on {versions[0]}"])


def _span(versions: list[str]) -> str:
    """Return versions in a few words."""
    return versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"


def _card(claim: Claim, survey: Survey, matrix: Matrix) -> str:
    """Return the page of a claim as HTML."""
    row = matrix.cells[claim.id]
    today = matrix.of(claim.id)
    return render(
        "claim.html",
        claim=claim,
        today=today,
        sentence=_TODAY.get(today.verdict, today.verdict) if today else "",
        on=on_keras(*matrix.main),
        since=since(row),
        rows=[(on_keras(*column), row[column]) for column in matrix.columns if column in row],
        behind=behind(claim, survey, matrix.main),
        documents=[load_documents()[one] for one in claim.documents],
        findings=findings_of(claim.id),
        changes=changes_of(claim.id),
    )


def behind(claim: Claim, survey: Survey, column: Column) -> Behind | None:
    """Return the experiment behind a claim, None where no notebook measures it; its answer may be the committed one.

    Args:
        claim: of the ledger.
        survey: of the store.
        column: the Keras and backend of the committed answer.
    """
    if not claim.notebook:
        return None
    found = survey.experiments.get(claim.notebook, [])
    answers = {(row["notebook"], (row["keras"], row["backend"])): row["answer"] for row in committed_answers()}
    committed = answers.get((claim.notebook, column), "")
    if not found:
        return Behind(claim.notebook, "", committed)
    return Behind(title_of(found[0].notebook, claim.notebook), found[0].page, found[0].answer or committed)
