"""The suite on older versions of Keras: what the committed matrix says of them is what they measure today."""

from pathlib import Path

import pytest

from masklib.claims import recording
from masklib.engine.collect import claim_rows
from masklib.engine.committed import committed_versions
from masklib.engine.environments import find_environment
from masklib.engine.run import execute_plan, plan_run
from masklib.engine.store import Store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def verdicts(keras: str, backend: str) -> dict[str, str]:
    """The committed verdicts of a version, by claim."""
    return {row["claim"]: row["verdict"] for row in committed_versions() if (row["keras"], row["backend"]) == (keras, backend)}


@pytest.mark.parametrize(
    ("environment", "notebook"), [("keras-2.15", "04_concatenate_mask_merging"), ("keras@3.9.2", "06_mask_propagation")]
)
def test_an_older_keras_measures_the_committed_verdicts(environment: str, notebook: str, tmp_path: Path):
    other = find_environment(environment)
    if not other.exists:
        pytest.skip(f"masklib env create {environment}")
    result = execute_plan(plan_run(ROOT / "notebooks" / f"{notebook}.ipynb", {"environment": environment}), Store(tmp_path))
    assert result is not None
    assert result.record.status == "ok", result.record.error

    measured = {row["claim"]: row["verdict"] for row in claim_rows(result.record, recording.read(result.folder))}
    committed = verdicts(other.keras, other.backend)
    assert measured == {claim: committed[claim] for claim in measured}
    newest = verdicts("3.15.1", other.backend)
    assert any(measured[claim] != newest[claim] for claim in measured), "this Keras must differ from the newest"
