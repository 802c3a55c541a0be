"""What is noted of a call while it runs, and what is reported of it."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.tracing.origins import Origin

Array = NDArray[Any]
Mask = NDArray[np.bool_]

COMPUTATION = "(computation)"  # on tensors, between layers: Keras does not see it as a call


class Keep(Enum):
    """Which inputs and outputs of calls a record holds; those of a large model are many times as large as its batch."""

    NOTHING = "none"
    MARKS = "what may mark steps, the model's inputs, and what a mask is made for or lost of; else empty arrays"
    ALL = "all"


class Passing(NamedTuple):
    """What of masked inputs reaches the output of a call.

    Attributes:
        masked: whether what masked steps hold does; it was changed, and the call computed again.
        any: whether anything in them does.
    """

    masked: bool
    any: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class CallRecord:
    """One call of a layer, or of an operation between layers.

    Attributes:
        path: names of the models and layers that the call is in, and its own, joined by "/"; a second call is "name#2".
        layer: name of the class.
        depth: how many watched calls it is inside of; 0 in the model itself.
        operation: the layer or operation; the string "(computation)" for one that Keras does not see.
        masks_in: what is attached to each input tensor: bool array, True = valid, or None.
        masks_got: what `call` was given for each of its arguments for masks: bool array or None.
        masks_out: what is attached to each output tensor when the call ends.
        shapes_in: of each input tensor.
        shapes_out: of each output tensor.
        takes_mask: whether its `call` has an argument for a mask that Keras fills.
        warned: whether Keras warned that this layer destroys the mask.
        ignores: whether an input has a mask that its `call` has an argument for, and was not given.
        unmasks: whether the call took masks off its own inputs.
        passing: of a call that lost a mask and holds no others, what reaches its output; else None.
        holds: whether calls inside of it are watched too: a model, a wrapper, or a layer of one's own that calls layers.
        sources: where each input tensor comes from: the index of a call in the record, "input: NAME", or None if not known.
        ends: whether an output of it is one of the model.
        inputs: each input tensor as an array, as far as `Keep` says.
        outputs: each output tensor likewise.
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
        """The share of steps that the mask after the call calls valid, or that the mask consumed by it did; NaN without one."""
        masks = [mask for mask in (*self.masks_out, *self.masks_got, *self.masks_in) if mask is not None]
        return float(masks[0].mean()) if masks else float("nan")


@dataclass(eq=False)
class OpenCall:
    """A call that is running, and what is known of it when it is over."""

    of: Any
    parent: "OpenCall | None"
    index: int
    tensors: list[Any]
    masks_in: tuple[Mask | None, ...]
    sources: tuple[Origin, ...]
    arguments: tuple[Any, dict[str, Any]] = ((), {})  # what its `call` was given
    given: list[Any] = field(default_factory=list)  # the tensors in them; Keras makes those of another dtype anew
    origins: list[Origin] = field(default_factory=list)  # of these
    masks_got: tuple[Mask | None, ...] = ()
    returned: Any = None
    outputs: list[Any] = field(default_factory=list)
    masks_out: tuple[Mask | None, ...] = ()  # as the call left them: a later one can take a mask off its input
    warned: bool = False
    ignores: bool = False
    unmasks: bool = False
    began: bool = False  # whether its `call` was reached
    holds: bool = False
    known: dict[int, tuple[Any, Mask | None]] = field(default_factory=dict)  # by id: came into it, or out of calls in it
