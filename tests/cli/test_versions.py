"""`masklib versions`, `bisect` and `watch`, by what they print and how they exit."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from masklib.cli import versions_view
from masklib.cli.main import main
from masklib.engine.committed import committed_changes
from masklib.engine.record import Failure
from masklib.engine.releases import version_key
from masklib.engine.run import SOURCE_CHANGED


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def listed(*arguments: str) -> list[dict[str, str]]:
    return json.loads(run("versions", *arguments, "--json").stdout)


def test_all_changes_are_listed_without_a_choice():
    assert listed() == committed_changes()


def test_what_changed_since_a_version_leaves_out_what_it_has_already():
    keras = {row["keras"] for row in listed("--since", "3.9.2")}
    assert keras
    assert all(version_key(version) > (3, 9, 2) for version in keras)
    assert keras < {row["keras"] for row in listed("--since", "3.3.0")}


def test_a_layer_stands_for_all_its_settings_and_a_backend_for_its_own_changes():
    rows = listed("LSTM", "mask-2", "--backend", "torch")
    assert {row["claim"].partition("(")[0] for row in rows} <= {"LSTM", "mask-2"}
    assert {row["backend"] for row in rows} == {"torch"}


def test_where_nothing_changed_it_is_said():
    assert run("versions", "emb-1", "--since", "3.15.1", "--backend", "jax").stdout.startswith("Nothing changed")


@pytest.mark.parametrize(
    "arguments",
    [("versions", "--since", "x"), ("versions", "mask-99"), ("bisect", "mask-99", "--good", "3.3.3", "--bad", "3.4.1")],
)
def test_what_is_none_is_a_wrong_use(arguments: tuple[str, ...]):
    found = run(*arguments)
    assert found.exit_code == 2
    assert "masklib: " in found.stderr


def test_a_table_shows_short_what_json_shows_whole():
    row = dict.fromkeys(("claim", "backend", "before", "keras", "released", "is"), "x") | {"was": "y" * 500}
    assert len(versions_view.shown([row])[0]["until then"]) == versions_view.LONGEST


@pytest.mark.full
def test_a_change_is_bisected_to_its_release(with_torch: Path, tmp_path: Path):
    found = run("bisect", "guide-14", "--good", "3.0.3", "--bad", "3.1.0", "--runs", str(tmp_path / "runs"))
    assert found.exit_code == 0, found.stderr
    assert found.stdout.startswith("guide-14: refuted up to Keras 3.0.4, holds from 3.0.5 of 2024-02-14 on.")
    again = run("bisect", "guide-14", "--good", "3.1.0", "--bad", "3.0.3", "--runs", str(tmp_path / "runs"), "--json")
    (change,) = json.loads(again.stdout)
    assert (change["before"], change["keras"], change["released"]) == ("3.0.4", "3.0.5", "2024-02-14")
    assert again.stderr.count("already there") == 4


@pytest.mark.parametrize(("changed", "failed", "code"), [([], [], 0), ([], ["10_audit_a_model"], 1), ([{"was": "x"}], [], 1)])
def test_watch_is_green_only_if_all_was_measured_and_nothing_changed(
    changed: list[dict[str, str]], failed: list[str], code: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(versions_view, "watch", lambda *given: ("3.99.0", changed, failed))
    found = run("watch", "--json")
    assert found.exit_code == code
    assert all(name in found.stderr for name in failed)


def test_a_bisection_stops_if_the_source_changes_under_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Every later run would fail for the same reason, and none of them says anything about Keras."""
    failed = SimpleNamespace(record=SimpleNamespace(error=Failure("failed", SOURCE_CHANGED, "it changed")))
    asked: list[str] = []
    monkeypatch.setattr(versions_view.env_view, "create_missing", lambda names: None)
    monkeypatch.setattr(versions_view, "plan_run", lambda notebook, parameters: asked.append(parameters["environment"]))
    monkeypatch.setattr(versions_view, "execute", lambda *given: failed)

    found = run("bisect", "loss-1", "--good", "3.6.0", "--bad", "3.4.1", "--backend", "jax", "--runs", str(tmp_path))

    assert (found.exit_code, asked) == (1, ["keras@3.4.1-jax"])
    assert "masklib's source changed while releases were compared." in found.stderr
