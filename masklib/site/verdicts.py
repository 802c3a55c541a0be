"""Every claim on every Keras and backend: measured in this store, or else committed with masklib."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from masklib.claims.ledger import Claim, load_claims
from masklib.claims.verdicts import reason
from masklib.claims.words import HOLDS, REFUTED, UNTESTED
from masklib.engine.committed import committed_verdicts, newness
from masklib.site.survey import MAIN, Survey

Column = tuple[str, str]  # Keras, backend


@dataclass(frozen=True)
class Found:
    """A verdict with what decided it, and the page of the run that is its evidence; "" if it is a committed one."""

    verdict: str
    reason: str
    page: str = ""


@dataclass(frozen=True)
class Matrix:
    """Verdicts by claim and column; a claim of the ledger may have none.

    Attributes:
        cells: by claim, then by Keras and backend.
    """

    cells: dict[str, dict[Column, Found]]

    @cached_property
    def columns(self) -> list[Column]:
        """Every Keras and backend, the newest first."""
        found = {column for row in self.cells.values() for column in row}
        return sorted(found, key=lambda column: newness(*column), reverse=True)

    @property
    def main(self) -> Column:
        """The Keras and backend of the suite: the newest Keras on the main backend, where it was run."""
        return self.columns[0] if self.columns else ("", MAIN)

    def counts(self, claims: Iterable[Claim]) -> dict[str, int]:
        """Return how many of these claims have which verdict on the main column."""
        found = [one.verdict for claim in claims if (one := self.of(claim.id))]
        return {word: found.count(word) for word in (HOLDS, REFUTED, UNTESTED)}

    def of(self, claim: str, column: Column | None = None) -> Found | None:
        """Return the verdict of a claim, on the main column if none is given."""
        return self.cells[claim].get(column or self.main)


def split(claims: Iterable[Claim]) -> tuple[list[Claim], list[Claim]]:
    """Return the claims of the documents, and those that were found here."""
    listed = list(claims)
    return [claim for claim in listed if claim.documents], [claim for claim in listed if not claim.documents]


def matrix(survey: Survey) -> Matrix:
    """Return the verdicts that the store measured; those that are committed with masklib where it has none."""
    cells: dict[str, dict[Column, Found]] = {claim: {} for claim in load_claims()}
    for row in committed_verdicts():
        if row["claim"] in cells:
            cells[row["claim"]][row["keras"], row["backend"]] = Found(row["verdict"], row["reason"])
    for experiment in survey.shown():
        for row in experiment.claims:
            before = cells[row["claim"]].get(experiment.cell)
            if before is None or not before.page or load_claims()[row["claim"]].notebook == experiment.record.notebook:
                cells[row["claim"]][experiment.cell] = Found(row["verdict"], reason(row), experiment.page)
    return Matrix(cells)
