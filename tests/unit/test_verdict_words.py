"""One vocabulary: terminal and site show a verdict, or the status of a run, with the same mark and the same kind of colour."""

import re
from pathlib import Path

import pytest

from masklib.claims.verdicts import reason
from masklib.claims.words import BAD, GOOD, HOLDS, MARKS, NOTICE, OPEN, QUIET, REFUTED, UNTESTED, WORDS, kind_of
from masklib.cli.console import COLOURS, coloured
from masklib.engine.record import DIED, FAILED, INTERRUPTED, OK, TIMEOUT
from masklib.site import look

SITE = Path(look.__file__).parent
VARIABLES = {GOOD: "holds", NOTICE: "refuted", QUIET: "untested", BAD: "error"}  # of the style sheets, by kind of colour


def test_every_verdict_and_status_is_a_word():
    assert {HOLDS, REFUTED, UNTESTED, OPEN, OK, FAILED, TIMEOUT, DIED, INTERRUPTED} <= set(WORDS)
    assert (kind_of(UNTESTED), kind_of(OPEN), kind_of(FAILED), kind_of("nonsense")) == (QUIET, QUIET, BAD, BAD)
    assert set(MARKS) == {HOLDS, REFUTED, UNTESTED}


@pytest.mark.parametrize(("file", "prefix"), [("look.css", ""), ("assets/masklib.css", "mk-")])
@pytest.mark.parametrize("word", WORDS)
def test_the_site_colours_a_word_by_its_kind(word: str, file: str, prefix: str):
    style = (SITE / file).read_text()
    rule = re.search(rf"(?:^|, )\.{prefix}{word}(?:, [^{{]*)? {{ color: var\(--{prefix}([a-z]+)\)", style, re.MULTILINE)
    assert rule is not None
    assert rule[1] == VARIABLES[kind_of(word)]


@pytest.mark.parametrize("word", [*WORDS, "nonsense"])
def test_the_terminal_colours_a_word_by_its_kind(word: str):
    assert len(set(COLOURS.values())) == len(VARIABLES)
    assert coloured(word).style == COLOURS[kind_of(word)]


def test_the_script_of_the_site_has_the_same_marks():
    found = re.search(r"const MARKS = {(.*)};", (SITE / "assets" / "tables.js").read_text())
    assert found is not None
    assert dict(re.findall(r'(\w+): "(.) "', found[1])) == MARKS


@pytest.mark.parametrize(
    ("observed", "expected", "deviation", "told"),
    [
        ("[[true, false], [true, true]]", "[[true, true], [false, true]]", 1.0, "a mask: 2 of 4 values differ"),
        ("[1.0, 2.5]", "[1.0, 2.0]", 0.5, "a mask: off by 0.5"),
        ("true", "false", 1.0, "a mask: observed true, expected false"),
    ],
)
def test_what_decided_a_refuted_claim_is_said_in_words_that_fit_its_values(observed, expected, deviation, told):
    row = {"verdict": REFUTED, "part": "a mask", "observed": observed, "expected": expected, "deviation": deviation}
    assert reason(row) == told
