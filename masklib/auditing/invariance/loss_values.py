"""The compiled loss and metrics of a model for given predictions; all that are compared come from here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.running import CallError, as_tensors, explained, quietly
from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.borrowing.unchanged import layers_of
from masklib.auditing.invariance.packing import Packing
from masklib.auditing.invariance.predictions import Prediction
from masklib.auditing.invariance.results import LOSS
from masklib.auditing.invariance.situations import Situation

Array = NDArray[Any]


class LossValues:
    """Computes the compiled loss and metrics of a model.

    Args:
        packing: the model with its batch, and what the user gives.
    """

    def __init__(self, packing: Packing) -> None:
        self._packing = packing
        self._subject = packing.subject
        self._model = packing.subject.model

    @cached_property
    def adds_penalties(self) -> bool:
        """Whether layers add something to the loss in a call."""
        return bool(self.penalties(None))

    def loss(self, predictions: Sequence[Prediction]) -> float:
        """Return the loss that the model computes for these predictions, without what its layers add to it.

        Raises:
            CallError: it cannot be computed.
        """
        with explained(), quietly():
            loss = self.objective(predictions)(self._pack([one.tensor() for one in predictions]))
            return float(keras.ops.convert_to_numpy(loss)) - self._added()

    def metrics(self, *batches: Sequence[Prediction]) -> dict[str, float]:
        """Return the metrics that the model computes over batches, by name, without those that average losses.

        If the user gives no weights, weighted metrics get 1 at valid steps and 0 at others.

        Raises:
            CallError: they cannot be computed.
        """
        found: dict[str, float] = {}
        with explained(), quietly():
            compiled.reset_metrics(self._model)
            for predictions in batches:
                y, y_pred = (
                    self._packing.targets([one.target for one in predictions]),
                    self._pack([one.tensor() for one in predictions]),
                )
                weight = self._packing.weights([one.weight for one in predictions])
                if weight is None:
                    weight = self._pack([one.valid_weight() for one in predictions])
                found = compiled.numbers(self._model.compute_metrics(None, y, y_pred, weight))
        losses = {LOSS, *(f"{name}_loss" for name in self._subject.observations.names)}
        return {name: value for name, value in found.items() if name not in losses}

    def takes(self, loss: Any, array: Array, target: Array) -> bool:
        """Return whether the loss of one output can be computed with these targets and is finite.

        Args:
            loss: as `compile` was given it; None: the model computes its loss itself, or has none for this output.
            array: predictions (B, ...).
            target: the targets that are tried.
        """
        if loss is None and len(self._subject.observations.names) > 1:
            return True
        try:
            with explained(), quietly():
                return bool(np.isfinite(self._of_one(loss, array, target)))
        except CallError:
            return False

    def _of_one(self, loss: Any, array: Array, target: Array) -> float:
        """Return the loss of one output; if the model computes its loss itself, that loss."""
        y, y_pred = keras.ops.convert_to_tensor(target), keras.ops.convert_to_tensor(array)
        if loss is None:
            value = self._model.compute_loss(x=None, y=self._pack([y]), y_pred=self._pack([y_pred]), training=False)
        else:
            value = compiled.loss_object(loss, array.shape[-1], is_sparse=target.ndim < array.ndim)(y, y_pred)
        return float(np.mean(keras.ops.convert_to_numpy(value)))

    def objective(self, predictions: Sequence[Prediction]) -> Callable[[Any], Any]:
        """Return the loss as a function of what the model returns, with the targets and weights of these predictions."""
        y = self._packing.targets([one.target for one in predictions])
        weight = self._packing.weights([one.weight for one in predictions])

        def loss(y_pred: Any) -> Any:
            return self._model.compute_loss(x=None, y=y, y_pred=y_pred, sample_weight=weight, training=False)

        return loss

    def penalty(self, situation: Situation | None) -> float:
        """Return what layers add to the loss in a situation, such as activity regularizers; None is the batch as given.

        Raises:
            CallError: the model does not take the situation.
        """
        with self._called_in(situation):
            return self._added()

    def penalties(self, situation: Situation | None) -> dict[str, float]:
        """Return what each layer adds to the loss in a call, by name; None is the batch as given.

        Raises:
            CallError: the model does not take the situation.
        """
        with self._called_in(situation):
            kept = {str(layer.name): getattr(layer, "_losses", None) or [] for layer in layers_of(self._model)}
            return {name: float(sum(float(to_array(one)) for one in losses)) for name, losses in kept.items() if losses}

    @contextmanager
    def _called_in(self, situation: Situation | None) -> Iterator[None]:
        """Within this context layers hold what they added to the loss in a situation."""
        batch = self._subject.batch if situation is None else situation.batch
        with nullcontext() if situation is None else situation.changed(), explained(), quietly():
            self._subject.runner.put_back()
            self._model(as_tensors(batch.inputs), training=False)
            yield

    def _added(self) -> float:
        """Return what layers added to the loss when the model was last called."""
        return float(sum(float(keras.ops.convert_to_numpy(one)) for one in self._model.losses))

    def _pack(self, leaves: Sequence[Any]) -> Any:
        """Return one item for each output in the structure of the outputs."""
        return self._subject.observations.pack(leaves)
