"""Every notebook measures the same on every backend, from weights and data drawn in NumPy."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from masklib.engine.environments import find_environment
from masklib.engine.run import Result, execute_plan, plan_run
from masklib.engine.store import Store
from tests.notebooks.finished import finished

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ASKS_NO_KERAS = "15_across_versions"
NAMES = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if path.stem != ASKS_NO_KERAS]
TORCH = "keras-3.15-torch"
BACKENDS = {"jax": {"backend": "jax"}, "torch": {"environment": TORCH}}
ATOL = 2e-5  # of quantities of order 1 in float32, summed in another order
# They take a minute each on JAX, which compiles every loop of every model in every length.
# On PyTorch, recurrent layers are slow to train.
LONG = ("05_masked_crossentropy", "08_losses_and_metrics", "09_empty_and_nan", "12_layer_atlas", "14_does_masking_matter")
LONG += ("13_cost_of_masks",)  # and its numbers are of one machine and one moment
ON_JAX = ("02_rnn_carry_over", "03_masked_evaluate_loss", "06_mask_propagation", "10_audit_a_model", "11_initial_state")
ON_TORCH = ("10_audit_a_model",)
SLOW = (
    {(name, backend) for name in LONG for backend in BACKENDS}
    | {(name, "jax") for name in ON_JAX}
    | {(name, "torch") for name in ON_TORCH}
)
# What is the machine's own, the time; and what hangs on weights that each backend draws, and on its own rounding.
OWN_TABLES = {
    ("01_mask_zero_outputs", "timing"),
    ("10_audit_a_model", "tested"),
    ("10_audit_a_model", "findings"),
}
# What a layer's error is differs by backend; the rows of all backends stand side by side in the committed atlas.
OWN_TABLES |= {("12_layer_atlas", "layers")}
# What training comes to depends on the first weights, which each backend draws.
OWN_TABLES |= {("14_does_masking_matter", table) for table in ("speakers", "trainings", "tagging", "leak")}
# All but which layout has which outputs is time.
OWN_TABLES |= {("13_cost_of_masks", table) for table in ("timing", "shares", "first_calls", "mixed_lengths")}
# What is the backend's own: the order in which it shuffles samples.
OWN_ROWS = {("05_masked_crossentropy", "closure"): lambda table: table["how"].str.contains("shuffle")}


@pytest.fixture(scope="module")
def tensorflow(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("tensorflow"))


def execute(name: str, store: Store, **parameters: str) -> Result:
    result = execute_plan(plan_run(ROOT / "notebooks" / f"{name}.ipynb", parameters), store, warm=True)
    assert result is not None
    assert result.record.status == "ok", result.record.error
    return result


def differences(name: str, table: str, ours: pd.DataFrame, theirs: pd.DataFrame) -> list[str]:
    """The columns of a table that differ, in the rows in which neither backend raised an error."""
    assert ours.shape == theirs.shape
    errors = [column for column in ours if column == "raised" or ("error" in column and ours[column].dtype.kind not in "biuf")]
    kept = ~pd.concat([frame[errors].ne("").any(axis=1) for frame in (ours, theirs)], axis=1).any(axis=1)
    if (name, table) in OWN_ROWS:
        kept &= ~OWN_ROWS[name, table](ours)
    if "situation" in ours:  # which of two numbers and a NaN is the larger, the backends do not agree on
        kept &= ~ours["situation"].str.contains("nan", case=False)
    return [column for column in ours if not equal(ours[column][kept], theirs[column][kept])]


def equal(ours: pd.Series, theirs: pd.Series) -> bool:
    if ours.dtype.kind == "f" and theirs.dtype.kind == "f":
        return bool(np.allclose(ours, theirs, rtol=ATOL, atol=ATOL, equal_nan=True))
    return list(map(str, ours)) == list(map(str, theirs))


@pytest.mark.parametrize(
    ("name", "backend"),
    [pytest.param(name, one, marks=[pytest.mark.full] if (name, one) in SLOW else []) for name in NAMES for one in BACKENDS],
)
def test_a_notebook_records_the_same_tables_on_every_backend(name: str, backend: str, tensorflow: Store, tmp_path: Path):
    if backend == "torch" and not find_environment(TORCH).exists:
        pytest.skip(f"masklib env create {TORCH}")
    ours = finished(name, tensorflow, warm=True)
    assert ours.record.status == "ok", ours.record.error
    theirs = execute(name, Store(tmp_path), **BACKENDS[backend])

    tables = {path.stem for path in (ours.folder / "tables").iterdir()}
    assert tables == {path.stem for path in (theirs.folder / "tables").iterdir()}
    found = {
        table: differences(name, table, *(pd.read_parquet(r.folder / "tables" / f"{table}.parquet") for r in (ours, theirs)))
        for table in sorted(tables)
        if (name, table) not in OWN_TABLES
    }
    assert {table: columns for table, columns in found.items() if columns} == {}


def test_a_difference_is_found():
    ours = pd.DataFrame({"value": [1.0, 2.0], "raised": ["", "ValueError"]})
    assert differences("n", "t", ours, ours.assign(value=[1.001, 2.0])) == ["value"]
    assert differences("n", "t", ours, ours.assign(value=[1.0, 2.5])) == []
    assert differences("n", "t", ours, ours.assign(value=[np.nan, 2.0])) == ["value"]
