"""The words for what became of a claim or a run, and how each is shown: its mark, and the kind of its colour.

Notebooks, terminal and site all take them from here; each has its own colour for a kind.
"""

HOLDS, REFUTED, UNTESTED, OPEN = "holds", "refuted", "untested", "open"  # verdicts
# Why an environment's cell in the matrix of versions has no verdict: the run failed, there is none, or that Keras has not what it
# is about.
FAILED, NOT_RUN, LEFT_OUT = "failed", "not run", "left out"
NO_VERDICT = (FAILED, NOT_RUN, LEFT_OUT, UNTESTED, OPEN, "not measured", "fails without a mask, too")
MARKS = {HOLDS: "\N{CHECK MARK}", REFUTED: "\N{BALLOT X}", UNTESTED: "?"}  # verdicts can be distinguished without colours
GOOD, NOTICE, QUIET, BAD = "good", "notice", "quiet", "bad"  # kinds of colours
_KINDS = {HOLDS: GOOD, "ok": GOOD, REFUTED: NOTICE, "timeout": NOTICE, "interrupted": NOTICE, UNTESTED: QUIET, OPEN: QUIET}
WORDS = (*_KINDS, "failed", "died", "error")  # verdicts, and statuses of runs


def kind_of(word: str) -> str:
    """Return the kind of colour of a verdict or status: "good", "notice", "quiet" or "bad"; a word that is unknown is bad."""
    return _KINDS.get(word, BAD)


def marked(word: str) -> str:
    """Return a verdict or status with its mark, where it has one."""
    return f"{MARKS[word]} {word}" if word in MARKS else word
