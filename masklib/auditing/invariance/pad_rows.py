"""The rows that Embeddings look up at padded steps: their values must make no difference, if only padding uses them."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from masklib.auditing.borrowing.running import CallError
from masklib.auditing.inputs import variants
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.invariance.comparing import distance
from masklib.auditing.invariance.situations import Situation, embedding_rows, has_embedding_of_padding
from masklib.auditing.invariance.subject import Subject


class PadRows:
    """The embedding rows of padding of a model.

    Args:
        subject: the model, with its batch.
        unpadded: the situations without padding.
    """

    def __init__(self, subject: Subject, unpadded: Sequence[Situation]) -> None:
        self._subject = subject
        self._unpadded = unpadded

    @cached_property
    def situations(self) -> list[Situation]:
        """The situations with another row, if only padding uses that row."""
        subject = self._subject
        if subject.is_padding_a_guess:
            return []
        found = embedding_rows(subject.model, subject.given, subject.records, subject.seed)
        return [one for one in found if not (subject.differs(one) and self._is_used_otherwise(one))]

    @property
    def why_none(self) -> str:
        """Why no row of padding can be changed although an Embedding gets padding; "" if one can be, or no Embedding gets any."""
        if self.situations or not has_embedding_of_padding(self._subject.given, self._subject.records):
            return ""
        if self._subject.is_padding_a_guess:
            return "nothing in the model says which ids are padding: give inputs that are padded as yours are"
        return "each Embedding also uses its row of padding for something else"

    def _is_used_otherwise(self, situation: Situation) -> bool:
        """Return whether an embedding row changes outputs for inputs without padding, as with tied weights."""
        for batch in self._without_pads():
            try:
                plain = self._subject.observations.anew(batch)
                with situation.changed():
                    other = self._subject.observations.anew(batch)
            except CallError:
                continue
            both = zip(plain, other, self._subject.noise.of, strict=True)
            return any(distance(first, second).size > noise.tolerance * noise.scale for first, second, noise in both)
        return False

    def _without_pads(self) -> list[Batch]:
        """Return batches in which no id is padding: full samples, and samples without their padding."""
        given = self._subject.given
        lengths = variants.own_lengths(given)
        full = np.flatnonzero((lengths == [group.steps for group in given.groups]).all(axis=1))
        found = [variants.select(self._subject.batch, full)] if len(full) else []
        found += [one.batch for one in reversed(self._unpadded)]
        return [one for one in found if not any((leaf.array == leaf.pad).any() for leaf in one.leaves if leaf.kind == "ids")]
