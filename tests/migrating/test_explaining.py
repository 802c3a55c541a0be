"""Which change of the matrix is named for a difference: one that fits its versions, backend, layer, settings and direction."""

from typing import Any

import pytest

from masklib.engine.committed import committed_changes
from masklib.migrating.comparing import Difference
from masklib.migrating.explaining import NOT_NAMED, changes_between, explain
from masklib.migrating.sides import Side

OLD, NEW = Side("keras@3.3.3", "3.3.3", "torch"), Side("keras@3.4.1", "3.4.1", "torch")
NIGHTLY = Side("keras@3.16.0.dev2026102704", "3.16.0.dev2026102704", "torch")
STABLE = Side("keras@3.15.0", "3.15.0", "torch")


def of_layer(kind: str, *, was: bool, now: bool, **known: Any) -> Difference:
    return Difference("masks", "layer", "differs", kind=kind, was=was, now=now, **known)


def named(one: Difference, source: Side, target: Side) -> list[tuple[str, str]]:
    """The changes that are named: of what, and from which Keras on."""
    (found,) = explain([one], source, target)
    return [(row["claim"], row["keras"]) for row in found.changes]


def test_the_release_that_lets_merging_layers_merge_masks_is_named_by_what_they_get():
    assert named(of_layer("Add", was=False, now=True, masks_in="equal masks"), OLD, NEW) == [("Add(equal masks)", "3.4.0")]
    assert named(of_layer("Add", was=False, now=True, masks_in="different masks"), OLD, NEW) == [
        ("Add(different masks)", "3.4.0")
    ]


def test_a_downgrade_is_the_same_change_the_other_way():
    assert named(of_layer("Add", was=True, now=False, masks_in="equal masks"), NEW, OLD) == [("Add(equal masks)", "3.4.0")]


@pytest.mark.parametrize(
    ("one", "source", "target"),
    [
        (of_layer("Add", was=True, now=False, masks_in="equal masks"), OLD, NEW),  # the other direction
        (of_layer("Add", was=False, now=True, masks_in="equal masks"), NEW, STABLE),  # between other versions
        (of_layer("Add", was=False, now=True, masks_in="equal masks"), Side("x", "3.3.3", "numpy"), Side("x", "3.4.1", "numpy")),
        (of_layer("Dense", was=False, now=True), OLD, NEW),  # another layer
        (Difference("outputs", "score", "differs"), OLD, NEW),
    ],
)
def test_what_does_not_fit_is_not_named(one: Difference, source: Side, target: Side):
    (found,) = explain([one], source, target)
    assert found.changes == ()
    assert found.said == NOT_NAMED


def test_the_settings_of_the_layer_choose_among_the_rows_of_its_class():
    config = {"return_sequences": True, "go_backwards": False, "unroll": False, "zero_output_for_mask": False}
    one = of_layer("LSTM", was=True, now=False, config=config)
    assert named(one, STABLE, NIGHTLY) == [("LSTM(return_sequences=True)", NIGHTLY.keras)]
    backwards = of_layer("GRU", was=True, now=False, config={**config, "unroll": True})
    assert named(backwards, STABLE, NIGHTLY) == [("GRU(return_sequences=True, unroll=True)", NIGHTLY.keras)]


def test_what_lies_behind_a_layer_whose_mask_differs_first_says_so():
    config = {"return_sequences": True}
    differences = [
        Difference("loss", "loss", "differs"),
        of_layer("LSTM", was=True, now=False, config=config),
        Difference("masks", "tags", "differs", kind="Dense", was=True, now=False, follows=True),
    ]
    loss, lstm, tags = explain(differences, STABLE, NIGHTLY)
    assert loss.because == tags.because == ("layer",)
    assert lstm.because == ()
    assert tags.said == "the mask at 'layer' differs first"
    assert NIGHTLY.keras in lstm.said


def test_changes_lie_between_the_versions_on_the_backend_and_others_do_not():
    inside = changes_between(OLD, NEW)
    assert inside
    assert {row["backend"] for row in inside} == {"torch"}
    assert {row["keras"] for row in inside if row["before"] == "3.3.3"} >= {"3.4.0"}
    assert all(row in committed_changes() for row in inside)
    assert not [row for row in inside if row["keras"] in ("3.3.3", "3.0.5", "3.15.0")]
    assert changes_between(NEW, OLD) == inside


