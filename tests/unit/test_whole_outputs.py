"""The site knows what an output shows by the name that the run wrote into it, even if other outputs look the same."""

from typing import Any

import nbformat
import pytest

from masklib.claims.outputs import Shown, mark, shown_by
from masklib.site.experiments import Recorded

RECORDED = Recorded(
    figures={"a": "<p>figure a</p>", "b": "<p>figure b</p>"}, tables={"a": "<p>all of a</p>", "b": "<p>all of b</p>"}
)


def output(metadata: dict[str, Any]) -> Any:
    """An output that looks like every other one."""
    return nbformat.v4.new_output("display_data", data={"image/png": "AAAA", "text/html": "<p>a part</p>"}, metadata=metadata)


@pytest.mark.parametrize("name", ["a", "b"])
def test_outputs_that_look_the_same_are_distinguished_by_their_names(name: str):
    assert RECORDED.of(output(mark("figure", name))) == f"<p>figure {name}</p>"
    assert RECORDED.of(output(mark("table", name, whole=False))) == f"<p>all of {name}</p>"
    assert RECORDED.of(output(mark("table", name))) == f"<p>all of {name}</p>"


@pytest.mark.parametrize(
    "metadata", [{}, {"masklib": "x"}, {"masklib": {"kind": "other", "name": "a"}}, mark("figure", "c"), mark("table", "c")]
)
def test_an_output_that_is_unknown_or_of_an_earlier_masklib_is_shown_as_it_is(metadata: dict[str, Any]):
    assert RECORDED.of(output(metadata)) == ""


def test_what_is_marked_is_read():
    assert shown_by(output(mark("table", "a", whole=False))) == Shown("table", "a", whole=False)
    assert shown_by(output({"image/png": {"width": 3}})) == Shown()
    assert shown_by(nbformat.v4.new_output("stream", text="printed")) == Shown()
