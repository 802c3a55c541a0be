"""The values of a sweep, small and many."""

import pandas as pd
import pytest

from masklib.site import small_multiples


@pytest.mark.parametrize("places", [[1, 2], ["one", "two"]])
def test_a_series_with_one_place_is_drawn_as_the_others(places: list[object]):
    rows = [(f"k{i}", place, series) for i, (place, series) in enumerate([(places[0], "a"), (places[1], "a"), (places[1], "b")])]
    measured = pd.DataFrame(rows, columns=["key", "param_place", "param_series"]).assign(
        notebook="n", name="value", value=1.5, unit="", keras="3", backend="b", device="cpu", started="2026-01-01"
    )
    figure = small_multiples._draw(measured, ["value"], "param_place", "param_series")

    (panel,) = [axes for axes in figure.axes if axes.get_visible()]
    handles, labels = panel.get_legend_handles_labels()
    assert labels == ["a", "b"]
    assert len(handles) == 2
