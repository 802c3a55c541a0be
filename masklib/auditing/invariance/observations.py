"""What a model puts out in each situation: the one place where outputs are obtained.

What is compared is what `predict` returns, compiled as the user compiled the model. An ordinary call says which masks the outputs
carry, and stands in where something is put into the model's layers, which a compiled function would not see.
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
        call: returns what the model puts out when it is called; may raise a CallError.
        batch: as given.
        predict: returns what it predicts, likewise. None, or one that fails for the batch as given: as when it is called.

    Attributes:
        why_not_predicted: why `predict` fails; "" if it does not.
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
        """The masks that the outputs carry for the batch as given."""
        return list(self._given.masks)

    def pack(self, leaves: Sequence[Any]) -> Any:
        """Return something for each output in the structure in which the model returns them."""
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
        """Return the outputs for the batch as given, obtained as those in a situation are."""
        return self.called if situation.is_inside else self.base

    def called_in(self, situation: Situation) -> list[Array]:
        """Return the outputs of an ordinary call in a situation.

        Raises:
            CallError: the model does not take it.
        """
        return list(self._call_in(situation).arrays)

    def masks_of(self, situation: Situation) -> list[Array | None]:
        """Return the masks that the outputs carry in a situation.

        Raises:
            CallError: the model does not take it.
        """
        return list(self._call_in(situation).masks)

    def anew(self, batch: Batch) -> list[Array]:
        """Return the outputs for a batch, computed with the model as it is at this moment.

        Raises:
            CallError: the model does not take it.
        """
        return self._predict(batch.inputs)

    def _call_in(self, situation: Situation) -> Computed:
        """Return what the model puts out when it is called in a situation."""
        if situation not in self._called:
            with situation.changed():
                self._called[situation] = self._call(situation.batch.inputs)
        return self._called[situation]

    def _try(self, predict: Predict | None, batch: Batch) -> tuple[Predict, list[Array]]:
        """Return what predicts, and what it predicts for the batch as given."""
        try:
            found = predict(batch.inputs) if predict else None
        except CallError as error:
            self.why_not_predicted, found = str(error), None
        if predict and found is not None and [one.shape for one in found] == [one.shape for one in self._given.arrays]:
            return predict, found
        return (lambda inputs: list(self._call(inputs).arrays)), list(self._given.arrays)
