"""The suite compares what it measured with what was committed, for the same Keras and backend only."""

from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from masklib.engine.reproduce import Reproduction, compare, update_reference
from masklib.errors import RunError

CLAIMS = pd.DataFrame(
    {
        "claim": ["emb-1", "emb-2"],
        "verdict": ["holds", "refuted"],
        "keras": "3.15.1",
        "backend": "tensorflow",
        "part": ["p", "q"],
        "parts": 1,
        "untested_parts": 0,
        "deviation": [0.0, 2.0],
        "tolerance": 0.5,
        "observed": "1.0",
        "expected": "3.0",
    }
)


def reference(folder: Path, *rows: tuple[str, str, str]) -> Path:
    path = folder / "verdicts.csv"
    frame = pd.DataFrame(rows, columns=["claim", "keras", "verdict"]).assign(backend="tensorflow", reason="")
    frame.to_csv(path, index=False)
    return path


def test_equal_verdicts_do_not_differ(tmp_path: Path):
    path = reference(tmp_path, ("emb-1", "3.15.1", "holds"), ("emb-2", "3.15.1", "refuted"))
    assert compare(CLAIMS, path) == ([], [])


def test_a_verdict_that_differs_or_is_missing_is_named(tmp_path: Path):
    path = reference(tmp_path, ("emb-1", "3.15.1", "refuted"), ("emb-3", "3.15.1", "holds"))
    assert compare(CLAIMS, path) == (
        ["emb-1: measured holds, the reference says refuted", "emb-3: measured nothing, the reference says holds"],
        ["emb-2"],
    )


def test_a_verdict_of_another_keras_is_not_compared(tmp_path: Path):
    path = reference(tmp_path, ("emb-1", "3.3.3", "refuted"))
    assert compare(CLAIMS, path) == ([], ["emb-1", "emb-2"])


def test_without_a_reference_nothing_differs(tmp_path: Path):
    assert compare(CLAIMS, tmp_path / "verdicts.csv") == ([], ["emb-1", "emb-2"])


def test_the_reference_is_rewritten_and_keeps_other_versions(tmp_path: Path):
    path = reference(tmp_path, ("emb-1", "3.3.3", "refuted"), ("emb-1", "3.15.1", "refuted"))
    update_reference(Reproduction([], CLAIMS, [], [], []), tmp_path)

    rows = pd.read_csv(path)
    assert list(rows) == ["claim", "keras", "backend", "verdict", "reason"]
    assert set(zip(rows["claim"], rows["keras"], rows["verdict"], strict=True)) == {
        ("emb-1", "3.3.3", "refuted"),
        ("emb-1", "3.15.1", "holds"),
        ("emb-2", "3.15.1", "refuted"),
    }
    assert compare(CLAIMS, path) == ([], [])


def test_answers_are_committed_beside_the_verdicts_and_those_of_another_keras_stay(tmp_path: Path):
    (tmp_path / "answers.csv").write_text(
        "notebook,keras,backend,answer\n02_b,2.2.4,tensorflow,Then.\n01_a,3.15.1,tensorflow,Old.\n"
    )
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "records.jsonl").write_text('{"kind": "answer", "text": "New, and \\"quoted\\"."}\n')
    record = SimpleNamespace(status="ok", notebook="01_a", keras="3.15.1", backend="tensorflow")
    results: Any = [SimpleNamespace(record=record, folder=folder)]

    update_reference(Reproduction(results, CLAIMS, [], [], []), tmp_path)

    rows = pd.read_csv(tmp_path / "answers.csv", dtype=str)
    assert rows.to_numpy().tolist() == [
        ["02_b", "2.2.4", "tensorflow", "Then."],
        ["01_a", "3.15.1", "tensorflow", 'New, and "quoted".'],
    ]


def test_the_atlas_of_layers_is_committed_with_its_keras(tmp_path: Path):
    run = tmp_path / "run"
    (run / "tables").mkdir(parents=True)
    pd.DataFrame({"layer": ["LSTM", "Dense"], "mask": "kept"}).to_parquet(run / "tables" / "layers.parquet")
    size = (run / "tables" / "layers.parquet").stat().st_size
    sums = {"tables/layers.parquet": sha256((run / "tables" / "layers.parquet").read_bytes()).hexdigest()}
    record = SimpleNamespace(
        status="ok", notebook="12_layer_atlas", keras="3.15.1", backend="jax", files={"tables/layers.parquet": size}, sums=sums
    )
    results: Any = [SimpleNamespace(record=record, folder=run)]

    update_reference(Reproduction(results, CLAIMS, [], [], []), tmp_path)

    assert (tmp_path / "layer_atlas.csv").read_text() == "layer,keras,backend,mask\nDense,3.15.1,jax,kept\nLSTM,3.15.1,jax,kept\n"


def test_the_reference_is_not_written_from_a_suite_that_failed(tmp_path: Path):
    class Failed:
        class record:  # noqa: N801
            status = "failed"

    with pytest.raises(RunError, match="a notebook did not"):
        update_reference(Reproduction([Failed()], CLAIMS, [], [], []), tmp_path)  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []
