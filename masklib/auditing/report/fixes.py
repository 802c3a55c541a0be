"""What to write instead, as code for this model: with the names of its inputs, layers, losses and metrics.

Only code that is known to be right for this model is returned: a mask is passed to layers whose `call` takes one, and a loss or
metric is replaced by that of masklib which computes the same for a step.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from masklib.auditing.borrowing import compiled
from masklib.auditing.borrowing.structures import flatten
from masklib.auditing.invariance.results import PaddingCheck
from masklib.auditing.tracing.calls import Call
from masklib.auditing.tracing.graph import calls_before

MOST = 4  # layers that get a line of their own; the others are only named
LOSSES = {
    "mse": "MaskedMeanSquaredError",
    "mean_squared_error": "MaskedMeanSquaredError",
    "mae": "MaskedMeanAbsoluteError",
    "mean_absolute_error": "MaskedMeanAbsoluteError",
    "categorical_crossentropy": "MaskedCategoricalCrossentropy",
    "sparse_categorical_crossentropy": "MaskedSparseCategoricalCrossentropy",
    "binary_crossentropy": "MaskedBinaryCrossentropy",
}
OF_STEPS = ("mae", "mse", "mean_absolute_error", "mean_squared_error", *LOSSES)  # names that MaskedMean takes
HANDED = ("MSK101", "MSK102", "MSK103", "MSK104", "MSK105", "MSK106", "MSK109", "MSK401")
CLEARED = ("MSK101", "MSK116")
LOWERED = "MSK115"


@dataclass(frozen=True)
class Fixes:
    """Returns fixes for one model.

    Attributes:
        model: that was tested.
        calls: of its trace.
        check: what was tested.
    """

    model: Any
    calls: Sequence[Call]
    check: PaddingCheck

    def of(self, code: str, where: str, after: Sequence[tuple[str, str]] = ()) -> str:
        """Return the lines for a finding and for other causes, code and path, that must also be fixed; "" if none are known."""
        causes = [(code, where.strip("'")), *after]
        if all(one in (*HANDED, *CLEARED, LOWERED) for one, _ in causes):
            return self._with_mask(causes)
        if code == "MSK201":
            return self._masked_loss()
        if code in ("MSK302", "MSK303", "MSK304"):
            return self._masked_metric(where.removeprefix("metric ").strip("'"))
        return ""

    def _with_mask(self, causes: Sequence[tuple[str, str]]) -> str:
        """Return lines that make the mask and use it, in the order of the calls."""
        mask, lost = self._mask(), {path for code, path in causes if code in HANDED}
        known = {call.path: call for call in self.calls}
        changed = [known.get(path) for code, path in causes if code in (*CLEARED, LOWERED)]
        if not mask or not lost <= set(known) or not all(map(_gets_features, changed)):
            return ""
        given = {one.path: line for one in self.calls if lost and self._is_after(one, lost) and (line := _handed(one))}
        if lost and not given:
            return ""
        lines = [line for one in self.calls for line in self._lines_at(one, causes, dict(list(given.items())[:MOST]))]
        others = ", ".join(dict.fromkeys(str(known[path].operation.name) for path in list(given)[MOST:]))
        return "\n".join([mask, *dict.fromkeys(lines), *([f"# and in the same way to {others}"] if others else [])])

    def _is_after(self, call: Call, paths: set[str]) -> bool:
        """Return whether a call is one of those with these paths, or is computed from one of them."""
        return call.path in paths or any(one.path in paths for one in calls_before(call, self.calls))

    @staticmethod
    def _lines_at(call: Call, causes: Sequence[tuple[str, str]], given: Mapping[str, str]) -> Iterator[str]:
        """Yield the lines for one call: masked steps set to 0 before it, and the call with the mask."""
        codes = {code for code, path in causes if path == call.path}
        if codes.intersection(CLEARED):
            yield f"x = x * ops.cast(mask[..., None], x.dtype)  # before {call.path!r}"
        if LOWERED in codes:
            yield f"x = ops.where(mask[..., None], x, -1e9)  # before {call.path!r}"
        if call.path in given:
            yield given[call.path]

    def _mask(self) -> str:
        """Return the line that makes the mask of the only input; "" with several inputs, or if no value marks the padding."""
        tensors = list(getattr(self.model, "inputs", None) or [])
        arrays = [np.asarray(one) for one in flatten(self.check.inputs)[1]]
        if len(tensors) != 1 or len(arrays) != 1:
            return ""
        given = str(tensors[0].name)
        name = given if given.isidentifier() and not given.startswith("keras_tensor") else "inputs"
        written = (_of_value(name, arrays[0], valid) for valid in self.check.valid)
        return next((line for line in written if line), "")

    def _masked_loss(self) -> str:
        """Return the lines that compile a model of one output with a loss of masklib in place of Keras's."""
        found = LOSSES.get(self._loss)
        if found is None or not _is_plain(self.model.loss):
            return ""
        logits = ", from_logits=True" if getattr(self.model.loss, "from_logits", False) else ""
        compiled_so = _compile("optimizer=model.optimizer", f"loss=masklib.losses.{found}(mask_value=-1{logits})")
        return f"# padded steps of the targets hold -1; beside your other arguments\n{compiled_so}"

    def _masked_metric(self, name: str) -> str:
        """Return the lines that compile a model with a metric of masklib in place of Keras's."""
        if name in ("accuracy", "acc") and self._loss.endswith("crossentropy"):
            name = self._loss.replace("crossentropy", "accuracy")
        elif name not in OF_STEPS:
            return ""
        metric = f"weighted_metrics=[masklib.metrics.MaskedMean({name!r})]"
        return f"# beside your other metrics and arguments\n{_compile('optimizer=model.optimizer', 'loss=model.loss', metric)}"

    @property
    def _loss(self) -> str:
        """The name of the loss of a model with one loss; "" if it has several or none."""
        loss = getattr(self.model, "loss", None)
        return "" if loss is None or isinstance(loss, (list, tuple, dict)) else compiled.name_of(loss)


