"""Targets and weights in the order of a model's outputs, as `evaluate` takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.structures import flatten
from masklib.errors import ArgumentError

Array = NDArray[Any]


def by_output(
    what: str, structure: Any, names: Sequence[str], outputs: Sequence[Array], with_loss: Sequence[str]
) -> list[Array | None]:
    """Return an array for each output; None for an output that has none.

    Args:
        what: "targets" or "sample_weight", for the message.
        structure: an array, or a list or dict of arrays; None if there are none. An output without a loss may be left out.
        names: of the outputs.
        outputs: the arrays of the outputs.
        with_loss: names of those that have a loss.

    Raises:
        ArgumentError: their number, their names or their numbers of samples are wrong.
    """
    if structure is None:
        return [None] * len(names)
    found = _named(what, structure, names, with_loss)
    for name, array, output in zip(names, found, outputs, strict=True):
        if array is not None and np.shape(array)[:1] != output.shape[:1]:
            msg = f"{what} of {name!r} must have {len(output)} samples, as the inputs have, got shape {np.shape(array)}."
            raise ArgumentError(msg)
    return [None if array is None else np.asarray(array) for array in found]


def as_given(structure: Any, leaves: Sequence[Any], names: Sequence[str], with_loss: Sequence[str]) -> Any:
    """Return one item for each output, in the structure in which targets or weights were given.

    Args:
        structure: as given: an array, or a list or dict of arrays.
        leaves: the items, one for each output.
        names: of the outputs.
        with_loss: names of those that have a loss.
    """
    by_name = dict(zip(names, leaves, strict=True))
    if isinstance(structure, Mapping):
        return {name: by_name[name] for name in structure}
    if not isinstance(structure, (list, tuple)):
        return by_name[with_loss[0] if len(with_loss) == 1 else names[0]]
    chosen = names if len(structure) == len(names) else with_loss
    return type(structure)(None if one is None else by_name[name] for one, name in zip(structure, chosen, strict=True))


def _named(what: str, structure: Any, names: Sequence[str], with_loss: Sequence[str]) -> list[Any]:
    """Return what is given for each output; outputs without a loss may be left out."""
    if isinstance(structure, Mapping):
        missing, unknown = set(with_loss) - set(structure), set(structure) - set(names)
        if missing or unknown:
            msg = f"{what} must have the outputs' names {list(names)}, got {list(structure)}. Rename the arrays."
            raise ArgumentError(msg)
        return [structure.get(name) for name in names]
    given, arrays, _ = flatten(structure)
    if len(arrays) == len(names):
        return arrays
    if len(arrays) == len(with_loss):
        by_name = dict(zip(with_loss, arrays, strict=True))
        return [by_name.get(name) for name in names]
    msg = f"{what} must be one array for each of the outputs {list(names)}, got {len(arrays)} ({', '.join(given)})."
    raise ArgumentError(msg)
