"""Turns what users give into batches of arrays: arrays, ragged tensors, lists of rows, and any dataset that `fit` takes.

A dataset yields inputs, (inputs, targets) or (inputs, targets, sample weights), as for `fit`: a tf.data.Dataset, a generator, a
PyDataset, a torch DataLoader, or another iterable. Only its first batches are read, and each keeps the length that it has.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import keras
import numpy as np

from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.inputs.rows import Filling, filled, is_rows
from masklib.errors import ArgumentError

MOST_BATCHES = 4  # that are read from a dataset
ENOUGH_SAMPLES = 128  # after which no further batch is read


@dataclass(frozen=True)
class GivenBatch:
    """One batch as `evaluate` takes it.

    Attributes:
        inputs: an array, or a list or dict of arrays.
        targets: of the same form; None if there are none.
        sample_weight: of the same form; None if there are none.
    """

    inputs: Any
    targets: Any = None
    sample_weight: Any = None

    @property
    def samples(self) -> int:
        """Return B; 0 if the inputs are not arrays."""
        return min((np.shape(array)[0] for array in flatten(self.inputs)[1] if np.shape(array)), default=0)


@dataclass(frozen=True)
class Given:
    """What a user gave: one batch, or the first batches of a dataset.

    Attributes:
        batches: in order, each padded to its own length.
        filling: with which shorter rows were padded.
        notes: what was read and what was padded, one sentence each.
    """

    batches: tuple[GivenBatch, ...]
    filling: Filling
    notes: tuple[str, ...] = ()


def read(
    inputs: Any,
    targets: Any = None,
    sample_weight: Any = None,
    *,
    filling: Filling,
    n_inputs: int = 0,
    n_outputs: int = 0,
) -> Given:
    """Return the batches that a user gave, as arrays; rows of different lengths are padded.

    From a dataset at most 4 batches are read, and none after 128 samples; a generator is consumed no further.

    Args:
        inputs: arrays, tensors, ragged tensors or rows of numbers, in a list or dict where there are several; or a dataset.
        targets: of the same form; None if there are none, or if they are in the dataset.
        sample_weight: of the same form.
        filling: with which shorter rows are padded.
        n_inputs: how many inputs the model declares, 0 if that is not known; it distinguishes a list of arrays from one of rows.
        n_outputs: how many outputs it declares; 0 if that is not known.

    Raises:
        ArgumentError: a dataset yields no batch, or something else, or targets are given in addition to it.
    """
    if not is_dataset(inputs):
        return _padded([(inputs, targets, sample_weight)], filling, n_inputs, n_outputs, "")
    beside = [name for name, one in (("targets", targets), ("sample_weight", sample_weight)) if one is not None]
    if beside:
        msg = f"A dataset must hold the {' and the '.join(beside)} itself, got them in addition to a {type(inputs).__name__}."
        raise ArgumentError(msg + " Let it yield (inputs, targets, sample_weight).")
    kind = type(inputs).__name__
    found = [_unpacked(one, kind) for one in _first_batches(inputs)]
    if not found:
        msg = f"A dataset must yield at least one batch, got none from this {kind}. A generator can be read only once."
        raise ArgumentError(msg)
    return _padded(found, filling, n_inputs, n_outputs, kind)


def is_dataset(inputs: Any) -> bool:
    """Return whether this yields batches, and is not a batch itself."""
    if inputs is None or isinstance(inputs, (str, bytes, list, tuple, Mapping)) or _is_array(inputs):
        return False
    return isinstance(inputs, (Iterable, keras.utils.PyDataset)) or hasattr(inputs, "__getitem__")


def _is_array(thing: Any) -> bool:
    """Return whether this is an array, tensor or table of any library."""
    return hasattr(thing, "__array__") or hasattr(thing, "shape") or hasattr(thing, "to_numpy")


def _first_batches(dataset: Any) -> list[Any]:
    """Return the first batches of a dataset, as it yields them."""
    found: list[Any] = []
    n_samples = 0
    for one in islice(_iterated(dataset), MOST_BATCHES):
        found.append(one)
        n_samples += _samples_of(one)
        if n_samples >= ENOUGH_SAMPLES:
            break
    return found


def _iterated(dataset: Any) -> Iterator[Any]:
    """Return an iterator over the batches of a dataset; the workers of a PyDataset are not started."""
    if isinstance(dataset, keras.utils.PyDataset):
        count = dataset.num_batches
        return (dataset[index] for index in range(MOST_BATCHES if count is None else count))
    return iter(dataset)


def _samples_of(yielded: Any) -> int:
    """Return the number of samples in what a dataset yielded; 0 if the inputs do not show it."""
    first = yielded[0] if isinstance(yielded, (tuple, list)) and len(yielded) else yielded
    sizes = [np.shape(one)[0] for one in flatten(first)[1] if len(getattr(one, "shape", ()))]
    return int(min(sizes, default=0) or 0)


def _unpacked(yielded: Any, kind: str) -> tuple[Any, Any, Any]:
    """Return the inputs, targets and weights in what a dataset yields.

    Raises:
        ArgumentError: it is not a batch as `fit` takes it.
    """
    try:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(yielded)
    except ValueError as error:
        msg = f"A dataset must yield inputs, (inputs, targets) or (inputs, targets, sample_weight), this {kind} yields "
        raise ArgumentError(msg + f"{len(yielded)} things. Put several inputs into a tuple or dict of their own.") from error
    return x, y, weight


def _padded(found: Iterable[tuple[Any, Any, Any]], filling: Filling, n_inputs: int, n_outputs: int, kind: str) -> Given:
    """Return batches as arrays, with notes on what was done."""
    notes: list[str] = []
    batches = []
    for x, y, weight in found:
        inputs = arrays_of(x, filling, n_inputs, "inputs", notes)
        beside = [
            arrays_of(one, filling.of_targets(), n_outputs, name, notes) for one, name in ((y, "targets"), (weight, "weights"))
        ]
        batches.append(GivenBatch(inputs, *beside))
    if kind:
        sizes = ", ".join(str(one.samples) for one in batches)
        counted = "1 batch was" if len(batches) == 1 else f"{len(batches)} batches were"
        notes.insert(0, f"{counted} read from the {kind}, of {sizes} samples")
    return Given(tuple(batches), filling, tuple(dict.fromkeys(notes)))


def arrays_of(structure: Any, filling: Filling, count: int, name: str, notes: list[str]) -> Any:
    """Return a structure of objects that hold numbers or text as a structure of arrays.

    Args:
        structure: array, tensor, ragged tensor or list of rows; or a list, tuple or dict of such.
        filling: with which shorter rows are padded.
        count: how many arrays there should be; 0 if that is not known.
        name: what they are, for the notes.
        notes: to which a note on what was padded is added.
    """
    if structure is None:
        return None
    if isinstance(structure, Mapping):
        return {key: arrays_of(value, filling, 1, str(key), notes) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)) and not is_rows(structure, count):
        kind = type(structure) if type(structure) in (list, tuple) else list
        return kind(arrays_of(one, filling, 1, f"{name}_{i}", notes) for i, one in enumerate(structure))
    return _array(structure, filling, name, notes)


def _array(thing: Any, filling: Filling, name: str, notes: list[str]) -> Any:
    """Return one array; rows of different lengths are padded, and a note says so."""
    rows = _rows_in(thing)
    if rows is None:
        return _dense(thing)
    array, was_ragged = filled(rows, filling)
    if was_ragged:
        notes.append(filling.note(name, array))
    return array


def _rows_in(thing: Any) -> Any:
    """Return the rows of a list, of a ragged tensor of TensorFlow, or of a nested tensor of PyTorch; None if it is dense."""
    if isinstance(thing, (list, tuple)):
        return thing
    if hasattr(thing, "row_splits") and hasattr(thing, "to_list"):
        return thing.to_list()
    if getattr(thing, "is_nested", False):
        return [_dense(one) for one in thing.unbind()]
    return None


def _dense(thing: Any) -> Any:
    """Return a tensor or table of any library as an array."""
    if hasattr(thing, "detach"):
        thing = thing.detach().cpu()
    if hasattr(thing, "to_numpy"):
        return thing.to_numpy()
    return np.asarray(thing)
