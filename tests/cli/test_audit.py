"""`masklib audit`: one command from a saved model to a report, with an exit status for CI."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from masklib.cli.main import main

pytestmark = pytest.mark.filterwarnings("ignore:.*destroy the mask:UserWarning")
HOSTILE = "<img src=x onerror=alert(1)>"


def audit(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, arguments)])


@pytest.fixture(scope="module")
def models(keras: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved models: one that leaks, with a name that is markup; one that does not; one without sequences; one that gives NaN."""
    keras.utils.set_random_seed(0)
    folder, layers = tmp_path_factory.mktemp("models"), keras.layers

    def save(name: str, *stack: Any) -> None:
        ids = keras.Input((None,), dtype="int32", name="ids")
        keras.Model(ids, keras.Sequential([*stack])(ids), name=name).save(folder / f"{name}.keras")

    save("healthy", layers.Embedding(20, 4, mask_zero=True), layers.LSTM(3))
    save("leaky", layers.Embedding(20, 4), layers.LSTM(3, name=HOSTILE))
    save("not_a_number", layers.Embedding(20, 4, mask_zero=True), layers.LSTM(3), layers.Rescaling(float("nan")))
    x = keras.Input((5,))
    keras.Model(x, layers.Dense(2)(x)).save(folder / "table.keras")
    return folder


def test_a_leak_is_told_with_its_place_and_remedy_and_is_status_1(models: Path):
    result = audit(models / "leaky.keras")

    assert result.exit_code == 1
    assert "LEAK  MSK106" in result.stdout
    assert HOSTILE in result.stdout
    assert "mask_zero=True" in result.stdout


def test_a_model_without_a_leak_is_status_0(models: Path):
    result = audit(models / "healthy.keras")

    assert result.exit_code == 0
    assert "no leak found" in result.stdout
    assert "no padding" in result.stdout  # what was tested


def test_what_fails_is_chosen(models: Path):
    assert audit(models / "leaky.keras", "--fail-on", "never").exit_code == 0
    assert audit(models / "leaky.keras", "--fail-on", "risk").exit_code == 1


def test_json_and_html_hold_the_same_findings_and_names_are_text(models: Path, tmp_path: Path):
    result = audit(models / "leaky.keras", "--json", "--html", tmp_path / "report.html")
    told, page = json.loads(result.stdout), (tmp_path / "report.html").read_text()

    assert [finding["code"] for finding in told["findings"]] == ["MSK106"]
    assert told["verdict"] == "leak"
    assert {row["verdict"] for row in told["tested"]} >= {"leak", "passed"}
    assert "MSK106" in page
    assert HOSTILE not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<svg" in page


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("not_a_number.keras", "finite number"),
        ("nothing.keras", "there is no"),
        ("../models", "is a folder"),
    ],
)
def test_what_cannot_be_tested_is_one_sentence_and_status_2(models: Path, name: str, told: str):
    result = audit(models / name if ".." not in name else models)

    assert result.exit_code == 2
    assert "no leak" not in result.output
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("masklib: ")]
    assert told in sentence


def test_a_model_without_a_sequence_is_reported_as_not_tested_and_is_status_2(models: Path):
    result = audit(models / "table.keras")

    assert result.exit_code == 2
    assert "no leak" not in result.output
    assert "no input is a sequence that could be padded" in result.stdout


def test_an_input_that_is_never_padded_can_be_named(models: Path):
    assert audit(models / "leaky.keras", "--not-a-sequence", "ids").exit_code == 2
    assert "must name inputs, of ['ids'], got 'words'" in audit(models / "leaky.keras", "--not-a-sequence", "words").stderr


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (np.ones((3, 4), int), "padding"),
        (np.zeros((3, 4), int), "padding"),
        (np.ones((3, 4, 2, 2), int), "ids"),
    ],
)
def test_inputs_without_a_sequence_and_its_padding_are_refused(models: Path, tmp_path: Path, ids: Any, told: str):
    np.savez(tmp_path / "x.npz", ids=ids)
    result = audit(models / "healthy.keras", "--inputs", tmp_path / "x.npz")

    assert result.exit_code == 2
    assert told in result.stderr


def test_given_inputs_are_the_ones_that_are_tested(models: Path, tmp_path: Path):
    np.savez(tmp_path / "x.npz", ids=np.array([[3, 4, 0, 0, 0], [5, 6, 7, 8, 9]]))
    told = json.loads(audit(models / "leaky.keras", "--inputs", tmp_path / "x.npz", "--json").stdout)

    assert "(2, 5, 4)" in {row["shape"] for row in told["trace"]}
    assert told["verdict"] == "leak"


def test_a_model_of_another_process_with_code_of_its_own_is_audited(tmp_path: Path):
    (tmp_path / "own.py").write_text(
        "import keras\n\nclass Mean(keras.layers.Layer):\n    def call(self, x):\n        return keras.ops.mean(x, axis=1)\n"
    )
    program = """
    import keras
    from own import Mean

    ids = keras.Input((None,), dtype="int32")
    keras.Model(ids, Mean(name="mean")(keras.layers.Embedding(20, 4, mask_zero=True)(ids))).save("model.keras")
    """
    run = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 300}
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], check=True, **run)
    command = [sys.executable, "-m", "masklib", "audit", "model.keras"]

    without = subprocess.run(command, check=False, **run)
    result = subprocess.run([*command, "--custom", "own:Mean"], check=False, **run)

    assert without.returncode == 2
    assert "--custom module:Mean" in without.stderr
    assert result.returncode == 1
    assert "MSK101  the mask is lost at 'mean'" in result.stdout
    assert result.stderr.splitlines() == ["loading model.keras", "testing"]
