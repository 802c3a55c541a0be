"""The table of claims shows the verdict that follows from all cases, and the case that decides."""

from types import SimpleNamespace

import IPython
import IPython.display
from IPython.core.events import EventManager, available_events

from masklib.claims.ledger import judge
from masklib.claims.view import COLUMNS, ClaimView, Part


def view_of(*parts):
    """Return a view of (claim, part, observed, expected), all with a tolerance of 0.1."""
    view = ClaimView()
    view.parts = [Part(c, p, judge(o, e, 0.1), o, e, 0.1) for c, p, o, e in parts]
    return view


def rows_of(view):
    return [dict(zip(COLUMNS, row, strict=True)) for row in view.rows()]


def test_one_refuted_case_refutes_the_claim_and_decides():
    (row,) = rows_of(view_of(("loss-8", "one", 1.0, 1.0), ("loss-8", "two", 2.0, 1.0), ("loss-8", "three", 9.0, 1.0)))
    assert (row["verdict"], row["cases"], row["deciding case"]) == ("refuted", "2 of 3 refuted", "two")
    assert (row["measured"], row["expected"], row["deviation"], row["allowed"]) == ("2.0", "1.0", "1", "0.1")


def test_the_largest_deviation_decides_where_all_cases_hold():
    (row,) = rows_of(view_of(("loss-8", "one", 1.0, 1.0), ("loss-8", "two", 1.05, 1.0)))
    assert (row["verdict"], row["cases"], row["deciding case"]) == ("holds", "2 of 2 hold", "two")


def test_an_error_in_place_of_a_number_is_shown_by_its_name():
    (row,) = rows_of(view_of(("loss-5", "", "ValueError", 1.0)))
    assert (row["verdict"], row["measured"], row["deviation"]) == ("refuted", "ValueError", "")


def test_html_escapes_and_shortens_values():
    html = view_of(("rnn-1", "<b>", list(range(100)), list(range(100))))._repr_html_()
    assert "&lt;b&gt;" in html
    assert "\N{HORIZONTAL ELLIPSIS}" in html
    assert "99" not in html


def test_outside_jupyter_each_part_is_one_line(capsys):
    ClaimView().add(Part("loss-8", "batch size 1", judge(2.0, 1.0, 0.1), 2.0, 1.0, 0.1))
    assert capsys.readouterr().out == "loss-8 (batch size 1): refuted (largest deviation 1, allowed 0.1)\n"


def test_in_jupyter_each_cell_ends_with_one_table_of_its_own_claims(monkeypatch):
    shell = SimpleNamespace(events=EventManager(None, available_events))
    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr(IPython.display, "display", lambda view: shown.append([part.part for part in view.parts]))
    view = ClaimView()
    for cell in (["one", "two"], [], ["three"]):
        for part in cell:
            view.add(Part("loss-8", part, judge(1.0, 1.0, 0.1), 1.0, 1.0, 0.1))
        shell.events.trigger("post_execute")

    assert shown == [["one", "two"], ["three"]]
