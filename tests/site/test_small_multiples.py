"""Figures of sweeps: what is nothing looks like nothing, and what is constant looks constant."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from masklib.site.small_multiples import _draw, _keep_noise_small


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([1e-9, -2e-8, 0.0], (-1.0, 1.0)),
        ([5.0, 5.0 + 1e-8], (4.5, 5.5)),
    ],
)
def test_an_axis_does_not_magnify_noise(values: list[float], limits: tuple[float, float]):
    axes = Figure().add_subplot()
    axes.plot(values)
    _keep_noise_small(axes, pd.Series(values))

    np.testing.assert_allclose(axes.get_ylim(), limits, rtol=1e-6)


def test_an_axis_of_values_that_differ_is_left_alone():
    axes = Figure().add_subplot()
    axes.plot([1.0, 2.0])
    before = axes.get_ylim()
    _keep_noise_small(axes, pd.Series([1.0, 2.0]))

    assert axes.get_ylim() == before


def test_panels_have_the_same_axis_of_the_parameter():
    rows = [(str(key), name, float(key), key) for key in range(4) for name in ("a", "b")]
    measured = pd.DataFrame(rows[:-1], columns=["key", "name", "value", "param_width"])
    measured = measured.assign(
        unit="s", started="2026", keras="3", backend="tensorflow", device="cpu", notebook="n", param_seed=0
    )
    one, other = _draw(measured, ["a", "b"], "param_width", None).axes[:2]

    assert one.get_xlim() == other.get_xlim()
