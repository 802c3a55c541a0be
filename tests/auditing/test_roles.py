"""The roles of made inputs are found by trying the model: lengths, pictures, pairs of steps, independently padded sequences."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import masklib
from masklib.auditing.inputs import making
from masklib.auditing.inputs.roles import ids_marked_by, steps_marked_by
from masklib.auditing.inputs.settings import PaddingSettings
from tests.auditing import models as small

pytestmark = [pytest.mark.filterwarnings("ignore:(?s).*destroy the mask:UserWarning"), pytest.mark.usefixtures("eagerly")]


def made(model: Any, **options: Any) -> making.Made:
    return making.make(model, PaddingSettings(**options), seed=0)


def roles(model: Any, **options: Any) -> dict[str, tuple[str, int]]:
    """The kind and the family of each input, by name."""
    return {one.slot.name: (one.role.kind, one.role.family) for one in made(model, **options).sketches}


def lengths_of(array: Any) -> list[int]:
    """The number of steps with content, of each sample."""
    return (np.asarray(array) != 0).reshape(*array.shape[:2], -1).any(axis=-1).sum(axis=1).tolist()


def embedded(x: Any, **options: Any) -> Any:
    return layers.Embedding(20, 6, embeddings_initializer="normal", **options)(x)


def of_lengths(name: str, count: str = "steps") -> Any:
    x, n = keras.Input((None, 3), name="series"), keras.Input((1,), dtype="int32", name=name)
    at = ops.cumsum(ops.ones_like(x[..., 0], dtype="int32"), 1)
    mask = at <= n if count == "steps" else at - 1 < n
    model = keras.Model([x, n], layers.Dense(1)(layers.LSTM(4, return_sequences=True)(x, mask=mask)))
    model.compile("adam", "mse")
    return model


class ByLengths(layers.Layer):
    """A mean over the first steps, computed in `call`, where no operation of a graph shows the mask."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = layers.GlobalAveragePooling1D()

    def call(self, inputs: Any) -> Any:
        """Return the means."""
        x, n = inputs
        return self.mean(x, mask=ops.arange(ops.shape(x)[1])[None] < ops.cast(n, "int32"))


@pytest.mark.parametrize("name", ["n_steps", "lengths", "duration"])
@pytest.mark.parametrize("count", ["steps", "last"])
def test_lengths_are_known_by_the_mask_that_is_made_from_them(name: str, count: str) -> None:
    model = of_lengths(name, count)
    found = made(model)
    series, lengths = found.inputs

    assert roles(model)[name] == ("lengths", -1 if found.sketches[1].role.family == -1 else 0)
    assert lengths.ravel().tolist() == lengths_of(series)
    assert masklib.audit(model).verdict == "no leak found"


def test_lengths_are_known_in_a_custom_layer() -> None:
    x, n = keras.Input((None, 3), name="x"), keras.Input((), dtype="float32", name="n")
    model = keras.Model([x, n], ByLengths()([x, n[:, None]]))

    assert roles(model)["n"][0] == "lengths"
    assert masklib.audit(model).verdict == "no leak found"


def test_a_number_per_sample_without_a_mask_is_not_a_length() -> None:
    x, age = keras.Input((None, 3), name="x"), keras.Input((1,), dtype="int32", name="age")
    both = layers.Concatenate()([layers.LSTM(4)(layers.Masking()(x)), ops.cast(age, "float32")])

    assert roles(keras.Model([x, age], layers.Dense(1)(both)))["age"] == ("plain", -1)


def test_each_lengths_input_belongs_to_the_sequence_whose_steps_it_marks() -> None:
    a, b = keras.Input((None, 3), name="question"), keras.Input((None, 3), name="answer")
    first, second = keras.Input((1,), dtype="int32", name="first"), keras.Input((1,), dtype="int32", name="second")

    def read(x: Any, n: Any) -> Any:
        return layers.LSTM(4)(x, mask=ops.cumsum(ops.ones_like(x[..., 0], dtype="int32"), 1) <= n)

    model = keras.Model([a, b, first, second], layers.Dense(1)(layers.Concatenate()([read(a, second), read(b, first)])))
    question, answer, of_answer, of_question = made(model).inputs

    assert of_question.ravel().tolist() == lengths_of(question)
    assert of_answer.ravel().tolist() == lengths_of(answer)
    assert lengths_of(question) != lengths_of(answer)


def encoder_decoder(*, right: bool) -> Any:
    a, b = keras.Input((None,), dtype="int32", name="source"), keras.Input((None,), dtype="int32", name="target")
    mask = a != 0 if right else b != 0
    seen = layers.MultiHeadAttention(2, 4)(embedded(b), embedded(a), attention_mask=mask[:, None, :])
    return keras.Model([a, b], layers.Dense(9)(embedded(b) + seen))


