"""How exact a model's own numbers are: a difference within this noise is not a leak.

The same computation is done again, with the batch in another order, and with each weight changed by one unit in the last place.
The largest difference is the noise of a number; a change by padding counts only if it is more than ten times as large.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.running import with_values
from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.borrowing.unchanged import layers_of
from masklib.auditing.invariance.comparing import Distance

Array = NDArray[Any]

FACTOR = 10.0  # because the few computations do not show the largest noise
FLOOR = 4.0  # units in the last place by which a sum over other steps may differ
RANDOM = 1e-3  # of the scale, in float32: a computation that differs by more when it is repeated is random
TENSOR_FLOAT = 2.0**-11  # unit of the 19-bit floats in which a GPU may multiply matrices


@dataclass(frozen=True)
class Noise:
    """Which differences of one result are noise.

    Attributes:
        size: largest absolute difference between computations that should agree.
        scale: largest absolute number of the result.
        unit: relative spacing of the numbers that the model computes with.
    """

    size: float
    scale: float
    unit: float

    @property
    def tolerance(self) -> float:
        """Return the relative difference up to which two results count as equal."""
        return max(FLOOR * self.unit, FACTOR * self.size / (self.scale or 1.0))


def noise_of(distances: Sequence[Distance], unit: float) -> Noise:
    """Return the noise that these distances show."""
    return Noise(max((one.size for one in distances), default=0.0), max((one.scale for one in distances), default=0.0), unit)


def unit_of(model: Any) -> float:
    """Return the relative spacing of the coarsest floats that a model computes with."""
    names = {str(getattr(layer, "compute_dtype", None) or "float32") for layer in layers_of(model)}
    units = {"bfloat16": 2.0**-7, "float16": 2.0**-10, "float64": 2.0**-52}
    unit = max(units.get(name, 2.0**-23) for name in names)
    return max(unit, TENSOR_FLOAT) if _multiplies_coarsely() else unit


@contextmanager
def rounded_otherwise(model: Any, unit: float, seed: int) -> Iterator[None]:
    """Within this context each weight is changed by one unit in the last place, up or down."""
    rng = np.random.default_rng([seed, 3])
    values = {}
    for index, weight in enumerate(model.weights):
        value = to_array(weight.value)
        if value.dtype.kind == "f":
            values[index] = (value * (1.0 + unit * rng.choice([-1.0, 1.0], value.shape))).astype(value.dtype)
    with with_values(model, values):
        yield


def _multiplies_coarsely() -> bool:
    """Return whether matrices are multiplied on a GPU that may round their elements."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU")) and bool(tf.config.experimental.tensor_float_32_execution_enabled())
    if backend == "jax":
        import jax

        return str(jax.default_backend()) != "cpu"
    return False
