"""What one Keras computes with a model: outputs, loss, metrics and masks, with the noise of the numbers as the audit has it."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib import compat
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.invariance.comparing import Distance, distance
from masklib.auditing.invariance.noise import RANDOM, Noise, noise_of
from masklib.auditing.invariance.noise import unit_of as audited_unit_of
from masklib.migrating import masks
from masklib.migrating.reading import is_compiled

Array = NDArray[Any]
Values = dict[str, Array]  # outputs, or what `evaluate` reports, by name
COLOURS = re.compile(r"\x1b\[[\d;]*m")  # of a terminal, which Keras writes into its errors
IS_RANDOM = "it is random: it differs when it is computed again"


@dataclass
class Observation:
    """What one Keras computes.

    Attributes:
        arrays: outputs by "outputs/NAME", reported numbers by "reported/NAME", masks by "masks/ROW/in/INDEX" and ".../out/INDEX".
        tolerances: for each of the first two, the relative difference up to which it is noise.
        calls: the rows of `masks.masks_of_calls` without the masks: how many tensors, and which of them have one.
        failed: why "outputs", "loss", "metrics" or "masks" could not be computed.
        has_loss: whether the model was compiled with a loss.
    """

    arrays: Values = field(default_factory=dict)
    tolerances: dict[str, float] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    has_loss: bool = False


def observe(model: Any, inputs: Any, targets: Any = None, sample_weight: Any = None, *, seed: int = 0) -> Observation:
    """Return what this Keras computes with a model for one batch.

    Args:
        model: of any Keras.
        inputs: as it takes them.
        targets: as its loss takes them; None: the loss is not computed.
        sample_weight: as `evaluate` takes it.
        seed: of the other rounding of weights, by which noise is measured.
    """
    found = Observation(has_loss=is_compiled(model))
    with _failing(found, "outputs"):
        _measure(found, "outputs", model, lambda batch: _predicted(model, batch[0]), (inputs,), seed)
    if found.has_loss and targets is not None:
        _observe_loss(found, model, (inputs, targets, sample_weight), seed)
    if compat.IS_ORIGINAL:
        found.failed["masks"] = masks.ORIGINAL
        return found
    with _failing(found, "masks"):
        for index, row in enumerate(masks.masks_of_calls(model, inputs)):
            _keep(found, index, row)
    return found


def _observe_loss(found: Observation, model: Any, batch: tuple[Any, ...], seed: int) -> None:
    """Keep what `evaluate` reports; the loss alone where the metrics cannot be computed."""

    def measure(of: Any) -> None:
        _measure(found, "reported", of, lambda one: _evaluated(of, *one), batch, seed)

    with _failing(found, "metrics"):
        measure(model)
    if "metrics" in found.failed:
        with _failing(found, "loss"):
            # another model, because Keras 3 keeps the metrics of a .h5 file when it compiles again
            alone = keras.Model(model.input, model.output) if getattr(model, "inputs", None) else model
            compat.compile_model(alone, model.loss)
            measure(alone)


@contextmanager
def _failing(found: Observation, part: str) -> Iterator[None]:
    """Keep why a part could not be computed."""
    try:
        yield
    except Exception as error:  # whatever this Keras raises for the model
        found.failed[part] = f"{type(error).__name__}: {_told(error).removeprefix(f'{type(error).__name__}: ')[:300]}"


def _told(error: Exception) -> str:
    """Return what an error of Keras says in one line: the first; where Keras 2 writes a traceback, that of the cause."""
    text = COLOURS.sub("", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip() and "Exception encountered" not in line]
    if not lines or not lines[0].startswith("in user code"):
        return lines[0] if lines else "it says no more"
    raised = [line for line in lines if re.match(r"[A-Za-z_.]*(Error|Exception|Exit)\b", line)]
    return (raised or lines)[-1]


def _keep(found: Observation, index: int, row: Mapping[str, Any]) -> None:
    """Keep the masks of a call as arrays, and what is known about it as a row."""
    for kind, name in (("in", "masks_in"), ("out", "masks")):
        for place, mask in enumerate(row[name]):
            if mask is not None:
                found.arrays[f"masks/{index}/{kind}/{place}"] = mask
    found.calls.append({**row, "masks_in": len(row["masks_in"]), "masks": len(row["masks"])})


def _measure(
    found: Observation, part: str, model: Any, compute: Callable[[Any], Values], batch: tuple[Any, ...], seed: int
) -> None:
    """Keep what is computed for a batch, with the noise of each result; raise for what is random."""
    unit = _unit_of(model)

    def computed(one: tuple[Any, ...]) -> Values:
        _reset_states(model)
        return compute(one)

    base, again = computed(batch), computed(batch)
    turned = computed(tuple(_turned(one) for one in batch))
    with _rounded_otherwise(model, unit, seed):
        rounded = computed(batch)
    for name, array in base.items():
        same, order = distance(array, again[name]), distance(array, _turned(turned[name]) if part == "outputs" else turned[name])
        if same.relative > _much(unit):
            msg = f"{name}: {IS_RANDOM}"
            raise ValueError(msg)
        off = distance(array, rounded[name])
        found.arrays[f"{part}/{name}"] = array
        found.tolerances[f"{part}/{name}"] = _noise([same, order, off], unit).tolerance


def _reset_states(model: Any) -> None:
    """Reset what stateful layers keep from the call before."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _reset_states(layer)
        elif getattr(layer, "stateful", False) and getattr(layer, "states", None):
            (getattr(layer, "reset_state", None) or layer.reset_states)()


