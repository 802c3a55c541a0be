"""What a model puts out in each situation: the one place where outputs are obtained, so that they can be obtained otherwise."""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from masklib.auditing.borrowing.running import Computed
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.invariance.situations import Situation

Array = NDArray[Any]


class Observations:
    """The outputs of a model, for the batch as given and in situations; those of a situation are computed once.

    Args:
        compute: returns what the model puts out for inputs; may raise a CallError.
        batch: as given.
    """

    def __init__(self, compute: Callable[[Any], Computed], batch: Batch) -> None:
        self._compute = compute
        self._known: dict[Situation, Computed] = {}
        self._given = compute(batch.inputs)

    @property
    def names(self) -> list[str]:
        """The names of the outputs."""
        return list(self._given.names)

    @property
    def base(self) -> list[Array]:
        """The outputs for the batch as given."""
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
        return list(self._in(situation).arrays)

    def masks_of(self, situation: Situation) -> list[Array | None]:
        """Return the masks that the outputs carry in a situation.

        Raises:
            CallError: the model does not take it.
        """
        return list(self._in(situation).masks)

    def anew(self, batch: Batch) -> list[Array]:
        """Return the outputs for a batch, computed with the model as it is at this moment.

        Raises:
            CallError: the model does not take it.
        """
        return list(self._compute(batch.inputs).arrays)

    def _in(self, situation: Situation) -> Computed:
        """Return what the model puts out in a situation."""
        if situation not in self._known:
            with situation.changed():
                self._known[situation] = self._compute(situation.batch.inputs)
        return self._known[situation]
