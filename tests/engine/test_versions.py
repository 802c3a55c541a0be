"""The matrix of versions: where an answer changed, how a release is found by halving, and that the committed one is whole."""

import csv
import io
from collections.abc import Callable

import pytest

from masklib.claims.words import FAILED, NO_VERDICT
from masklib.engine import bisecting, changes, versions
from masklib.engine.committed import (
    MAIN,
    as_csv,
    committed_changes,
    committed_verdicts,
    committed_versions,
    newest_first,
)
from masklib.engine.releases import is_pre_release, released, releases, version_key
from masklib.errors import ArgumentError
from masklib.site import readme

LAYER = "NoSuchLayer(axis=1)"


def row(claim: str, keras: str, verdict: str, reason: str = "", backend: str = "torch") -> dict[str, str]:
    return dict(zip(versions.COLUMNS, (claim, keras, backend, verdict, reason), strict=True))


def told(rows: list[dict[str, str]]) -> list[tuple[str, ...]]:
    return [(r["claim"], r["before"], r["keras"], r["was"], r["is"]) for r in changes.changes(rows)]


def test_a_change_is_between_neighbours_in_the_order_of_versions():
    rows = [row("mask-2", "3.10.0", "holds"), row("mask-2", "3.9.2", "refuted"), row("mask-2", "3.4.0", "refuted")]
    assert told(rows) == [("mask-2", "3.9.2", "3.10.0", "refuted", "holds")]


def test_the_version_before_another_was_released_before_it():
    rows = [row("mask-2", "2.15.0", "refuted"), row("mask-2", "2.21.0", "holds"), row("mask-2", "3.0.0", "refuted")]
    assert told(rows) == [("mask-2", "2.15.0", "2.21.0", "refuted", "holds")]  # tf_keras of 2026 is not before 3.0.0 of 2023
    unknown = [row("mask-2", "3.15.1", "refuted"), row("mask-2", "3.99.0", "holds")]
    assert told(unknown) == [("mask-2", "3.15.1", "3.99.0", "refuted", "holds")]


def test_a_notebook_that_was_run_anew_on_a_version_has_its_cells_exchanged_and_all_others_stay():
    committed = [row("mask-2", "3.3.0", "refuted"), row("mask-2", "3.4.0", "refuted"), row("emb-1", "3.4.0", "holds")]
    committed += [row(LAYER, "3.4.0", "gone"), row("Gone", "3.3.0", "kept")]
    anew = [
        row("mask-2", "3.4.0", "holds"),
        row("emb-1", "3.4.0", versions.NOT_RUN),
        row("mask-2", "3.3.0", "holds", backend="jax"),
    ]
    anew += [row("Other", "3.3.0", "kept")]
    found = versions.renewed(committed, anew)
    assert found == [committed[2], anew[2], committed[0], anew[0], committed[3], anew[3]]


def test_backends_are_not_compared_with_each_other():
    assert not changes.changes([row("mask-2", "3.9.2", "refuted"), row("mask-2", "3.10.0", "holds", backend="jax")])


@pytest.mark.parametrize("nothing", NO_VERDICT)
def test_a_version_without_a_verdict_is_passed_over(nothing: str):
    rows = [row("mask-2", "3.3.0", "refuted"), row("mask-2", "3.4.0", nothing), row("mask-2", "3.5.0", "refuted")]
    assert not changes.changes(rows)
    rows[-1]["verdict"] = "holds"
    assert told(rows) == [("mask-2", "3.3.0", "3.5.0", "refuted", "holds")]


def test_of_a_claim_only_the_verdict_counts_of_a_layer_all_that_it_does():
    claims = [row("mask-2", "3.3.0", "holds", "1 of 1 parts hold"), row("mask-2", "3.4.0", "holds", "2 of 2 parts hold")]
    assert not changes.changes(claims)
    layers = [row(LAYER, "3.3.0", "gone", "warns: no; why: x"), row(LAYER, "3.4.0", "gone", "warns: yes; why: x")]
    assert told(layers) == [(LAYER, "3.3.0", "3.4.0", "warns: no", "warns: yes")]


def test_a_pre_release_comes_before_its_release_and_is_never_the_newest():
    dev = "3.16.0.dev2026102704"
    assert sorted(["3.16.0", dev, "3.9.2", "3.15.1"], key=version_key) == ["3.9.2", "3.15.1", dev, "3.16.0"]
    assert is_pre_release(dev)
    assert not any(map(is_pre_release, ["3.16.0", "2.2.4", "3.15.1"]))
    rows = [
        row("mask-2", keras, "holds", backend=backend) for keras, backend in [(dev, "torch"), ("3.15.1", "jax"), ("3.15.1", MAIN)]
    ]
    assert [(r["keras"], r["backend"]) for r in newest_first(rows)] == [("3.15.1", MAIN), ("3.15.1", "jax"), (dev, "torch")]


