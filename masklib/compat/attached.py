"""What Keras attaches to tensors: masks and logits, by private attributes that no other module touches.

Checked on Keras 2.2.4, 2.10.0, 2.15.0, 3.3.3, 3.4.1, 3.10.0 and 3.15.1 with TensorFlow.
"""

import functools
import weakref
from typing import Any

import keras

_masks_of_primals: dict[int, Any] = {}  # by the id of a tracer of JAX; see `keep_masks_of_primals`


def keras_mask(tensor: Any) -> Any:
    """Return the mask that Keras attached to a tensor, or None.

    Layers that support masks attach one to their outputs, and losses and metrics read it back from the predictions.
    A computation on the tensor makes a new one without it.

    Args:
        tensor: a tensor, KerasTensor or array, such as the output (B, T, F) of a layer.

    Returns:
        bool tensor, mostly (B, T), True = valid; None if nothing was attached: then every step counts as valid.

    Example:
        >>> import keras, numpy as np
        >>> y = keras.layers.Embedding(5, 2, mask_zero=True)(np.array([[3, 1, 0]]))
        >>> print(np.asarray(keras_mask(y)))
        [[ True  True False]]
    """
    if hasattr(tensor, "_keras_mask"):
        return tensor._keras_mask
    # Newer Keras keeps the masks of tensors that take no attributes, such as JAX's tracers, in a table.
    source = getattr(keras, "src", None)  # of a Keras that has its source there
    look_up = getattr(getattr(source, "backend", None), "get_keras_mask", None)
    if look_up is None:
        return _mask_of_node(tensor)
    mask = look_up(tensor)
    return _masks_of_primals.get(id(tensor)) if mask is None else mask


def keep_masks_of_primals() -> None:
    """From now on `keras_mask` knows the masks of predictions that left a gradient of JAX; on other backends nothing changes.

    In `fit` on JAX the model is called within `jax.value_and_grad`. Keras attaches the mask to the tracer that the model puts
    out; what metrics get is the primal of that tracer, to which nothing is attached, so Keras's own metrics count padding there.
    The mask itself depends on no weight and is no tracer of the gradient: it may be used outside. Keras's own metrics are left as
    they are. Checked on Keras 3.15.1 with JAX 0.10.2.
    """
    backend = getattr(getattr(keras, "src", None), "backend", None)
    attach = getattr(backend, "set_keras_mask", None)
    if keras.backend.backend() != "jax" or attach is None or hasattr(attach, "__wrapped__"):
        return

    @functools.wraps(attach)
    def attach_and_keep(x: Any, mask: Any) -> None:
        attach(x, mask)
        primal = getattr(x, "primal", None)
        if primal is not None and mask is not None and not hasattr(mask, "primal"):
            _masks_of_primals[id(primal)] = mask
            weakref.finalize(primal, _masks_of_primals.pop, id(primal), None)

    backend.set_keras_mask = attach_and_keep  # type: ignore[union-attr] # there is one: it has `attach`


def _mask_of_node(tensor: Any) -> Any:
    """Return the mask that the original Keras keeps with the call of a layer that made a tensor of a graph, or None."""
    layer, node, index = getattr(tensor, "_keras_history", (None, 0, 0))
    if layer is None or not hasattr(layer, "get_output_mask_at"):
        return None
    masks = layer.get_output_mask_at(node)
    return masks[index] if isinstance(masks, list) else masks


def keras_logits(tensor: Any) -> Any:
    """Return the logits from which `keras.activations.softmax` or `sigmoid` computed a tensor, or None.

    Keras's crossentropies use them on TensorFlow in place of the rounded probabilities, so that a saturated
    prediction still has an exact value and a gradient. On other backends Keras does not, and neither does this.

    Args:
        tensor: a tensor of probabilities, such as the output (B, T, C) of a layer.

    Returns:
        float tensor of the same shape; None if the tensor does not come straight from such an activation.

    Example:
        >>> import keras, numpy as np
        >>> print(np.asarray(keras_logits(keras.activations.softmax(keras.ops.array([[1.0, 2.0]])))))
        [[1. 2.]]
    """
    return getattr(tensor, "_keras_logits", None) if keras.backend.backend() == "tensorflow" else None


def with_mask(tensor: Any, mask: Any) -> Any:
    """Attach a mask to a tensor as Keras 3 does, and return the tensor.

    Args:
        tensor: (B, T, ...), of any backend.
        mask: bool tensor, mostly (B, T), True = valid.
    """
    backend = keras.src.backend
    if hasattr(backend, "set_keras_mask"):
        backend.set_keras_mask(tensor, mask)
    else:
        tensor._keras_mask = mask
    return tensor
