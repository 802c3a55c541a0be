"""Batches of different lengths as `fit` and `evaluate` take them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from masklib.compat import map_structure
from tests.wild.specimens import Batch


def dataset(batches: Sequence[Batch], give: Callable[[Any], Any]) -> Any:
    """Return a dataset of batches: of tf.data on TensorFlow, where keras-hub takes nothing else; else a PyDataset."""
    served = [_parts(one._replace(x=give(one.x))) for one in batches]
    return _of_tensorflow(served) if keras.backend.backend() == "tensorflow" else Batches(served)


class Batches(keras.utils.PyDataset):
    """Batches, each with its own length."""

    def __init__(self, batches: Sequence[Any]) -> None:
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        return self.batches[index]


def _parts(batch: Batch) -> Any:
    """Return inputs, targets and weights where there are some; tuples for lists, which TensorFlow takes for tensors."""
    return tuple(_as_tuples(part) for part in batch if part is not None)


def _as_tuples(structure: Any) -> Any:
    """Return a structure with tuples for lists."""
    if isinstance(structure, dict):
        return {name: _as_tuples(one) for name, one in structure.items()}
    return tuple(_as_tuples(one) for one in structure) if isinstance(structure, (list, tuple)) else structure


def _of_tensorflow(batches: Sequence[Any]) -> Any:
    """Return batches as a tf.data.Dataset, axes that differ among them unknown."""
    import tensorflow as tf

    tensors = iter(zip(*(_shapes(one) for one in batches), strict=True))

    def spec_of(dtype: Any) -> Any:
        sizes = [lengths[0] if len(set(lengths)) == 1 else None for lengths in zip(*next(tensors), strict=True)]
        # The number of samples stays unknown: where it is known, Keras 3.15 counts it once more at the end of the data.
        return tf.TensorSpec([None, *sizes[1:]], dtype)

    dtypes = map_structure(lambda one: tf.as_dtype(getattr(one, "dtype", np.asarray(one).dtype)), batches[0])
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=map_structure(spec_of, dtypes))


def _shapes(batch: Any) -> list[tuple[int, ...]]:
    """Return the shapes of all arrays, in the order of `map_structure`."""
    found: list[tuple[int, ...]] = []
    map_structure(lambda one: found.append(tuple(one.shape)), batch)
    return found
