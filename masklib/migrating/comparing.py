"""Compares what two Keras compute with one model: outputs, loss, metrics and masks. NumPy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Row = Mapping[str, Any]  # of `masks_of_calls`
RECURRENT = ("RNN", "SimpleRNN", "LSTM", "GRU", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
PARTS = ("outputs", "loss", "metrics", "masks")


@dataclass(frozen=True)
class Observed:
    """What one Keras computed; see `masklib.migrating.observing.Observation`.

    Attributes:
        keras: its version.
        answer: the observation without its arrays.
        arrays: its arrays.
    """

    keras: str
    answer: Mapping[str, Any]
    arrays: Mapping[str, Array]

    def of(self, part: str) -> dict[str, Array]:
        """Return the arrays of "outputs" or "reported" by name."""
        return {name.partition("/")[2]: array for name, array in self.arrays.items() if name.startswith(f"{part}/")}

    def masks(self, row: int, kind: str) -> list[Array | None]:
        """Return the masks that a call got ("in") or handed on ("out"), one for each tensor."""
        count = self.answer["calls"][row]["masks_in" if kind == "in" else "masks"]
        return [self.arrays.get(f"masks/{row}/{kind}/{place}") for place in range(count)]


@dataclass(frozen=True)
class Difference:
    """Something that both compute, and that is not the same.

    Attributes:
        part: one of `PARTS`.
        of: the name of the output, the metric or the layer.
        said: how it differs, as a sentence.
        relative: difference relative to the scale; NaN for masks.
        kind: the class of a layer, and `config` its settings; "" and {} for others.
        config: see `kind`.
        was, now: of a mask: whether there is one.
        with_state: of an output: whether the model calls a recurrent layer with an initial state.
        masks_in: of a layer: "equal masks", "different masks", "one mask missing"; "" for one input.
        follows: whether the masks that the layer got differ already.
    """

    part: str
    of: str
    said: str
    relative: float = float("nan")
    kind: str = ""
    config: Mapping[str, Any] | None = None
    was: bool = False
    now: bool = False
    with_state: bool = False
    masks_in: str = ""
    follows: bool = False


@dataclass(frozen=True)
class Comparison:
    """What was compared.

    Attributes:
        differences: in the order of `PARTS`.
        same: what is the same, by part.
        gaps: what could not be compared, by part, with the reason.
    """

    differences: list[Difference]
    same: dict[str, list[str]]
    gaps: list[tuple[str, str]]

    @property
    def exit_status(self) -> int:
        """1: something differs; 2: something could not be compared; 0: all is the same."""
        return 1 if self.differences else 2 if self.gaps else 0


def compare(first: Observed, second: Observed) -> Comparison:
    """Return how what two Keras compute with one model differs.

    Args:
        first: of the older, or the one that a user comes from.
        second: of the other one.
    """
    found = Comparison([], {part: [] for part in PARTS}, [])
    _compare_numbers(first, second, "outputs", found)
    if first.answer["has_loss"] != second.answer["has_loss"]:
        found.gaps.append(("loss", f"only {_with_loss(first, second)} has the loss of the model"))
    elif first.answer["has_loss"]:
        _compare_numbers(first, second, "reported", found)
    _compare_masks(first, second, found)
    found.differences.sort(key=lambda one: PARTS.index(one.part))  # Keras 3 reports metrics before the loss
    return found


def _with_loss(first: Observed, second: Observed) -> str:
    """Return the Keras in which the model has a loss."""
    return f"Keras {(first if first.answer['has_loss'] else second).keras}"


def _compare_numbers(first: Observed, second: Observed, part: str, found: Comparison) -> None:
    """Compare outputs, or what `evaluate` reports."""
    told = "loss" if part == "reported" else part
    if why := _failure(first, second, told):
        found.gaps.append((told, why))
        return
    one, other = first.of(part), second.of(part)
    if part == "reported" and (why := _failure(first, second, "metrics")):
        found.gaps.append(("metrics", why))
        one, other = ({name: value for name, value in of.items() if _is_loss(name)} for of in (one, other))
    if set(one) != set(other) and len(one) == len(other) and part == "outputs":
        other = dict(zip(one, other.values(), strict=True))  # versions name outputs otherwise
    for name in dict.fromkeys((*one, *other)):
        kind = part if part == "outputs" else "loss" if _is_loss(name) else "metrics"
        if name not in one or name not in other:
            has = first.keras if name in one else second.keras
            found.gaps.append((kind, f"only Keras {has} reports {name!r}"))
            continue
        both = (first.answer["tolerances"], second.answer["tolerances"])
        allowed = max(float(of.get(f"{part}/{name}", 0.0)) for of in both)
        said, relative = _apart(one[name], other[name], allowed, first.keras, second.keras)
        if said:
            with_state = kind == "outputs" and any(row["has_state"] and row["kind"] in RECURRENT for row in first.answer["calls"])
            found.differences.append(Difference(kind, name, said, relative, with_state=with_state))
        else:
            found.same[kind].append(name)


def _is_loss(name: str) -> bool:
    """Return whether a reported number is a loss, such as "loss" or "tags_loss"."""
    return f"_{name}".endswith("_loss")


def _failure(first: Observed, second: Observed, part: str) -> str:
    """Return why a part could not be computed on a side; "" if it could on both."""
    sides = [f"Keras {one.keras}: {one.answer['failed'][part]}" for one in (first, second) if part in one.answer["failed"]]
    return "; ".join(sides)


def _apart(first: Array, second: Array, allowed: float, was: str, now: str) -> tuple[str, float]:
    """Return how two results differ, with the difference relative to their scale; "" if by no more than the noise."""
    if first.shape != second.shape:
        return f"has shape {first.shape} in Keras {was}, {second.shape} in Keras {now}", float("inf")
    a, b = first.astype(np.float64), second.astype(np.float64)
    with np.errstate(invalid="ignore"):
        is_same = (a == b) | (np.isnan(a) & np.isnan(b))
        gap = np.where(is_same, 0.0, np.where(np.isfinite(a) & np.isfinite(b), np.abs(a - b), np.inf))
    scale = float(np.abs(a, where=np.isfinite(a), out=np.zeros(a.shape)).max(initial=0.0)) or 1.0
    relative = float(gap.max(initial=0.0)) / scale
    if relative <= allowed:
        return "", relative
    if not a.ndim:
        both = f"{_number(a)} in Keras {was}, {_number(b)} in Keras {now}"
        return f"{both}: {relative:.2%} apart, noise up to {allowed:.1e}", relative
    at = np.unravel_index(int(gap.argmax()), gap.shape)
    where = f"largest at {tuple(map(int, at))}: {_number(a[at])} in Keras {was}, {_number(b[at])} in Keras {now}"
    return f"differs by {relative:.2%} of its scale, noise up to {allowed:.1e}; {where}", relative


def _number(value: Any) -> str:
    """Return a number as text."""
    return f"{float(value):.6g}"


def _compare_masks(first: Observed, second: Observed, found: Comparison) -> None:
    """Compare the masks that layers hand on."""
    if why := _failure(first, second, "masks"):
        found.gaps.append(("masks", why))
        return
    pairs, alone = _paired(first.answer["calls"], second.answer["calls"])
    for name, keras in ((name, keras) for names, keras in zip(alone, (first.keras, second.keras), strict=True) for name in names):
        found.gaps.append(("masks", f"only Keras {keras} calls the layer {name!r}"))
    for i, j in pairs:
        difference = _of_layer(first, second, i, j)
        if difference:
            found.differences.append(difference)
        else:
            found.same["masks"].append(first.answer["calls"][i]["layer"])


def _paired(first: Sequence[Row], second: Sequence[Row]) -> tuple[list[tuple[int, int]], list[list[str]]]:
    """Return which calls belong together: those of one name, or in their order if all classes are the same; and the others."""
    names = [[str(row["layer"]) for row in rows] for rows in (first, second)]
    if [row["kind"] for row in first] == [row["kind"] for row in second] and set(names[0]) != set(names[1]):
        return [(i, i) for i in range(len(first))], [[], []]
    place = {name: j for j, name in enumerate(names[1])}
    pairs = [(i, place[name]) for i, name in enumerate(names[0]) if name in place]
    return pairs, [[one for one in own if one not in other] for own, other in (names, names[::-1])]


def _of_layer(first: Observed, second: Observed, i: int, j: int) -> Difference | None:
    """Return how the masks differ that one call of a layer hands on, or takes off what it got; None if they are the same."""
    was, now = first.masks(i, "out"), second.masks(j, "out")
    row, other = first.answer["calls"][i], second.answer["calls"][j]
    given = first.masks(i, "in")
    follows = not _equal(_present(given), _present(second.masks(j, "in")))
    is_equal = _equal(was, now)
    if is_equal and (follows or row["unmasks"] == other["unmasks"]):
        return None
    return Difference(
        part="masks",
        of=row["layer"],
        said=_unmasks(first, second, row) if is_equal else _said(was, now, first.keras, second.keras),
        kind=row["kind"],
        config=row["config"],
        was=any(mask is not None for mask in was),
        now=any(mask is not None for mask in now),
        masks_in=_merged(given),
        follows=follows,
    )


def _said(was: Sequence[Array | None], now: Sequence[Array | None], old: str, new: str) -> str:
    """Return which masks a call hands on in both Keras."""
    said = f"{_hands_on(was)} in Keras {old}, {_hands_on(now)} in Keras {new}"
    if len(was) == len(now) == 1 and was[0] is not None and now[0] is not None and was[0].shape == now[0].shape:
        said = f"{said}; they differ at {int((was[0] != now[0]).sum())} of {was[0].size} steps"
    return said


def _unmasks(first: Observed, second: Observed, row: Row) -> str:
    """Return which Keras takes the mask off the input of a layer."""
    does, does_not = (first, second) if row["unmasks"] else (second, first)
    return f"takes the mask off its input, for all layers after it, in Keras {does.keras}, not in Keras {does_not.keras}"


def _present(masks: Sequence[Array | None]) -> list[Array | None]:
    """Return the masks that are there: versions list other tensors, such as states, at other places."""
    return [mask for mask in masks if mask is not None]


def _equal(first: Sequence[Array | None], second: Sequence[Array | None]) -> bool:
    """Return whether two lists of masks are the same."""

    def same(one: Array | None, other: Array | None) -> bool:
        return one is other if one is None or other is None else np.array_equal(one, other)

    return len(first) == len(second) and all(map(same, first, second))


def _hands_on(masks: Sequence[Array | None]) -> str:
    """Return which masks a call hands on, as text."""
    told = ["no mask" if mask is None else f"a mask {mask.shape}, {int(mask.sum())} of {mask.size} valid" for mask in masks]
    return f"hands on {' and '.join(told) or 'nothing'}"


def _merged(masks: Sequence[Array | None]) -> str:
    """Return which masks a merging layer gets, in the words of the atlas; "" for fewer than two tensors."""
    if len(masks) < 2:
        return ""
    if any(mask is None for mask in masks):
        return "one mask missing"
    return "equal masks" if all(_equal(masks[:1], [one]) for one in masks[1:]) else "different masks"
