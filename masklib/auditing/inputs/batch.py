"""What the arrays of a batch are: ids, floats, masks or lengths, and which of their steps are padding.

A batch is an array, or a list or dict of arrays: its leaves. Leaves that are padded at the same steps form one time group, such
as the ids of an encoder and their mask. Padding is a run of steps at the end ("post") or at the beginning ("pre") of a sample
that hold only the pad value; a pad value between other steps is content.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SIDES = ("post", "pre")


@dataclass(frozen=True)
class Leaf:
    """One array of a batch.

    Attributes:
        name: of the input; for messages.
        array: (B, ...).
        kind: "ids", "floats", "mask", "lengths", "pairs" (of the steps of a group), or "plain" (no time axis).
        pad: what a padded step holds: a number, or one for each feature.
        masked: whether a Masking layer gets this leaf, and so finds padding by its value.
        groups: for each time axis, the index of its group.
    """

    name: str
    array: Array
    kind: str = "plain"
    pad: Any = 0.0
    masked: bool = False
    groups: Mapping[int, int] | None = None

    @property
    def shown_pad(self) -> str:
        """Return what a padded step holds, as text."""
        return f"{self.pad:g}" if np.ndim(self.pad) == 0 else f"class {int(np.argmax(self.pad))}"

    def axes_of(self, group: int) -> list[int]:
        """Return the axes that belong to a group."""
        return [axis for axis, index in (self.groups or {}).items() if index == group]


@dataclass(frozen=True)
class Group:
    """Steps that are padded together.

    Attributes:
        name: of the leaves, joined by ", ".
        axis: of these steps in the leaves: 1, or 2 where each step of axis 1 is a sequence itself.
        side: "post" or "pre".
        valid: bool, True = valid: (B, T), or (B, S, T) for axis 2.
    """

    name: str
    axis: int
    side: str
    valid: NDArray[np.bool_]

    @property
    def steps(self) -> int:
        """Return T."""
        return int(self.valid.shape[-1])

    @property
    def lengths(self) -> Array:
        """Return the number of valid steps, (B,) or (B, S)."""
        return np.asarray(self.valid.sum(axis=-1))


@dataclass(frozen=True)
class Batch:
    """Inputs of a model, and what is known about them.

    Attributes:
        leaves: in order.
        pack: builds what the model takes from the arrays.
        groups: of time steps.
        notes: what a user may want to know, one sentence each.
        chosen: the indices of these samples in the given inputs; None: all.
        is_made: whether the inputs were made, so that the user did not say what padding is.
        assumptions: what was assumed because the user did not say it, one sentence each, with the option that changes it.
    """

    leaves: tuple[Leaf, ...]
    pack: Callable[[Sequence[Array]], Any]
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()
    chosen: Array | None = None
    is_made: bool = False
    assumptions: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Return B."""
        return len(self.leaves[0].array)

    @property
    def inputs(self) -> Any:
        """Return the arrays as the model takes them."""
        return self.pack([leaf.array for leaf in self.leaves])

    def having(self, arrays: Sequence[Array]) -> "Batch":
        """Return the batch with other arrays; the groups stay as they are."""
        leaves = tuple(replace(leaf, array=array) for leaf, array in zip(self.leaves, arrays, strict=True))
        return replace(self, leaves=leaves)


def padded_steps(leaf: Leaf, axis: int) -> NDArray[np.bool_]:
    """Return which steps of an axis hold only the pad value, bool with the axes up to this one."""
    array = leaf.array
    is_pad = np.isnan(array) if np.isnan(leaf.pad).all() else array == leaf.pad
    return np.asarray(is_pad.reshape(*array.shape[: axis + 1], -1).all(axis=-1))


def runs(is_pad: NDArray[np.bool_], side: str) -> Array:
    """Return the number of consecutive padded steps at this side of the last axis."""
    content = ~(is_pad[..., ::-1] if side == "post" else is_pad)
    return np.asarray(np.where(content.any(axis=-1), content.argmax(axis=-1), is_pad.shape[-1]))


def valid_of(lengths: Array, steps: int, side: str) -> NDArray[np.bool_]:
    """Return the mask (..., T) for lengths (...)."""
    at = np.arange(steps)
    return at < lengths[..., None] if side == "post" else at >= steps - lengths[..., None]
