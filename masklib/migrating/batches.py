"""The batch that both sides get: given by the user, or padded inputs and targets that are made as the audit makes them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing import loading
from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.methods import borrowed
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.inputs import choosing, targets
from masklib.auditing.inputs.batch import Batch
from masklib.auditing.inputs.settings import DEFAULT
from masklib.errors import NoPaddingError
from masklib.migrating.reading import is_compiled

Array = NDArray[Any]


def make_batch(model: Any, given: loading.Given, seed: int) -> dict[str, Array]:
    """Return a batch as arrays by name: inputs, and targets y and weights, if the model was compiled with a loss.

    Args:
        model: of Keras 3.
        given: what the user gives; inputs None: they are made.
        seed: of all random numbers.

    Raises:
        ArgumentError: the model does not take the inputs, or none can be made.
    """
    read = choosing.read_for(model, given.inputs, given.targets, given.sample_weight, DEFAULT)
    with borrowed(model) as runner:
        try:
            one, batch, _ = choosing.prepare(model, read, DEFAULT, seed=seed)
            inputs, chosen = batch.inputs, batch.chosen
        except NoPaddingError:
            if given.inputs is None:
                raise
            one, batch, chosen = read.batches[0], None, None
            inputs = one.inputs
        arrays = _by_name(inputs, loading.input_names(model))
        if not is_compiled(model):
            return arrays
        y = _chosen(one.targets, chosen) if one.targets is not None else _made(model, runner.outputs(inputs), batch, seed)
    return {**arrays, **_beside("y", y), **_beside("sample_weight", _chosen(one.sample_weight, chosen))}


def _by_name(structure: Any, names: list[str]) -> dict[str, Array]:
    """Return inputs by the names of the model's inputs."""
    own, arrays, _ = flatten(structure, "x")
    use = own if isinstance(structure, Mapping) or len(names) != len(own) else names
    return {name: np.asarray(array) for name, array in zip(use, arrays, strict=True)}


def _made(model: Any, found: Any, batch: Batch | None, seed: int) -> Any:
    """Return targets for each output, in the structure of the outputs; their padded steps hold 0."""
    made = []
    for index, (name, array) in enumerate(zip(found.names, found.arrays, strict=True)):
        loss = compiled.loss_of(model, index, name, len(found.names))
        target = targets.made(loss, array, seed, lambda one: True)[1]
        steps = [group.valid for group in batch.groups if target.shape[:2] == group.valid.shape[:2]] if batch else []
        made.append(targets.with_padding(target, steps[0], 0.0) if steps and array.shape[:2] == target.shape[:2] else target)
    return found.pack(made)


def _beside(kind: str, structure: Any) -> dict[str, Array]:
    """Return targets or weights by name, as a file of --inputs holds them."""
    if structure is None:
        return {}
    names, arrays, _ = flatten(structure, kind)
    whole = len(arrays) == 1 and not isinstance(structure, Mapping)
    return {kind if whole else f"{kind}/{name}": np.asarray(one) for name, one in zip(names, arrays, strict=True)}


def _chosen(structure: Any, chosen: Any) -> Any:
    """Return the chosen samples of targets or weights; all where `chosen` is None."""
    if structure is None or chosen is None:
        return structure
    _, arrays, pack = flatten(structure)
    return pack([np.asarray(array)[chosen] for array in arrays])
