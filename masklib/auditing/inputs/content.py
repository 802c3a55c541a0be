"""Draws the content of made inputs: sequences of different lengths, with the masks, lengths and pairs that belong to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.inputs.batch import valid_of
from masklib.auditing.inputs.roles import Role
from masklib.auditing.inputs.signature import Slot
from masklib.auditing.inputs.uses import Use

Array = NDArray[Any]

FEWEST_STEPS = 5  # of made sequences whose number of steps is free
FALLBACK_VOCABULARY = 8  # of ids that no Embedding gets


@dataclass(frozen=True)
class Padding:
    """How made inputs are padded.

    Attributes:
        ids: what padded ids hold.
        floats: what padded floats hold; None: the value of their Masking layer, else 0.
        side: "post" or "pre".
    """

    ids: int
    floats: float | None
    side: str

    def of_floats(self, use: Use) -> float:
        """Return what padded steps of an input of floats hold."""
        own = use.mask_value if self.floats is None else self.floats
        return own or 0.0


@dataclass(frozen=True)
class Sketch:
    """The description of one input that will be made.

    Attributes:
        slot: its place in the signature.
        use: what layers do with it.
        role: what it is.
        sizes: of the axes after the samples, either fixed or found by trying.
    """

    slot: Slot
    use: Use
    role: Role
    sizes: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """Return the dtype in which it is made."""
        is_ids = self.use.rows is not None or (len(self.slot.shape) == 2 and self.slot.shape[-1] is None)
        return self.slot.dtype or ("int32" if is_ids else "float32")

    @property
    def is_ids(self) -> bool:
        """Return whether it holds ids, of any dtype."""
        return self.use.rows is not None or np.dtype(_of_numpy(self.dtype)).kind in "iu"


class Drawing:
    """Draws the inputs of one batch, so that they fit one another.

    Args:
        sketches: of all inputs.
        samples: of the batch.
        padding: of the sequences.
        seed: of the draw.
    """

    def __init__(self, sketches: Sequence[Sketch], samples: int, padding: Padding, seed: int) -> None:
        self._sketches = sketches
        self._samples = samples
        self._padding = padding
        self._rng = np.random.default_rng([seed, 4])
        self._steps = {role.family: self._steps_of(role.family) for role in (one.role for one in sketches) if role.is_of_steps}
        self._lengths = {family: made_lengths(samples, steps, family) for family, steps in self._steps.items()}

    def arrays(self) -> list[Array]:
        """Return an array for each input."""
        return [self._array(one).astype(one.dtype) for one in self._sketches]

    def _steps_of(self, family: int) -> int:
        """Return the number of steps of a family: different for each, unless the model fixes it."""
        own = [one for one in self._sketches if one.role.is_of_steps and one.role.family == family]
        steps = own[0].sizes[0]
        if own[0].role.tied is not None:
            return self._steps_of(own[0].role.tied)
        is_free = all(one.slot.is_free for one in own) and not any(one.slot.is_square and one.role.kind != "pairs" for one in own)
        return max(FEWEST_STEPS, steps - 2 * family) if is_free and family else steps

    def _array(self, one: Sketch) -> Array:
        """Return the array of one input."""
        role = one.role
        if role.kind == "lengths":
            lengths = self._lengths.get(role.family, np.ones(self._samples, int))
            return lengths.reshape(self._samples, *one.sizes)
        if not role.is_of_steps:
            return self._content(one, (self._samples, *one.sizes))
        valid = valid_of(self._lengths[role.family], self._steps[role.family], self._padding.side)
        if role.kind == "mask":
            shape = (*valid.shape, *one.sizes[1:])
            return np.broadcast_to(valid.reshape(*valid.shape, *[1] * (len(shape) - 2)), shape)
        return self._pairs(one, valid) if role.kind == "pairs" else self._sequence(one, valid)

    def _sequence(self, one: Sketch, valid: Array) -> Array:
        """Return a sequence that holds padding where its steps are not valid."""
        shape = (*valid.shape, *one.sizes[1:])
        content = self._content(one, shape)
        pad = self._padding.ids if one.is_ids else self._padding.of_floats(one.use)
        inner = self._inner(shape, valid) if one.is_ids and len(shape) == 3 and one.slot.shape[2] != 1 else valid
        return np.where(inner.reshape(*inner.shape, *[1] * (len(shape) - inner.ndim)), content, pad)

    def _pairs(self, one: Sketch, valid: Array) -> Array:
        """Return pairs of steps, such as an adjacency matrix: 1 for each step with itself, and 0 at padded steps."""
        both = (valid[:, :, None] & valid[:, None, :]).reshape(*valid.shape, valid.shape[1], *[1] * (len(one.sizes) - 2))
        drawn = self._rng.random((*valid.shape, valid.shape[1], *one.sizes[2:])) < 0.5
        itself = np.eye(valid.shape[1], dtype=bool).reshape(1, *valid.shape[1:], valid.shape[1], *[1] * (len(one.sizes) - 2))
        return (drawn | itself) & both

    def _inner(self, shape: tuple[int, ...], valid: Array) -> Array:
        """Return which ids (B, S, T) of valid sentences (B, S) are valid."""
        lengths = np.resize(made_lengths(5, shape[2]), shape[:2])
        return np.asarray(valid_of(lengths, shape[2], self._padding.side) & valid[..., None])

    def _content(self, one: Sketch, shape: tuple[int, ...]) -> Array:
        """Return content without padding: ids, or normally distributed floats, which in practice never equal a pad value."""
        if one.dtype == "bool":
            return self._rng.random(shape) < 0.5
        if not one.is_ids:
            return self._rng.normal(0.0, 1.0, shape)
        rows = one.use.rows or FALLBACK_VOCABULARY
        values = np.array([row for row in range(rows) if row != self._padding.ids] or [0])
        drawn = self._rng.integers(0, len(values), shape)
        if one.use.rows is None and len(self._lengths) > 1:  # they may be positions in another sequence, valid in each sample
            shortest = np.min(list(self._lengths.values()), axis=0) - 1
            drawn %= np.maximum(1, np.minimum(shortest, len(values))).reshape(-1, *[1] * (len(shape) - 1))
        return values[drawn]


def made_lengths(samples: int, steps: int, family: int = 0) -> Array:
    """Return the lengths of made sequences (B,): one full, one short, others between; in a different order for each family."""
    shares = np.resize(np.roll([1.0, 0.25, 0.6, 0.8, 0.45], 2 * family), samples)
    if family and samples < 5:
        shares = np.roll(np.resize([1.0, 0.25, 0.6, 0.8, 0.45], samples), family)
    return np.asarray(np.maximum(1, np.ceil(shares * steps)).astype(int))


def _of_numpy(dtype: str) -> str:
    """Return a dtype that NumPy knows."""
    return "float32" if dtype == "bfloat16" else dtype
