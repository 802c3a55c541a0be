"""Whether what `evaluate` reports depends on the batch size: the same samples in one batch, and in two."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from masklib.auditing.borrowing.running import CallError
from masklib.auditing.invariance.loss_tries import LossNoise, Whole
from masklib.auditing.invariance.loss_values import LossValues
from masklib.auditing.invariance.results import LOSS

CLOSE = 1e-4  # relative difference up to which a metric equals the loss


@dataclass(frozen=True)
class BatchSize:
    """Compares the results of one batch with those of two.

    Attributes:
        values: computes the losses and metrics.
        whole: the losses and metrics of the batch as given.
        noise: of these.
    """

    values: LossValues
    whole: Whole
    noise: LossNoise

    def differences(self) -> dict[str, tuple[float, float]]:
        """Return, by name, each loss or metric that differs between one batch and two: both numbers.

        The loss is left out if there is a metric that equals the loss for one batch and does not depend on the batch size.
        """
        samples = len(self.whole.base[0].array)
        halves = [range(samples // 2), range(samples // 2, samples)]
        if samples < 2 or not np.isfinite(self.whole.loss):
            return {}
        try:
            parts = [[one.select(half) for one in self.whole.base] for half in halves]
            losses = [self.values.loss(part) for part in parts]
            metrics = self.values.metrics(*parts) if self.whole.metrics else {}
        except CallError:
            return {}
        both = self._beside(metrics)
        if not self._is_known_exactly(both):
            both[LOSS] = (self.whole.loss, float(np.average(losses, weights=[len(half) for half in halves])))
        return {name: values for name, values in both.items() if self._differ(name, *values)}

    def _beside(self, metrics: Mapping[str, float]) -> dict[str, tuple[float, float]]:
        """Return the metrics of one batch, and of two."""
        return {name: (first, metrics[name]) for name, first in self.whole.metrics.items() if name in metrics}

    def _is_known_exactly(self, both: Mapping[str, tuple[float, float]]) -> bool:
        """Return whether some metric equals the loss, and does not depend on the batch size."""
        exact = [first for name, (first, second) in both.items() if not self._differ(name, first, second)]
        return any(np.isclose(one, self.whole.loss, rtol=CLOSE) for one in exact)

    def _differ(self, name: str, first: float, second: float) -> bool:
        """Return whether a loss or metric differs by more than the noise."""
        return abs(second - first) > self.noise.tolerance(name, first) * abs(first)