def _gets_features(call: Call | None) -> bool:
    """Return whether a call gets one tensor (B, T, F)."""
    return call is not None and [len(shape) for shape in call.shapes_in] == [3]


def _of_value(name: str, array: Any, valid: Any) -> str:
    """Return the line that makes a mask by comparing with the value of padded steps; "" if no value marks exactly these steps."""
    held: Any = np.unique(array[~valid]) if array.shape[: valid.ndim] == valid.shape else []
    if len(held) != 1:
        return ""
    differs = array != held[0]
    if array.ndim == 2 and np.array_equal(differs, valid):
        return f"mask = {name} != {held[0]}"
    return f"mask = ops.any({name} != {held[0]}, axis=-1)" if np.array_equal(differs.any(axis=-1), valid) else ""


def _is_plain(loss: Any) -> bool:
    """Return whether a loss is one of Keras's with default settings, except that it may take logits."""
    if isinstance(loss, str):
        return True
    if not str(getattr(loss, "__module__", type(loss).__module__)).startswith("keras."):
        return False
    if not isinstance(loss, keras.losses.Loss):
        return True
    own, usual = ({**one.get_config(), "name": "", "from_logits": False} for one in (loss, type(loss)()))
    return bool(own == usual)


def _compile(*arguments: str) -> str:
    """Return a call of `compile`, with one argument per line."""
    return "\n".join(["model.compile(", *(f"    {one}," for one in arguments), ")"])


def _handed(call: Call) -> str:
    """Return the line that passes the mask to a Keras layer at the top level of the model; "" if it does not take one mask."""
    operation = call.operation
    if call.depth or not isinstance(operation, keras.layers.Layer) or not call.takes_mask:
        return ""
    taken = inspect.signature(operation.call).parameters
    if len(call.shapes_in) == 1 and "mask" in taken:
        return f"x = {operation.name}(x, mask=mask)"
    if len(call.shapes_in) == 2 and len(set(call.sources)) == 1 and {"query_mask", "value_mask"} <= set(taken):
        return f"attended = {operation.name}(x, x, query_mask=mask, value_mask=mask)"
    return ""
