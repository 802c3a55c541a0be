"""What each layer that uses a mask puts out when masked steps are not there: the twin of `masklib.experiments.masked_layers`.

Every function takes x (..., B, T, F), the layer's weights as `get_weights()` has them, and the mask (B, T); it computes each
sample from its valid steps alone. Axes before B are batches of their own, under the same mask. What stands at masked steps of
the result is 0, and so is the result of a sample without a valid step: what a masked step holds never reaches it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklib.checks import check_mask, check_one_of, check_steps
from masklib.reference import losses, recurrent

Array = NDArray[np.float64]
Weights = Sequence[ArrayLike]

EPSILON = 1e-3  # of Keras's BatchNormalization and LayerNormalization


def consume(name: str, x: ArrayLike, weights: Weights, mask: ArrayLike, targets: ArrayLike | None = None) -> Array:
    """Return what the consumer `name` puts out.

    Args:
        name: one of `CONSUMERS`.
        x: float array (..., B, T, F); masked steps may hold anything.
        weights: of the layer.
        mask: bool array (B, T), True = valid.
        targets: float array (B, T, U), for a consumer that is a loss.

    Returns:
        float64 array (..., B, U), (..., B, T, U), or the loss, (...).

    Raises:
        ArgumentError: there is no such consumer.
        MaskShapeError: an array's shape does not fit the others.
    """
    x = np.asarray(check_steps("x", x), dtype=np.float64)
    valid = check_mask(np.asarray(mask), x.shape[-3:-1])
    clean = np.where(valid[..., np.newaxis], x, 0.0)
    own = [np.asarray(weight, dtype=np.float64) for weight in weights]
    check_one_of("name", name, (*CONSUMERS, *LOSSES))
    if name in LOSSES:
        return _mean_over_valid(lambda batch: LOSSES[name](targets, batch, own), clean, valid)
    return CONSUMERS[name](clean, own, valid)


def squared_error(name: str, x: ArrayLike, weights: Weights, mask: ArrayLike, targets: ArrayLike) -> Array:
    """Return the mean squared error of what a consumer puts out, over valid steps where it has steps; or the loss it is.

    Arguments and errors are those of `consume`. Returns a float64 array (...), one number for each batch.
    """
    result = consume(name, x, weights, mask, targets)
    if name in LOSSES:
        return result
    wanted = np.asarray(targets, dtype=np.float64)
    if wanted.ndim == 2:
        return np.asarray(np.mean((result - wanted) ** 2, axis=(-2, -1)))
    return _mean_over_valid(lambda batch: losses.mse(wanted, batch), result, np.asarray(mask))


def offset_gradient(name: str, x: ArrayLike, weights: Weights, mask: ArrayLike, targets: ArrayLike, *, h: float = 1e-5) -> Array:
    """Return the gradient (T, F) of `squared_error` by an offset that is added to each step of each sample.

    By central differences of step `h`, whose error is of the order h^2. The other arguments are those of `consume`.
    """
    x = np.asarray(x, dtype=np.float64)
    T, F = x.shape[1:]
    shifts = h * np.eye(T * F).reshape(T * F, 1, T, F)  # one entry each; every sample gets the same
    up, down = (squared_error(name, x + side, weights, mask, targets) for side in (shifts, -shifts))
    return ((up - down) / (2 * h)).reshape(T, F)


def compare(
    name: str, result: ArrayLike, gradient: ArrayLike, x: ArrayLike, weights: Weights, mask: ArrayLike, targets: ArrayLike
) -> dict[str, Any]:
    """Return how far a result and the gradient of its offset are from those on the valid steps alone, as a row of a table.

    A sample without a valid step has no right result (B, U); it only has to be finite. Masked steps of a result (B, T, U)
    may hold anything: what is finite there is reported separately.

    Args:
        name: one of `CONSUMERS` or `LOSSES`.
        result: float array (B, U), (B, T, U), or (), of the consumer.
        gradient: float array (T, F), of the offset.
        x: float array (B, T, F), with the offset.
        weights: of the layer.
        mask: bool array (B, T), True = valid.
        targets: of the shape of the result, or (B, T, U) for a loss.

    Returns:
        `finite`, `finite under the mask`, `error`, relative to the largest absolute value of the right result, or absolute
        where that is 0; `gradient finite` and `gradient error`, the same of the gradient.
    """
    result, gradient, valid = np.asarray(result, np.float64), np.asarray(gradient, np.float64), np.asarray(mask)
    right, slope = consume(name, x, weights, valid, targets), offset_gradient(name, x, weights, valid, targets)
    counts = valid if result.ndim == 3 else valid.any(axis=1) if result.ndim == 2 else np.array(True)
    judged = result[valid] if result.ndim == 3 else result
    return {
        "finite": bool(np.isfinite(judged).all()),
        "finite under the mask": bool(np.isfinite(result).all()),
        "error": _relative(result[counts], right[counts]),
        "gradient finite": bool(np.isfinite(gradient).all()),
        "gradient error": _relative(gradient, slope),
    }


def _relative(found: Array, right: Array) -> float:
    """Return the largest absolute error, relative to the largest absolute value if that is not 0; NaN for a NaN."""
    with np.errstate(invalid="ignore"):
        error = float(np.abs(found - right).max(initial=0.0))
    return error / (float(np.abs(right).max(initial=0.0)) or 1.0)


def global_average(x: Array, weights: Sequence[Array], valid: NDArray[np.bool_]) -> Array:
    """Return the mean (..., B, F) over each sample's valid steps."""
    means = [x[..., b, v, :].mean(axis=-2) if v.any() else np.zeros_like(x[..., b, 0, :]) for b, v in enumerate(valid)]
    return np.stack(means, axis=-2)