def _noise(distances: list[Distance], unit: float) -> Noise:
    """Return the noise; a sample that depends on its place in the batch is no noise."""
    return noise_of([one for one in distances if one.relative <= _much(unit)], unit)


def _much(unit: float) -> float:
    """Return the relative difference above which results are not equal up to noise; as the audit has it."""
    return max(RANDOM, 4 * unit)


def _unit_of(model: Any) -> float:
    """Return the relative spacing of the coarsest floats that a model computes with."""
    return 2.0**-23 if compat.IS_ORIGINAL else audited_unit_of(model)


def _predicted(model: Any, inputs: Any) -> Values:
    """Return the outputs by name."""
    found = model.predict(inputs, batch_size=_samples(inputs), verbose=0)
    names, arrays, _ = flatten(found, "output")
    declared = list(getattr(model, "output_names", None) or [])
    names = declared if len(declared) == len(names) and not isinstance(found, Mapping) else names
    return {name: np.asarray(array) for name, array in zip(names, arrays, strict=True)}


def _evaluated(model: Any, inputs: Any, targets: Any, sample_weight: Any) -> Values:
    """Return what `evaluate` reports by name, for one batch."""
    found = compat.evaluate(model, inputs, targets, sample_weight=sample_weight, batch_size=_samples(inputs))
    return {name: np.asarray(value, dtype=float) for name, value in found.items()}


def _samples(inputs: Any) -> int:
    """Return B."""
    return len(flatten(inputs)[1][0])


def _turned(structure: Any) -> Any:
    """Return a batch with its samples in reverse order."""
    if structure is None or np.ndim(flatten(structure)[1][0]) == 0:
        return structure
    _, arrays, pack = flatten(structure)
    return pack([None if one is None else np.ascontiguousarray(one[::-1]) for one in arrays])


@contextmanager
def _rounded_otherwise(model: Any, unit: float, seed: int) -> Iterator[None]:
    """Within this context each weight is changed by one unit in the last place; as the audit does, in every Keras."""
    rng = np.random.default_rng([seed, 3])
    before = model.get_weights()
    off = [w * (1.0 + unit * rng.choice([-1.0, 1.0], w.shape)) if w.dtype.kind == "f" else w for w in before]
    model.set_weights([value.astype(old.dtype) for value, old in zip(off, before, strict=True)])
    try:
        yield
    finally:
        model.set_weights(before)
