"""Every notebook runs through the engine, measures its claims, and gives the same numbers again."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from masklib.claims import recording
from masklib.claims.ledger import load_claims
from masklib.engine.collect import claim_rows
from masklib.engine.committed import VERDICTS
from masklib.engine.run import Result, execute_plan, plan_run
from masklib.engine.store import Store
from tests.notebooks.finished import finished

ROOT = Path(__file__).parents[2]
QUICK = {"02_rnn_carry_over", "04_concatenate_mask_merging"}  # the others take minutes together
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MARKS = dict.fromkeys(QUICK, ()) | {"14_does_masking_matter": pytest.mark.full}  # make reproduce executes that one in CI
NAMES = [pytest.param(path.stem, marks=MARKS.get(path.stem, pytest.mark.slow)) for path in PATHS]
TIMED = "13_cost_of_masks"  # all that it records is time
SHORTEST = (*QUICK, "01_mask_zero_outputs", "07_custom_mask_layers", "11_initial_state")
OF_SECONDS = [name for name in NAMES if name.values[0] in SHORTEST]
OF_MINUTES = [path.stem for path in PATHS if path.stem not in (*SHORTEST, TIMED)]
AGAIN = [*OF_SECONDS, *(pytest.param(name, marks=pytest.mark.full) for name in OF_MINUTES)]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """The run of each notebook, found or executed on first use."""
    store = Store(tmp_path_factory.mktemp("runs"))
    return _Lazily(store)


class _Lazily(dict[str, Result]):
    def __init__(self, store: Store):
        super().__init__()
        self.store = store

    def __missing__(self, name: str) -> Result:
        self[name] = finished(name, self.store)
        return self[name]


def claims_of(result: Result) -> dict[str, dict[str, Any]]:
    return {row["claim"]: row for row in claim_rows(result.record, recording.read(result.folder))}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_measures_the_claims_that_the_ledger_gives_it(name: str, runs: dict[str, Result]):
    result = runs[name]

    assert result.record.status == "ok", result.record.error
    assert set(claims_of(result)) == {claim.id for claim in load_claims().values() if claim.notebook == name}
    assert {f.suffix for f in (result.folder / "figures").iterdir()} == {".json", ".png"}
    assert list((result.folder / "tables").glob("*.parquet"))


@pytest.mark.parametrize("name", NAMES)
def test_the_verdicts_are_those_of_the_committed_reference(name: str, runs: dict[str, Result]):
    record = runs[name].record
    committed = pd.read_csv(ROOT / "runs" / "reference" / VERDICTS, dtype=str)
    committed = committed[(committed["keras"] == record.keras) & (committed["backend"] == record.backend)]
    if committed.empty:
        pytest.skip(f"no committed verdicts for Keras {record.keras} with {record.backend}")
    expected = dict(zip(committed["claim"], committed["verdict"], strict=True))
    measured = {claim: row["verdict"] for claim, row in claims_of(runs[name]).items()}
    assert measured == {claim: expected[claim] for claim in measured}


def untimed(folder: Path) -> list[dict[str, Any]]:
    """The records of a run without those of measured time."""
    return [r for r in recording.read(folder) if r.get("claim") != "emb-5" and r.get("name") != "masked_step_cost"]


@pytest.mark.parametrize("name", AGAIN)
def test_a_second_run_in_a_forked_kernel_gives_the_same_bytes(
    name: str, runs: dict[str, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # each environment has a server of its own
    was_forked = runs[name].record.launch == "fork"
    again = execute_plan(plan_run(ROOT / "notebooks" / f"{name}.ipynb"), Store(tmp_path), warm=not was_forked)
    assert {runs[name].record.launch, again.record.launch} == {"spawn", "fork"}
    first, second = runs[name].folder, again.folder
    files = sorted(f.relative_to(first) for folder in ("figures", "tables") for f in (first / folder).iterdir())
    timed = {Path("tables/timing.parquet")}

    assert [f for f in files if f not in timed and (first / f).read_bytes() != (second / f).read_bytes()] == []
    assert untimed(first) == untimed(second)
