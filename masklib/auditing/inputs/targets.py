"""Targets for a model's losses, and what their padded steps may hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.compiled import loss_object, name_of

Array = NDArray[Any]
CUSTOMARY = (0.0, -1.0, -100.0)  # usual values at padded steps of targets
LABELS = 2  # of a made sequence for CTC: at most as many as the shortest input has steps
POSITIVE = ("poisson", "log", "percentage")  # words in the names of losses that need positive targets


@dataclass(frozen=True)
class Kind:
    """What the targets of one output are.

    Attributes:
        is_sparse: whether they are class numbers, with one axis less than the output.
        classes: C, if each step has one of C classes; 0 if the targets are not classes.
        is_labels: whether they are a shorter sequence of class numbers with its own steps, as CTC takes it.
    """

    is_sparse: bool
    classes: int
    is_labels: bool = False

    @property
    def phrase(self) -> str:
        """Return what they are, as text."""
        if self.is_labels:
            return "labels with their own number of steps"
        numbers = (
            f"class numbers below {self.classes}" if self.is_sparse else "one-hot classes" if self.classes > 1 else "0 and 1"
        )
        return numbers if self.classes else "numbers of the output's shape"


def kind_of(loss: Any, output: Array) -> Kind:
    """Return the kind of targets that a loss takes, by its name; an unknown loss gets numbers of the output's shape."""
    name = name_of(loss)
    width = output.shape[-1] if output.ndim > 1 else 1
    if "ctc" in name:
        return Kind(True, width, is_labels=True)
    if "sparse" in name:
        return Kind(True, width)
    if "binary" in name or (name in ("crossentropy", "ce") and width == 1):
        return Kind(False, 1)
    return Kind(False, width if "categorical" in name or name in ("crossentropy", "ce", "kl_divergence") else 0)


def made(loss: Any, output: Array, seed: int, takes: Callable[[Array], bool]) -> tuple[Kind, Array]:
    """Return targets that a loss takes; they are found by trying, because the name of a user's function does not say it.

    Args:
        loss: as `compile` takes it.
        output: for which they are.
        seed: of the random numbers.
        takes: returns whether the loss with these targets can be computed and is finite.
    """
    named = kind_of(loss, output)
    by_name = [named] if named.classes or _is_of_keras(loss) else []
    for kind in dict.fromkeys((*by_name, *_others(output), named)):
        target = make(loss, output, kind, seed)
        if takes(target):
            return kind, target
    return named, make(loss, output, named, seed)


def given(loss: Any, output: Array, target: Array) -> tuple[Kind, Array]:
    """Return what given targets are, by the loss's name or else by their values, and the targets as an array."""
    kind, target = kind_of(loss, output), np.asarray(target)
    width = output.shape[-1] if output.ndim > 1 else 1
    if (
        not kind.classes
        and width > 1
        and target.dtype.kind in "iu"
        and target.shape in (output.shape[:-1], (*output.shape[:-1], 1))
    ):
        return Kind(True, width), target
    return kind, target


def _is_of_keras(loss: Any) -> bool:
    """Return whether a loss is one of Keras or masklib, whose name says what it takes."""
    module = getattr(loss, "__module__", None) or type(loss).__module__
    return loss is None or isinstance(loss, str) or str(module).partition(".")[0] in ("keras", "masklib")


def _others(output: Array) -> list[Kind]:
    """Return the possible kinds of targets for an output, the likeliest first."""
    width = output.shape[-1] if output.ndim > 1 else 1
    if width == 1:
        return [Kind(False, 0), Kind(False, 1)]
    dense, sparse, numbers = Kind(False, width), Kind(True, width), Kind(False, 0)
    is_probability = np.allclose(output.sum(axis=-1), 1.0, atol=1e-3) and (output >= 0).all()
    labels = [Kind(True, width, is_labels=True)] if output.ndim == 3 and output.shape[1] != LABELS else []
    return [dense, *labels, sparse, numbers] if is_probability else [numbers, *labels, sparse, dense]


def make(loss: Any, output: Array, kind: Kind, seed: int) -> Array:
    """Return targets for an output; more than half of the classes are the predicted ones, so that accuracy is neither 0 nor 1."""
    rng = np.random.default_rng([seed, 7])
    name = name_of(loss)
    if kind.is_labels:  # neither 0 nor the last class, because one of them is the blank
        return rng.integers(1, max(kind.classes - 1, 2), (len(output), LABELS)).astype(np.int32)
    if kind.classes == 1:
        said = output > np.median(output)
        return np.asarray(np.where(rng.random(output.shape) < 0.6, said, ~said), dtype=np.float32)
    if kind.classes:
        classes = np.where(
            rng.random(output.shape[:-1]) < 0.6, output.argmax(-1), rng.integers(0, kind.classes, output.shape[:-1])
        )
        return classes.astype(np.int32) if kind.is_sparse else np.eye(kind.classes, dtype=np.float32)[classes]
    drawn = rng.normal(0.0, float(output.std()) or 1.0, output.shape)
    drawn = np.abs(drawn) + 0.1 if any(word in name for word in POSITIVE) else np.sign(drawn) if "hinge" in name else drawn
    return drawn.astype(np.float32)


def paddings(loss: Any, kind: Kind, target_pad: float | None) -> list[Any]:
    """Return the values that padded steps of targets may hold, the likeliest first.

    Args:
        loss: as `compile` takes it.
        kind: of the targets.
        target_pad: the value that the user gave; None if none.
    """
    if target_pad is not None:
        return [target_pad]
    thing = loss_object(loss, max(kind.classes, 1), is_sparse=kind.is_sparse)
    own = [_own(thing, name) for name in ("ignore_class", "mask_value")]
    last = [float(kind.classes - 1)] if kind.is_sparse else []
    return list(dict.fromkeys(_hashable(one) for one in (*own, *CUSTOMARY, *last) if one is not None))


def found_padding(targets: Array, valid: NDArray[np.bool_]) -> float | None:
    """Return the number that all padded steps of targets (B, T, ...) hold; None if they hold several, or there are none."""
    held = np.unique(targets[~valid])
    return float(held[0]) if len(held) == 1 else None


def with_padding(targets: Array, valid: NDArray[np.bool_], value: Any) -> Array:
    """Return the targets with a value at padded steps."""
    filled = targets.copy() if float(np.min(value)).is_integer() or targets.dtype.kind == "f" else targets.astype(np.float32)
    filled[~np.broadcast_to(valid, filled.shape[: valid.ndim])] = np.asarray(value).astype(filled.dtype)
    return filled


def _own(thing: Any, name: str) -> Any:
    """Return a setting of a loss that says what it ignores: an attribute, or an argument of the function that it wraps."""
    config: dict[str, Any] = getattr(thing, "get_config", dict)()
    value = getattr(thing, name, None)
    return value if value is not None else config.get(name, (config.get("fn_kwargs") or {}).get(name))


def _hashable(value: Any) -> Any:
    """Return a value as a hashable one; it may be a list with one number per feature."""
    return tuple(np.ravel(value).tolist()) if isinstance(value, Sequence | np.ndarray) else float(value)
