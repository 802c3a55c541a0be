"""`masklib migrate-check`, by what it prints and how it exits; and with other environments, where these were made."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from masklib.cli import migrate_view
from masklib.cli.main import main
from masklib.engine import environments
from masklib.engine.environments import find_environment
from masklib.errors import ArgumentError
from masklib.migrating import check as checking
from masklib.migrating.check import Migration
from masklib.migrating.comparing import Comparison, Difference
from masklib.migrating.explaining import Explained
from masklib.migrating.sides import Side
from tests.conftest import OF_THIS_MACHINE

OLD, NEW = Side("keras@3.3.3", "3.3.3", "torch"), Side("today", "3.15.1", "tensorflow")
MODELS = """
    import keras

    def adder():
        ids = keras.Input((None,), dtype="int32", name="ids")
        tokens = [keras.layers.Embedding(20, 4, mask_zero=True, name=name)(ids) for name in "ab"]
        x = keras.layers.LSTM(4, name="lstm")(keras.layers.Add(name="sum")(tokens))
        model = keras.Model(ids, keras.layers.Dense(1, name="score")(x), name="adder")
        model.compile(loss="mse")
        return model

    def tagger():
        ids = keras.Input((None,), dtype="int32", name="ids")
        x = keras.layers.Embedding(20, 4, mask_zero=True, name="tokens")(ids)
        x = keras.layers.LSTM(4, return_sequences=True, name="lstm")(x)
        model = keras.Model(ids, keras.layers.Dense(3, activation="softmax", name="tags")(x), name="tagger")
        model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def pooled():
        ids = keras.Input((None,), dtype="int32", name="ids")
        x = keras.layers.Embedding(20, 4, mask_zero=True, name="tokens")(ids)
        x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
        model = keras.Model(ids, keras.layers.Dense(1, name="score")(x), name="pooled")
        model.compile(loss="mse")
        return model
"""


def check(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["migrate-check", *map(str, arguments)])


def migration(differences: list[Difference], gaps: list[tuple[str, str]]) -> Migration:
    same = {"outputs": ["score"], "loss": [], "metrics": [], "masks": ["tokens"]}
    explained = [Explained(one, (), ()) for one in differences]
    return Migration("m.keras", OLD, NEW, Comparison(differences, same, gaps), explained, 5, True, ["a note"])


DIFFERS = Difference("loss", "loss", "0.5 in Keras 3.3.3, 0.6 in Keras 3.15.1", 0.2)
GAP = ("masks", "Keras 2.2.4: graphs")


@pytest.mark.parametrize(
    ("differences", "gaps", "code", "told"),
    [
        ([], [], 0, "m.keras: nothing differs\n"),
        ([DIFFERS], [], 1, "m.keras: loss differs\n"),
        ([], [GAP], 2, "m.keras: nothing that was compared differs; masks not compared\n"),
        ([DIFFERS], [GAP], 1, "m.keras: loss differs; masks not compared\n"),
    ],
)
def test_the_status_is_1_for_a_difference_2_for_a_gap_and_0_for_neither(
    differences: list[Difference], gaps: list[tuple[str, str]], code: int, told: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(migrate_view, "check", lambda *given: migration(differences, gaps))
    text, data = check("m.keras", "--to", "today"), check("m.keras", "--to", "today", "--format", "json")
    assert text.exit_code == data.exit_code == code
    assert text.stdout.startswith(told)
    assert ("no change of the matrix names it" in text.stdout) == bool(differences)
    found = json.loads(data.stdout)
    assert found["exit_status"] == code
    assert [one["of"] for one in found["differences"]] == [one.of for one in differences]
    assert [(one["part"], one["why"]) for one in found["not_compared"]] == gaps
    assert (found["from"]["keras"], found["to"]["backend"]) == ("3.3.3", "tensorflow")


def test_where_nothing_could_be_compared_the_verdict_does_not_say_that_nothing_differs():
    nothing = replace(
        migration([], []), comparison=Comparison([], {}, [("outputs", "Keras 3.9.2: x"), ("masks", "Keras 3.9.2: x")])
    )
    assert migrate_view._verdict(nothing) == "nothing could be compared; outputs, masks not compared"


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process may be started, and there are two sides."""

    def refuse(*given: Any, **options: Any) -> Any:
        msg = "a process was started"
        raise AssertionError(msg)

    monkeypatch.setattr(checking, "call_inside", refuse)
    monkeypatch.setattr(migrate_view, "find_sides", lambda source, target: (OLD, NEW))


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing.keras"], "there is no missing.keras"),
        (["note.txt"], "note.txt is something else"),
        (["hostile.h5"], "holds code, in a Lambda layer"),
        (["hostile.h5", "--max-size", "10"], "may hold at most 1e-08 GB"),
        (["plain.h5", "--weights", "plain.h5"], "--weights are for a model in code"),
        (["package:model", "--weights", "missing.h5"], "--weights must be a .h5 or .keras file"),
        (["package:model", "--weights", "note.txt"], "--weights must be a .h5 or .keras file"),
        (["plain.h5", "--inputs", "note.txt"], "--inputs must be a .npz or .npy file"),
    ],
)
def test_what_is_wrong_is_refused_before_any_process_starts(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import h5py

    monkeypatch.chdir(tmp_path)
    Path("note.txt").write_text("no model")
    for name, layer in (("hostile.h5", "Lambda"), ("plain.h5", "Dense")):
        with h5py.File(name, "w") as file:
            file.attrs["model_config"] = json.dumps({"class_name": layer, "config": {"function": ["4wEAAAA"]}})
            file["weights"] = [1.0] * 9
    found = check(*arguments, "--to", "today")
    assert (found.exit_code, found.stdout) == (2, "")
    assert told in found.stderr
    assert found.stderr.count("\n") == 1


def test_the_batch_is_made_by_another_keras_where_a_model_fails_on_one_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def ask(side: Side, what: str, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        asked.append(side.name)
        fails = side.name != "today" or request["model"] == "m:broken"
        return {"unmade": "It takes no inputs."} if fails else {"samples": 5}

    monkeypatch.setattr(checking, "_ask", ask)
    older = Side("keras@3.4.1", "3.4.1", "torch")
    request = {"model": "m:model", "inputs": ""}
    made = checking._make(OLD, older, request, tmp_path, print)
    assert made == ({"samples": 5}, str(tmp_path / "batch1" / "batch.npz"))
    assert asked == ["keras@3.4.1", "today"]  # the audit, which makes inputs, does not know Keras 3.3
    with pytest.raises(ArgumentError, match=r"Keras 3\.4\.1 on torch .*: It takes no inputs\."):
        checking._make(OLD, older, {**request, "model": "m:broken"}, tmp_path, print)


def test_an_environment_that_is_not_made_is_status_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path))
    found = check("m:model", "--to", "keras@3.4.1")
    assert found.exit_code == 2
    assert "Make it: masklib env create keras@3.4.1." in found.stderr


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with functions that build models."""
    (tmp_path / "models.py").write_text(textwrap.dedent(MODELS))
    return tmp_path


def masklib(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and JSON of the command in a process of its own, with the environments of this machine."""
    kept = {name: value for name, value in os.environ.items() if name != environments.FOLDER_VARIABLE}
    environ = kept | ({environments.FOLDER_VARIABLE: OF_THIS_MACHINE} if OF_THIS_MACHINE else {})
    command = [sys.executable, "-m", "masklib", "migrate-check", *arguments, "--format", "json"]
    ended = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


