"""Calls a model many times, always from the same state, and restores it."""

import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from masklib import compat
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.borrowing.unchanged import assign_if_different, layers_of, unchanged
from masklib.compat.attached import keras_mask

Array = NDArray[Any]
SEED_STATE = "seed_generator_state"


class CallError(Exception):
    """The model does not take these inputs; the message is the first line of the error that was raised."""


class Computed(NamedTuple):
    """What a model returns for one batch.

    Attributes:
        names: of the outputs, all different.
        arrays: the outputs.
        masks: of the outputs; None for an output without a mask.
        pack: takes one item for each output, and builds the structure that the model returns.
    """

    names: list[str]
    arrays: list[Array]
    masks: list[Array | None]
    pack: Callable[[Sequence[Any]], Any]


class Runner:
    """A model that is called again and again, within `restored`.

    Args:
        model: built, functional, sequential or subclassed.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._is_jax = keras.backend.backend() == "jax"
        self._compiled: dict[Any, Any] = {}  # for JAX, which compiles the loop of an RNN again in each eager call
        self._states = [(variable, to_array(variable.value)) for variable in states_of(model)]

    def outputs(self, inputs: Any) -> Computed:
        """Return what the model returns for one batch.

        Raises:
            CallError: the model does not take these inputs.
        """
        if not self._is_jax or any("call" in vars(layer) for layer in layers_of(self.model)):  # not if `call` is patched
            structure = self.call(inputs)
            masks = [keras_mask(tensor) for tensor in flatten(structure)[1]]
        else:
            structure, masks = self._call_compiled(inputs)
        names, tensors, pack = flatten(structure, "output")
        declared = list(getattr(self.model, "output_names", None) or [])
        names = _unique(declared if len(declared) == len(names) and not isinstance(structure, dict) else names)
        as_bool = [None if mask is None else to_array(mask).astype(bool) for mask in masks]
        return Computed(names, [np.asarray(to_array(tensor)) for tensor in tensors], as_bool, pack)

    def call(self, inputs: Any, *, training: bool = False) -> Any:
        """Return the outputs for one batch as tensors with their masks; states are restored before the call.

        Raises:
            CallError: the model does not take these inputs.
        """
        self.put_back()
        with explained(), quietly():
            return self.model(as_tensors(inputs), training=training)

    def put_back(self) -> None:
        """Restore the states that calls changed, such as those of stateful layers."""
        for variable, value in self._states:
            assign_if_different(variable, value)

    def _call_compiled(self, inputs: Any) -> Any:
        """Return outputs and masks from a compiled call."""
        model = self.model

        def call(weights: Any, states: Any, x: Any) -> Any:
            structure = model.stateless_call(weights, states, x, training=False)[0]
            return structure, [keras_mask(tensor) for tensor in flatten(structure)[1]]

        return self.compiled("outputs", lambda: call, inputs)

    def states_after_training(self, inputs: Any) -> list[Array]:
        """Return the values that the non-trainable variables have after one call in training; they are restored.

        Raises:
            CallError: the model does not take these inputs.
        """
        model = self.model

        def call(weights: Any, states: Any, x: Any) -> Any:
            return model.stateless_call(weights, states, x, training=True)[1]

        if self._is_jax:
            return [to_array(value) for value in self.compiled("training", lambda: call, inputs)]
        self.call(inputs, training=True)
        found = [to_array(variable.value) for variable in model.non_trainable_variables]
        self.put_back()
        return found

    def compiled(self, key: Any, make: Any, inputs: Any) -> Any:
        """Return the result of a JAX function of weights, states and inputs; it is compiled once for each key and shape.

        Raises:
            CallError: the model does not take these inputs.
        """
        self.put_back()
        if key not in self._compiled:
            self._compiled[key] = sys.modules["jax"].jit(make())
        weights = [variable.value for variable in self.model.trainable_variables]
        states = [variable.value for variable in self.model.non_trainable_variables]
        with explained(), quietly():
            return self._compiled[key](weights, states, as_tensors(inputs))

    @contextmanager
    def other_seeds(self) -> Iterator[None]:
        """Within this context random layers draw other numbers; afterwards they draw the same as before."""
        seeds = [one for one in self.model.non_trainable_variables if SEED_STATE in one.path]
        before = [to_array(variable.value) for variable in seeds]
        try:
            for variable, value in zip(seeds, before, strict=True):
                variable.assign(value + 1)
            yield
        finally:
            for variable, value in zip(seeds, before, strict=True):
                variable.assign(value)


@contextmanager
def restored(model: Any) -> Iterator[None]:
    """Within this context a model may be called, and given other weights; afterwards it is restored, also after an error.

    In this context a functional model takes sequences of any length that its layers can take, whatever its inputs declare.
    """
    with unchanged(model), quietly(), with_values(model, {}):
        for layer in layers_of(model):
            if isinstance(getattr(type(layer), "input_spec", None), property):
                layer.input_spec = None
        with _from_the_beginning(model):
            yield


def states_of(model: Any) -> list[Any]:
    """Return the variables that a call may change, except seeds; the states of a stateful RNN are not among its weights."""
    own = [one for layer in layers_of(model) if is_stateful(layer) for one in keras.tree.flatten(layer.states)]
    found = {id(variable): variable for variable in (*model.non_trainable_variables, *own)}
    return [variable for variable in found.values() if SEED_STATE not in variable.path]


@contextmanager
def _from_the_beginning(model: Any) -> Iterator[None]:
    """Within this context the states of stateful layers are reset, because they belong to the samples of another batch."""
    before = [(variable, to_array(variable.value)) for variable in states_of(model)]
    try:
        for layer in layers_of(model):
            if is_stateful(layer):
                layer.reset_state()
        yield
    finally:
        for variable, value in before:
            assign_if_different(variable, value)


def is_stateful(layer: Any) -> bool:
    """Return whether a layer keeps states from one call to the next."""
    return bool(getattr(layer, "stateful", False)) and hasattr(layer, "reset_state") and bool(getattr(layer, "states", None))


@contextmanager
def with_values(model: Any, values: dict[int, Array]) -> Iterator[None]:
    """Within this context weights have other values, by their index in `model.weights`; afterwards all are restored."""
    before = [(variable, to_array(variable.value)) for variable in model.trainable_variables]
    before += [(model.weights[index], to_array(model.weights[index].value)) for index in values]
    try:
        for index, value in values.items():
            model.weights[index].assign(value)
        yield
    finally:
        for variable, value in before:
            assign_if_different(variable, value)


@contextmanager
def quietly() -> Iterator[None]:
    """Within this context nothing warns: the trace reports Keras's warnings about masks, and many input shapes are intended."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def explained() -> Iterator[None]:
    """Raise any error of Keras or a backend as a CallError."""
    try:
        yield
    except Exception as error:  # whatever Keras or the backend raises for these inputs
        raise CallError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message, without what Keras adds around it."""
    text = re.sub(r"\x1b\[\d*m|\{\{.*?\}\} *| *\[Op:.*", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Exception encountered")]
    return lines[0][:300] if lines else type(error).__name__


@contextmanager
def patched(layers: Sequence[Any], wrap: Any) -> Iterator[None]:
    """Within this context `layer.call` is `wrap(layer, layer.call)` for each of these layers."""
    with ExitStack() as stack:
        for layer in layers:
            object.__setattr__(layer, "call", wrap(layer, layer.call))
            stack.callback(object.__delattr__, layer, "call")
        yield


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names made unique: a second "a" becomes "a#2"."""
    counts = [list(names[:index]).count(name) for index, name in enumerate(names)]
    return [f"{name}#{count + 1}" if count else name for name, count in zip(names, counts, strict=True)]


def as_tensors(structure: Any) -> Any:
    """Return a structure of arrays as a structure of tensors."""
    return compat.map_structure(compat.ops.convert_to_tensor, structure)
