"""Longer padding: for which groups of steps a model takes more steps, alone or together with other groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from masklib.auditing.borrowing.running import CallError
from masklib.auditing.inputs import variants
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.inputs.uses import is_embedding, reads, watched
from masklib.auditing.invariance.observations import Observations
from masklib.auditing.invariance.situations import Situation, longer_padding
from masklib.auditing.tracing.watch import CallRecord


@dataclass(frozen=True)
class Lengthened:
    """A batch and the situations in which its padding is longer.

    Attributes:
        batch: as given; groups that can only be made longer together are joined.
        taken: the situations that the model takes, one for each such group.
        refused: one for each other group, with the reason why the model does not take it.
    """

    batch: Batch
    taken: tuple[Situation, ...]
    refused: tuple[tuple[Situation, str], ...]

    @property
    def steps(self) -> int:
        """The number of steps by which padding is made longer."""
        return variants.extra_steps(self.batch)


@dataclass(frozen=True)
class Lengthening:
    """Makes the padding of a batch longer.

    Attributes:
        model: that gets the batch.
        observations: of its outputs.
        records: of its calls with the batch as given, with their inputs.
    """

    model: Any
    observations: Observations
    records: Sequence[CallRecord]

    def of(self, batch: Batch) -> Lengthened:
        """Return the batch, and the situations in which its padding is longer."""
        tried = [longer_padding(batch, (index,)) for index in range(len(batch.groups))]
        refusals = [self._refusal(situation, batch) for situation in tried]
        taken = tuple(situation for situation, why in zip(tried, refusals, strict=True) if not why)
        refused = tuple((situation, why) for situation, why in zip(tried, refusals, strict=True) if why)
        merged = self._merged(batch, [situation.groups[0] for situation, _ in refused])
        return Lengthened(batch, taken, refused) if merged is None else self.of(merged)

    def _refusal(self, situation: Situation, batch: Batch) -> str:
        """Return why the model does not take longer padding; "" if it takes it."""
        try:
            both = zip(self.observations.of(situation), self.observations.base, strict=True)
            if any(longer.shape[:1] != array.shape[:1] for longer, array in both):
                return "its outputs then have another number of samples"
            self._check_rows(situation, batch)
        except CallError as error:
            return str(error)
        return ""

    def _merged(self, batch: Batch, groups: Sequence[int]) -> Batch | None:
        """Return the batch with these groups joined, if they can only be made longer together; else None.

        Leaves with equally many steps may be concatenated although they are padded differently; a step is valid if it is in any.
        """
        alike = [one for one in map(batch.groups.__getitem__, groups) if one.axis == 1]
        if len(alike) < 2 or len({(one.steps, one.side) for one in alike}) > 1 or len(alike) < len(groups):
            return None
        if self._refusal(longer_padding(batch, tuple(groups)), batch):
            return None
        return variants.merged(batch, groups)

    def _check_rows(self, situation: Situation, batch: Batch) -> None:
        """Raise if an Embedding of positions has too few rows for more steps: some backends do not raise then."""
        own = [leaf.array for leaf in batch.leaves]
        positions = [call for call in self.records if is_embedding(call) and not any(reads(call, array) for array in own)]
        for call in watched(self.model, situation.batch.inputs) if positions else []:
            if is_embedding(call) and call.inputs and call.inputs[0].max(initial=0) >= call.operation.input_dim:
                msg = f"{call.path!r} has {call.operation.input_dim} rows"
                raise CallError(msg)