def test_a_source_and_a_target_are_padded_independently_even_if_they_need_equally_many_steps() -> None:
    for right in (True, False):
        source, target = made(encoder_decoder(right=right)).inputs
        assert lengths_of(source) != lengths_of(target)
        assert (source.shape[1] == target.shape[1]) == (not right)
    assert masklib.audit(encoder_decoder(right=True)).verdict == "no leak found"
    assert masklib.audit(encoder_decoder(right=False)).verdict == "leak"


def dot_product(masked_by: str) -> Any:
    """Attention of a target to a source, written as products."""
    a, b = keras.Input((None,), dtype="int32", name="a"), keras.Input((None,), dtype="int32", name="b")
    key, query = embedded(a), embedded(b)
    scores = ops.matmul(query, ops.transpose(key, (0, 2, 1)))
    scores += ops.where((a if masked_by == "a" else b)[:, None, :] != 0, 0.0, -1e9)
    return keras.Model([a, b], layers.Dense(3)(ops.matmul(ops.softmax(scores), key)))


def test_attention_that_is_written_as_products_is_found() -> None:
    assert masklib.audit(dot_product("a")).verdict == "no leak found"
    assert masklib.audit(dot_product("b")).verdict == "leak"


def test_inputs_that_are_added_step_by_step_have_the_same_lengths() -> None:
    ids, tags, x = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32"), keras.Input((None, 6))
    model = keras.Model([ids, tags, x], layers.LSTM(3)(layers.Add()([embedded(ids), embedded(tags), x]), mask=ids != 0))
    arrays = made(model).inputs

    assert len({tuple(lengths_of(one)) for one in arrays}) == 1
    assert masklib.audit(model).verdict == "no leak found"


def test_two_towers_are_padded_independently() -> None:
    title, body = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    read = [layers.LSTM(3)(embedded(x, mask_zero=True)) for x in (title, body)]
    model = keras.Model([title, body], layers.Dense(1)(layers.Concatenate()(read)))
    arrays = made(model).inputs

    assert lengths_of(arrays[0]) != lengths_of(arrays[1])
    assert masklib.audit(model).verdict == "no leak found"


def with_a_picture(shape: Sequence[int | None], *before: Any) -> Any:
    picture, question = keras.Input(shape, name="picture"), keras.Input((None,), dtype="int32", name="question")
    x = picture
    for layer in before:
        x = layer(x)
    seen = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(x))
    asked = layers.LSTM(4)(embedded(question, mask_zero=True))
    model = keras.Model([picture, question], layers.Dense(5)(layers.Concatenate()([seen, asked])))
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize(
    ("shape", "before"),
    [
        ((24, 24, 3), ()),
        ((None, None, 3), ()),
        ((24, 24, 3), (layers.Rescaling(1 / 255),)),
        ((28, 28), (layers.Reshape((28, 28, 1)),)),
    ],
)
def test_a_picture_is_not_a_sequence(shape: Any, before: Any) -> None:
    model = with_a_picture(shape, *before)

    assert roles(model)["picture"] == ("plain", -1)
    assert masklib.audit(model).verdict == "no leak found"


def test_a_spectrogram_is_a_sequence() -> None:
    x = keras.Input((None, 8, 1), name="spectrogram")
    h = layers.Reshape((-1, 8 * 2))(layers.Conv2D(2, 3, padding="same")(x))

    assert roles(keras.Model(x, layers.LSTM(2)(h)))["spectrogram"][0] == "sequence"


def test_features_of_a_fixed_number_beside_a_sequence_are_not_a_sequence() -> None:
    regions, words = keras.Input((6, 5), name="regions"), keras.Input((None,), dtype="int32", name="words")
    asked = layers.LSTM(4)(embedded(words, mask_zero=True))
    flat = layers.Dense(4)(layers.Flatten()(regions))
    model = keras.Model([regions, words], layers.Dense(2)(layers.Concatenate()([flat, asked])))

    assert roles(model) == {"regions": ("plain", -1), "words": ("sequence", 0)}
    assert masklib.audit(model).verdict == "no leak found"


def test_floats_of_a_fixed_length_that_are_masked_are_a_sequence() -> None:
    x, words = keras.Input((6, 5), name="x"), keras.Input((None,), dtype="int32", name="words")
    asked = layers.LSTM(4)(embedded(words, mask_zero=True))
    for read in (layers.LSTM(4)(layers.Masking()(x)), layers.LSTM(4)(x, mask=ops.any(x != 0, -1))):
        assert roles(keras.Model([x, words], layers.Concatenate()([read, asked])))["x"][0] == "sequence"


