"""`masklib env`, by what it prints and how it exits."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from masklib.cli import env_view
from masklib.cli.main import main
from masklib.engine import environments
from masklib.errors import UnavailableError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["env", *arguments])


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path))


def test_the_list_names_every_environment_and_its_state():
    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert list(rows) == list(environments.load_environments())
    assert {row["state"] for row in rows.values()} <= {"not created", "interpreter missing"}
    assert (rows["keras-2.2.4"]["keras"], rows["keras-3.15-torch"]["backend"]) == ("2.2.4", "torch")


def test_what_is_not_there_is_unavailable_and_the_check_fails():
    found = run("check", "keras-2.15", "--json")
    assert (found.exit_code, json.loads(found.stdout)[0]["status"]) == (1, "unavailable")


def test_nothing_there_is_nothing_wrong():
    assert run("check").exit_code == 0


@pytest.mark.parametrize("command", ["create", "check", "remove"])
def test_an_unknown_name_is_a_wrong_use(command: str):
    found = run(command, "keras-2.16")
    assert found.exit_code == 2
    assert "keras-2.15" in found.stderr


def test_the_cost_of_a_creation_is_reported_before(monkeypatch: pytest.MonkeyPatch):
    def fail(environment: environments.Environment, on_progress: object) -> None:
        msg = "no network"
        raise UnavailableError(msg)

    monkeypatch.setattr(environments, "create", fail)
    found = run("create", "keras-2.15")
    assert found.exit_code == 1
    assert "410 MB to download" in found.stderr
    assert found.stderr.index("410 MB") < found.stderr.index("no network")


def test_the_time_of_a_creation_is_a_measured_one_or_none(tmp_path: Path):
    environment = environments.find_environment("keras-2.15")
    assert " s." not in env_view.expected(environment)
    (tmp_path / ".keras-2.15.seconds").write_text("181\n")
    assert env_view.expected(environment).endswith(" The last creation on this machine took 181 s.")


def test_removing_says_whether_there_was_one():
    assert json.loads(run("remove", "keras-2.15", "--json").stdout) == [{"name": "keras-2.15", "removed": False}]


def test_a_release_says_what_the_environment_below_it_costs_where_that_is_not_there():
    told = env_view.expected(environments.find_environment("keras@3.9.2"))
    below = environments.find_environment(environments.RELEASES_ON)
    assert f"{below.disk_mb} MB on disk in {below.folder}" in told
