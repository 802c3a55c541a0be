"""A verdict follows from what was measured and what was expected, and from nothing else."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from masklib.claims import ledger
from masklib.errors import ClaimError


@pytest.mark.parametrize(
    ("observed", "expected", "atol", "verdict"),
    [
        (1.0, 1.0, 0.0, "holds"),
        (1.0, 1.0 + 1e-9, 0.0, "refuted"),
        (1.0, 1.0 + 1e-9, 1e-8, "holds"),
        (1.5, 1.0, 0.5, "holds"),
        (np.float32(0.1), 0.1, 0.0, "refuted"),
        ([1, 2], np.array([1.0, 2.0]), 0.0, "holds"),
        ([1, 2], [2, 1], 0.5, "refuted"),
        ([[1, 2]], [1, 2], 9.0, "refuted"),
        ([], [[5, 5]], 9.0, "refuted"),
        (np.float64(1.0), [[1.0, 1.0]], 9.0, "refuted"),
        ([], [], 0.0, "holds"),
        (math.nan, 1.0, 1e9, "refuted"),
        ([1.0, math.nan], [1.0, 1.0], 1e9, "refuted"),
        (math.inf, 1.0, 1e9, "refuted"),
        (True, True, 0.0, "holds"),
        (np.array([True, False]), [True, True], 0.0, "refuted"),
        (None, None, 0.0, "holds"),
        (None, 0.0, 1e9, "refuted"),
        ("ValueError", 0.5, 1e9, "refuted"),
        ("a", "a", 0.0, "holds"),
        ([[True, False], None], [[True, False], None], 0.0, "holds"),
        ([[True, True], None], [[True, False], None], 0.0, "refuted"),
    ],
)
def test_judge_compares_observed_with_expected(observed: Any, expected: Any, atol: float, verdict: str):
    assert ledger.judge(observed, expected, atol).verdict == verdict


def test_judge_gives_the_largest_deviation():
    assert ledger.judge([1.0, 2.0], [1.0, 2.5], 1.0).deviation == 0.5
    assert ledger.judge([1.0, math.nan], [1.0, 2.5], 1.0).deviation == math.inf


@pytest.mark.parametrize("expected", [math.nan, [1.0, math.inf]])
def test_an_expectation_that_nothing_can_meet_is_refused(expected: Any):
    with pytest.raises(ClaimError, match="expected must be finite"):
        ledger.judge(1.0, expected)


@pytest.mark.parametrize("atol", [-1e-9, math.nan, math.inf])
def test_a_tolerance_that_says_nothing_is_refused(atol: float):
    with pytest.raises(ClaimError, match="atol must be finite and not negative"):
        ledger.judge(1.0, 1.0, atol)


@pytest.mark.parametrize(
    ("value", "fact"), [({"a": 1}, "got dict"), (np.zeros(ledger.LARGEST_ARRAY + 1), "at most 10000 values")]
)
def test_what_cannot_be_recorded_is_refused(value: Any, fact: str):
    with pytest.raises(ClaimError, match=fact):
        ledger.plain(value)


def test_the_ledger_has_every_claim_once_with_what_decides_it():
    claims = ledger.load_claims()
    assert all(claim.statement and claim.decides and claim.says in ledger.SAYS for claim in claims.values())
    assert all(set(claim.documents) <= set(ledger.load_documents()) for claim in claims.values())
    assert [claim.id for claim in claims.values() if bool(claim.documents) == (claim.says == "found here")] == []


def test_a_claim_names_its_documents_as_a_reader_knows_them():
    claims = ledger.load_claims()
    assert claims["guide-1"].source == "the Keras guide"
    assert claims["rnn-3"].source == "the mask_zero answer and the Concatenate experiments"
    assert claims["loss-8"].source == "the masked loss answer (implied)"


def test_the_ledger_holds_no_verdict():
    text = (ledger.files("masklib.claims") / "claims.toml").read_text()
    assert "verdict =" not in text
    assert set(ledger.Claim.__dataclass_fields__) == {"id", "documents", "says", "quote", "statement", "decides", "notebook"}


LONGEST_QUOTE = 200  # characters: enough to find the place, short enough to be a quotation


def quote_problems(claim: ledger.Claim) -> list[str]:
    """What is wrong with how a claim quotes its document, the first that it names."""
    if claim.says == "found here":
        return ["quotes a document that it does not name"] if claim.quote or claim.documents else []
    ellipsis = "\N{HORIZONTAL ELLIPSIS}"
    pieces = claim.quote.split(f" {ellipsis} ")
    found = {
        "names no document": not claim.documents,
        "names a document that the ledger has not": not set(claim.documents) <= set(ledger.load_documents()),
        "no quote": not claim.quote,
        "a long quote": len(claim.quote) > LONGEST_QUOTE,
        "an ellipsis without words around it": ellipsis in claim.quote and (ellipsis in "".join(pieces) or not all(pieces)),
    }
    return [name for name, wrong in found.items() if wrong]


@pytest.mark.parametrize("claim", ledger.load_claims().values(), ids=lambda claim: claim.id)
def test_a_claim_of_a_document_quotes_it_and_one_found_here_quotes_nobody(claim: ledger.Claim):
    assert quote_problems(claim) == []


@pytest.mark.parametrize(
    ("claim", "change", "problem"),
    [
        ("emb-1", {"quote": ""}, "no quote"),
        ("emb-1", {"quote": "x" * 201}, "a long quote"),
        ("emb-1", {"quote": "from here \N{HORIZONTAL ELLIPSIS} "}, "an ellipsis without words around it"),
        ("emb-1", {"quote": "cut\N{HORIZONTAL ELLIPSIS}off"}, "an ellipsis without words around it"),
        ("emb-1", {"documents": ()}, "names no document"),
        ("emb-1", {"documents": ("009",)}, "names a document that the ledger has not"),
        ("div-1", {"quote": "as they say"}, "quotes a document that it does not name"),
    ],
)
def test_a_wrong_quote_is_noticed(claim: str, change: dict[str, Any], problem: str):
    assert quote_problems(replace(ledger.load_claims()[claim], **change)) == [problem]


def test_an_unknown_claim_is_refused_with_the_nearest():
    with pytest.raises(ClaimError, match=r"got 'emb1'\. Did you mean emb-1"):
        ledger.find_claim("emb1")


def test_a_claim_holds_by_the_parts_that_were_tested():
    held, refuted = ledger.judge(1.0, 1.0), ledger.judge(1.0, 2.0)
    assert ledger.decide([ledger.NOT_TESTED, held]) == ("holds", 1)
    assert ledger.decide([ledger.NOT_TESTED, refuted, held]) == ("refuted", 1)
    assert ledger.decide([ledger.NOT_TESTED, ledger.NOT_TESTED]) == ("untested", 0)


def test_parts_are_counted_in_words():
    held, refuted = ledger.judge(1.0, 1.0), ledger.judge(1.0, 2.0)
    assert ledger.count_parts([held, held]) == "2 of 2 hold"
    assert ledger.count_parts([held, ledger.NOT_TESTED]) == "1 of 2 hold, 1 untested"
    assert ledger.count_parts([held, refuted]) == "1 of 2 refuted"
    assert ledger.count_parts([ledger.NOT_TESTED]) == "1 of 1 untested"