def test_an_input_that_the_user_says_is_not_a_sequence_is_not_padded() -> None:
    regions, words = keras.Input((None, 5), name="regions"), keras.Input((None,), dtype="int32", name="words")
    read = [layers.LSTM(4)(regions), layers.LSTM(4)(embedded(words, mask_zero=True))]
    model = keras.Model([regions, words], layers.Concatenate()(read))

    assert masklib.audit(model).verdict == "leak"
    report = masklib.audit(model, not_a_sequence=["regions"])
    assert report.verdict == "no leak found"
    x = np.ones((2, 3, 5), "float32")
    x[0, 2] = 0
    given = {"regions": x, "words": np.array([[1, 2], [3, 0]])}
    assert masklib.audit(model, given).verdict == "leak"
    assert masklib.audit(model, given, not_a_sequence=["regions"]).verdict == "no leak found"


def graph(*, masked: bool = True) -> Any:
    nodes, adjacency = keras.Input((None, 3), name="nodes"), keras.Input((None, None), name="adjacency")
    m = ops.cast(ops.any(nodes != 0, -1, keepdims=True), "float32")
    h = ops.relu(ops.matmul(adjacency, layers.Dense(4, bias_initializer="ones")(nodes)))
    h = h * m if masked else layers.Dense(4, bias_initializer="ones")(h)
    return keras.Model([nodes, adjacency], layers.Dense(1)(ops.sum(h, 1)))


def test_nodes_and_their_adjacency_fit_each_other_and_are_padded_together() -> None:
    nodes, adjacency = made(graph()).inputs

    assert adjacency.shape == (*nodes.shape[:2], nodes.shape[1])
    assert lengths_of(adjacency) == lengths_of(nodes)
    assert masklib.audit(graph()).verdict == "no leak found"
    assert masklib.audit(graph(masked=False)).verdict == "leak"
    x, a = np.zeros((2, 5, 3), "float32"), np.zeros((2, 5, 5), "float32")
    x[0], a[0], x[1, :2], a[1, :2, :2] = 1.0, 1.0, 0.5, 1.0
    assert masklib.audit(graph(), [x, a]).verdict == "no leak found"
    assert masklib.audit(graph(masked=False), [x, a]).verdict == "leak"


def test_made_inputs_that_do_not_fit_are_said_to_be_made() -> None:
    a, b = keras.Input((None, 3)), keras.Input((None, None, 2))
    model = keras.Model([a, b], layers.Dense(1)(ops.matmul(ops.reshape(b, (-1, 7, 4)), ops.reshape(a, (-1, 4, 5)))))

    with pytest.raises(masklib.errors.ArgumentError, match="does not take the inputs made from its signature"):
        masklib.audit(model)


def test_the_pad_id_is_that_which_the_models_own_mask_marks() -> None:
    ids = keras.Input((None,), dtype="int32")
    model = keras.Model(ids, layers.LSTM(3)(embedded(ids), mask=ids != 1))
    inputs = made(model).inputs

    assert (inputs == 1).any(axis=1).tolist() == [False, True, True, True, True]
    assert masklib.audit(model).verdict == "no leak found"
    given = np.array([[5, 6, 0, 7], [3, 0, 1, 1], [4, 1, 1, 1]])
    report = masklib.audit(model, given)
    assert report.verdict == "no leak found"
    assert any("padded with 1" in one for one in report.check.assumptions)
    assert masklib.audit(model, np.where(given == 1, 0, given), pad_id=0).verdict == "leak"


def test_what_was_assumed_is_reported_with_the_option_that_changes_it() -> None:
    report = masklib.audit(of_lengths("n_steps"))

    told = [one for one in report.check.assumptions if one.startswith("'n_steps' holds the lengths")]
    assert [one.endswith("(not_a_sequence='n_steps')") for one in told] == [True]
    assert "assumed: padding stands after the sequences (padding_side)" in str(report)
    assert report.to_dict()["assumptions"] == list(report.check.assumptions)
    assert masklib.audit(small.recurrent(), small.TOKENS).check.assumptions == ()


def test_lengths_are_those_that_a_mask_or_its_opposite_marks() -> None:
    lengths = np.array([3, 1, 4])
    within = np.arange(5) < lengths[:, None]

    assert steps_marked_by(lengths, [within]) == steps_marked_by(lengths, [~within]) == 5
    assert steps_marked_by(lengths, [np.roll(within, 1, axis=0)]) is None
    assert steps_marked_by(np.array([3, 3, 3]), [within]) is None


def test_an_id_is_padding_if_a_mask_distinguishes_it_from_several_others() -> None:
    ids = np.array([[3, 1, 2], [4, 3, 3]])

    assert ids_marked_by(ids, [ids != 3]) == ids_marked_by(ids, [ids == 3]) == 3
    assert ids_marked_by(ids, [ids != 9]) is None
    assert ids_marked_by(ids % 2, [ids % 2 != 0]) is None  # of two ids either one may be it
