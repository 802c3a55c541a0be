"""Means and intervals are those that a reader computes by hand; nothing is averaged or dropped unseen."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import scipy.stats

import masklib
from masklib.engine.store import Store
from masklib.errors import ArgumentError, StoreError
from tests.engine.test_collect import LINES, RECORD, publish
from tests.stores import read_anew


def measurements(*rows: dict[str, Any]) -> pd.DataFrame:
    """A table of measurements: the given values, the rest the same for all."""
    same = {
        "notebook": "nb",
        "name": "error",
        "unit": "",
        "keras": "3",
        "backend": "jax",
        "device": "cpu",
        "started": "2026-01-01",
    }
    frame = pd.DataFrame([{"key": f"{index:02}", **same, "param_seed": index, **row} for index, row in enumerate(rows)])
    return frame.astype({"value": "float64"})


def values(*numbers: float, **same: Any) -> list[dict[str, Any]]:
    return [{"value": number, **same} for number in numbers]


def assert_interval(row: Any, n: int, mean: float, std: float, low: float, high: float) -> None:
    assert row["n"] == n
    assert [row[name] for name in ("mean", "std", "low", "high")] == pytest.approx([mean, std, low, high], abs=1e-5)


# Quantiles of Student's t, from printed tables: 0.975 with 2 degrees of freedom is 4.30265, 0.995 with 1 is 63.65674.
THREE = {"n": 3, "mean": 2.0, "std": 1.0, "low": 2 - 4.30265 / math.sqrt(3), "high": 2 + 4.30265 / math.sqrt(3)}


def test_the_interval_is_that_of_student():
    (row,) = masklib.summarize(measurements(*values(1, 2, 3))).to_dict("records")
    assert_interval(row, **THREE)
    (row,) = masklib.summarize(measurements(*values(4, 5)), confidence=0.99).to_dict("records")
    assert_interval(row, n=2, mean=4.5, std=math.sqrt(0.5), low=4.5 - 63.65674 / 2, high=4.5 + 63.65674 / 2)


def test_an_interval_of_the_normal_distribution_would_be_rejected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scipy.stats.t, "ppf", lambda share, _: scipy.stats.norm.ppf(share))
    (row,) = masklib.summarize(measurements(*values(1, 2, 3))).to_dict("records")
    assert row["mean"] == 2.0
    with pytest.raises(AssertionError):
        assert_interval(row, **THREE)


def test_one_value_has_no_interval():
    (row,) = masklib.summarize(measurements(*values(1.5))).to_dict("records")
    assert (row["n"], row["mean"]) == (1, 1.5)
    assert [math.isnan(row[name]) for name in ("std", "low", "high")] == [True] * 3


def test_nan_is_counted_and_no_part_of_the_mean():
    (row,) = masklib.summarize(measurements(*values(1, math.nan, 2, 3))).to_dict("records")
    assert row["n_nan"] == 1
    assert_interval(row, **THREE)
    (row,) = masklib.summarize(measurements(*values(math.nan))).to_dict("records")
    assert (row["n"], row["n_nan"], math.isnan(row["mean"])) == (0, 1, True)


def test_an_infinite_value_is_not_hidden():
    (row,) = masklib.summarize(measurements(*values(1, math.inf))).to_dict("records")
    assert (row["n"], row["mean"]) == (2, math.inf)


@pytest.mark.parametrize("column", ["keras", "backend", "device", "notebook", "name", "unit", "param_cell"])
def test_what_differs_is_never_averaged(column: str):
    table = masklib.summarize(measurements(*values(1, 3, **{column: "a"}), *values(10, 30, **{column: "b"})))
    assert dict(zip(table[column], table["mean"], strict=True)) == {"a": 2.0, "b": 20.0}
    assert table["n"].to_list() == [2, 2]


def test_only_parameters_that_vary_in_a_notebook_are_columns():
    rows = measurements(
        *values(1, 2, notebook="a", param_units=1, param_cell="gru"),
        *values(1, 2, notebook="b", param_units=2, param_cell="gru"),
        *values(1, 2, notebook="b", param_units=2, param_cell="lstm"),
    )
    table = masklib.summarize(rows)
    assert [column for column in table if column.startswith("param_")] == ["param_cell"]
    assert len(table) == 3


def test_a_notebook_without_a_parameter_of_another_keeps_its_rows():
    rows = measurements(
        *values(1, 2, notebook="a"), *values(5, notebook="b", param_cell="x"), *values(6, notebook="b", param_cell="y")
    )
    table = masklib.summarize(rows)
    assert table[["notebook", "n", "mean"]].to_numpy().tolist() == [["a", 2, 1.5], ["b", 1, 5.0], ["b", 1, 6.0]]


def test_a_mean_may_be_taken_over_several_parameters():
    rows = measurements(*values(1, 2, param_cell="x"), *values(3, param_cell="y"))
    (row,) = masklib.summarize(rows, over=["seed", "param_cell"]).to_dict("records")
    assert_interval(row, **THREE)
    assert "param_cell" not in row


def test_a_seed_measured_again_counts_once_and_the_last_time():
    first = values(100, 2, 3)
    again = [{"value": 1.0, "param_seed": 0, "started": "2026-02-01"}]
    for rows in (measurements(*first, *again), measurements(*first, *again).iloc[::-1]):
        (row,) = masklib.summarize(rows).to_dict("records")
        assert row["n_repeated"] == 1
        assert_interval(row, **THREE)


@pytest.mark.parametrize("over", ["sed", ["seed", "sed"]])
def test_an_unknown_parameter_is_refused_and_the_known_are_named(over: Any):
    rows = measurements(*values(1, param_cell="gru"))
    with pytest.raises(ArgumentError, match=r"one of seed, cell, got 'sed'\. Did you mean seed\?"):
        masklib.summarize(rows, over=over)


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.5, math.nan])
def test_a_confidence_that_is_none_is_refused(confidence: float):
    with pytest.raises(ArgumentError, match="between 0 and 1"):
        masklib.summarize(measurements(*values(1)), confidence=confidence)


def test_a_table_without_what_must_not_be_averaged_is_refused():
    with pytest.raises(ArgumentError, match="backend, started missing"):
        masklib.summarize(measurements(*values(1)).drop(columns=["backend", "started"]))


GRID = measurements(
    *[
        {"value": 10 * units + seed, "param_cell": cell, "param_units": units, "param_seed": seed, "name": name}
        for name in ("error", "time")
        for cell in ("lstm", "gru")
        for units in (10, 9)
        for seed in (0, 2)
    ]
)


def test_a_pivot_shows_one_statistic_of_two_parameters():
    table = masklib.pivot(masklib.summarize(GRID), name="error", index="cell", columns="units")
    assert (list(table.index), list(table.columns)) == (["gru", "lstm"], [9, 10])
    assert (table.index.name, table.columns.name) == ("cell", "units")
    assert table.to_numpy().tolist() == [[91.0, 101.0], [91.0, 101.0]]


def test_a_pivot_may_show_several_statistics_and_have_several_levels():
    wanted = {"index": ["backend", "param_cell"], "columns": "units", "values": ["n", "mean"]}
    table = masklib.pivot(masklib.summarize(GRID), name="time", **wanted)
    assert list(table.columns) == [("n", 9), ("n", 10), ("mean", 9), ("mean", 10)]
    assert table.loc[("jax", "gru")].to_list() == [2, 2, 91.0, 101.0]


def test_a_pivot_averages_nothing():
    summary = masklib.summarize(GRID)
    with pytest.raises(ArgumentError, match=r"4 rows share cells\. They differ in units: add it"):
        masklib.pivot(summary, name="error", index="cell", columns="backend")
    chosen = summary[summary["param_units"] == 9]
    assert masklib.pivot(chosen, name="error", index="cell", columns="backend")["jax"].to_list() == [91.0, 91.0]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": "eror"}, "name must be one of error, time, got 'eror'"),
        ({"name": None}, "name must be one of error, time, got None"),
        ({"index": "sell"}, r"got 'sell'\. Did you mean cell\?"),
        ({"values": "average"}, "average missing"),
    ],
)
def test_a_pivot_of_what_is_not_there_is_refused(wrong: dict[str, Any], told: str):
    given = {"name": "error", "index": "cell", "columns": "units", "values": "mean", **wrong}
    with pytest.raises(ArgumentError, match=told):
        masklib.pivot(masklib.summarize(GRID), **given)


def test_results_are_loaded_from_a_folder(store: Store):
    publish(store, LINES)
    tables = masklib.load_results(store.root)
    assert (len(tables.runs), len(tables.claims), len(tables.measurements)) == (1, 2, 1)
    pd.testing.assert_frame_equal(tables.claims, read_anew(store)[0].claims)
    summary = masklib.summarize(tables.measurements)
    assert summary[["name", "mean", "keras"]].to_numpy().tolist() == [["m", 1.5, RECORD.keras]]


def test_results_of_a_store_that_is_not_there_are_refused(tmp_path: Path):
    with pytest.raises(StoreError, match=rf"{tmp_path}/rnus is not there"):
        masklib.load_results(tmp_path / "rnus")
    assert list(tmp_path.iterdir()) == []


def test_the_public_names_are_pinned_and_found():
    audit, modules = ["assert_padding_invariant", "audit", "check_padding", "trace"], ["layers", "losses", "metrics"]
    assert masklib.__all__ == sorted([*audit, *modules, "load_results", "pivot", "summarize", "sweep"])
    assert set(masklib.__all__) <= set(dir(masklib))
    assert all(callable(getattr(masklib, name)) for name in masklib.__all__ if name not in modules)
    with pytest.raises(AttributeError, match="module 'masklib' has no attribute 'nope'"):
        _ = masklib.nope


def test_importing_masklib_stays_light_until_a_result_is_asked_for():
    code = "import sys, masklib; light = 'pandas' in sys.modules; masklib.summarize; print(light, 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False True\n"
