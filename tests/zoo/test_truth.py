"""The faults that each model declares are true, by brute force; and the brute force finds a wrong declaration."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.zoo.animals import KINDS, Animal, all_animals
from tests.zoo.feeding import LENGTHS, LONGER, SAMPLES, TOTAL, Feed, Serving, serve, valid_steps
from tests.zoo.marks import HERD, marks_of
from tests.zoo.truth import Truth, difference, disagreements, flatten

ANIMALS = {one.name: one for one in all_animals()}
EACH = [pytest.param(one, id=name, marks=marks_of(name)) for name, one in ANIMALS.items()]


def measured(animal: Animal) -> dict[str, float]:
    """The truth about an animal; Keras may warn of masks as it likes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Truth(animal).measure()


@pytest.mark.parametrize("animal", EACH)
def test_an_animal_has_the_faults_it_is_said_to_have_and_no_others(animal: Animal) -> None:
    assert disagreements(animal, measured(animal)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_lie_about_any_kind_of_fault_is_seen(kind: str) -> None:
    guilty = next(one for one in ANIMALS.values() if kind in one.faults)
    sizes = measured(guilty)
    hidden = replace(guilty, faults=guilty.faults - {kind})
    assert [kind in line for line in disagreements(hidden, sizes)] == [True]
    innocent = replace(guilty, faults=frozenset())
    assert len(disagreements(innocent, sizes)) == len(guilty.faults)


@pytest.mark.parametrize("name", ["masked-lstm", "weight-decay", "batch-norm-with-mask", "causal-language-model"])
def test_a_fault_made_up_is_seen(name: str) -> None:
    healthy = ANIMALS[name]
    sizes = measured(healthy)
    for kind in sizes:
        assert len(disagreements(replace(healthy, faults=frozenset({kind})), sizes)) == 1


def test_a_fault_that_was_not_tested_is_not_passed_over() -> None:
    animal = replace(ANIMALS["own-attention-with-bias"], faults=frozenset({"loss"}))
    assert "was not tested" in disagreements(animal, measured(animal))[0]


def test_the_zoo_is_large_enough_and_shows_every_kind_of_fault() -> None:
    faulty = [one for one in ANIMALS.values() if one.faults]
    in_herd = [one for one in faulty if one.name in HERD]
    assert len(faulty) >= 40
    assert len(ANIMALS) - len(faulty) >= 25
    assert len(in_herd) >= 35
    assert len(HERD) - len(in_herd) >= 15
    assert {kind for one in in_herd for kind in one.faults} == set(KINDS)
    assert sum(one.realistic for one in in_herd) >= 20


@pytest.mark.parametrize("kind", ["ids", "steps", "documents", "classes", "binary"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_servings_differ_in_their_padding_only(kind: str, side: str) -> None:
    feed = Feed(kind, side="right" if kind == "documents" else side, free=True)
    served = [serve(feed, Serving(total=total, garbage=garbage)) for total, garbage in ((TOTAL, 0), (TOTAL, 1), (LONGER, 0))]
    assert [array.shape[1] for array in served] == [TOTAL, TOTAL, LONGER]
    for sample in SAMPLES:
        kept = [array[sample][valid_steps(feed, sample, array.shape[1])] for array in served]
        words = min(array.shape[1] for array in kept) if kind == "documents" else None
        assert all(np.array_equal(kept[0][:, :words] if words else kept[0], one[:, :words] if words else one) for one in kept)
        alone = serve(feed, Serving(total=None, samples=(sample,)))
        assert alone.shape[1] == LENGTHS["a"][sample]
    if kind != "documents":
        assert not np.array_equal(served[0], served[1])


def test_a_serving_changes_what_it_is_asked_to_change() -> None:
    feed = Feed("ids")
    first, others = serve(feed, Serving()), serve(feed, Serving(versions={0: 1, 2: 1}))
    np.testing.assert_array_equal(first[1], others[1])
    assert not np.array_equal(first[0], others[0])
    later = serve(feed, Serving(changed_from=2))
    np.testing.assert_array_equal(first[:, :2], later[:, :2])
    assert not np.array_equal(first[0, 2:4], later[0, 2:4])


def test_differences_are_relative_and_a_lost_number_is_infinite() -> None:
    assert difference(np.array([10.0, 1.0]), np.array([10.0, 2.0])) == pytest.approx(0.1)
    assert difference(np.array([1.0, np.nan]), np.array([1.0, 2.0])) == np.inf
    assert difference(np.array([1.0, np.nan]), np.array([1.0, np.nan])) == 0.0
    with pytest.raises(ValueError, match="not empty"):
        difference(np.zeros(0), np.zeros(0))


@pytest.mark.full
def test_every_animal_can_be_saved_and_loaded(tmp_path: Path) -> None:
    for animal in ANIMALS.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert_survives_saving(animal, tmp_path / f"{animal.name}.keras")


def assert_survives_saving(animal: Animal, path: Path) -> None:
    """A model says the same after it was saved and loaded."""
    model: Any = animal.build()
    inputs = serve(animal.feeds, Serving(), "x")
    before = [np.asarray(keras.ops.convert_to_numpy(one)) for one in flatten(model(inputs, training=False))]
    model.save(path)
    loaded = keras.saving.load_model(path)
    after = [np.asarray(keras.ops.convert_to_numpy(one)) for one in flatten(loaded(inputs, training=False))]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=animal.name)
