"""The noise of a model's outputs: they are computed again, with samples in another order and with weights rounded differently."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from masklib.auditing.inputs.batch import Batch
from masklib.auditing.invariance.comparing import Distance, distance, valid_elements
from masklib.auditing.invariance.noise import RANDOM, Noise, noise_of, rounded_otherwise
from masklib.auditing.invariance.observations import Observations
from masklib.auditing.invariance.output_axes import OutputAxes
from masklib.auditing.invariance.situations import Situation, in_another_order
from masklib.errors import UntestableError

Array = NDArray[Any]


@dataclass(frozen=True)
class OutputNoise:
    """Which differences of the outputs are noise.

    Attributes:
        of: the noise of each output.
        sources: for each repeated computation, by name, how much each output differed.
        rounded: the outputs with weights rounded differently.
        turned: the situation with the batch in reverse order.
    """

    of: tuple[Noise, ...]
    sources: Mapping[str, Sequence[Distance]]
    rounded: tuple[Array, ...]
    turned: Situation

    @property
    def by_source(self) -> dict[str, float]:
        """The largest relative difference of each repeated computation."""
        return {name: max(one.relative for one in found) for name, found in self.sources.items()}


@dataclass(frozen=True)
class NoiseMeter:
    """Measures the noise of the outputs.

    Attributes:
        model: whose outputs they are.
        observations: of the outputs.
        batch: as given.
        unit: relative spacing of the numbers that the model computes with.
        seed: of all random numbers.
    """

    model: Any
    observations: Observations
    batch: Batch
    unit: float
    seed: int

    def check_repeats(self, again: Sequence[Array]) -> None:
        """Raise if outputs differ when they are computed again.

        Raises:
            UntestableError: one of them is random.
        """
        for name, first, second in zip(self.observations.names, self.observations.base, again, strict=True):
            apart = distance(first, second)
            if apart.relative > much(self.unit):
                msg = f"Output {name!r} must be the same when computed again, it differs by {apart.relative:.1%} of its scale. "
                raise UntestableError(msg + "Switch off what is random at training=False; nothing was tested.")

    def measure(self, again: Sequence[Array], axes: OutputAxes) -> OutputNoise:
        """Return the noise of each output."""
        sources = {"the same again": self._distances(again, axes)}
        turned = in_another_order(self.batch)
        order = list(turned.other_rows)
        found = self._distances([array[order] for array in self.observations.of(turned)], axes)
        if max(one.relative for one in found) <= much(self.unit):  # else a sample depends on its place, which is not noise
            sources["batch order"] = found
        with rounded_otherwise(self.model, self.unit, self.seed):
            rounded = self.observations.anew(self.batch)
        sources["weights one unit off"] = self._distances(rounded, axes)
        of = tuple(noise_of(distances, self.unit) for distances in zip(*sources.values(), strict=True))
        return OutputNoise(of, sources, tuple(rounded), turned)

    def _distances(self, others: Sequence[Array], axes: OutputAxes) -> list[Distance]:
        """Return how much outputs for the batch as given differ from those computed first."""
        both = zip(self.observations.base, others, axes.of, strict=True)
        return [distance(first, other, valid_elements(first.shape, own, self.batch)) for first, other, own in both]


def much(unit: float) -> float:
    """Return the relative difference above which outputs are not equal up to noise."""
    return max(RANDOM, 4 * unit)
