"""Inputs of every form are accepted: datasets, generators, ragged tensors and rows, and no more is read than is needed."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

import masklib
from masklib.auditing.inputs import choosing
from masklib.auditing.inputs.given import ENOUGH_SAMPLES, MOST_BATCHES, Given, is_dataset, read
from masklib.auditing.inputs.rows import Filling
from masklib.auditing.inputs.settings import PaddingSettings
from masklib.errors import ArgumentError
from tests.auditing import models as small

X = np.array([[1, 2, 3, 4], [5, 6, 0, 0], [7, 0, 0, 0]])
Y = np.ones((3, 4))
ROWS = [[1, 2, 3, 4], [5, 6], [7]]


def given(inputs: Any, *beside: Any, n_inputs: int = 1, **filling: Any) -> Given:
    return read(inputs, *beside, filling=Filling(**filling), n_inputs=n_inputs)


class Batches(keras.utils.PyDataset):
    """Three batches of different lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        self.read.append(index)
        return X[:, : 2 + index], Y


def of_tensorflow(make: Callable[[Any], Any]) -> Any:
    return make(pytest.importorskip("tensorflow"))


def generated() -> Iterator[Any]:
    yield X, Y


DATASETS: dict[str, Callable[[], Any]] = {
    "tf.data": lambda: of_tensorflow(lambda tf: tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)),
    "padded by tf.data": lambda: of_tensorflow(
        lambda tf: tf.data.Dataset.from_generator(
            lambda: zip(ROWS, Y, strict=True), output_signature=(tf.TensorSpec((None,), "int64"), tf.TensorSpec((4,)))
        ).padded_batch(3)
    ),
    "ragged batches": lambda: of_tensorflow(
        lambda tf: tf.data.Dataset.from_tensor_slices((tf.ragged.constant(ROWS), Y)).batch(3)
    ),
    "generator": generated,
    "list of weights": lambda: iter([(X, Y, np.ones(3))]),
    "torch DataLoader": lambda: pytest.importorskip("torch.utils.data").DataLoader(list(zip(X, Y, strict=True)), batch_size=3),
}


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_is_read_as_fit_reads_it(name: str) -> None:
    one = given(DATASETS[name]()).batches[0]

    assert one.inputs.tolist() == X.tolist()
    assert one.targets.tolist() == Y.tolist()


def test_each_batch_keeps_its_own_length_with_its_targets() -> None:
    dataset = Batches()

    found = given(dataset)

    assert dataset.read == [0, 1, 2]
    assert [one.inputs.shape for one in found.batches] == [(3, 2), (3, 3), (3, 4)]
    assert [one.targets.tolist() for one in found.batches] == [Y.tolist()] * 3
    assert found.notes == ("3 batches were read from the Batches, of 3, 3, 3 samples",)


