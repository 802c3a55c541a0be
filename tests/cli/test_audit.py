"""`masklib audit`: one command from a saved model to a report, with an exit status for CI."""

import json
import re
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from masklib.cli.main import main

pytestmark = pytest.mark.filterwarnings("ignore:.*destroy the mask:UserWarning")
HOSTILE = "<img src=x onerror=alert(1)>"
README = (Path(__file__).parents[2] / "README.md").read_text()


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


def test_a_leak_is_reported_with_its_place_and_remedy_and_is_status_1(models: Path):
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


@pytest.mark.slow
def test_a_model_of_another_process_with_custom_code_is_audited(tmp_path: Path):
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
    assert "LEAK  MSK" in result.stdout
    assert "'mean'" in result.stdout
    assert result.stderr.splitlines()[:3] == [
        "model.keras: loading",
        f"Python also looks for modules in {tmp_path}, because --custom or module:name was given.",
        "model.keras: testing the inputs",
    ]


def sentence_of(result: Result) -> str:
    """The one sentence of a command that could not work; it says nothing about the model."""
    assert result.exit_code == 2, result.output
    assert "no leak" not in result.output
    assert "Traceback" not in result.output
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("masklib: ")]
    return sentence


CODE = """
import sys

import keras
import numpy as np

print("a user's own words")
IDS = np.array([[1, 2, 3, 4], [5, 6, 0, 0], [7, 0, 0, 0]])

def own_loss(y_true, y_pred):
    both = keras.ops.reshape(y_true, (*keras.ops.shape(y_pred)[:2], 2))  # a class number and a weight
    return keras.losses.sparse_categorical_crossentropy(both[..., 0], y_pred) * keras.ops.cast(both[..., 1], "float32")

def tagger():
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.LSTM(8, return_sequences=True)(keras.layers.Embedding(30, 8, mask_zero=True)(ids))
    model = keras.Model(ids, keras.layers.Dense(5, activation="softmax")(x), name="tagger")
    model.compile("adam", own_loss)
    return model

def batch():
    return IDS, np.stack([IDS % 5, IDS > 0], axis=-1)

class Exits(keras.layers.Layer):
    def call(self, inputs):
        if hasattr(inputs, "numpy"):  # called with numbers
            sys.exit(0)
        return inputs

def exits():
    ids = keras.Input((None,), dtype="int32")
    return keras.Model(ids, Exits()(keras.layers.Embedding(9, 4)(ids)))

def interrupted():
    raise KeyboardInterrupt
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a user's code, in which the command is given."""
    (tmp_path / "code_of_mine.py").write_text(CODE)
    (tmp_path / "stops.py").write_text("import sys; sys.exit(0)")
    (tmp_path / "breaks.py").write_text("def (")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--html", "nowhere/report.html"), "which is not there"),
        (("--html", "."), "is a folder"),
        (("--inputs", "cut.npz"), "plain arrays"),
        (("--inputs", "nothing.npz"), "there is no"),
        (("--max-size", "1KB"), "--max-size"),
        (("--max-size", "much"), "must be a size"),
    ],
)
def test_what_cannot_work_is_said_before_the_work(models: Path, project: Path, options: tuple[str, ...], told: str):
    (project / "cut.npz").write_bytes(b"PK\3\4 and no more")
    result = audit(models / "healthy.keras", *options)

    assert told in sentence_of(result)
    assert "loading" not in result.stderr


def test_a_backend_that_is_not_there_is_said_before_the_work(models: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    result = audit(models / "healthy.keras")

    assert "KERAS_BACKEND must be a backend of Keras that is installed" in sentence_of(result)
    assert "loading" not in result.stderr
    assert audit(models / "healthy.keras", "--seed", "-1").exit_code == 2


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("healthy.keras", "--custom", "stops:X"), "sys.exit(0)"),
        (("healthy.keras", "--custom", "breaks:X"), "SyntaxError"),
        (("healthy.keras", "--custom", ".x:X"), "must be module:name"),
        (("stops:build",), "sys.exit(0)"),
        (("code_of_mine:nothing",), "no attribute"),
        (("code_of_mine:batch",), "a function that returns one, got tuple"),
        (("code_of_mine:exits",), "could not be tested: sys.exit(0)"),
    ],
)
def test_user_code_that_fails_or_exits_is_neither_a_leak_nor_a_success(models: Path, arguments: tuple[str, ...], told: str):
    model, *others = arguments
    assert told in sentence_of(audit(models / model if model.endswith(".keras") else model, *others))


@pytest.mark.usefixtures("project")
def test_a_traceback_is_shown_if_it_is_asked_for_and_the_status_stays():
    result = CliRunner().invoke(main, ["--debug", "audit", "code_of_mine:exits"])
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


@pytest.mark.usefixtures("project")
def test_an_interrupt_is_not_a_leak():
    assert audit("code_of_mine:interrupted").exit_code == 130


