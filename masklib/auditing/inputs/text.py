"""Models of text: the part after the layers that turn text into ids is tested, with the ids that these layers return.

Those layers, such as TextVectorization, pad the text; how they do it is not tested. A model is cut at their outputs; the part
shares its layers and weights.
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
        model: takes what these layers return in place of text.
        lookup: returns its inputs for inputs of the whole model; None if there is no text.
        note: a sentence about the cut; "" if there is no text.
    """

    model: Any
    lookup: Any = None
    note: str = ""

    def inputs_of(self, inputs: Any) -> Any:
        """Return the inputs of this model for inputs of the whole model.

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
    """Return the part of a model after the layers that turn text into ids; the model itself if it takes no text.

    Args:
        model: functional or sequential, if it takes text.

    Raises:
        ArgumentError: no layer of the model turns the text into numbers.
    """
    symbols = list(getattr(model, "inputs", None) or [])
    texts = [symbol for symbol in symbols if _is_text(symbol)]
    if not texts:
        return Cut(model)
    ends = _ends_of_text(model)
    if not ends:
        names = ", ".join(repr(str(symbol.name)) for symbol in texts)
        msg = f"Inputs of text must be turned into ids by a layer of the model, {names} is not. Audit the part after the lookup."
        raise ArgumentError(msg + " Give it ids.")
    others = [symbol for symbol in symbols if not _is_text(symbol)]
    taken = {**ends, **{str(symbol.name): symbol for symbol in others}}
    rest = _rebuilt(model, taken)
    lookup = keras.Model(declared_inputs(model), _alone_or_all(taken))
    layers = ", ".join(map(repr, ends))
    return Cut(
        rest, lookup, f"only the part after {layers} is tested, with the ids that it makes from text, not how it pads them"
    )


def _is_text(symbol: Any) -> bool:
    """Return whether a symbolic tensor holds text."""
    return str(symbol.dtype) == TEXT


def _ends_of_text(model: Any) -> dict[str, Any]:
    """Return the tensors of numbers that are computed directly from text, by the name of the layer that computes them."""
    ends: dict[str, Any] = {}
    for operation in keras.Model(declared_inputs(model), model.outputs).operations:
        try:
            before, after = (keras.tree.flatten(one) for one in (operation.input, operation.output))
        except (AttributeError, ValueError):  # an operation that is called several times
            continue
        if any(map(_is_text, before)) and not any(map(_is_text, after)):
            ends |= {f"{operation.name}_{i}" if i else str(operation.name): one for i, one in enumerate(after)}
    return ends


def _alone_or_all(taken: Mapping[str, Any]) -> Any:
    """Return a single tensor by itself, or a list of several."""
    tensors = list(taken.values())
    return tensors[0] if len(tensors) == 1 else tensors


def _rebuilt(model: Any, taken: Mapping[str, Any]) -> Any:
    """Return a model of the same layers that begins at these tensors, compiled like the whole model if possible."""
    outputs = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
    rest = keras.Model(_alone_or_all(taken), outputs, name=model.name)
    for name, symbol in zip(taken, rest.inputs, strict=True):
        symbol.name = name
    if getattr(model, "compiled", False):
        try:
            rest.compile_from_config(model.get_compile_config())
        except Exception:  # any error that a user's object raises because it is not registered
            rest.compile(loss=model.loss)
    return rest