@pytest.fixture
def need(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that skips the test unless environments were made on this machine."""

    def skip_unless_made(*names: str) -> None:
        monkeypatch.delenv(environments.FOLDER_VARIABLE, raising=False)
        if OF_THIS_MACHINE:
            monkeypatch.setenv(environments.FOLDER_VARIABLE, OF_THIS_MACHINE)
        missing = [name for name in names if not find_environment(name).exists]
        if missing:
            pytest.skip(f"needs: masklib env create {' '.join(missing)}")

    return skip_unless_made


@pytest.mark.full
@pytest.mark.timeout(900)  # six processes import a backend
def test_merging_layers_merge_masks_from_3_4_0_on_and_a_model_without_them_is_the_same(need: Any, models: Path):
    need("keras@3.3.3", "keras@3.4.1")
    sides = ("--from", "keras@3.3.3", "--to", "keras@3.4.1")
    code, found = masklib(models, "models:adder", *sides)
    assert code == 1
    assert {(one["part"], one["of"]) for one in found["differences"]} == {
        ("outputs", "score"),
        ("loss", "loss"),
        ("masks", "sum"),
    }
    (mask,) = (one for one in found["differences"] if one["part"] == "masks")
    assert [(row["claim"], row["keras"]) for row in mask["changes"]] == [("Add(equal masks)", "3.4.0")]
    assert all(one["because_of_masks_at"] == ["sum"] for one in found["differences"] if one["part"] != "masks")

    code, found = masklib(models, "models:pooled", *sides)
    assert (code, found["differences"], found["not_compared"]) == (0, [], [])
    assert found["same"]["masks"] == ["tokens", "mean", "score"]


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_nightly_whose_recurrent_layers_hand_no_mask_on_changes_the_loss_of_a_tagger(need: Any, models: Path):
    nightly = "keras@3.16.0.dev2026102704"
    need("keras@3.15.0", nightly)
    code, found = masklib(models, "models:tagger", "--from", "keras@3.15.0", "--to", nightly)
    assert code == 1
    differs = {one["of"]: one for one in found["differences"]}
    assert set(differs) == {"loss", "accuracy", "lstm", "tags"}
    assert [row["claim"] for row in differs["lstm"]["changes"]] == ["LSTM(return_sequences=True)"]
    assert differs["loss"]["because_of_masks_at"] == ["lstm"]
    assert found["same"]["outputs"] == ["tags"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_file_of_keras_2_is_compared_with_its_loss(need: Any, models: Path):
    need("keras-2.15")
    old = find_environment("keras-2.15")
    save = "import models; models.pooled().save('pooled.h5')"
    environ = {**os.environ, **old.variables(), "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([str(old.python), "-c", save], cwd=models, env=environ, check=True, capture_output=True)
    code, found = masklib(models, "pooled.h5", "--from", "2.15", "--to", "today")
    assert (code, found["differences"], found["not_compared"]) == (0, [], [])
    assert found["same"] == {"outputs": ["score"], "loss": ["loss"], "metrics": [], "masks": ["tokens", "mean", "score"]}
    assert (found["from"]["keras"], found["from"]["name"]) == ("2.15.0", "keras-2.15")