def test_a_model_in_code_is_audited_with_inputs_in_code(project: Path):
    result = audit("code_of_mine:tagger", "--inputs", "code_of_mine:batch", "--json")

    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)  # without what the user's code prints
    assert told["verdict"] == "no leak found"
    assert (told["schema"], told["source"], told["inputs"], told["targets"]) == (1, "code_of_mine:tagger", "given", "given")
    assert f"Python also looks for modules in {project}" in result.stderr


@pytest.mark.usefixtures("project")
def test_what_could_not_be_tested_is_status_2_unless_it_is_allowed():
    result = audit("code_of_mine:tagger", "--inputs", "code_of_mine:IDS")

    assert result.exit_code == 2
    assert "no leak found in the outputs and gradients; loss not tested: " in result.stdout
    allowed = audit("code_of_mine:tagger", "--inputs", "code_of_mine:IDS", "--allow-untested", "loss,metrics")
    assert allowed.exit_code == 0
    assert "loss not tested: " in allowed.stdout
    quick = audit("code_of_mine:tagger", "--quick")
    assert quick.exit_code == 0
    assert "quick: only the outputs were tested" in quick.stdout
    assert audit("code_of_mine:tagger", "--allow-untested", "outputs").exit_code == 2


def test_the_page_is_named_and_links_only_to_what_is_there(models: Path, project: Path):
    first = audit(models / "leaky.keras", "--html", "report.html")
    assert f"report: {project / 'report.html'}" in first.stderr
    assert "<a " not in (project / "report.html").read_text()

    (project / "runs" / "site").mkdir(parents=True)
    (project / "runs" / "site" / "audit.html").write_text('<section id="msk106">')
    audit(models / "leaky.keras", "--html", "report.html")
    assert '<a href="runs/site/audit.html#msk106"><code>MSK106</code></a>' in (project / "report.html").read_text()


def test_nothing_of_the_current_folder_runs_without_being_asked_for(models: Path, tmp_path: Path):
    """A downloaded folder may hold a model, and a file that is named like a library."""
    (tmp_path / "optree.py").write_text("open('executed', 'w').close()")
    command = [sys.executable, "-m", "masklib", "audit", str(models / "healthy.keras"), "--quick"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "executed").exists()
    assert "\x1b" not in result.stdout + result.stderr


@pytest.mark.parametrize("custom", [False, True])
def test_code_of_the_current_folder_runs_for_custom_alone_and_that_is_said(models: Path, tmp_path: Path, custom: bool):
    for name in ("optree", "sphinx", "numpy", "h5py", "masklib"):
        (tmp_path / f"{name}.py").write_text(f"open('RAN-{name}', 'w').close()\nraise ImportError('not asked for')")
    (tmp_path / "mine.py").write_text("open('RAN-mine', 'w').close()\nclass Own: pass")
    command = [Path(sys.executable).with_name("masklib"), "audit", models / "healthy.keras", "--quick"]
    command += ["--custom", "mine:Own"] if custom else []
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, 2), ended.stderr
    assert [path.name for path in tmp_path.glob("RAN-*")] == (["RAN-mine"] if custom else [])
    assert ("Python also looks for modules in" in ended.stderr) is custom


def test_the_report_in_the_readme_is_what_the_command_prints(keras: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Embeddings of positions are added to those of words; each line of the README is in the report, but for its numbers."""
    layers, wide = keras.layers, keras.initializers.RandomNormal(stddev=1.0)
    ids = keras.Input((None,), dtype="int32", name="ids")
    positions = keras.ops.cumsum(keras.ops.ones_like(ids), axis=1) - 1
    words = layers.Embedding(200, 16, mask_zero=True, embeddings_initializer=wide, name="words")(ids)
    places = layers.Embedding(64, 16, embeddings_initializer=wide)(positions)
    x = layers.Dense(16, activation="relu")(layers.Add(name="tokens_and_positions")([words, places]))
    x = layers.GlobalAveragePooling1D(name="global_average_pooling1d")(x)
    keras.Model(ids, layers.Dense(1, activation="sigmoid", name="positive")(x), name="sentiment").save(
        tmp_path / "sentiment.keras"
    )
    monkeypatch.setenv("COLUMNS", "200")
    (shown,) = re.findall(r"\$ masklib audit sentiment.keras\n(.*?)\n```", README, re.DOTALL)

    printed = _without_numbers(audit(tmp_path / "sentiment.keras").stdout)

    lines = [_without_numbers(line.removesuffix(" ...")) for line in shown.splitlines()]
    assert f"masklib {metadata.version('masklib')}" in shown
    assert [line for line in lines if line not in printed] == []
    assert _without_numbers("merging at 'words' drops the mask") not in printed


def _without_numbers(text: str) -> str:
    return re.sub(r"\d[\d.e-]*", "#", " ".join(text.split()))
