"""What is recorded of a call while it runs, and what is reported about it."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.tracing.origins import Origin

Array = NDArray[Any]
Mask = NDArray[np.bool_]

COMPUTATION = "(computation)"  # on tensors, between layers; for Keras it is not a call


class Keep(Enum):
    """Which inputs and outputs of calls a record holds; in a large model they are many times as large as the batch."""

    NOTHING = "none"
    MARKS = "arrays that may mark steps, inputs of the model, and tensors for which a mask is made or lost; else empty arrays"
    ALL = "all"


class Passing(NamedTuple):
    """Whether masked inputs reach the output of a call; they are changed, and the call is computed again.

    Attributes:
        masked: whether the content of masked steps reaches the output.
        any: whether any content of masked inputs does.
    """

    masked: bool
    any: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class CallRecord:
    """One call of a layer, or of an operation between layers.

    Attributes:
        path: names of the models and layers that contain the call, and its own, joined by "/"; a second call is "name#2".
        layer: name of the class.
        depth: the number of watched calls that contain it; 0 at the top level of the model.
        operation: the layer or operation; the string "(computation)" for a computation that is not a call of Keras.
        masks_in: the mask attached to each input tensor: bool array, True = valid, or None.
        masks_got: the mask that each mask argument of `call` was given: bool array or None.
        masks_out: the mask attached to each output tensor when the call ends.
        shapes_in: of each input tensor.
        shapes_out: of each output tensor.
        takes_mask: whether its `call` has a mask argument that Keras fills.
        warned: whether Keras warned that this layer destroys the mask.
        ignores: whether an input has a mask and `call` has an argument for it, which was not given.
        unmasks: whether the call removed masks from its own inputs.
        passing: for a call that lost a mask and contains no other calls, what reaches its output; else None.
        holds: whether calls inside it are watched, too: a model, a wrapper, or a custom layer that calls layers.
        sources: where each input tensor comes from: the index of a call in the record, "input: NAME", or None if not known.
        ends: whether one of its outputs is an output of the model.
        inputs: each input tensor as an array, if `Keep` says so; else an empty array.
        outputs: each output tensor, in the same way.
    """

    path: str
    layer: str
    depth: int
    operation: Any
    masks_in: tuple[Mask | None, ...]
    masks_got: tuple[Mask | None, ...]
    masks_out: tuple[Mask | None, ...]
    shapes_in: tuple[tuple[int, ...], ...]
    shapes_out: tuple[tuple[int, ...], ...]
    takes_mask: bool
    warned: bool
    ignores: bool
    unmasks: bool
    passing: Passing | None
    holds: bool
    sources: tuple[Origin, ...]
    ends: bool
    inputs: tuple[Array, ...] = ()
    outputs: tuple[Array, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Call(CallRecord):
    """One call of a layer, or of an operation between layers, and what became of the mask.

    Attributes:
        outcome: one of `masklib.auditing.tracing.outcomes.OUTCOMES`.
    """

    outcome: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def kind(self) -> str:
        """The name of the class; "ops.Add" of an operation between layers, such as `x + y`, and "Add" of a layer."""
        is_other = isinstance(self.operation, (str, keras.layers.Layer))
        return self.layer if is_other else f"ops.{self.layer}"

    @property
    def valid(self) -> float:
        """The share of valid steps in the mask after the call, or in the mask that the call used; NaN without a mask."""
        masks = [mask for mask in (*self.masks_out, *self.masks_got, *self.masks_in) if mask is not None]
        return float(masks[0].mean()) if masks else float("nan")


@dataclass(eq=False)
class OpenCall:
    """A call that is running, and what is known about it when it has ended."""

    of: Any
    parent: "OpenCall | None"
    index: int
    tensors: list[Any]
    masks_in: tuple[Mask | None, ...]
    sources: tuple[Origin, ...]
    arguments: tuple[Any, dict[str, Any]] = ((), {})  # that its `call` was given
    given: list[Any] = field(default_factory=list)  # the tensors in them; Keras converts those of another dtype
    origins: list[Origin] = field(default_factory=list)  # of the tensors in `given`
    masks_got: tuple[Mask | None, ...] = ()
    returned: Any = None
    outputs: list[Any] = field(default_factory=list)
    masks_out: tuple[Mask | None, ...] = ()  # when the call ended: a later call can remove a mask from its input
    warned: bool = False
    ignores: bool = False
    unmasks: bool = False
    began: bool = False  # whether its `call` was entered
    holds: bool = False
    known: dict[int, tuple[Any, Mask | None]] = field(default_factory=dict)  # by id: its inputs, and outputs of calls in it
