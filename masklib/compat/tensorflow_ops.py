"""The part of `keras.ops` that masklib uses, for Keras 2 on TensorFlow; every function is that of Keras 3.

`tensorflow.compat.v2` is the same whether TensorFlow runs as version 1 or 2.
"""

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow.compat.v2 as tf


def _categorical_crossentropy(y_true: Any, y_pred: Any) -> Any:
    """Return the crossentropies (B, T) of probabilities."""
    return keras.backend.categorical_crossentropy(y_true, y_pred)


def _convert_to_numpy(x: Any) -> Any:
    """Return an eager tensor, or what is an array already, as an array."""
    return np.asarray(x)


def _convert_to_tensor(x: Any, dtype: Any = None) -> Any:
    """Return a tensor, of `dtype` if that is given."""
    if dtype is not None and tf.is_tensor(x):
        return x if x.dtype == tf.as_dtype(dtype) else tf.cast(x, dtype)
    return tf.convert_to_tensor(x, dtype=dtype)


def _flip(x: Any, axis: int) -> Any:
    """Return a tensor reversed along an axis."""
    return tf.reverse(tf.convert_to_tensor(x), axis=[axis])


def _full(shape: Any, value: Any, dtype: Any = "float32") -> Any:
    """Return a tensor that holds `value` everywhere."""
    return tf.fill(shape, tf.cast(value, dtype))


def _take(x: Any, indices: Any, axis: Any = None) -> Any:
    """Return the entries at `indices` along `axis`; of the flattened tensor by default."""
    return tf.gather(tf.reshape(x, [-1]) if axis is None else x, indices, axis=axis or 0)


ops = SimpleNamespace(
    all=tf.reduce_all,
    broadcast_to=tf.broadcast_to,
    cast=tf.cast,
    categorical_crossentropy=_categorical_crossentropy,
    convert_to_numpy=_convert_to_numpy,
    convert_to_tensor=_convert_to_tensor,
    custom_gradient=tf.custom_gradient,
    divide_no_nan=tf.math.divide_no_nan,
    equal=tf.equal,
    exp=tf.exp,
    expand_dims=tf.expand_dims,
    flip=_flip,
    full=_full,
    isnan=tf.math.is_nan,
    logical_and=tf.logical_and,
    logical_not=tf.logical_not,
    logical_or=tf.logical_or,
    max=tf.reduce_max,
    mean=tf.reduce_mean,
    not_equal=tf.not_equal,
    ones_like=tf.ones_like,
    relu=tf.nn.relu,
    shape=tf.shape,
    size=tf.size,
    softmax=tf.nn.softmax,
    split=tf.split,
    squeeze=tf.squeeze,
    sum=tf.reduce_sum,
    take=_take,
    where=tf.where,
)
