"""The outputs of a model in each situation; all outputs that the check compares come from here.

The outputs of `predict` are compared, compiled as the user compiled the model. An ordinary call gives the masks of the outputs.
It also replaces `predict` where the model's layers are patched, because a compiled function would not call the patches.
"""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from masklib.auditing.borrowing.running import CallError, Computed
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.invariance.situations import Situation

Array = NDArray[Any]
Predict = Callable[[Any], list[Array]]


class Observations:
    """The outputs of a model, for the batch as given and in situations; those of a situation are computed once.

    Args:
        call: returns the outputs of an ordinary call; may raise a CallError.
        batch: as given.
        predict: returns the outputs of `predict`; may raise a CallError. If it is None, or fails for the batch as given, `call`
            is used.

    Attributes:
        why_not_predicted: why `predict` fails; "" if it works.
    """

    def __init__(self, call: Callable[[Any], Computed], batch: Batch, predict: Predict | None = None) -> None:
        self._call = call
        self._given = call(batch.inputs)
        self._called: dict[Situation, Computed] = {}
        self._known: dict[Situation, list[Array]] = {}
        self.why_not_predicted = ""
        self._predict, self._base = self._try(predict, batch)

    @property
    def names(self) -> list[str]:
        """The names of the outputs."""
        return list(self._given.names)

    @property
    def base(self) -> list[Array]:
        """The outputs for the batch as given."""
        return list(self._base)

    @property
    def called(self) -> list[Array]:
        """The outputs of an ordinary call for the batch as given."""
        return list(self._given.arrays)

    @property
    def masks(self) -> list[Array | None]:
        """The masks of the outputs for the batch as given."""
        return list(self._given.masks)

    def pack(self, leaves: Sequence[Any]) -> Any:
        """Return one item for each output in the structure in which the model returns its outputs."""
        return self._given.pack(list(leaves))

    def of(self, situation: Situation) -> list[Array]:
        """Return the outputs in a situation.

        Raises:
            CallError: the model does not take it.
        """
        if situation.is_inside:
            return self.called_in(situation)
        if situation not in self._known:
            with situation.changed():
                self._known[situation] = self._predict(situation.batch.inputs)
        return list(self._known[situation])

    def beside(self, situation: Situation) -> list[Array]:
        """Return the outputs for the batch as given, computed in the same way as those in a situation."""
        return self.called if situation.is_inside else self.base

    def called_in(self, situation: Situation) -> list[Array]:
        """Return the outputs of an ordinary call in a situation.

        Raises:
            CallError: the model does not take it.
        """
        return list(self._call_in(situation).arrays)

    def masks_of(self, situation: Situation) -> list[Array | None]:
        """Return the masks of the outputs in a situation.

        Raises:
            CallError: the model does not take it.
        """
        return list(self._call_in(situation).masks)

    def anew(self, batch: Batch) -> list[Array]:
        """Return the outputs for a batch, computed again with the current state of the model.

        Raises:
            CallError: the model does not take it.
        """
        return self._predict(batch.inputs)

    def _call_in(self, situation: Situation) -> Computed:
        """Return what an ordinary call of the model returns in a situation."""
        if situation not in self._called:
            with situation.changed():
                self._called[situation] = self._call(situation.batch.inputs)
        return self._called[situation]

    def _try(self, predict: Predict | None, batch: Batch) -> tuple[Predict, list[Array]]:
        """Return the function that gives outputs, `predict` or an ordinary call, and its outputs for the batch as given."""
        try:
            found = predict(batch.inputs) if predict else None
        except CallError as error:
            self.why_not_predicted, found = str(error), None
        if predict and found is not None and [one.shape for one in found] == [one.shape for one in self._given.arrays]:
            return predict, found
        return (lambda inputs: list(self._call(inputs).arrays)), list(self._given.arrays)
