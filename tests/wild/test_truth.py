"""The brute force finds what is known by hand, and nothing where nothing is."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.wild import parts
from tests.wild.parts import LENGTHS, STEPS, compiled, ids, labels, series, valid
from tests.wild.specimens import Batch, Padded, Specimen, all_specimens
from tests.wild.truth import Truth, difference
from tests.wild.variants import Variants

SPARSE = "sparse_categorical_crossentropy"

pytestmark = [
    # Keras traces again for each length and warns that this is expensive; it also warns about datasets without a known end.
    pytest.mark.filterwarnings("ignore:.*retracing"),
    pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*destroy the mask:UserWarning"),
]


def classifier(x_of: Any, *, mask: bool = True) -> Any:
    """Return a maker of a classifier of ids, given what makes a vector of embedded words."""

    def make() -> Any:
        inputs = keras.Input((None,), dtype="int32")
        x = x_of(layers.Embedding(20, 6, mask_zero=mask)(inputs))
        return compiled(keras.Model(inputs, layers.Dense(3, activation="softmax")(x)), SPARSE)

    return make


def made_up(make: Any, **facts: Any) -> Specimen:
    """Return a specimen that is not registered."""
    known = {"feed": lambda: Batch(ids(), labels()), "lengths": {"steps": LENGTHS}, "x": STEPS, **facts}
    return Specimen("made-up", "", "", make, **known)


def moved(specimen: Specimen) -> set[str]:
    """Return the kinds that padding moves."""
    return {kind for kind, one in Truth(specimen).measure().items() if one.moved}


def test_a_masked_lstm_is_moved_by_nothing() -> None:
    assert moved(made_up(classifier(layers.LSTM(5)))) == set()


def test_an_lstm_without_a_mask_is_moved_in_all() -> None:
    assert moved(made_up(classifier(layers.LSTM(5), mask=False))) == {"output", "loss", "fit"}


def test_a_mean_over_all_steps_moves_by_the_share_of_padding() -> None:
    """Steps of zeros add nothing, and count: 8 steps against 11, so the mean shrinks by 3 / 11."""
    specimen = made_up(
        lambda: keras.Sequential([keras.Input((None, 4)), layers.GlobalAveragePooling1D()]),
        feed=lambda: Batch(series()),
    )
    truth = Truth(specimen)
    whole = truth._predict(Variants(specimen).batch)
    further = truth._predict(Variants(specimen).further())
    assert difference(whole[0], further[0]) == pytest.approx(3 / 11, rel=1e-5)
    assert truth.measure()["output"].moved


def test_a_loss_of_all_steps_moves_though_the_outputs_do_not() -> None:
    def make() -> Any:
        inputs = keras.Input((None, 4))
        return compiled(keras.Model(inputs, layers.GRU(3, return_sequences=True)(inputs)), "mse")

    facts = {"feed": lambda: Batch(series(), series("y", 3)), "y": STEPS, "outputs": (STEPS,)}
    assert moved(made_up(make, **facts)) == {"loss", "fit"}


def test_a_metric_of_batches_weighs_them_by_their_share_of_valid_steps() -> None:
    """Keras's own: one batch is steady, and of two the one that is padded further counts less."""

    def make() -> Any:
        inputs = keras.Input((None, 4))
        x = layers.GRU(3, return_sequences=True)(layers.Masking()(inputs))
        return compiled(keras.Model(inputs, x), "mse", ["mae"])

    facts = {"feed": lambda: Batch(series(), series("y", 3)), "y": STEPS, "outputs": (STEPS,)}
    found = Truth(made_up(make, **facts)).measure()
    assert {kind for kind, one in found.items() if one.moved} == {"metric"}
    assert found["metric"].by == "batches (mae)"


def test_padding_before_the_sequence_changes_a_model_without_a_mask_and_padding_after_it_does_not() -> None:
    def make() -> Any:
        inputs = keras.Input((None,), dtype="int32")
        return keras.Model(inputs, layers.GRU(4, return_sequences=True)(layers.Embedding(20, 6)(inputs)))

    behind = made_up(make, feed=lambda: Batch(ids()), outputs=(STEPS,))
    front = made_up(make, feed=lambda: Batch(ids(side="pre")), x=parts.FRONT, outputs=(parts.FRONT,))
    assert moved(behind) == set()
    assert moved(front) == {"output"}


