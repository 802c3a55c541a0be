"""Targets for a model's losses, and what their padded steps may hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklib.auditing.borrowing.compiled import loss_object, name_of

Array = NDArray[Any]
CUSTOMARY = (0.0, -1.0, -100.0)  # what people write at padded steps of targets
LABELS = 2  # of a made sequence, for CTC: no more than the shortest input has steps
POSITIVE = ("poisson", "log", "percentage")  # in the names of losses of positive numbers


@dataclass(frozen=True)
class Kind:
    """What the targets of one output are.

    Attributes:
        is_sparse: whether they are class numbers, of one axis less than the output.
        classes: C, if each step has one of C classes; 0 if the targets are other numbers.
        is_labels: whether they are a shorter sequence of class numbers, which has its own steps, as CTC takes it.
    """

    is_sparse: bool
    classes: int
    is_labels: bool = False

    @property
    def phrase(self) -> str:
        """Return what they are, for a sentence."""
        if self.is_labels:
            return "labels of their own number of steps"
        numbers = (
            f"class numbers below {self.classes}" if self.is_sparse else "one-hot classes" if self.classes > 1 else "0 and 1"
        )
        return numbers if self.classes else "numbers of the output's shape"


def kind_of(loss: Any, output: Array) -> Kind:
    """Return what targets a loss takes for an output, by its name; what is not known is a number for each of the output's."""
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
    """Return targets that a loss takes, found by trying: a function of the user's own says nothing by its name.

    Args:
        loss: as `compile` takes it.
        output: that they are for.
        seed: of the draw.
        takes: whether the loss can be computed with targets, and is a number.
    """
    named = kind_of(loss, output)
    by_name = [named] if named.classes or _is_of_keras(loss) else []
    for kind in dict.fromkeys((*by_name, *_others(output), named)):
        target = make(loss, output, kind, seed)
        if takes(target):
            return kind, target
    return named, make(loss, output, named, seed)


def given(loss: Any, output: Array, target: Array) -> tuple[Kind, Array]:
    """Return what given targets are: by the loss's name, else by their own numbers; and themselves."""
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
    """Return whether a loss is one of Keras's own, whose name says what it takes."""
    module = getattr(loss, "__module__", None) or type(loss).__module__
    return loss is None or isinstance(loss, str) or str(module).partition(".")[0] in ("keras", "masklib")


def _others(output: Array) -> list[Kind]:
    """Return what targets may be for an output, the likeliest first."""
    width = output.shape[-1] if output.ndim > 1 else 1
    if width == 1:
        return [Kind(False, 0), Kind(False, 1)]
    dense, sparse, numbers = Kind(False, width), Kind(True, width), Kind(False, 0)
    is_probability = np.allclose(output.sum(axis=-1), 1.0, atol=1e-3) and (output >= 0).all()
    labels = [Kind(True, width, is_labels=True)] if output.ndim == 3 and output.shape[1] != LABELS else []
    return [dense, *labels, sparse, numbers] if is_probability else [numbers, *labels, sparse, dense]


def make(loss: Any, output: Array, kind: Kind, seed: int) -> Array:
    """Return targets for an output: a good half of the classes are what it says, so that accuracy is neither 0 nor 1."""
    rng = np.random.default_rng([seed, 7])
    name = name_of(loss)
    if kind.is_labels:  # neither 0 nor the last class, of which one is the blank
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
    """Return what padded steps of targets may hold, the likeliest first.

    Args:
        loss: as `compile` takes it.
        kind: of the targets.
        target_pad: what the user says.
    """
    if target_pad is not None:
        return [target_pad]
    thing = loss_object(loss, max(kind.classes, 1), is_sparse=kind.is_sparse)
    own = [_own(thing, name) for name in ("ignore_class", "mask_value")]
    last = [float(kind.classes - 1)] if kind.is_sparse else []
    return list(dict.fromkeys(_hashable(one) for one in (*own, *CUSTOMARY, *last) if one is not None))


def found_padding(targets: Array, valid: NDArray[np.bool_]) -> float | None:
    """Return the one number that all padded steps of targets (B, T, ...) hold; None if there are several, or none."""
    held = np.unique(targets[~valid])
    return float(held[0]) if len(held) == 1 else None


def with_padding(targets: Array, valid: NDArray[np.bool_], value: Any) -> Array:
    """Return targets whose padded steps hold a value."""
    filled = targets.copy() if float(np.min(value)).is_integer() or targets.dtype.kind == "f" else targets.astype(np.float32)
    filled[~np.broadcast_to(valid, filled.shape[: valid.ndim])] = np.asarray(value).astype(filled.dtype)
    return filled


def _own(thing: Any, name: str) -> Any:
    """Return what a loss says that it ignores: an attribute, or an argument of the function in it."""
    config: dict[str, Any] = getattr(thing, "get_config", dict)()
    value = getattr(thing, name, None)
    return value if value is not None else config.get(name, (config.get("fn_kwargs") or {}).get(name))


def _hashable(value: Any) -> Any:
    """Return a value that may be a list, one number a feature, as one that can be in a set."""
    return tuple(np.ravel(value).tolist()) if isinstance(value, Sequence | np.ndarray) else float(value)
