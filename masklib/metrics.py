"""A metric that leaves padding out, exact over any number of batches.

`evaluate` reports a loss as the mean of batch means, weighted by samples: with sequences of uneven length that depends
on the batch size and the order of the samples. A metric that adds up sums and counts of valid steps does not. Valid
steps, shapes, sample weights and errors are those of `masklib.losses`.
"""

from collections.abc import Callable
from typing import Any

import keras

from masklib import _steps, compat
from masklib.compat import ops
from masklib.compat.attached import keep_masks_of_primals
from masklib.errors import ArgumentError, MaskShapeError

__all__ = [
    "MaskedMean",
    "find_function",
]

StepFunction = Callable[..., Any]


@compat.register_serializable
class MaskedMean(compat.Metric):  # type: ignore[misc] # Keras publishes no types
    """Mean over all valid steps seen, `sum(w m l) / sum(w m)`, with l what `fn` gives for a step.

    Unlike a loss, it divides by the weights; without sample weights that is the number of valid steps. In
    `compile(metrics=...)` Keras gives it no sample weights, in `compile(weighted_metrics=...)` it does.

    Sums and counts are each kept in two numbers of the metric's dtype, the second holding what rounding took from the
    first. So counts stay exact beyond 2**24 steps, where a float32 no longer changes when 1 is added.

    Args:
        fn: what to average: a function `(y_true, y_pred) -> (B, T)` of Keras's losses or metrics, or its name, such as
            "mse", "categorical_crossentropy" or "sparse_categorical_accuracy". It must not mix steps.
        mask_value: what padded steps of `y_true` hold: a number, a vector of F, or, for a function whose name begins
            with "sparse", one class. Default None: only the mask of the predictions counts.
        name: name of the metric; default "masked_" and the name of `fn`.
        dtype: dtype of the result; default `keras.config.floatx()`.
        **kwargs: arguments to pass on to `fn`, such as `from_logits`.

    Returns:
        From `result()`: float tensor, shape (); exactly 0 when no step was valid.

    Raises:
        ArgumentError: `fn` is not a function of Keras, or `mask_value` does not fit `y_true`.
        MaskShapeError: shapes of `y_true`, `y_pred` and `sample_weight` do not go together.

    Example:
        >>> metric = MaskedMean("mse", mask_value=-1)
        >>> metric.update_state([[[3.0], [5.0], [-1.0]]], [[[1.0], [5.0], [9.0]]])
        >>> metric.update_state([[[7.0], [-1.0], [-1.0]]], [[[6.0], [0.0], [9.0]]])
        >>> print(round(float(metric.result()), 4))
        1.6667
    """

    def __init__(
        self, fn: StepFunction | str, mask_value: Any = None, name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        self.fn = find_function(fn)
        fn_name = getattr(self.fn, "__name__", "mean")
        super().__init__(name=name or f"masked_{fn_name}", dtype=dtype)
        self.is_sparse = fn_name.startswith("sparse")
        self.mask_value = _steps.check_mask_value(mask_value, is_sparse=self.is_sparse)
        self.fn_kwargs = kwargs
        keep_masks_of_primals()  # for `fit` on JAX
        self.total, self.total_rest, self.count, self.count_rest = (
            self.add_weight(shape=(), initializer="zeros", dtype=self.dtype, name=part)
            for part in ("total", "total_rest", "count", "count_rest")
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch: `y_true` and `y_pred` as the function takes them, `sample_weight` (B,) or (B, T)."""
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        y_true = _steps.align_targets(y_true, y_pred, is_sparse=self.is_sparse)
        mask = _steps.find_valid_steps(y_true, y_pred, self.mask_value, is_sparse=self.is_sparse)
        y_true = _steps.replace_masked(y_true, mask, 0)
        y_true = y_true if self.is_sparse else ops.cast(y_true, self.dtype)
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)  # itself where it can be: it may know its logits
        per_step = ops.cast(self.fn(y_true, y_pred, **self.fn_kwargs), self.dtype)
        if len(per_step.shape) != len(y_pred.shape) - 1:
            msg = f"fn must return one number a step, {tuple(y_pred.shape[:-1])}, got {tuple(per_step.shape)}."
            raise MaskShapeError(msg + " Use a function that averages over the last axis only.")
        per_step, weights = _steps.weigh_steps(per_step, mask, sample_weight)
        count = _steps.count_valid(per_step, mask) if weights is None else ops.sum(weights)
        _add_exactly(self.total, self.total_rest, ops.sum(per_step))
        _add_exactly(self.count, self.count_rest, count)

    def result(self) -> Any:
        """Return the mean over all valid steps seen, shape (); 0 when there was none."""
        return ops.divide_no_nan(self.total + self.total_rest, self.count + self.count_rest)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to build the same metric."""
        fn = compat.serialize(self.fn)
        return {**super().get_config(), "fn": fn, "mask_value": self.mask_value, **self.fn_kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MaskedMean":
        """Return the metric that `get_config` describes."""
        return cls(**{**config, "fn": compat.deserialize(config["fn"])})


def find_function(fn: StepFunction | str) -> StepFunction:
    """Return Keras's loss or metric function of this name, or `fn` itself if it is a function.

    Args:
        fn: a function `(y_true, y_pred) -> (B, T)`, or the name of one in `keras.losses` or `keras.metrics`, long
            ("mean_squared_error") or short ("mse").

    Returns:
        The function.

    Raises:
        ArgumentError: there is no such function; a class or an object of Keras is not one.

    Example:
        >>> find_function("mse").__name__
        'mean_squared_error'
    """
    found: Any = fn
    if isinstance(fn, str):
        found = _find_by_name(fn)
    if not callable(found) or isinstance(found, (type, *compat.OBJECTS)):
        msg = f"fn must be a function of keras.losses or keras.metrics, or its name, got {fn!r}."
        raise ArgumentError(msg + ' Give for example "mse" or keras.losses.mean_squared_error.')
    function: StepFunction = found
    return function


def _find_by_name(name: str) -> Any:
    """Return what Keras has under a name in its metrics, its losses, or its short names of losses; or None."""
    if name in ("get", "serialize", "deserialize"):  # the functions there that are no metrics
        return None
    try:
        return getattr(keras.metrics, name, None) or getattr(keras.losses, name, None) or keras.losses.get(name)
    except ValueError:
        return None


def _add_exactly(total: Any, rest: Any, value: Any) -> None:
    """Add `value` to the variable `total`, and to `rest` what rounding loses (Knuth's TwoSum: exact, in any order)."""
    new = total + value
    kept = new - total
    lost = (total - (new - kept)) + (value - kept)
    total.assign(new)  # not before `lost` is known: a variable is read when it is used
    rest.assign(rest + lost)
