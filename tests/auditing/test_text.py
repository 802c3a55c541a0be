"""Models of text are tested after the layers that turn text into ids, and a note says so."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import masklib
from masklib.errors import ArgumentError

# Lookups of text need TensorFlow on every backend.
pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="text in a graph needs TensorFlow"),
    pytest.mark.usefixtures("eagerly"),
]

SENTENCES = ["the cat sat on the mat", "the dog", "a cat"]


def vectorized(**options: Any) -> Any:
    words = layers.TextVectorization(**options)
    words.adapt(SENTENCES)
    return words


def looked_up() -> Any:
    return layers.StringLookup(vocabulary=["the", "cat", "dog"], mask_token="", name="lookup")


def head(ids: Any, *, masked: bool) -> Any:
    return layers.Dense(1)(layers.LSTM(4)(layers.Embedding(20, 4, mask_zero=masked)(ids)))


def classifier(words: Any, shape: tuple[int | None, ...], *, masked: bool = True) -> Any:
    text = keras.Input(shape, dtype="string", name="text")
    model = keras.Model(text, head(words(text), masked=masked))
    model.compile("sgd", "mse")
    return model


def sequential(*, masked: bool) -> Any:
    stack = [vectorized(), layers.Embedding(20, 4, mask_zero=masked), layers.LSTM(3)]
    return keras.Sequential([keras.Input((1,), dtype="string"), *stack])


MODELS = {
    "vectorized": lambda masked: classifier(vectorized(), (1,), masked=masked),
    "of a fixed length": lambda masked: classifier(vectorized(output_sequence_length=8), (1,), masked=masked),
    "looked up": lambda masked: classifier(looked_up(), (None,), masked=masked),
    "sequential": lambda masked: sequential(masked=masked),
}
GIVEN = {
    "looked up": [["the", "cat", "the", "dog"], ["dog"], ["cat", "cat"]],
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("is_given", [False, True])
def test_a_model_of_text_is_tested_after_the_lookup(name: str, is_given: bool) -> None:
    inputs = GIVEN.get(name, [[one] for one in SENTENCES]) if is_given else None

    report = masklib.audit(MODELS[name](True), inputs)

    assert report.verdict == "no leak found"
    assert any("is tested, with the ids that it makes from text" in note for note in report.check.notes)
    assert masklib.audit(MODELS[name](False), inputs).verdict == "leak"


def test_the_model_is_restored_and_its_loss_is_tested() -> None:
    model = classifier(vectorized(), (1,))
    text = keras.ops.convert_to_tensor([[one] for one in SENTENCES])
    before = model.predict(text, verbose=0)

    report = masklib.audit(model, text, np.ones((3, 1)))

    assert not [one for one in report.check.untested if one.kind == "loss"]
    assert np.array_equal(model.predict(text, verbose=0), before)
    assert model.input.name == "text"


def test_other_inputs_stay_beside_the_ids() -> None:
    text, age = keras.Input((1,), dtype="string", name="text"), keras.Input((2,), name="age")
    read = layers.LSTM(4)(layers.Embedding(20, 4, mask_zero=True)(vectorized()(text)))
    model = keras.Model({"text": text, "age": age}, layers.Dense(1)(layers.Concatenate()([read, age])))

    assert masklib.audit(model).verdict == "no leak found"
    given = {"text": np.array([[one] for one in SENTENCES], dtype=object), "age": np.ones((3, 2), "float32")}
    assert masklib.audit(model, given).verdict == "no leak found"


def test_word_counts_are_not_a_sequence() -> None:
    text = keras.Input((1,), dtype="string", name="text")
    model = keras.Model(text, layers.Dense(1)(vectorized(output_mode="multi_hot")(text)))

    assert masklib.audit(model).verdict == "not tested"


def test_a_model_that_cannot_be_cut_says_so_in_one_sentence() -> None:
    class Reader(keras.Model):
        """Looks words up in `call`."""

        def __init__(self) -> None:
            super().__init__()
            self.words, self.table, self.reader = vectorized(), layers.Embedding(20, 4, mask_zero=True), layers.LSTM(3)

        def call(self, inputs: Any) -> Any:
            """Return the last state."""
            return self.reader(self.table(self.words(inputs)))

    model = Reader()
    text = np.array([[one] for one in SENTENCES], dtype=object)
    model(keras.ops.convert_to_tensor(text))
    with pytest.raises(ArgumentError, match=r"must hold numbers, got text.*audit the part of it that takes ids"):
        masklib.audit(model, text)
