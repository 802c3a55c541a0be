"""Targets and weights, one for each output, in the structure in which `evaluate` takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.methods import Data
from masklib.auditing.inputs.arranging import as_given
from masklib.auditing.invariance.predictions import Prediction
from masklib.auditing.invariance.subject import Subject


@dataclass(frozen=True)
class Teaching:
    """What a user gives besides the inputs, for the tested samples.

    Attributes:
        targets: as the loss takes them; None: to be made.
        sample_weight: as `fit` takes it; None: no weights.
        target_pad: what padded steps of the targets hold; None: to be found.
    """

    targets: Any = None
    sample_weight: Any = None
    target_pad: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the user gave targets and not what their padded steps hold: then the targets are used unchanged."""
        return self.targets is not None and self.target_pad is None


@dataclass(frozen=True)
class Packing:
    """Builds what `fit` and `evaluate` take.

    Attributes:
        subject: the model, with its batch.
        teaching: what the user gives.
    """

    subject: Subject
    teaching: Teaching

    @property
    def names(self) -> list[str]:
        """The names of the outputs."""
        return self.subject.observations.names

    @property
    def losses(self) -> list[Any]:
        """What `compile` was given as the loss of each output; None for an output without a loss."""
        return [compiled.loss_of(self.subject.model, i, name, len(self.names)) for i, name in enumerate(self.names)]

    @property
    def with_loss(self) -> list[str]:
        """The names of the outputs that have a loss."""
        return [name for name, loss in zip(self.names, self.losses, strict=True) if loss is not None]

    def data(self, inputs: Any, predictions: Sequence[Prediction]) -> Data:
        """Return a batch as `fit` and `evaluate` take it."""
        return Data(inputs, self.targets([one.target for one in predictions]), self.weights([one.weight for one in predictions]))

    def targets(self, leaves: Sequence[Any]) -> Any:
        """Return targets in the structure in which they were given; made targets in the structure of the outputs."""
        return self._packed(self.teaching.targets, leaves)

    def weights(self, leaves: Sequence[Any]) -> Any:
        """Return weights in the structure in which they were given; None if there are none."""
        return None if self.teaching.sample_weight is None else self._packed(self.teaching.sample_weight, leaves)

    def _packed(self, structure: Any, leaves: Sequence[Any]) -> Any:
        """Return one item for each output in a structure; None: in that of the outputs."""
        if structure is None:
            return self.subject.observations.pack(leaves)
        return as_given(structure, leaves, self.names, self.with_loss)