def softmax_over_time(x: Array, weights: Sequence[Array], valid: NDArray[np.bool_]) -> Array:
    """Return the shares (..., B, T, F): over the valid steps of a sample those of a feature sum to 1."""
    return _by_sample(x, valid, lambda steps: _softmax(steps, axis=-2))


def attention(x: Array, weights: Sequence[Array], valid: NDArray[np.bool_]) -> Array:
    """Return dot-product self-attention (..., B, T, F) without weights or scaling: valid steps attend to valid ones."""
    return _by_sample(x, valid, lambda steps: _softmax(steps @ steps.swapaxes(-2, -1), axis=-1) @ steps)


def multi_head_attention(x: Array, weights: Sequence[Array], valid: NDArray[np.bool_]) -> Array:
    """Return self-attention (..., B, T, F) with H heads of size D.

    `weights`: kernels (F, H, D) and biases (H, D) of query, key and value; output kernel (H, D, F) and bias (F,).
    """
    wq, bq, wk, bk, wv, bv, wo, bo = weights

    def attend(steps: Array) -> Array:
        q, k, v = (np.einsum("...tf,fhd->...thd", steps, w) + b for w, b in ((wq, bq), (wk, bk), (wv, bv)))
        shares = _softmax(np.einsum("...qhd,...khd->...hqk", q, k) / np.sqrt(q.shape[-1]), axis=-1)
        attended = np.einsum("...hqk,...khd->...qhd", shares, v)
        result: Array = np.einsum("...qhd,hdf->...qf", attended, wo) + bo
        return result

    return _by_sample(x, valid, attend)


def batch_normalization(x: Array, weights: Sequence[Array], valid: NDArray[np.bool_]) -> Array:
    """Return `gamma (x - mean) / sqrt(variance + EPSILON) + beta` (..., B, T, F), both over a batch's valid steps."""
    if not valid.any():
        return np.zeros_like(x)
    gamma, beta = weights[:2]
    mean, variance = (take(x[..., valid, :], axis=-2)[..., np.newaxis, np.newaxis, :] for take in (np.mean, np.var))
    scaled = (x - mean) / np.sqrt(variance + EPSILON)
    return np.where(valid[..., np.newaxis], gamma * scaled + beta, 0.0)


