"""What a loss gets for each output: predictions with their mask, targets and weights; and the same with other padding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.inputs.batch import Group, valid_of
from masklib.auditing.inputs.targets import Kind, with_padding
from masklib.layers import GivenMask

Array = NDArray[Any]
Mask = NDArray[np.bool_]
WAYS = ("as at valid steps", "as the targets say")  # to fill padded steps of predictions


@dataclass(frozen=True)
class Prediction:
    """What a loss gets for one output.

    Attributes:
        name: of the output.
        loss: as `compile` was given it; None if the output has none.
        kind: of the targets.
        array: predictions (B, ...).
        mask: of the predictions; None if they have none.
        target: as the loss takes it.
        weight: sample weight, (B,) or (B, T); None: no weights.
        group: whose steps axis 1 has; None if axis 1 is not a time axis.
        valid: valid steps of axis 1, bool (B, T); None if axis 1 is not a time axis.
        padding: what padded steps of the target hold.
    """

    name: str
    loss: Any
    kind: Kind
    array: Array
    mask: Mask | None
    target: Array
    weight: Array | None = None
    group: Group | None = None
    valid: Mask | None = None
    padding: Any = 0.0

    @property
    def has_target_steps(self) -> bool:
        """Return whether the targets have the same time axis."""
        return self.valid is not None and self.target.ndim > 1 and self.target.shape[1] == self.valid.shape[1]

    def tensor(self) -> Any:
        """Return the predictions as a tensor with their mask."""
        return self.masked(keras.ops.convert_to_tensor(self.array))

    def masked(self, tensor: Any) -> Any:
        """Return a tensor with the mask of the predictions."""
        if self.mask is None:
            return tensor
        return GivenMask(dtype=keras.backend.standardize_dtype(tensor.dtype), autocast=False)([tensor, self.mask])

    def valid_weight(self) -> Array:
        """Return weights of 1 at valid steps and 0 at others, (B, T); ones (B,) if there is no time axis."""
        return np.ones(len(self.array), np.float32) if self.valid is None else self.valid.astype(np.float32)

    def select(self, samples: Sequence[int]) -> "Prediction":
        """Return some samples."""
        rows = list(samples)
        mask, weight, valid = (None if one is None else one[rows] for one in (self.mask, self.weight, self.valid))
        return replace(self, array=self.array[rows], target=self.target[rows], mask=mask, weight=weight, valid=valid)

    def padded_with(self, value: Any) -> "Prediction":
        """Return this with another value at padded steps of the target."""
        if not self.has_target_steps or self.valid is None:
            return self
        return replace(self, target=with_padding(self.target, self.valid, value), padding=value)

    def with_garbage(self, way: str, seed: int) -> "Prediction":
        """Return this with other predictions at padded steps."""
        if self.valid is None:
            return self
        array = self.array.copy()
        array[~self.valid] = self._garbage(int((~self.valid).sum()), way, seed).astype(array.dtype)
        return replace(self, array=array)

    def with_other_numbers(self, seed: int) -> "Prediction":
        """Return this with other predictions at all steps, of the same scale."""
        rng = np.random.default_rng([seed, 9])
        if self.array.ndim > 1 and self.array.shape[-1] > 1:
            return replace(self, array=rng.permuted(self.array, axis=-1))
        turned = rng.random(self.array.shape) < 0.5
        return replace(self, array=np.where(turned, 1 - self.array, self.array).astype(self.array.dtype))

    def agreeing(self, seed: int) -> Callable[[Array], Array]:
        """Return a function that changes predictions of the same shape so that about half of them agree with the targets.

        If the targets are not classes, the function replaces half of the predictions x by 1 - x.
        """
        rng = np.random.default_rng([seed, 10])
        wanted = self._classes()
        if wanted is None:
            turned = rng.random(self.array.shape) < 0.5
            return lambda array: np.where(turned, 1 - array, array).astype(array.dtype)
        shift = np.where(rng.random(wanted.shape) < 0.5, wanted - self.array.argmax(-1), 0)
        at = (np.arange(self.array.shape[-1]) - shift[..., None]) % self.array.shape[-1]
        return lambda array: np.take_along_axis(array, at, axis=-1)

    def _classes(self) -> Array | None:
        """Return the target classes, with one axis less than the predictions; None if the targets are not classes."""
        if self.array.ndim < 2 or self.array.shape[-1] < 2:
            return None
        if self.target.size == self.array[..., 0].size and np.all(self.target == np.round(self.target)):
            return self.target.reshape(self.array.shape[:-1]).astype(int)
        return self.target.argmax(-1) if self.kind.classes and self.target.shape == self.array.shape else None

    def longer(self, steps: int, way: str, seed: int) -> "Prediction":
        """Return this with more padded steps, which are masked if the predictions have a mask."""
        if self.valid is None or self.group is None:
            return self
        n_steps, side = self.valid.shape[1], self.group.side
        garbage = self._garbage(len(self.array) * steps, way, seed)
        extra = garbage.reshape(len(self.array), steps, *self.array.shape[2:])
        return self._longer(_beside(self.array, extra, side), _beside_bool(self.mask, steps, side), n_steps + steps)

    def twice_as_long(self, way: str, seed: int) -> "Prediction | None":
        """Return this with each sample twice and twice as many steps; None unless there are as many samples as steps.

        With as many samples as steps, Keras takes samples for steps without a warning; with other counts it raises.
        """
        if self.valid is None or len(self.valid) != self.valid.shape[1]:
            return None
        return self.longer(len(self.valid), way, seed).select([*range(len(self.valid))] * 2)

    def made_longer(self, array: Array, mask: Mask | None) -> "Prediction":
        """Return this with the model's outputs for longer padding, and with targets and weights made longer by as many steps."""
        if self.valid is None or array.shape[1:2] == self.array.shape[1:2]:
            return replace(self, array=array, mask=mask)
        return self._longer(array, mask, array.shape[1])

    def _longer(self, array: Array, mask: Mask | None, n_steps: int) -> "Prediction":
        """Return this with longer predictions."""
        assert self.valid is not None
        assert self.group is not None
        side, steps = self.group.side, n_steps - self.valid.shape[1]
        target, weight = self.target, self.weight
        if self.has_target_steps:
            extra = np.empty((len(target), steps, *target.shape[2:]), target.dtype)
            extra[...] = np.asarray(self.padding).astype(target.dtype)
            target = _beside(target, extra, side)
        if weight is not None and weight.ndim > 1 and weight.shape[1] == self.valid.shape[1]:
            weight = _beside(weight, np.zeros((len(weight), steps, *weight.shape[2:]), weight.dtype), side)
        valid = valid_of(self.valid.sum(axis=1), n_steps, side)
        return replace(self, array=array, mask=mask, target=target, weight=weight, valid=valid)

    def _garbage(self, count: int, way: str, seed: int) -> Array:
        """Return predictions (count, ...) like those at valid steps; in the second way, changed to predict what padding holds."""
        assert self.valid is not None
        rng = np.random.default_rng([seed, 8])
        pool = self.array[self.valid]
        drawn = np.array(pool[rng.integers(0, len(pool), count)])
        if way == WAYS[0]:
            return drawn
        if self.kind.classes > 1:
            wanted = int(np.ravel(self.padding)[0]) % self.kind.classes if self.kind.is_sparse else 0
            shift = wanted - drawn.argmax(-1)
            at = (np.arange(drawn.shape[-1]) - shift[..., None]) % drawn.shape[-1]
            return np.take_along_axis(drawn, at, axis=-1)
        return 1.0 - drawn if self.kind.classes == 1 else pool.mean() - 2.0 * drawn


def _beside(array: Array, extra: Array, side: str) -> Array:
    """Return an array with more steps at the padded side."""
    return np.concatenate([array, extra.astype(array.dtype)] if side == "post" else [extra.astype(array.dtype), array], axis=1)


def _beside_bool(mask: Mask | None, steps: int, side: str) -> Mask | None:
    """Return a mask with more masked steps; None stays None."""
    return None if mask is None else _beside(mask, np.zeros((len(mask), steps), bool), side)
