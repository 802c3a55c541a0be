"""`keras.ops` with what masklib uses of it and its first releases, Keras 3.0.0 to 3.0.4, have not."""

from types import SimpleNamespace
from typing import Any

import keras


def _divide_no_nan(x1: Any, x2: Any) -> Any:
    """Return `x1 / x2`, 0 where `x2` is 0."""
    is_zero = keras.ops.equal(x2, 0)
    return keras.ops.where(is_zero, keras.ops.zeros_like(x2), x1 / keras.ops.where(is_zero, keras.ops.ones_like(x2), x2))


ops = SimpleNamespace(**{**vars(keras.ops), "divide_no_nan": _divide_no_nan})
