"""What was not tested is named, with its reason and with what would make it testable."""

import pytest

from masklib.auditing.invariance.changes import Change, Quantity
from masklib.auditing.invariance.results import NOT_ASKED, Leak, PaddingCheck, Passed, Untested
from masklib.auditing.report.coverage import PARTS, Gap, gaps, phrase


def passed(kind: str, of: str, change: str = "longer padding") -> Passed:
    return Passed(Change(change), Quantity(kind), of, 0.0, 1e-6)


def untested(kind: str, of: str, change: str = "longer padding", why: str = "a reason") -> Untested:
    return Untested(Change(change), Quantity(kind), of, why)


ALL = (passed("output", "a"), passed("loss", "loss"), passed("metric", "mae"), passed("gradient", "w"), passed("gradient", "b"))


def found(check: PaddingCheck, parts: tuple[str, ...] = PARTS) -> list[tuple[str, tuple[str, ...], str]]:
    return [(gap.part, gap.of, gap.why) for gap in gaps(check, parts, has_targets=False)]


def test_there_is_no_gap_if_everything_was_tested_with_other_padding():
    assert found(PaddingCheck(passed=ALL)) == []


def test_a_part_that_the_model_does_not_have_is_no_gap():
    assert found(PaddingCheck(passed=ALL[:1]), parts=()) == []
    assert found(PaddingCheck(passed=ALL[:1]), parts=("gradients",)) == [
        ("gradients", ("gradients",), "no other padding could be tried")
    ]


@pytest.mark.parametrize(
    ("left_out", "part", "of"), [(0, "outputs", "outputs"), (1, "loss", "loss"), (2, "metrics", "metrics")], ids=PARTS
)
def test_a_part_of_which_nothing_was_tried_is_a_gap(left_out: int, part: str, of: str):
    check = PaddingCheck(passed=tuple(one for one in ALL if one != ALL[left_out]))
    assert found(check) == [(part, (of,), "no other padding could be tried")]


def test_each_output_and_each_metric_must_be_tested_with_other_padding():
    check = PaddingCheck(passed=(*ALL, passed("output", "b", "batch mates")), untested=(untested("metric", "f1"),))
    assert found(check) == [("outputs", ("b",), "no other padding could be tried"), ("metrics", ("f1",), "a reason")]


def test_one_change_is_enough_for_an_output_but_not_for_a_loss():
    """If a fixed length rules out longer padding, another change replaces it; nothing replaces other targets at padded steps."""
    both = (untested("output", "a", "no padding"), untested("loss", "loss", "padded content"))
    assert found(PaddingCheck(passed=ALL, untested=both)) == [("loss", ("loss",), "a reason")]


def test_a_leak_is_tested():
    leak = Leak(change=Change.LONGER_PADDING, kind=Quantity.LOSS, of="loss", size=1.0, relative=1.0, tolerance=1e-6, example="")
    assert found(PaddingCheck(leaks=(leak,), passed=tuple(one for one in ALL if one.kind != "loss"))) == []


def test_what_would_make_it_testable_fits_what_was_given():
    check = PaddingCheck(passed=(ALL[0], ALL[3]), untested=(untested("loss", "loss"), untested("metric", "metric")))
    without, _ = gaps(check, PARTS, has_targets=False)
    given, metrics = gaps(check, PARTS, has_targets=True)

    assert "y in the file of --inputs" in without.remedy
    assert "evaluate" in given.remedy
    assert "tested if the loss is" in metrics.remedy
    quick = PaddingCheck(passed=ALL[:1], untested=(untested("gradient", "all weights", why=NOT_ASKED),))
    assert [gap.remedy for gap in gaps(quick, ("gradients",), has_targets=False)] == ["Test without quick."]


def test_parts_with_the_same_reason_are_reported_together():
    parts = [Gap(part, (part,), "a reason", "") for part in PARTS]
    assert phrase(parts) == "loss, metrics and gradients not tested: a reason"
    assert (
        phrase([*parts[:1], Gap("metrics", ("mae",), "another", "")]) == "loss not tested: a reason; metrics not tested: another"
    )
    assert phrase([]) == ""
