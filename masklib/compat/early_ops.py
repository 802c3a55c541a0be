"""`keras.ops` of Keras 3.0 and 3.1: with what masklib uses and they lack, without what does not work there on every backend."""

from types import SimpleNamespace
from typing import Any

import keras


def _divide_no_nan(x1: Any, x2: Any) -> Any:
    """Return `x1 / x2`, 0 where `x2` is 0; from 3.0.5 on Keras has it."""
    is_zero = keras.ops.equal(x2, 0)
    return keras.ops.where(is_zero, keras.ops.zeros_like(x2), x1 / keras.ops.where(is_zero, keras.ops.ones_like(x2), x2))


_NO_GRADIENT = "custom_gradient"  # not there in 3.0, and not on PyTorch in 3.1
ops = SimpleNamespace(**{name: value for name, value in vars(keras.ops).items() if name != _NO_GRADIENT})
if not hasattr(ops, "divide_no_nan"):
    ops.divide_no_nan = _divide_no_nan
