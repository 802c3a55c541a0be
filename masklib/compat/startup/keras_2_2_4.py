"""What lets the original Keras 2.2.4 run on Python 3.11 and TensorFlow 2.15; done before it is imported.

Keras 2.2.4 was written for TensorFlow 1 and Python 3.7. TensorFlow 2 still holds all of version 1, under `compat.v1`: its
names are laid over the module itself, graphs are made as then, and what Python has moved or removed since is put back. No
function of Keras is replaced. This runs without masklib; see `sitecustomize` beside it.

Against Keras 2.2.4 on TensorFlow 1.13.2 and Python 3.7 (`bench/shim.py`): outputs of LSTM and GRU agree within 4e-9, a merged
mask, losses of `evaluate`, and five epochs of SGD and of RMSprop to the last bit. Adam differs, since there it races with itself:
the same program ends with other numbers each time.
"""

import collections
import collections.abc
import inspect
from typing import Any, NamedTuple

_ABSTRACT = ("Callable", "Iterable", "Mapping", "MutableMapping", "Sequence")


class ArgSpec(NamedTuple):
    """What `inspect.getargspec` returned."""

    args: list[str]
    varargs: "str | None"
    keywords: "str | None"
    defaults: "tuple[Any, ...] | None"


def prepare() -> None:
    """Put back what Keras 2.2.4 imports; call it before the first `import keras`."""
    _mend_python()
    _mend_tensorflow()


def _mend_python() -> None:
    """Put back the names that Python moved to `collections.abc`, and `inspect.getargspec`."""
    for name in _ABSTRACT:
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    if not hasattr(inspect, "getargspec"):
        inspect.getargspec = _getargspec  # type: ignore[attr-defined]


def _getargspec(function: Any) -> ArgSpec:
    """Return the arguments of a function, as Python 3.10 did."""
    return ArgSpec(*inspect.getfullargspec(function)[:4])


def _mend_tensorflow() -> None:
    """Lay the names of TensorFlow 1 over TensorFlow 2, and switch to graphs and sessions."""
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.disable_v2_behavior()
    v1.enable_resource_variables()  # without them the assignments of a training step race
    for name in dir(v1):
        if not name.startswith("__"):
            setattr(tf, name, getattr(v1, name))  # a module put into sys.modules instead would be put back
    _put_back_private_names()


def _put_back_private_names() -> None:
    """Give the private names that Keras 2.2.4 uses to the module that no longer has them."""
    import tensorflow as tf
    from tensorflow.python.framework import ops
    from tensorflow.python.ops import control_flow_ops

    dense = (tf.Tensor, tf.Variable)
    ops._TensorLike = (tf.Tensor, tf.SparseTensor, tf.IndexedSlices)  # `isinstance` takes a tuple of classes as well
    ops.is_dense_tensor_like = lambda x: isinstance(x, dense)
    control_flow_ops.while_loop = tf.while_loop
