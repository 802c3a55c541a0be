"""The situations that exist for a model and its batch, by kind of change; each kind is made at its first use."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import keras

from masklib.auditing.invariance import injecting, situations
from masklib.auditing.invariance.fitting import calls_in_doubt
from masklib.auditing.invariance.pad_rows import PadRows
from masklib.auditing.invariance.situations import Situation
from masklib.auditing.invariance.subject import Subject


class Alternatives:
    """The situations in which a model is compared with itself.

    Args:
        subject: the model, with its batch.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    @property
    def longer(self) -> Sequence[Situation]:
        """With longer padding."""
        return self._subject.lengthened.taken

    @cached_property
    def contents(self) -> list[Situation]:
        """With other content at padded steps."""
        return list(situations.padded_content(self._subject.given, self._subject.seed))

    @cached_property
    def injected(self) -> list[Situation]:
        """With other content at masked steps inside the model."""
        subject, is_fixed = self._subject, bool(self._subject.lengthened.refused)
        found = list(injecting.masked_content(subject.batch, subject.records, subject.seed, is_fixed=is_fixed))
        in_doubt = calls_in_doubt(subject.model, subject.batch, subject.much) if found else frozenset[str]()
        return [situation for path, situation in found if path not in in_doubt]

    @cached_property
    def pad_rows(self) -> PadRows:
        """The embedding rows of padding, and why some cannot be changed."""
        return PadRows(self._subject, self.unpadded)

    @property
    def rows(self) -> list[Situation]:
        """With another embedding row of padding."""
        return self.pad_rows.situations

    @cached_property
    def mates(self) -> list[Situation]:
        """With other samples in the batch."""
        return situations.batch_mates(self._subject.batch, self._subject.noise.turned)

    @cached_property
    def unpadded(self) -> list[Situation]:
        """Without padding."""
        most = 2 if keras.backend.backend() == "jax" else 4  # JAX compiles each of them
        return situations.no_padding(self._subject.batch, most)

    @cached_property
    def for_training(self) -> list[Situation]:
        """The situations in which loss, gradients and statistics must stay the same."""
        rows = [one for one in self.rows if not one.is_penalized]  # a regularizer may use the row of padding
        return [*self.longer, *self.contents, *rows]

    def later(self, group: int) -> Iterator[Situation]:
        """Yield the situations with other content at later steps of a group."""
        return situations.later_steps(self._subject.batch, group, self._subject.seed)
