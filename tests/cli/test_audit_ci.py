"""Audits in continuous integration: annotations, JUnit's XML, JSON with a schema, GitHub's action, pre-commit's hook."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import keras
import pytest
import yaml
from click.testing import CliRunner
from keras import layers

import masklib
from masklib.cli import audit_ci
from masklib.cli.main import main

ROOT = Path(__file__).parents[2]

SCHEMA = json.loads(files("masklib.auditing.report").joinpath("report.schema.json").read_text())


def model(*, leaks: bool) -> Any:
    """A model whose LSTM gets a mask, or none; its loss is compiled."""
    ids = keras.Input((None,), dtype="int32")
    made = keras.Model(ids, layers.Dense(1)(layers.LSTM(4)(layers.Embedding(9, 4, mask_zero=not leaks)(ids))))
    made.compile("sgd", "mse")
    return made


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    model(leaks=True).save(folder / "leaking.keras")
    model(leaks=False).save(folder / "sound one.keras")
    return folder


@pytest.fixture(scope="module")
def leaking() -> Any:
    return masklib.audit(model(leaks=True))


def call(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["audit", *map(str, arguments)])


def test_annotations_are_workflow_commands_in_which_nothing_of_the_model_is_one(leaking: Any):
    lines = audit_ci.annotations(leaking, "models/a,b:c%\n::error::x").splitlines()
    first = lines[0]
    assert first.startswith("::error title=MSK106 ")
    title, _, message = first.removeprefix("::error title=").partition("::")
    assert ":" not in title
    assert "," not in title
    assert "%25" in message
    assert [line for line in lines if line.startswith("::error::x")] == []
    assert lines[-1] == f"masklib audit: {leaking.headline}"
    named = audit_ci.annotations(replace(leaking, model="::error::x", findings=[]), "a.keras")
    assert [line for line in named.splitlines() if line.startswith("::") and not line.startswith("::warning title=")] == []


def test_the_summary_of_a_step_is_a_table_with_one_head(leaking: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(audit_ci.SUMMARY_VARIABLE, raising=False)
    audit_ci.add_to_summary(leaking, "nowhere")
    monkeypatch.setenv(audit_ci.SUMMARY_VARIABLE, str(tmp_path / "summary.md"))
    for target in ("a.keras", "b|`c.keras"):
        audit_ci.add_to_summary(leaking, target)
    head, rule, *rows = (tmp_path / "summary.md").read_text().splitlines()
    assert (head, rule) == ("| model | verdict | found |", "|---|---|---|")
    assert [row.count("|") for row in rows] == [4, 4]
    assert rows[0].startswith("| `a.keras` | `leak` | MSK106")


@pytest.mark.parametrize(("status", "kind"), [(0, None), (1, "failure"), (2, "error")])
def test_junit_says_what_the_exit_status_says(leaking: Any, status: int, kind: str | None):
    suite = ElementTree.fromstring(audit_ci.junit(leaking, "a.keras", status))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", str(int(status == 1)), str(int(status == 2)))
    (case,) = suite
    assert [child.tag for child in case] == [*([kind] if kind else []), "system-out"]
    assert "MSK106" in (case[-1].text or "")


def test_json_has_the_published_schema(leaking: Any, saved: Path):
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.validate(json.loads(json.dumps(leaking.to_dict())))
    assert set(leaking.to_dict()) == set(SCHEMA["properties"])
    printed = call(saved / "sound one.keras", "--quick", "--format", "json")
    validator.validate(json.loads(printed.stdout))
    assert json.loads(printed.stdout)["not_tested"]
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**leaking.to_dict(), "verdict": "fine"})


def test_several_models_have_the_worst_status_and_files_are_of_one(saved: Path):
    good, bad = saved / "sound one.keras", saved / "leaking.keras"
    quick = ("--quick", "--allow-untested", "loss,gradients", "--format", "github")
    assert call(good, good, *quick).exit_code == 0
    both = call(good, bad, *quick)
    assert (both.exit_code, "::error title=MSK106" in both.stdout) == (1, True)
    assert call(good, saved / "none.keras", *quick).exit_code == 2
    assert call(bad, saved / "none.keras", *quick).exit_code == 1
    for options in (("--html", saved / "a.html"), ("--junit", saved / "a.xml"), ("--format", "json")):
        refused = call(good, bad, *options)
        assert (refused.exit_code, "work for one MODEL" in refused.stderr) == (2, True)


@pytest.mark.slow
def test_the_steps_of_the_action_audit_each_model_and_keep_its_reports(saved: Path, tmp_path: Path):
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    _install, audit, keep = action["runs"]["steps"]
    given = {"models": f"{saved}/leaking.keras\n{saved}/sound one.keras\n", "options": "--quick --allow-untested loss,gradients"}
    values = {name: given.get(name, one.get("default", "")) for name, one in action["inputs"].items()}
    variables = {name: values[text.removeprefix("${{ inputs.").removesuffix(" }}")] for name, text in audit["env"].items()}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **variables, "PATH": path, audit_ci.SUMMARY_VARIABLE: str(tmp_path / "summary.md")}
    command = [shutil.which("bash") or "bash", "-e", "-o", "pipefail", "-c", audit["run"]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "::error title=MSK106" in done.stdout
    assert len((tmp_path / "summary.md").read_text().splitlines()) == 4
    kept = sorted(one.suffix for one in (tmp_path / values["reports"]).iterdir())
    assert kept == [".html", ".html", ".xml", ".xml"]
    assert keep["with"]["path"] == "${{ inputs.reports }}"


def test_action_and_hook_have_the_form_of_their_kind(tmp_path: Path):
    action = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-actions"]
    hook = [sys.executable, "-m", "pre_commit", "validate-manifest"]
    for command, name, needed in ((action, "action.yml", "runs:"), (hook, ".pre-commit-hooks.yaml", "entry:")):
        text = (ROOT / name).read_text()
        (tmp_path / name).write_text(text.replace(needed, "nothing:", 1))
        found = [subprocess.run([*command, file], capture_output=True, check=False) for file in (ROOT / name, tmp_path / name)]
        assert [one.returncode == 0 for one in found] == [True, False], f"{name}, then one without {needed}"