def both_normalizations(x: Array, weights: Sequence[Array], valid: NDArray[np.bool_]) -> Array:
    """Return a layer normalization (..., B, T, F), over the features of each step, of the batch normalization."""
    gamma, beta = weights[-2:]  # after the four of the batch normalization
    first = batch_normalization(x, weights, valid)
    centred = first - first.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(first.var(axis=-1, keepdims=True) + EPSILON)
    return np.where(valid[..., np.newaxis], gamma * scaled + beta, 0.0)


def bidirectional_lstm(x: Array, weights: Sequence[Array], valid: NDArray[np.bool_]) -> Array:
    """Return the last outputs (..., B, 2U) of an LSTM in each direction."""
    ahead = _last_outputs(recurrent.lstm, x, weights[:3], valid)
    back = _last_outputs(recurrent.lstm, x, weights[3:], valid, go_backwards=True)
    return np.concatenate([ahead, back], axis=-1)


CONSUMERS: dict[str, Callable[[Array, Sequence[Array], NDArray[np.bool_]], Array]] = {
    "SimpleRNN": lambda x, w, v: _last_outputs(recurrent.simple_rnn, x, w, v),
    "GRU": lambda x, w, v: _last_outputs(recurrent.gru, x, w, v),
    "LSTM": lambda x, w, v: _last_outputs(recurrent.lstm, x, w, v),
    "Bidirectional LSTM": bidirectional_lstm,
    "GlobalAveragePooling1D": global_average,
    "Softmax over time": softmax_over_time,
    "Attention": attention,
    "MultiHeadAttention": multi_head_attention,
    "BatchNormalization": batch_normalization,
    "BatchNormalization, LayerNormalization": both_normalizations,
}


def _mse_of_dense(targets: ArrayLike | None, x: Array, weights: Sequence[Array]) -> Array:
    """Return each step's squared error (B, T) after a Dense."""
    return losses.mse([] if targets is None else targets, x @ weights[0] + weights[1])


def _crossentropy_of_dense(targets: ArrayLike | None, x: Array, weights: Sequence[Array]) -> Array:
    """Return each step's crossentropy (B, T) after a Dense with softmax."""
    return losses.categorical_crossentropy([] if targets is None else targets, _softmax(x @ weights[0] + weights[1], axis=-1))


LOSSES: dict[str, Callable[[ArrayLike | None, Array, Sequence[Array]], Array]] = {
    "loss: mse": _mse_of_dense,
    "loss: crossentropy": _crossentropy_of_dense,
}


def _by_sample(x: Array, valid: NDArray[np.bool_], function: Callable[[Array], Array]) -> Array:
    """Return what a function of the valid steps (..., V, F) of each sample gives for them; 0 at masked steps."""
    result = np.zeros_like(x)
    for b, v in enumerate(valid):
        if v.any():
            result[..., b, v, :] = function(x[..., b, v, :])
    return result


def _last_outputs(
    run: Callable[..., recurrent.Sequences], x: Array, weights: Weights, valid: NDArray[np.bool_], **way: Any
) -> Array:
    """Return the last outputs (..., B, U) of a cell; samples do not see each other, so all batches are one."""
    samples = x.reshape(-1, *x.shape[-2:])
    mask = np.broadcast_to(valid, x.shape[:-1]).reshape(samples.shape[:-1])
    last = run(samples, weights, mask, **way).outputs[:, -1]
    return last.reshape(*x.shape[:-2], last.shape[-1])


def _mean_over_valid(step_losses: Callable[[Array], Array], x: Array, valid: NDArray[np.bool_]) -> Array:
    """Return the masked mean (...) of the losses (B, T) that a function of (B, T, F) returns for each batch of x."""
    batches = x.reshape(-1, *x.shape[-3:])
    return np.reshape([losses.mean_over_valid(step_losses(batch), valid) for batch in batches], x.shape[:-3])


def _softmax(x: Array, axis: int) -> Array:
    """Return the softmax along an axis."""
    exps = np.exp(x - x.max(axis=axis, keepdims=True))
    shares: Array = exps / exps.sum(axis=axis, keepdims=True)
    return shares