@pytest.mark.parametrize(("size", "n_read"), [(1, MOST_BATCHES), (ENOUGH_SAMPLES // 2, 2), (2 * ENOUGH_SAMPLES, 1)])
def test_a_generator_is_consumed_no_further_than_is_needed(size: int, n_read: int) -> None:
    numbers = iter(range(100))
    endless = (np.full((size, 3), number) for number in numbers)

    assert len(given(endless).batches) == n_read
    assert next(numbers) == n_read


@pytest.mark.parametrize(
    ("rows", "array"),
    [
        (ROWS, X),
        ([np.array(row) for row in ROWS], X),
        (tuple(map(tuple, ROWS)), X),
        ([[[1, 2], [3]], [[4]]], [[[1, 2], [3, 0]], [[4, 0], [0, 0]]]),
        ([np.ones((2, 2)), np.ones((1, 2))], [[[1, 1], [1, 1]], [[1, 1], [0, 0]]]),
        (["the cat", "a dog"], ["the cat", "a dog"]),
        ([["the", "cat"], ["dogs"]], [["the", "cat"], ["dogs", ""]]),
        ([[1.5, 2.0], [3.0]], [[1.5, 2.0], [3.0, 0.0]]),
    ],
)
def test_rows_of_different_lengths_are_padded(rows: Any, array: Any) -> None:
    assert given(rows).batches[0].inputs.tolist() == np.asarray(array).tolist()


def test_what_rows_are_padded_with_is_said_and_can_be_chosen() -> None:
    found = given({"ids": ROWS}, ids=9, side="pre")

    assert found.batches[0].inputs["ids"].tolist() == [[1, 2, 3, 4], [9, 9, 5, 6], [9, 9, 9, 7]]
    assert found.notes == ("the rows of ids have different lengths: they were padded with 9 before their content",)
    assert given([[[1, 2], [3]], [[4]]], side="pre").batches[0].inputs.tolist() == [[[1, 2], [0, 3]], [[0, 0], [0, 4]]]


def test_ragged_tensors_are_padded_as_rows() -> None:
    tf = pytest.importorskip("tensorflow")

    assert (
        given(tf.ragged.constant(ROWS), side="pre").batches[0].inputs.tolist()
        == given(ROWS, side="pre").batches[0].inputs.tolist()
    )


def test_several_arrays_in_a_list_stay_several() -> None:
    assert [one.tolist() for one in given([X, X + 1], n_inputs=2).batches[0].inputs] == [X.tolist(), (X + 1).tolist()]
    assert [one.tolist() for one in given([ROWS, ROWS], n_inputs=2).batches[0].inputs] == [X.tolist()] * 2
    assert [one.shape for one in given([X, X[:, :2]], n_inputs=0).batches[0].inputs] == [(3, 4), (3, 2)]


def test_rows_of_mixed_depth_are_refused() -> None:
    with pytest.raises(ArgumentError, match="Rows must all be"):
        given([[1, [2, 3]], [[4]]])


def test_an_array_is_not_a_dataset() -> None:
    assert not any(is_dataset(one) for one in (None, X, ROWS, {"x": X}, "text", keras.ops.ones((2, 3))))
    assert all(is_dataset(one) for one in (iter([X]), (X for _ in range(2)), Batches()))


def test_an_exhausted_generator_and_targets_beside_a_dataset_are_refused() -> None:
    used = generated()
    list(used)
    with pytest.raises(ArgumentError, match="must yield at least one batch, got none from this generator"):
        given(used)
    with pytest.raises(ArgumentError, match="must hold the targets itself, got them in addition to a generator"):
        given(generated(), Y)
    with pytest.raises(ArgumentError, match="this list_iterator yields 4 things"):
        given(iter([(X, X, X, X)]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ROWS,
        lambda: iter([(X[:1], Y[:1, :1]), (X, Y[:, :1])]),  # no padding in the first
        lambda: iter([(X[:1, :4], Y[:1, :1]), (X[1:2, :2], Y[:1, :1])]),  # none in any of them
        lambda: of_tensorflow(lambda tf: tf.ragged.constant(ROWS)),
        Batches,
    ],
)
def test_a_model_is_audited_with_inputs_of_every_form(make: Callable[[], Any]) -> None:
    assert masklib.audit(small.recurrent(), make()).verdict == "no leak found"
    assert masklib.audit(small.recurrent(masked=False), make()).verdict == "leak"


def test_batches_without_padding_are_joined_and_that_is_said() -> None:
    batches = given(iter([(X[:1, :4], Y[:1, :1]), (X[1:2, :2], Y[:1, :1])]))

    tested, batch, _ = choosing.prepare(small.recurrent(), batches, PaddingSettings(pad_id=0), seed=0)

    assert tested.inputs.tolist() == [[1, 2, 3, 4], [5, 6, 0, 0]]
    assert tested.targets.tolist() == [[1.0], [1.0]]
    assert any("none of these holds padding" in note for note in batch.notes)


def test_targets_that_had_to_be_padded_are_not_guessed() -> None:
    batches = given(iter([(X[:1, :4], Y[:1, :4]), (X[1:2, :2], Y[:1, :2])])).batches

    assert choosing.joined(batches, Filling()).targets is None


def test_rows_of_floats_are_padded_with_what_the_model_masks() -> None:
    x = keras.Input((None, 1))
    model = keras.Model(x, keras.layers.LSTM(2)(keras.layers.Masking(-9.0)(x)))
    rows = [[[1.0], [2.0]], [[3.0]]]

    def inputs(settings: PaddingSettings) -> Any:
        return choosing.read_for(model, rows, None, None, settings).batches[0].inputs.tolist()

    assert inputs(PaddingSettings()) == [[[1.0], [2.0]], [[3.0], [-9.0]]]
    assert inputs(PaddingSettings(mask_value=0.5)) == [[[1.0], [2.0]], [[3.0], [0.5]]]


def test_rows_of_targets_are_padded_with_what_is_said_of_targets() -> None:
    one = given(ROWS, ROWS, ids=9, targets=-1.0).batches[0]

    assert one.inputs.tolist() == [[1, 2, 3, 4], [5, 6, 9, 9], [7, 9, 9, 9]]
    assert one.targets.tolist() == [[1, 2, 3, 4], [5, 6, -1, -1], [7, -1, -1, -1]]
