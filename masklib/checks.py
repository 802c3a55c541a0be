"""Validation of arguments, in one place; every function here raises, or returns what it checked."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklib.errors import ArgumentError, MaskShapeError


def check_one_of(name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """Return `value` if it is one of `allowed`.

    Raises:
        ArgumentError: it is not; the message lists what is allowed.
    """
    allowed = tuple(allowed)
    if value not in allowed:
        msg = f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}. Choose one of them."
        raise ArgumentError(msg)
    return value


def check_between(name: str, value: float, low: float, high: float) -> float:
    """Return `value` if it lies from `low` to `high`, both included.

    Raises:
        ArgumentError: it does not.
    """
    if not low <= value <= high:
        msg = f"{name} must be from {low} to {high}, got {value!r}. Choose a number between them."
        raise ArgumentError(msg)
    return value


def check_rank(name: str, array: ArrayLike, axes: Sequence[str]) -> NDArray[Any]:
    """Return `array` as a NumPy array if it has one dimension for each of `axes`, such as ("B", "T", "F").

    Raises:
        MaskShapeError: the number of dimensions differs.
    """
    array = np.asarray(array)
    if array.ndim != len(axes):
        msg = f"{name} must have shape ({', '.join(axes)}), got {array.shape} {array.dtype}. Add or drop an axis."
        raise MaskShapeError(msg)
    return array


def check_shape(name: str, array: ArrayLike, shape: tuple[int, ...], axes: Sequence[str]) -> NDArray[Any]:
    """Return `array` as a NumPy array if its shape is `shape`; `axes` names the dimensions in the message.

    Raises:
        MaskShapeError: the shape differs.
    """
    array = np.asarray(array)
    if array.shape != shape:
        msg = f"{name} must have shape ({', '.join(axes)}) = {shape}, got {array.shape} {array.dtype}."
        if array.shape == (*shape, 1):
            msg += f" Drop the last axis: {name}[..., 0]."
        raise MaskShapeError(msg)
    return array


def check_mask(mask: ArrayLike | None, shape: tuple[int, ...], axes: Sequence[str] = ("B", "T")) -> NDArray[np.bool_]:
    """Return `mask` as a bool array of `shape`, `True` = valid; `None` means that every step is valid.

    Raises:
        MaskShapeError: the shape differs, or the mask is not boolean.
    """
    if mask is None:
        return np.ones(shape, dtype=bool)
    array = check_shape("mask", mask, shape, axes)
    if array.dtype != np.bool_:
        msg = f"mask must be bool (True = valid), got {array.dtype}. Compare first, for example ids != 0."
        raise MaskShapeError(msg)
    return array


def check_steps(name: str, array: ArrayLike) -> NDArray[Any]:
    """Return `array` as a NumPy array if it has a batch and a time axis: (B, T, ...).

    Raises:
        MaskShapeError: it has fewer than two dimensions.
    """
    array = np.asarray(array)
    if array.ndim < 2:
        msg = f"{name} must have shape (B, T, ...), got {array.shape} {array.dtype}. Add the batch or the time axis."
        raise MaskShapeError(msg)
    return array


def check_lengths(name: str, lengths: ArrayLike, steps: int) -> NDArray[np.integer[Any]]:
    """Return `lengths` as an int array (B,) if each is a number of steps from 0 to `steps`.

    Raises:
        MaskShapeError: the shape is not (B,).
        ArgumentError: a length is not an integer, or out of range.
    """
    array = check_rank(name, lengths, ("B",))
    if not np.issubdtype(array.dtype, np.integer):
        msg = f"{name} must be integers, got {array.dtype}. Count whole steps."
        raise ArgumentError(msg)
    if np.any((array < 0) | (array > steps)):
        msg = f"{name} must be from 0 to steps = {steps}, got {array.tolist()}. Raise steps or cut the lengths."
        raise ArgumentError(msg)
    return array
