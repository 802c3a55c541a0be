"""A model under test: its outputs are computed once a situation; their axes and noise are known before anything is judged."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from masklib.auditing.borrowing.methods import borrowed
from masklib.auditing.borrowing.running import CallError, Computed
from masklib.auditing.inputs.describing import describe
from masklib.auditing.inputs.making import prepare
from masklib.auditing.inputs.settings import DEFAULT
from masklib.auditing.invariance import situations
from masklib.auditing.invariance.alternatives import Alternatives
from masklib.auditing.invariance.changes import Change
from masklib.auditing.invariance.noise import Noise
from masklib.auditing.invariance.observations import Observations
from masklib.auditing.invariance.output_axes import OutputAxes, find_axes
from masklib.auditing.invariance.output_noise import NoiseMeter, OutputNoise
from masklib.auditing.invariance.subject import Subject, examine
from masklib.errors import UntestableError
from tests.auditing import models as small

IDS = np.array([[3, 1, 2, 0], [4, 0, 0, 0], [1, 2, 3, 4]])
UNIT = 2.0**-23
pytestmark = pytest.mark.filterwarnings("ignore:(?s).*destroy the mask:UserWarning")


def computed(*arrays: np.ndarray) -> Computed:
    """The result of a call with these arrays as outputs."""
    return Computed([f"out{i}" for i in range(len(arrays))], list(arrays), [None] * len(arrays), list)


@pytest.fixture(scope="module")
def tagger() -> Iterator[Subject]:
    """A healthy model from ids to a vector for each step."""
    keras.utils.set_random_seed(0)
    with borrowed(small.recurrent(sequences=True)) as runner:
        yield examine(runner, *prepare(runner.model, None, DEFAULT, seed=0), 0)


@pytest.fixture(scope="module")
def fixed() -> Iterator[Subject]:
    """A model of a fixed length."""
    keras.utils.set_random_seed(0)
    x = keras.Input((6, 3))
    model = keras.Model(x, layers.Dense(2)(layers.Flatten()(layers.Masking()(x))))
    with borrowed(model) as runner:
        yield examine(runner, *prepare(model, None, DEFAULT, seed=0), 0)


def test_a_situation_is_computed_once_and_another_one_of_the_same_inputs_again():
    calls: list[Any] = []
    batch = describe(IDS)
    observations = Observations(lambda inputs: calls.append(inputs) or computed(inputs + len(calls)), batch)
    one, other = situations.in_another_order(batch), situations.in_another_order(batch)

    assert np.array_equal(observations.of(one)[0], observations.of(one)[0])
    assert observations.masks_of(one) == [None]
    assert len(calls) == 3  # the masks come from an ordinary call
    assert not np.array_equal(observations.of(other)[0], observations.of(one)[0])
    assert not np.array_equal(observations.anew(batch)[0], observations.base[0])


def test_a_situation_is_in_force_while_it_is_computed():
    batch, log = describe(IDS), []

    class Changed:
        """Logs when it begins and ends."""

        def __enter__(self) -> None:
            log.append("changed")

        def __exit__(self, *_: object) -> None:
            log.append("restored")

    observations = Observations(lambda inputs: log.append("computed") or computed(inputs), batch)
    observations.of(replace(situations.in_another_order(batch), changed=Changed))

    assert log == ["computed", "changed", "computed", "restored"]


def test_the_time_axis_is_the_one_that_grows_with_padding(tagger: Subject):
    assert [dict(axes) for axes in tagger.axes.of] == [{1: 0}]
    assert not tagger.axes.unknown
    assert np.array_equal(tagger.valid_steps(0), tagger.batch.groups[0].valid)
    assert tagger.lengthened.steps == 4


def test_a_length_that_is_fixed_is_refused_with_the_models_own_reason(fixed: Subject):
    (situation, why) = fixed.lengthened.refused[0]

    assert fixed.lengthened.taken == ()
    assert situation.change is Change.LONGER_PADDING
    assert why


def test_steps_of_an_output_that_grows_by_another_number_are_not_known():
    batch = describe(IDS)
    observations = Observations(lambda inputs: computed(np.zeros((3, inputs.shape[1] // 2))), batch)
    longer = situations.longer_padding(batch, (0,))
    lengthened: Any = SimpleNamespace(taken=(longer,), refused=(), steps=4, batch=batch)

    assert set(find_axes(observations, lengthened).unknown) == {0}


def test_a_difference_is_measured_by_the_scale_of_the_whole_output():
    """The first samples of this output are small: relative to them, a small difference would be large."""
    batch = describe(IDS)
    observations = Observations(lambda inputs: computed(np.array([[0.01], [0.01], [100.0]])), batch)
    (without,) = [one for one in situations.no_padding(batch) if one.rows == (1,)]
    observations._known[without] = [np.array([[0.02]])]
    noise = OutputNoise((Noise(0.0, 100.0, UNIT),), {}, (), situations.in_another_order(batch))
    subject = Subject(
        runner=SimpleNamespace(),
        given=batch,
        records=[],
        seed=0,
        unit=UNIT,
        observations=observations,
        lengthened=SimpleNamespace(batch=batch, steps=4),
        axes=OutputAxes(({},), {}),
        noise=noise,
        causal=frozenset(),
    )

    assert subject.apart(0, without).relative == pytest.approx(0.01 / 100.0)
    assert subject.differs(without)
    assert not replace(subject, noise=OutputNoise((Noise(0.01, 100.0, UNIT),), {}, (), noise.turned)).differs(without)


def test_the_noise_is_that_of_three_computations(tagger: Subject):
    assert set(tagger.noise.sources) == {"the same again", "batch order", "weights one unit off"}
    assert tagger.noise.by_source["the same again"] == 0.0
    assert 0.0 < tagger.noise.by_source["weights one unit off"] < 1e-5
    assert tagger.noise.of[0].size == max(one.size for found in tagger.noise.sources.values() for one in found)


def test_samples_that_depend_on_their_place_are_not_noise():
    keras.utils.set_random_seed(0)
    x = keras.Input((None, 3))
    last = layers.LSTM(4)(layers.Masking()(x))
    model = keras.Model(x, last * ops.cumsum(ops.ones_like(last), axis=0))
    with borrowed(model) as runner:
        subject = examine(runner, *prepare(model, None, DEFAULT, seed=0), 0)

    assert "batch order" not in subject.noise.sources
    assert subject.noise.of[0].tolerance < 1e-3


def test_a_random_output_is_not_tested():
    batch = describe(IDS)
    observations = Observations(lambda inputs: computed(np.ones((3, 2))), batch)
    meter = NoiseMeter(None, observations, batch, UNIT, 0)

    meter.check_repeats([np.full((3, 2), 1.0005)])
    with pytest.raises(UntestableError, match="'out0' must be the same when computed again, it differs by 1"):
        meter.check_repeats([np.full((3, 2), 1.01)])


def test_an_empty_sample_is_padded_with_the_id_of_padding():
    """0 is a word and 3 is padding: the mean over no valid step is NaN."""
    ids = keras.Input((None,), dtype="int32")
    mask = ops.cast(ids != 3, "float32")[..., None]
    model = keras.Model(ids, ops.sum(layers.Embedding(9, 2)(ids) * mask, axis=1) / ops.sum(mask, axis=1))
    with borrowed(model) as runner:
        subject = examine(runner, *prepare(model, None, replace(DEFAULT, pad_id=3), seed=0), 0)
        empty = subject.of_empty_sample()

    assert [np.isnan(value) for value in empty.values()] == [True]


def test_a_model_that_does_not_take_an_empty_sample_says_nothing_of_it():
    def compute(inputs: np.ndarray) -> Computed:
        if not inputs[0].any():
            raise CallError
        return computed(np.ones((3, 2)))

    batch = describe(IDS)
    subject: Any = SimpleNamespace(observations=Observations(compute, batch), batch=batch)
    assert Subject.of_empty_sample(subject) == {}


def test_what_must_be_the_same_in_training_leaves_out_rows_that_a_regularizer_looks_at():
    def kinds(**options: Any) -> tuple[set[str], set[str]]:
        keras.utils.set_random_seed(0)
        x = keras.Input((None,), dtype="int32")
        model = keras.Model(x, layers.LSTM(3)(layers.Embedding(9, 2, mask_zero=True, **options)(x)))
        with borrowed(model) as runner:
            alternatives = Alternatives(examine(runner, *prepare(model, None, DEFAULT, seed=0), 0))
            return {one.change for one in alternatives.rows}, {one.change for one in alternatives.for_training}

    assert kinds() == ({Change.EMBEDDING_ROW}, {Change.LONGER_PADDING, Change.EMBEDDING_ROW})
    assert kinds(embeddings_regularizer="l2") == ({Change.EMBEDDING_ROW}, {Change.LONGER_PADDING})


def test_the_row_of_padding_is_not_changed_if_it_is_also_an_output_class():
    keras.utils.set_random_seed(0)
    x = keras.Input((None,), dtype="int32")
    embedding = layers.Embedding(9, 2, mask_zero=True)
    h = layers.LSTM(2, return_sequences=True)(embedding(x))
    model = keras.Model(x, layers.Lambda(lambda t: ops.matmul(t, ops.transpose(embedding.embeddings)))(h))
    with borrowed(model) as runner:
        rows = Alternatives(examine(runner, *prepare(model, None, DEFAULT, seed=0), 0)).pad_rows

        assert rows.situations == []
        assert rows.why_none == "each Embedding also uses its row of padding for something else"


def test_ids_of_a_fixed_length_without_a_mask_may_not_be_sequences():
    keras.utils.set_random_seed(0)
    x = keras.Input((6,), dtype="int32")
    model = keras.Model(x, layers.Dense(2)(layers.Flatten()(layers.Embedding(9, 2)(x))))
    with borrowed(model) as runner:
        made = examine(runner, *prepare(model, None, DEFAULT, seed=0), 0)
        rows = Alternatives(made).pad_rows
        given = examine(runner, *prepare(model, np.array([[1, 2, 3, 4, 0, 0], [1, 2, 3, 4, 5, 6]]), DEFAULT, seed=0), 0)

        assert made.is_padding_a_guess
        assert (rows.situations, "give inputs" in rows.why_none) == ([], True)
        assert not given.is_padding_a_guess


def test_a_row_that_content_looks_up_too_is_not_changed():
    x = keras.Input((None,), dtype="int32")
    model = keras.Model(x, layers.GlobalAveragePooling1D()(layers.Embedding(9, 2)(x)))

    def rows(inputs: np.ndarray) -> list[str]:
        batch, records = prepare(model, inputs, DEFAULT, seed=0)
        return [one.labels[1] for one in situations.embedding_rows(model, batch, records, 0)]

    assert rows(IDS) == ["with another row"]
    assert rows(np.where(IDS == 1, 0, IDS)) == []  # 0 stands between other steps, too