def test_releases_are_in_order_and_dated():
    known = releases()
    assert known == sorted(known, key=version_key)
    assert {"2.2.4", "3.0.0", "3.15.1"} < {*known}
    assert released("3.4.0") == "2024-06-25"
    assert released("9.9.9") == ""


def test_what_the_next_keras_changes_are_layers_whose_mask_went_on_until_its_newest_pre_release():
    made = [
        change("LSTM(return_sequences=True)", "3.16.0.dev2", "kept", "used and gone"),
        change("GRU", "3.16.0.dev2", "used and ended", "used and gone"),
        change("TimeDistributed", "3.16.0.dev2", "kept", "gone, padding mixed in"),
        change("Old", "3.16.0.dev1", "kept", "gone"),
        change("Dense", "3.15.0", "kept", "gone"),
    ]
    assert changes.coming(made) == ("3.16.0.dev2", ["LSTM", "TimeDistributed"])
    assert changes.coming(made[-1:]) == ("", [])


def test_what_the_audit_knows_of_the_next_keras_follows_from_the_committed_changes():
    assert readme.COMING.read_text(encoding="utf-8") == readme.coming_layers()


def change(layer: str, keras: str, was: str, now: str) -> dict[str, str]:
    return {"claim": layer, "keras": keras, "was": was, "is": now}


def ask(change: str, asked: list[str], without: tuple[str, ...] = ()) -> Callable[[str], tuple[str, str]]:
    """An answer that is another one from a version on, and a note of what was asked."""

    def answer_of(version: str) -> tuple[str, str]:
        asked.append(version)
        if version in without:
            return FAILED, "it does not import"
        return ("holds" if version_key(version) >= version_key(change) else "refuted"), ""

    return answer_of


@pytest.mark.parametrize("change", bisecting.between("3.0.0", "3.15.1")[1:])
def test_every_release_is_found_with_few_questions(change: str):
    asked: list[str] = []
    between = bisecting.between("3.15.1", "3.0.0")
    found = bisecting.bisect(between, ask(change, asked))
    assert (found.keras, found.was, found.now) == (change, "refuted", "holds")
    assert between.index(found.keras) == between.index(found.before) + 1
    assert len(asked) <= 2 + len(between).bit_length()


def test_a_release_without_an_answer_is_passed_over_and_named():
    between = bisecting.between("3.3.0", "3.5.0")
    found = bisecting.bisect(between, ask("3.4.0", [], without=("3.3.3", "3.4.0", "3.3.1")))
    assert (found.before, found.keras) == ("3.3.2", "3.4.1")
    assert found.without == {"3.3.3": "it does not import", "3.4.0": "it does not import"}


def test_the_ends_must_differ_and_have_an_answer():
    with pytest.raises(ArgumentError, match="must differ"):
        bisecting.bisect(["3.4.0", "3.5.0"], ask("3.3.0", []))
    with pytest.raises(ArgumentError, match="must be an answer on Keras"):
        bisecting.bisect(["3.4.0", "3.5.0"], ask("3.5.0", [], without=("3.5.0",)))


@pytest.mark.parametrize("ends", [("3.3.3", "3.99.0"), ("2.15.0", "3.3.3"), ("x", "3.3.3"), ("3.3.3", "3.3.3")])
def test_ends_that_are_none_are_refused(ends: tuple[str, str]):
    with pytest.raises(ArgumentError):
        bisecting.between(*ends)


def test_a_pre_release_is_tried_only_if_it_is_an_end():
    dev = next(version for version in releases() if is_pre_release(version))
    assert dev not in bisecting.between("3.0.0", "3.15.1")
    assert bisecting.between("3.15.0", dev)[-1] == dev


def test_the_committed_changes_follow_from_the_committed_matrix():
    assert committed_versions()
    assert committed_changes() == changes.changes(committed_versions())
    text = as_csv(versions.COLUMNS, committed_versions())
    assert list(csv.DictReader(io.StringIO(text))) == committed_versions()


def test_the_matrix_says_of_a_version_what_the_committed_verdicts_say():
    verdicts = {(r["claim"], r["keras"], r["backend"]): r["verdict"] for r in committed_verdicts()}
    cells = {(r["claim"], r["keras"], r["backend"]): r["verdict"] for r in committed_versions()}
    both = verdicts.keys() & cells.keys()
    assert len(both) > 100
    assert {cell: cells[cell] for cell in both} == {cell: verdicts[cell] for cell in both}


def test_every_release_of_keras_3_has_a_column_on_torch():
    found = {r["keras"] for r in committed_versions() if r["backend"] == "torch" and r["verdict"] not in NO_VERDICT}
    assert {version for version in releases() if version_key(version) >= version_key("3.0.0")} <= found


def test_a_pre_release_is_compared_with_the_newest_release_before_it():
    dev = next(version for version in releases() if is_pre_release(version))
    assert {row["keras"] for row in versions.last_release("torch", dev)} == {"3.15.1"}
    assert {row["keras"] for row in versions.last_release("torch", "3.10.0")} == {"3.9.2"}
    assert versions.last_release("torch", "3.0.0") == []
