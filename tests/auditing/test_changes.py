"""The kinds of change and of quantity are closed sets whose values are the words of a report."""

import pytest

from masklib.auditing.invariance.changes import Change, Quantity
from masklib.auditing.invariance.results import Leak, PaddingCheck, Passed, Untested


def test_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="longer paddings"):
        Change("longer paddings")
    with pytest.raises(ValueError, match="outputs"):
        Quantity("outputs")


def test_other_samples_and_later_steps_are_no_changes_of_padding():
    assert {change for change in Change if not change.is_of_padding} == {
        Change.BATCH_MATES,
        Change.LATER_STEPS,
        Change.COMPILED,
    }


def test_a_leak_is_made_by_keywords_only():
    numbers = {"size": 1.0, "relative": 0.5, "tolerance": 1e-6}
    leak = Leak(change=Change.NO_PADDING, kind=Quantity.OUTPUT, of="dense", **numbers, example="2 as given, 1 without padding")

    assert (leak.change, leak.kind, leak.layer) == ("no padding", "output", None)
    with pytest.raises(TypeError, match="positional"):
        Leak(Change.NO_PADDING, Quantity.OUTPUT, "dense", 1.0, 0.5, 1e-6, None, "")


def test_a_table_holds_plain_words():
    check = PaddingCheck(
        passed=(Passed(Change.EMBEDDING_ROW, Quantity.LOSS, "loss", 0.0, 1e-6),),
        untested=(Untested(Change.LATER_STEPS, Quantity.METRIC, "mae", "a reason"),),
    )
    frame = check.to_frame()

    assert frame["change"].tolist() == ["embedding row", "later steps"]
    assert {type(cell) for name in ("change", "kind") for cell in frame[name]} == {str}
