"""The methods by which a user calls a model: `predict`, `evaluate` and a step of `fit`, compiled or eager as the user set it.

They run the model's own `train_step`, `test_step`, `compute_loss` and `compute_metrics`. `borrowed` restores what they change.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from masklib import compat
from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.running import Runner, explained, quietly, restored
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.borrowing.tensors import to_array

Array = NDArray[Any]
FUNCTIONS = ("predict_function", "test_function", "train_function")  # Keras compiles each once, and keeps it


class Data(NamedTuple):
    """One batch, as `fit` and `evaluate` take it."""

    x: Any
    y: Any = None
    sample_weight: Any = None


class Step(NamedTuple):
    """One step of `fit`.

    Attributes:
        reported: what `fit` shows, by name.
        gradients: of the trainable weights, in their order; zeros where the step gave none.
    """

    reported: dict[str, float]
    gradients: list[Array]


class BorrowedModel(Runner):
    """A model that may be called by all its methods; `borrowed` returns one.

    Args:
        model: built, functional, sequential or subclassed.
        recorder: the optimizer of the model while it is borrowed.
    """

    def __init__(self, model: Any, recorder: "GradientRecorder") -> None:
        super().__init__(model)
        self._recorder = recorder

    def predict(self, inputs: Any) -> list[Array]:
        """Return what `predict` returns for one batch as arrays, in the order of the model's outputs.

        Raises:
            CallError: the model does not take these inputs.
        """
        with self._as_by_the_user():
            outputs = self.model.predict_on_batch(as_given(inputs))
        return [to_array(one) for one in flatten(outputs, "output")[1]]

    def evaluate(self, *batches: Data) -> dict[str, float]:
        """Return what `evaluate` reports for one batch or for several, by name.

        Raises:
            CallError: the model does not take these batches.
        """
        given = [Data(*map(as_given, one)) for one in batches]
        with self._as_by_the_user():
            if len(given) > 1:
                reported = self.model.evaluate(_dataset(given), steps=len(given), verbose=0, return_dict=True)
            elif self._has_own_steps:
                options = {"batch_size": _samples(given[0]), "verbose": 0, "return_dict": True}
                reported = self.model.evaluate(given[0].x, given[0].y, sample_weight=given[0].sample_weight, **options)
            else:
                reported = self.model.test_on_batch(*given[0], return_dict=True)
            return compiled.numbers(reported)

    def fit(self, data: Data) -> Step:
        """Return what one step of `fit` reports, and the gradients that it passes to the optimizer; no weight is changed.

        Raises:
            CallError: the model cannot be trained on this batch.
        """
        given = Data(*map(as_given, data))
        with self._as_by_the_user():
            self._recorder.forget(self.model.trainable_variables)
            if self._has_own_steps:
                x, y, weight = given
                options = {"batch_size": _samples(given), "shuffle": False, "verbose": 0}
                history = self.model.fit(x, y, sample_weight=weight, **options).history
                reported = {name: values[-1] for name, values in history.items()}
            else:
                reported = self.model.train_on_batch(*given, return_dict=True)
            return Step(compiled.numbers(reported), self._recorder.recorded(self.model.trainable_variables))

    @property
    def _has_own_steps(self) -> bool:
        """Whether the model overrides a step; then `fit` and `evaluate` must pack the batch: weights only if given."""
        return compiled.has_own_step(self.model) or compiled.has_own_training(self.model)

    @contextmanager
    def _as_by_the_user(self) -> Iterator[None]:
        """Within this context a method may be called; afterwards losses that layers added are cleared: they may be symbolic."""
        self.put_back()
        try:
            with explained(), quietly():
                yield
        finally:
            self.model._clear_losses()


class GradientRecorder(keras.optimizers.Optimizer):  # type: ignore[misc] # Keras publishes no types
    """An optimizer that does not change weights, and stores the gradients that it gets."""

    def __init__(self) -> None:
        super().__init__(learning_rate=1.0)
        self._kept: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Create a variable for the gradient of each variable."""
        if self.built:
            return
        super().build(variables)
        self._kept = [self.add_variable_from_reference(one, name="gradient") for one in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Store the gradient of a variable."""
        kept = self._kept[self._get_variable_index(variable)]
        self.assign_add(kept, compat.ops.cast(gradient, kept.dtype) if not hasattr(gradient, "indices") else gradient)

    def forget(self, variables: Sequence[Any]) -> None:
        """Set what was stored to zero."""
        self.build(variables)
        for one in self._kept:
            one.assign(np.zeros(one.shape, one.dtype))

    def recorded(self, variables: Sequence[Any]) -> list[Array]:
        """Return the gradients of variables, in their order."""
        return [to_array(self._kept[self._get_variable_index(one)].value) for one in variables]


@contextmanager
def borrowed(model: Any) -> Iterator[BorrowedModel]:
    """Within this context a model may be called by all its methods; afterwards it is restored, also after an error."""
    with restored(model), _without_compiled_functions(model) as recorder:
        yield BorrowedModel(model, recorder)


@contextmanager
def _without_compiled_functions(model: Any) -> Iterator["GradientRecorder"]:
    """Within this context a model has a recorder as its optimizer and compiles again; afterwards it has the user's own again.

    The recorder is the optimizer for all methods, because Keras builds an optimizer also where it only evaluates.
    """
    recorder, attributes = GradientRecorder(), vars(model)
    names = [name for name in (*FUNCTIONS, "optimizer") if name in attributes]
    before = {name: attributes[name] for name in names}
    attributes.update({name: recorder if name == "optimizer" else None for name in names})
    try:
        yield recorder
    finally:
        attributes.update(before)


def as_given(structure: Any) -> Any:
    """Return arrays as `predict`, `evaluate` and `fit` pass them to the model: floats in Keras's default precision."""

    def cast(array: Any) -> Any:
        array = array if hasattr(array, "dtype") else np.asarray(array)
        is_double = isinstance(array, np.ndarray) and array.dtype.kind == "f"
        return array.astype(keras.config.floatx()) if is_double and keras.config.floatx() != "bfloat16" else array

    return None if structure is None else compat.map_structure(lambda one: None if one is None else cast(one), structure)


def _samples(data: Data) -> int:
    """Return the number of samples of a batch."""
    return int(np.shape(flatten(data.x)[1][0])[0])


def _dataset(batches: Sequence[Data]) -> Any:
    """Return batches of different lengths as users give them: on TensorFlow a tf.data.Dataset, else a generator."""
    given = [_with_tuples(tuple(one) if one.sample_weight is not None else (one.x, one.y)) for one in batches]
    if keras.backend.backend() != "tensorflow":
        return iter(given)
    import tensorflow as tf

    def spec(*arrays: Any) -> Any:
        sizes = [sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*(np.shape(one) for one in arrays), strict=True)]
        return tf.TensorSpec([None, *sizes[1:]], np.asarray(arrays[0]).dtype)

    return tf.data.Dataset.from_generator(lambda: iter(given), output_signature=keras.tree.map_structure(spec, *given))


def _with_tuples(structure: Any) -> Any:
    """Return a structure with tuples in place of lists, because tf.data converts a list to one array."""
    if isinstance(structure, Mapping):
        return {name: _with_tuples(one) for name, one in structure.items()}
    return tuple(_with_tuples(one) for one in structure) if isinstance(structure, (list, tuple)) else structure
