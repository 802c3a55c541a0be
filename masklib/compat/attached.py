"""What Keras attaches to tensors: the only module that reads Keras's private attributes.

Checked on Keras 2.2.4, 2.10.0, 2.15.0, 3.3.3, 3.4.1, 3.10.0 and 3.15.1 with TensorFlow.
"""

from typing import Any

import keras


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
    return look_up(tensor) if look_up else _mask_of_node(tensor)


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