def test_a_pad_row_is_what_moves_a_model_of_fixed_length() -> None:
    def flat(*, mask: bool) -> Any:
        def make() -> Any:
            inputs = keras.Input((parts.TOTAL,), dtype="int32")
            x = layers.Embedding(20, 6, mask_zero=mask)(inputs)
            x = layers.LSTM(4)(x) if mask else layers.Flatten()(x)
            return compiled(keras.Model(inputs, layers.Dense(3, activation="softmax")(x)), SPARSE)

        return made_up(make, fixed=True)

    assert {"output", "loss"} <= moved(flat(mask=False))
    assert moved(flat(mask=True)) == set()


def test_outputs_that_lose_steps_are_moved() -> None:
    class Short(layers.Layer):
        def call(self, x: Any) -> Any:
            return x[:, : ops.shape(x)[0]]

    specimen = made_up(
        lambda: keras.Sequential([keras.Input((None, 4)), Short()]), feed=lambda: Batch(series()), outputs=(STEPS,)
    )
    assert Truth(specimen).measure()["output"].size == np.inf


def test_the_variants_of_a_batch_are_as_described() -> None:
    two = Padded(-1, {1: "steps", 2: "steps"})
    square = np.arange(4 * 8 * 8).reshape(4, 8, 8)
    specimen = made_up(lambda: None, feed=lambda: Batch({"a": ids(), "b": square}, labels()), x={"a": STEPS, "b": two})
    variants = Variants(specimen)
    further = variants.further()
    assert (further.x["a"].shape, further.x["b"].shape) == ((4, 11), (4, 11, 11))
    assert (further.x["b"][:, 8:] == -1).all()
    assert (further.x["b"][:, :, 8:] == -1).all()
    alone = variants.own((2,))
    assert (alone.x["a"].shape, alone.x["b"].shape) == ((1, 5), (1, 5, 5))
    np.testing.assert_array_equal(alone.x["b"][0], square[2, :5, :5])
    np.testing.assert_array_equal(variants.take((3, 0)).y, labels()[[3, 0]])


def test_padding_in_front_is_cut_in_front() -> None:
    specimen = made_up(lambda: None, feed=lambda: Batch(ids(side="pre"), None), x=parts.FRONT)
    assert Variants(specimen).own((1,)).x.tolist() == [ids()[1, :3].tolist()]
    assert Variants(specimen).further().x[:, :3].sum() == 0


@pytest.mark.parametrize("of", all_specimens(), ids=lambda one: one.name)
def test_lengths_are_those_of_the_batch(of: Specimen) -> None:
    """After a padded step of a sample all steps are padded, and the lengths say the same."""
    variants = Variants(of)
    for padded, array in _paired(of.x, variants.batch.x):
        first = min(padded.axes)
        held = (np.asarray(array) != padded.value).any(axis=tuple(range(first + 1, array.ndim))) if array.ndim > 2 else None
        steps = held if held is not None else np.asarray(array) != padded.value
        last = [np.flatnonzero(row[::-1] if padded.side == "pre" else row).max(initial=-1) + 1 for row in steps]
        assert all(n <= length for n, length in zip(last, of.lengths[padded.axes[first]], strict=True))


def _paired(facts: Any, arrays: Any) -> list[tuple[Padded, Any]]:
    """Return the facts and the arrays that belong to each other, those with padding."""
    if isinstance(facts, dict):
        return [pair for name in facts for pair in _paired(facts[name], arrays[name])]
    if isinstance(facts, (list, tuple)):
        return [pair for one, other in zip(facts, arrays, strict=True) for pair in _paired(one, other)]
    return [] if facts is None else [(facts, arrays)]


def test_there_are_many_kinds_of_specimens_and_each_says_where_it_comes_from() -> None:
    everyone = all_specimens()
    assert len(everyone) >= 60
    assert len({one.family for one in everyone}) >= 15
    assert sum(bool(one.package) for one in everyone) >= 20
    assert all(one.source.startswith("https://") or one.package for one in everyone)


def test_what_is_not_installed_says_so() -> None:
    gone = replace(all_specimens()[0], package="no_such_package", backends=(keras.backend.backend(),))
    assert "no_such_package cannot be imported" in gone.missing()
    assert "runs on nowhere only" in replace(gone, backends=("nowhere",)).missing()


def test_valid_steps_are_those_with_content() -> None:
    np.testing.assert_array_equal(valid(), ids() != 0)
