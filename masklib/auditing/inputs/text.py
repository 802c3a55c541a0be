"""Models of text: what comes after the layers that turn text into ids is tested, with the ids that these layers make.

How text is padded is the business of those layers, such as TextVectorization. A model is cut at their outputs; its layers and
weights stay the same ones.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from masklib.auditing.borrowing.running import CallError, as_tensors, explained, quietly
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.inputs.signature import declared_inputs
from masklib.errors import ArgumentError

TEXT = "string"


class Cut(NamedTuple):
    """A model without the layers that read text.

    Attributes:
        model: that takes what these layers return in place of text.
        lookup: makes its inputs from those of the whole model; None where there is no text.
        told: the sentence that says so; "" where there is no text.
    """

    model: Any
    lookup: Any = None
    told: str = ""

    def inputs_of(self, inputs: Any) -> Any:
        """Return what the model takes, made from inputs of the whole one.

        Raises:
            ArgumentError: the layers that read text do not take these inputs.
        """
        if self.lookup is None or inputs is None:
            return inputs
        try:
            with explained(), quietly():
                made = self.lookup(as_tensors(inputs), training=False)
        except CallError as error:
            msg = f"The layers that read text do not take these inputs: {error} Give text as `predict` takes it."
            raise ArgumentError(msg) from error
        _, tensors, pack = flatten(made)
        return pack([to_array(tensor) for tensor in tensors])


def without_text(model: Any) -> Cut:
    """Return a model after the layers that turn text into ids; the model itself if it takes no text.

    Args:
        model: functional or sequential, where it takes text.

    Raises:
        ArgumentError: nothing but text is computed from the text, or it cannot be told where it becomes ids.
    """
    symbols = list(getattr(model, "inputs", None) or [])
    texts = [symbol for symbol in symbols if _is_text(symbol)]
    if not texts:
        return Cut(model)
    ends = _ends_of_text(model)
    if not ends:
        names = ", ".join(repr(str(symbol.name)) for symbol in texts)
        msg = f"Inputs of text must be turned into ids by a layer of the model, {names} is not. Audit the model after the lookup."
        raise ArgumentError(msg + " Give it ids.")
    others = [symbol for symbol in symbols if not _is_text(symbol)]
    taken = {**ends, **{str(symbol.name): symbol for symbol in others}}
    rest = _rebuilt(model, taken)
    lookup = keras.Model(declared_inputs(model), _alone_or_all(taken))
    layers = ", ".join(map(repr, ends))
    return Cut(rest, lookup, f"what comes after {layers} is tested, with the ids that it makes of text; how it pads them is not")


def _is_text(symbol: Any) -> bool:
    """Return whether a symbolic tensor holds text."""
    return str(symbol.dtype) == TEXT


def _ends_of_text(model: Any) -> dict[str, Any]:
    """Return the tensors of numbers that are computed from text directly, by the layer that does it."""
    ends: dict[str, Any] = {}
    for operation in keras.Model(declared_inputs(model), model.outputs).operations:
        try:
            before, after = (keras.tree.flatten(one) for one in (operation.input, operation.output))
        except (AttributeError, ValueError):  # an operation of several calls
            continue
        if any(map(_is_text, before)) and not any(map(_is_text, after)):
            ends |= {f"{operation.name}_{i}" if i else str(operation.name): one for i, one in enumerate(after)}
    return ends


def _alone_or_all(taken: Mapping[str, Any]) -> Any:
    """Return the one tensor of these, or a list of them all."""
    tensors = list(taken.values())
    return tensors[0] if len(tensors) == 1 else tensors


def _rebuilt(model: Any, taken: Mapping[str, Any]) -> Any:
    """Return a model of the same layers that begins at these tensors, compiled as the whole one where that can be done."""
    outputs = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
    rest = keras.Model(_alone_or_all(taken), outputs, name=model.name)
    for name, symbol in zip(taken, rest.inputs, strict=True):
        symbol.name = name
    if getattr(model, "compiled", False):
        try:
            rest.compile_from_config(model.get_compile_config())
        except Exception:  # whatever an object of the user's own raises that is not registered
            rest.compile(loss=model.loss)
    return rest
