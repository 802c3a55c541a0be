"""The gradient of a loss with respect to each output of a model."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.running import CallError, explained, quietly
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.borrowing.tensors import to_array
from masklib.auditing.invariance.predictions import Prediction

Array = NDArray[Any]


def signless(loss: Callable[[Any], Any], predictions: Sequence[Prediction], pack: Callable[[Sequence[Any]], Any]) -> Any:
    """Return a function of a model's outputs: the sum of the outputs, each times the absolute gradient of the loss at it.

    So its gradient with respect to a weight is about as large as the absolute terms of the loss's gradient together.

    Args:
        loss: a function of what the model returns.
        predictions: the model's outputs.
        pack: takes one item for each output, and builds the structure that the model returns.
    """
    try:
        with explained(), quietly():
            slopes = _slopes(
                lambda tensors: loss(pack([one.masked(t) for one, t in zip(predictions, tensors, strict=True)])), predictions
            )
    except CallError:
        slopes = [np.zeros_like(one.array) for one in predictions]

    def grows(structure: Any) -> Any:
        both = zip(slopes, flatten(structure)[1], strict=True)
        return sum(keras.ops.sum(np.abs(np.nan_to_num(slope)) * keras.ops.cast(tensor, "float32")) for slope, tensor in both)

    return grows


def _slopes(loss: Callable[[Sequence[Any]], Any], predictions: Sequence[Prediction]) -> list[Array]:
    """Return the gradient of a loss with respect to each output; zeros for an output without one."""
    tensors = [keras.ops.convert_to_tensor(one.array) for one in predictions]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = loss(tensors)
        found = tape.gradient(value, tensors)
    elif backend == "jax":
        found = sys.modules["jax"].grad(loss)(tensors)
    else:
        tensors = [one.detach().requires_grad_() if one.is_floating_point() else one for one in tensors]
        given = [one for one in tensors if one.requires_grad]
        slopes = dict(
            zip(map(id, given), sys.modules["torch"].autograd.grad(loss(tensors), given, allow_unused=True), strict=True)
        )
        found = [slopes.get(id(one)) for one in tensors]
    return [
        np.zeros(one.array.shape, np.float32) if slope is None else to_array(slope)
        for one, slope in zip(predictions, found, strict=True)
    ]
