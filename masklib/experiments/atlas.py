"""What a layer does with a mask, by its behaviour: the rows of the atlas of layers, notebook 12.

Every layer is called with x (B, T, ...) that carries a mask, and looked at from outside: which mask arrives after it, which
output positions follow from which steps, what comes out at masked steps, and what goes back to them in training.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from masklib import compat
from masklib.experiments import data, measure
from masklib.experiments.layer_cases import CLASSES, Case
from masklib.experiments.masked_layers import IS_JAX, Offset
from masklib.layers import NO_MASK, GivenMask, MaskProbe

Array = NDArray[Any]
Row = dict[str, str]

STEPS = 4
_LAYOUTS = ("1111", "1110", "1100", "1000", "0011", "0111", "1011", "0000")
LAYOUTS = np.array([[letter == "1" for letter in layout] for layout in _LAYOUTS])  # (L, T), True = valid
POST, EMPTY = slice(1, 4), 7  # rows of LAYOUTS: with padding after the sequence; without a valid step
FLOAT32 = 1e-5  # outputs of order 1, after a few float32 operations
KEPT, CHANGED, GONE, ENDED = "kept", "changed", "gone", "used and ended"
MADE, NONE, ERROR, NO_SEQUENCE, NOT_HERE = "made", "none", "error", "takes no sequence", "not measured"
FAILS = "fails without a mask, too"
JUDGED = (KEPT, CHANGED, MADE, GONE, ENDED)  # what becomes of the mask of a sequence
YES, NO, UNLESS_LAST, NA = "yes", "no", "unless padding comes last", ""
COLUMNS = (
    *("takes a mask", "supports_masking", "mask", "warns", "uses the mask", "mixes padding in", "mask fits"),
    *("gradient at padding", "at masked steps", "without a valid step", "compiled as eager", "why"),
)


class Seen(NamedTuple):
    """What came out of a layer.

    Attributes:
        output: (L, T + 1, ...): for each layout the sample as it is, and with other content at one step after the other.
        mask: (L, T'), True = valid, of the sample as it is; None if none goes on.
    """

    output: Array
    mask: Array | None


class Probe:
    """A model of one layer, whose outputs are the layer's and the mask after it.

    Args:
        case: the layer.
        seed: of weights and data.
        masked: whether x carries a mask.

    Attributes:
        warns: whether Keras warned about a mask.
    """

    def __init__(self, case: Case, seed: int, *, masked: bool):
        self.case, self.seed, self.masked = case, seed, masked
        x = keras.Input((STEPS, *case.step), dtype="int32" if case.step == () else "float32")
        mask = keras.Input((STEPS,), dtype="bool")
        with measure.warned() as caught:
            carried = Offset(name="offset")(GivenMask()([x, mask])) if masked else x
            output = _first(case.call(case.make(), carried))
            self.model = keras.Model([x, mask] if masked else x, [output, MaskProbe()(output)])
        self.warns = measure.about_masks(caught) > 0
        _draw_weights(self.model, seed)

    def look(self, valid: Array, *, compiled: bool = False) -> Seen:
        """Return what comes out under the masks (L, T), by a call of the model, or by `predict`, which compiles it."""
        x = draw(self.case, self.seed)
        inputs = [x, np.repeat(valid, STEPS + 1, axis=0)] if self.masked else x
        found = self.model.predict(inputs, batch_size=len(x), verbose=0) if compiled else measure.predict(self.model, inputs)
        output, probed = (np.asarray(one).reshape(len(LAYOUTS), STEPS + 1, *np.shape(one)[1:]) for one in found)
        return Seen(output, None if (probed == NO_MASK).all() else probed[:, 0].astype(bool))

    def gradient(self) -> str:
        """Return what a loss over the valid steps sends back to padded steps: "zero" or "not zero"; "" if it sends nothing."""
        valid = np.repeat(LAYOUTS[2:3], 2, axis=0)  # (2, T), two of four steps
        x = data.draw_floats(self.seed, (2, STEPS, *self.case.step))
        alone = keras.Model(self.model.inputs, self.model.outputs[0])
        direction = data.draw_floats(self.seed + 1, np.shape(measure.predict(alone, [x, valid])))
        if direction.ndim > 2 and direction.shape[1] == STEPS:
            direction = direction * valid.reshape(2, STEPS, *[1] * (direction.ndim - 2))
        before = alone.get_weights()
        compat.compile_model(alone, _along, compat.gradient_descent(1.0), run_eagerly=not IS_JAX)
        alone.train_on_batch([x, valid], direction.astype("float32"))
        index = next(place for place, weight in enumerate(alone.weights) if _is_offset(weight))
        moved = np.abs(before[index] - np.asarray(alone.get_weights()[index]))
        if not moved[valid[0]].max(initial=0) > FLOAT32:
            return NA
        return "zero" if moved[~valid[0]].max(initial=0) <= FLOAT32 else "not zero"


def draw(case: Case, seed: int) -> Array:
    """Return x (L (T + 1), T, ...): for each layout one sample, and the same with other content at one step after the other."""
    random = np.random.default_rng([seed, 17])
    shape = (2, len(LAYOUTS), STEPS)
    if case.step == ():
        x, other = random.integers(1, CLASSES, shape)
        other = np.where(other == x, x % (CLASSES - 1) + 1, other)
        x[:, -1] = 0  # padding, which a layer may mask
    else:
        x, other = random.standard_normal((*shape, *case.step)).astype("float32")
        x[:, -1] *= case.carries  # else 0: padding, which a layer may mask
    many = np.repeat(x[:, None], STEPS + 1, axis=1)
    for step in range(STEPS):
        many[:, step + 1, step] = other[:, step]
    found: Array = many.reshape(-1, *x.shape[1:])
    return found


def describe(case: Case, seed: int) -> Row:
    """Return a row of the atlas: what a layer does with the mask of its input.

    Args:
        case: of `layer_cases.cases`.
        seed: of weights and data.

    Returns:
        Texts by column; "" where a question makes no sense. `mask` is "kept", "changed", "made" (none came in), "gone", "used and
        ended" (taken, and no steps are left), "none" (none came in, none goes on), "takes no sequence" or "error", with `why`.
    """
    row = {"layer": case.layer, "family": case.family, "setting": case.setting, **dict.fromkeys(COLUMNS, NA)}
    try:
        with measure.warned():  # what Keras says is counted once, where the layer is called first
            layer = case.make()
            takes = takes_mask(layer)
            if not case.inside:
                row |= {"takes a mask": _yes(takes), "supports_masking": _yes(getattr(layer, "supports_masking", False))}
            return row | (_of_pictures(layer) if case.family == "pictures" else _of_sequences(case, seed, takes=takes))
    except Exception as error:  # whatever Keras raises is the finding
        return row | {"mask": _after_error(case, seed, error), "why": _said(error)}


def takes_mask(layer: Any) -> bool:
    """Return whether the call of a layer has an argument for a mask."""
    return bool({"mask", "query_mask"} & set(inspect.signature(layer.call).parameters))


def _of_pictures(layer: Any) -> Row:
    """Return what is said of a layer that takes pictures, after it took some."""
    layer(np.full((2, 8, 8, 3), 0.5, "float32"))
    return {"mask": NO_SEQUENCE, "why": "It takes pictures (B, H, W, C)."}


def _of_sequences(case: Case, seed: int, *, takes: bool) -> Row:
    """Return what a layer does with sequences; one of ids gets them without a mask."""
    probe = Probe(case, seed, masked=case.carries)
    seen = probe.look(LAYOUTS)
    if not probe.masked:
        return {"mask": NONE if seen.mask is None else MADE}
    ends = takes and not probe.warns and not _has_steps(seen.output[:, 0])
    return {"mask": became(seen.mask, ends=ends), "warns": _yes(probe.warns), **_of_outputs(probe, seen)}


def _after_error(case: Case, seed: int, error: Exception) -> str:
    """Return what an error means: "error" where the mask is its cause, since the layer works without one."""
    if isinstance(error, ImportError):
        return NOT_HERE  # it needs another library
    without = measure.attempt(lambda: float(Probe(case, seed, masked=False).look(LAYOUTS).output.size))
    if case.family != "pictures" and not without.error:
        return ERROR
    return NO_SEQUENCE if "ndim" in str(error) else FAILS


def became(mask: Array | None, *, ends: bool) -> str:
    """Return what became of the masks `LAYOUTS` after a layer.

    Args:
        mask: (L, T'), after it; None for none.
        ends: whether the layer takes the mask, and puts out no steps that could carry it on.
    """
    if mask is None:
        return ENDED if ends else GONE
    return KEPT if np.array_equal(mask, LAYOUTS) else CHANGED


def _of_outputs(probe: Probe, seen: Seen) -> Row:
    """Return what the outputs say: what follows from padding, and what comes out where there is nothing but padding."""
    if _moves(probe.look(LAYOUTS).output, seen.output):
        return {"why": "Its output is random in inference, too."}
    unmasked, compiled, moved = probe.look(np.ones_like(LAYOUTS)), probe.look(LAYOUTS, compiled=True), influence(seen.output)
    return {
        "uses the mask": _yes(_moves(seen.output[:EMPTY, 0], unmasked.output[:EMPTY, 0])),
        "mixes padding in": mixes(moved, seen.mask),
        "mask fits": fits(moved, seen.mask),
        "gradient at padding": probe.gradient() if np.issubdtype(seen.output.dtype, np.floating) else NA,
        "at masked steps": at_masked_steps(seen.output[:, 0], unmasked.output[:, 0]),
        "without a valid step": _kind(seen.output[EMPTY, 0]),
        "compiled as eager": _yes(not _moves(compiled.output, seen.output) and _same(compiled.mask, seen.mask)),
    }


def influence(output: Array) -> Array:
    """Return which output positions follow from which steps.

    Args:
        output: (L, T + 1, P, ...), for each layout the sample as it is, and with other content at one step after the other.

    Returns:
        Bool (L, T, P): whether position p of sample l moves with step t. An output (L, T + 1) has one position.
    """
    output = output[..., None] if output.ndim == 2 else output
    moved = np.abs(np.nan_to_num(output[:, 1:]) - np.nan_to_num(output[:, :1]))  # (L, T, P, ...)
    found: Array = moved.reshape(*moved.shape[:3], -1).max(axis=-1, initial=0) > FLOAT32
    return found


def mixes(moved: Array, mask: Array | None) -> str:
    """Return whether padding changes what comes out for valid steps: "yes", "no", or "unless padding comes last".

    What comes out for valid steps are the positions of the valid steps, where the output has the steps of the input; those that
    the mask after the layer calls valid, where it has others; else all that follow from a valid step.

    Args:
        moved: bool (L, T, P), from `influence`.
        mask: (L, T'), the mask after the layer; None for none.
    """
    count = moved.shape[2]
    fitting = mask is not None and mask.shape[1] == count
    asked: Any = LAYOUTS if count == STEPS else mask if fitting else _from(moved, LAYOUTS)
    mixed: Array = (_from(moved, ~LAYOUTS) & asked).any(axis=1)  # (L,)
    return YES if mixed[POST].any() else UNLESS_LAST if mixed.any() else NO


def fits(moved: Array, mask: Array | None) -> str:
    """Return whether each position that the mask after a layer calls valid follows from a valid step; "" without such a mask.

    Args:
        moved: bool (L, T, P), from `influence`.
        mask: (L, T'), True = valid; None for none.
    """
    if mask is None:
        return NA
    return _yes(mask.shape[1] == moved.shape[2] and (_from(moved, LAYOUTS) | ~mask).all())


def _from(moved: Array, steps: Array) -> Array:
    """Return which positions (L, P) follow from these steps (L, T)."""
    found: Any = (moved & steps[:, :, None]).any(axis=1)
    return np.asarray(found)


def at_masked_steps(output: Array, unmasked: Array) -> str:
    """Return what comes out at masked steps: "zeros", "repeats the step before", "as if valid" or "other"; "" for other steps.

    Args:
        output: (L, T', ...), with the mask.
        unmasked: the same without one.
    """
    if not _has_steps(output):
        return NA
    masked: Any = ~LAYOUTS & LAYOUTS.any(axis=1, keepdims=True)
    before = np.concatenate([np.zeros_like(output[:, :1]), output[:, :-1]], axis=1)
    candidates: dict[str, Array] = {"zeros": np.zeros_like(output), "repeats the step before": before, "as if valid": unmasked}
    return next((name for name, one in candidates.items() if not _moves(output[masked], one[masked])), "other")


@compat.register_serializable
class Average(keras.layers.Layer):  # type: ignore[misc] # Keras publishes no types
    """A wrong layer, to be found out: says that it supports masks, and adds to each step the average of all, padding included."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Return x (B, T, F) with its average over the steps."""
        return inputs + keras.ops.mean(inputs, axis=1, keepdims=True)


@compat.register_serializable
class Shift(keras.layers.Layer):  # type: ignore[misc]
    """A wrong layer, to be found out: moves every step by one, and hands on the mask as it was."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Return x (B, T, F), the last step first."""
        return keras.ops.roll(inputs, 1, axis=1)


def controls() -> list[tuple[Case, Row]]:
    """Return layers whose behaviour is known, with what must be found: two that are wrong, and one that does nothing."""
    return [
        (Case("controls", "Average", "", Average), {"mask": KEPT, "mixes padding in": YES, "gradient at padding": "not zero"}),
        (Case("controls", "Shift", "", Shift), {"mask": KEPT, "mask fits": NO, "mixes padding in": YES}),
        (Case("controls", "Identity", "", keras.layers.Identity), {"mask": KEPT, "mask fits": YES, "mixes padding in": NO}),
    ]


def merge(name: str, axis: int | None = None) -> list[Row]:
    """Return the rows of a merging layer: equal and different masks, and one missing.

    Args:
        name: in `keras.layers`.
        axis: of `Concatenate`; None for the layer's own.
    """
    first, second = LAYOUTS[2:3], LAYOUTS[6:7]
    pairs: dict[str, list[Array | None]] = {"equal": [first, first], "different": [first, second], "one missing": [first, None]}
    options = {"axes": 2} if name == "Dot" else {} if axis is None else {"axis": axis}
    setting = ", ".join(f"{key}={value}" for key, value in options.items())
    return [{"layer": name, "setting": setting, "masks": what, **_merged(name, options, pair)} for what, pair in pairs.items()]


def _merged(name: str, options: Mapping[str, int], pair: Sequence[Array | None]) -> Row:
    """Return what becomes of two masks (1, T), the second of which may be missing."""
    inputs, present = [keras.Input((STEPS, 4)) for _ in pair], [mask for mask in pair if mask is not None]
    given = [keras.Input((STEPS,), dtype="bool") for _ in present]
    with measure.warned() as caught:
        try:
            carried = [GivenMask()([x, mask]) for x, mask in zip(inputs, given, strict=False)] + inputs[len(given) :]
            model = keras.Model([*inputs, *given], MaskProbe()(getattr(keras.layers, name)(**options)(carried)))
            probed = np.asarray(measure.predict(model, [*[np.ones((1, STEPS, 4), "float32")] * 2, *present]))
        except Exception as error:  # whatever Keras raises is the finding
            return {"merged mask": ERROR, "rule": NA, "warns": NA, "why": _said(error)}
    told = {"warns": _yes(measure.about_masks(caught) > 0), "why": NA}
    if (probed == NO_MASK).all():
        return {"merged mask": NONE, "rule": "dropped", **told}
    filled = [np.ones((1, STEPS), dtype=bool) if mask is None else mask for mask in pair]
    rules = {"AND": np.all(filled, axis=0), "OR": np.any(filled, axis=0), "one after the other": np.concatenate(filled, axis=1)}
    fitting = [rule for rule, mask in rules.items() if np.array_equal(mask, probed.astype(bool))]
    return {"merged mask": "".join(str(int(one)) for one in probed[0]), "rule": " or ".join(fitting), **told}


def operations() -> dict[str, Callable[[Any], Any]]:
    """Return operators and functions of `keras.ops` on x (B, T, F), by name."""
    ops = keras.ops
    return {
        "x + 1": lambda x: x + 1.0,
        "x * x": lambda x: x * x,
        "-x": lambda x: -x,
        "x > 0": lambda x: ops.cast(x > 0, "float32"),
        "x[:, 1:]": lambda x: x[:, 1:],
        "x[:, -1]": lambda x: x[:, -1],
        **{
            f"ops.{name} over steps": partial(getattr(ops, name), axis=1)
            for name in ("sum", "mean", "max", "cumsum", "softmax", "flip")
        },
        "ops.roll over steps": lambda x: ops.roll(x, 1, axis=1),
        "ops.sum over features": lambda x: ops.sum(x, axis=-1, keepdims=True),
        "ops.expand_dims": lambda x: ops.expand_dims(x, 2),
        "ops.reshape": lambda x: ops.reshape(x, (-1, STEPS, 2, x.shape[-1] // 2)),
        "ops.transpose": lambda x: ops.transpose(x, (0, 2, 1)),
        "ops.concatenate over features": lambda x: ops.concatenate([x, x], axis=-1),
        "ops.stack over features": lambda x: ops.stack([x, x], axis=-1),
        "ops.matmul": lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
        **{f"ops.{name}": getattr(ops, name) for name in ("relu", "exp", "tanh")},
        "ops.where": lambda x: ops.where(x > 0, x, ops.zeros_like(x)),
        "ops.cast": lambda x: ops.cast(x, "float16"),
    }


def describe_operation(name: str, function: Callable[[Any], Any], seed: int) -> Row:
    """Return the row of an operator or function on tensors; columns as for `describe`."""
    row = {"family": "operators", "layer": name, "setting": NA, **dict.fromkeys(COLUMNS, NA)}
    try:
        probe = Probe(Case("operators", name, "", keras.layers.Identity, lambda _, x: function(x)), seed, masked=True)
        seen = probe.look(LAYOUTS)
    except Exception as error:  # whatever Keras raises is the finding
        return row | {"mask": ERROR, "why": _said(error)}
    mixed = mixes(influence(seen.output), seen.mask)
    return row | {"mask": became(seen.mask, ends=False), "warns": _yes(probe.warns), "mixes padding in": mixed}


def _draw_weights(model: Any, seed: int) -> None:
    """Give trainable weights values from the seed; the offset stays 0."""
    random = np.random.default_rng([seed, 18])
    for weight in model.trainable_weights:
        if not _is_offset(weight):
            weight.assign(random.standard_normal(weight.shape).astype("float32") * 0.5)


def _is_offset(weight: Any) -> bool:
    """Return whether a weight is the offset that a probe adds to each step."""
    return str(weight.path).endswith("offset/offset")


def _first(output: Any) -> Any:
    """Return the first of several outputs."""
    return _first(output[0]) if isinstance(output, list | tuple) else output


def _along(y_true: Any, y_pred: Any) -> Any:
    """Return the sum of outputs along a direction, as a loss."""
    return keras.ops.sum(keras.ops.cast(y_pred, "float32") * y_true)


def _has_steps(output: Array) -> bool:
    """Return whether an output (L, ...) has the steps of the input."""
    return output.ndim > 2 and output.shape[1] == STEPS


def _moves(one: Array, other: Array) -> bool:
    """Return whether two arrays differ by more than rounding; NaN equals NaN."""
    return not np.allclose(one, other, rtol=FLOAT32, atol=FLOAT32, equal_nan=True)


def _same(one: Array | None, other: Array | None) -> bool:
    """Return whether two masks are equal, or both are none."""
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _kind(output: Array) -> str:
    """Return what comes out of a sample without a valid step."""
    if not np.isfinite(output).all():
        return "NaN"
    return "numbers" if _moves(output, np.zeros_like(output)) else "zeros"


def _yes(is_so: Any) -> str:
    """Return "yes" or "no"."""
    return YES if is_so else NO


def _said(error: Exception) -> str:
    """Return what kind of error it is, and the first line that says something of its own."""
    lines = [
        re.sub(r"\x1b\[\d*m", "", line).strip()
        for line in str(error).splitlines()
        if line.strip() and not line.startswith("Exception encountered")
    ]
    return f"{type(error).__name__}: {next(iter(lines), '')[:140]}"
