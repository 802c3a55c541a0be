"""What was tested, at a glance: the worst of several verdicts is shown, in the order of changes and quantities."""

from masklib.auditing.invariance.changes import Change, Quantity
from masklib.auditing.invariance.results import Leak, PaddingCheck, Passed, Untested
from masklib.auditing.report import matrix


def passed(change: Change, kind: Quantity, of: str) -> Passed:
    return Passed(change, kind, of, 0.0, 1e-6)


def leak(change: Change, kind: Quantity, of: str) -> Leak:
    return Leak(change=change, kind=kind, of=of, size=1.0, relative=1.0, tolerance=1e-6, example="")


CHECK = PaddingCheck(
    leaks=(leak(Change.NO_PADDING, Quantity.GRADIENT, "kernel"),),
    passed=(
        passed(Change.NO_PADDING, Quantity.GRADIENT, "bias"),
        passed(Change.NO_PADDING, Quantity.OUTPUT, "dense"),
        passed(Change.LONGER_PADDING, Quantity.OUTPUT, "dense"),
    ),
    untested=(
        Untested(Change.LONGER_PADDING, Quantity.LOSS, "loss", "no targets"),
        Untested(Change.LONGER_PADDING, Quantity.OUTPUT, "dense", "it is fixed"),
        Untested(Change.NO_PADDING, Quantity.LOSS, "loss", "no targets"),
    ),
    denominators={"loss": "all steps", "out": "unknown"},
)


def test_changes_and_quantities_stand_in_their_order():
    changes, rows = matrix.matrix(CHECK)

    assert changes == ["longer padding", "no padding"]
    assert [name for name, _ in rows] == ["output 'dense'", "loss", "gradients"]


def test_a_cell_shows_the_worst_of_what_it_stands_for():
    rows = dict(matrix.matrix(CHECK)[1])

    assert rows["gradients"] == ["", "leaks"]
    assert rows["output 'dense'"] == ["same", "same"]
    assert rows["loss"] == ["not tested", "not tested"]


def test_a_reason_is_given_once_with_all_that_it_is_about():
    assert matrix.reasons(CHECK) == [
        "loss (longer padding, no padding): no targets",
        "output 'dense' (longer padding): it is fixed",
    ]


def test_a_divisor_that_is_not_known_is_not_mentioned():
    assert matrix.divisors(CHECK) == ["the loss divides by all steps"]
