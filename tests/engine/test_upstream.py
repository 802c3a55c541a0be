"""Reports for the authors of Keras: each script is short, plain Keras, and shows what its title says."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from masklib.auditing.report.catalogue import CODES
from masklib.claims.ledger import load_claims
from masklib.cli.main import main
from masklib.engine import upstream
from masklib.engine.environments import create, find_environment
from masklib.errors import ArgumentError, RunError, UnavailableError

NUMBER = r"(\d+\.\d+)"


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(NUMBER, text)]


SHOWN: dict[str, Callable[[str], bool]] = {
    "initial_state": lambda text: numbers(text)[0] < 1e-4 < 1e-3 < numbers(text)[1],
    "attention_removes_mask": lambda text: (
        text.splitlines()
        == [
            "the mask of x: [[True, True, False]]",
            "the mask of x: None",
        ]
    ),
    "bidirectional_unrolled": lambda text: numbers(text)[0] < 1e-4 < 1e-3 < numbers(text)[1],
    "time_distributed": lambda text: "4 samples of 7 steps: called (4, 7, 2), predict (4, 4, 2)" in text,
    "metrics_in_fit": lambda text: numbers(text)[0] == numbers(text)[2] and numbers(text)[1] > 10 * numbers(text)[3],
    "guide_custom_embedding": lambda text: "(1, 3)\n" in text and "(1, 3, 32)" in text,
    "guide_temporal_softmax": lambda text: "[[nan, nan]]" in text and "[[1.0, 1.0, 1.0, nan]]" in text,
    "recurrent_layers": lambda text: (
        numbers(text)[0] > 1e-3 > 1e-5 > numbers(text)[1] and numbers(text)[3] > 10 * numbers(text)[2]
    ),
    "samples_for_steps": lambda text: numbers(text)[1] - numbers(text)[0] > 1 and len(numbers(text)) == 3,
}


@pytest.mark.parametrize("name", upstream.reports())
def test_a_script_is_short_and_plain_keras(name: str):
    report = upstream.reports()[name]
    assert len(report.script.strip().splitlines()) < 30
    assert "masklib" not in report.script
    assert {*re.findall(r"^(?:from|import) (\w+)", report.script, re.MULTILINE)} == {"keras", "numpy"}
    assert all(one in CODES or one in load_claims() for one in report.about)


@pytest.mark.slow
@pytest.mark.parametrize("name", upstream.reports())
def test_a_script_shows_what_its_title_says(name: str):
    report = upstream.reports()[name]
    versions, printed = upstream.execute(report)
    assert versions.startswith("Keras 3.")
    assert SHOWN[name](printed) == (not report.since), printed


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, report in upstream.reports().items() if report.since])
def test_a_script_about_a_pre_release_shows_it_there(name: str, with_torch: Path):
    report = upstream.reports()[name]
    (environment,) = filter(None, upstream.environments_of(report))
    try:
        create(find_environment(environment))
    except UnavailableError as error:
        pytest.skip(f"nightly builds go after a while: {error}")
    versions, printed = upstream.execute(report, environment)
    assert report.since in versions
    assert SHOWN[name](printed), printed


@pytest.mark.parametrize("name", SHOWN)
def test_what_a_healthy_keras_prints_is_not_taken_for_the_fault(name: str):
    healthy = {
        "initial_state": "padding changes the output by 0.0000\npadding changes the output by 0.0000",
        "bidirectional_unrolled": "loop: differ by 0.0000\nunrolled: differ by 0.0000",
        "attention_removes_mask": "the mask of x: [[True, True, False]]\nthe mask of x: [[True, True, False]]",
        "time_distributed": "4 samples of 7 steps: called (4, 7, 2), predict (4, 7, 2)",
        "metrics_in_fit": "{'loss': 0.9900, 'mae': 0.9946}\n{'loss': 0.9900, 'mae': 0.9946}",
        "guide_custom_embedding": "output:   (1, 3, 32)\nexpected: (1, 3, 32)",
        "guide_temporal_softmax": "sums over time: [[1.0, 1.0]]\nsums over features: [[0.4, 1.1, 0.5, 0.0]]",
        "recurrent_layers": "0.0000\n0.0000\nloss: 1.0059\nloss: 1.0059",
        "samples_for_steps": "11.0000\n11.0000\n6.0000\n6.0000",
    }
    assert not SHOWN[name](healthy[name])


def test_a_report_has_the_form_of_an_issue():
    text = upstream.as_markdown(upstream.find_report("MSK109"), [("Keras 9.9.9", "the mask of x: None")])
    assert text.startswith("# MultiHeadAttention removes the mask")
    assert "**Printed on Keras 9.9.9:**\n\n```text\nthe mask of x: None\n```" in text


def test_what_there_is_no_report_about_is_refused_with_what_there_is():
    found = CliRunner().invoke(main, ["reproduce-report", "MSK108"])
    assert found.exit_code == 2
    assert "MSK109" in found.stderr


def test_an_environment_that_does_not_fit_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MASKLIB_ENVIRONMENTS", str(tmp_path))
    with pytest.raises(UnavailableError, match="masklib env create"):
        upstream.execute(upstream.find_report("state-1"), "keras-2.15")
    monkeypatch.setattr("masklib.engine.environments.Environment.exists", True)
    with pytest.raises(ArgumentError, match="on jax"):
        upstream.execute(upstream.find_report("MSK304"), "keras-2.15")


def test_a_script_that_fails_is_reported_with_its_last_line():
    report = upstream.Report("t", ("MSK109",), "", "raise ValueError('no such layer')")
    with pytest.raises(RunError, match="ValueError: no such layer"):
        upstream.execute(report)