def test_between_backends_of_one_version_the_matrix_names_no_change():
    rows = [{"claim": "Add", "backend": "jax", "before": "3.13.2", "keras": "3.15.0", "was": "kept", "is": "dropped"}]
    on_tensorflow, on_jax = (Side(backend, "3.14.1", backend) for backend in ("tensorflow", "jax"))
    assert changes_between(on_tensorflow, on_jax, rows) == []


def test_outputs_of_a_model_that_gives_initial_states_are_explained_by_the_claim_about_them():
    source, target = Side("keras-2.15", "2.15.0", "tensorflow"), Side("today", "3.15.1", "tensorflow")
    (since,) = (row["keras"] for row in committed_changes() if (row["claim"], row["backend"]) == ("state-1", "tensorflow"))
    assert named(Difference("outputs", "y", "differs", with_state=True), source, target) == [("state-1", since)]
    assert named(Difference("outputs", "y", "differs"), source, target) == []
    (found,) = explain([Difference("outputs", "y", "differs", with_state=True)], source, target)
    assert found.said.startswith("perhaps state-1 (")


def test_what_claims_say_is_named_where_keras_2_has_no_row_for_layers_and_only_if_it_lies_between():
    source, target = Side("keras-2.15", "2.15.0", "tensorflow"), Side("keras-3.3", "3.3.3", "tensorflow")
    claims = [name for name, _ in named(of_layer("Concatenate", was=True, now=False), source, target)]
    assert "mask-3" in claims
    assert "mask-8" not in claims  # about layers other than Concatenate
    assert named(of_layer("Dropout", was=True, now=False), source, target) == []
    assert {claim for claim, _ in named(Difference("metrics", "accuracy", "differs"), source, target)} <= {"loss-9", "div-5"}
    assert named(Difference("metrics", "accuracy", "differs"), source, target) != []
    assert named(Difference("metrics", "accuracy", "differs"), target, Side("keras-3.6", "3.6.0", "tensorflow")) == []


def test_a_claim_that_is_at_the_end_what_it_was_at_the_beginning_explains_nothing():
    source, target = Side("keras-2.15", "2.15.0", "tensorflow"), Side("today", "3.15.1", "tensorflow")
    assert [name for name, _ in named(of_layer("Add", was=True, now=False), source, target)] == ["mask-9"]  # not mask-8


def test_an_error_between_two_behaviours_is_passed_over_and_none_is_named_as_a_cause():
    old, new = Side("keras-3.3", "3.3.3", "tensorflow"), Side("keras-3.13", "3.13.2", "tensorflow")
    merged = of_layer("Concatenate", was=False, now=True, masks_in="one mask missing")
    (found,) = explain([merged], old, new)
    assert "dropped up to Keras 3.3.3, OR from 3.13.2 on" in found.said
    since_2 = of_layer("Concatenate", was=True, now=True, masks_in="one mask missing")
    (found,) = explain([since_2], Side("keras-2.15", "2.15.0", "tensorflow"), new)
    assert "error" not in found.said
    assert found.changes != ()


def test_a_metric_behind_a_mask_that_differs_first_is_not_explained_by_claims_about_metrics():
    source, target = Side("keras-2.15", "2.15.0", "tensorflow"), Side("keras-3.3", "3.3.3", "tensorflow")
    metric, _ = explain([Difference("metrics", "accuracy", "differs"), of_layer("Dense", was=True, now=False)], source, target)
    assert (metric.because, metric.changes) == (("layer",), ())


def test_a_loss_of_outputs_that_differ_is_not_explained_by_claims_about_losses():
    source, target = Side("keras-2.15", "2.15.0", "tensorflow"), Side("keras-3.3", "3.3.3", "tensorflow")
    metric = Difference("metrics", "accuracy", "differs")
    alone, _, behind = [
        *explain([metric], source, target),
        *explain([Difference("outputs", "y", "differs"), metric], source, target),
    ]
    assert alone.changes != ()
    assert (behind.changes, behind.said) == ((), "it is computed from outputs that differ")
