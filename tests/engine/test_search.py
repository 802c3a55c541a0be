"""The search with Optuna that the README shows, executed as it stands there."""

import re
from pathlib import Path
from typing import Any

import nbformat
import optuna
import pytest

import masklib
from masklib.engine.kernels import servers
from tests.engine.conftest import START, notebook

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.mark.slow
def test_the_search_of_the_readme_finds_the_minimum_and_runs_no_point_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (code,) = re.findall(r"<!-- search: begin -->\n```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.setattr(servers, "PRELOAD", ("numpy", "pandas", "ipykernel.kernelapp"))
    monkeypatch.chdir(tmp_path)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    nbformat.write(notebook(START, "run.metric('loss', (width - 3.0) ** 2)"), "train.ipynb")
    found: dict[str, Any] = {}
    exec(code, found)
    servers.stop_servers()

    study, runs = found["study"], masklib.load_results().runs
    assert len(study.trials) == len(runs) == 20
    assert sorted(trial.params["width"] for trial in study.trials) == pytest.approx(sorted(runs["param_width"]))
    assert study.best_value == min((width - 3.0) ** 2 for width in runs["param_width"])
    assert study.best_value < 0.5
    assert len(code.splitlines()) <= 12
