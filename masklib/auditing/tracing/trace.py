"""The path of masks through a model: which calls get a mask, and what becomes of it."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from masklib.auditing.tracing.calls import Call, CallRecord, Mask
from masklib.auditing.tracing.outcomes import BAD, decide
from masklib.auditing.tracing.watch import record
from masklib.extras import imported

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLUMNS = ("path", "layer", "mask in", "mask to call", "mask out", "valid", "shape", "outcome")


@dataclass(frozen=True)
class Trace:
    """The calls of a model in the order in which they began.

    Attributes:
        calls: all of them.
        model: the name of the model.
    """

    calls: list[Call] = field(default_factory=list)
    model: str = ""

    @property
    def lost(self) -> list[Call]:
        """The calls that a user should look at: they lose the mask, do not use it, or make it True everywhere.

        A model or layer that contains such a call is not among them.
        """
        bad = [call for call in self.calls if call.outcome in BAD]
        return [call for call in bad if not any(other.path.startswith(f"{call.path}/") for other in bad)]

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per call: path, layer, mask in, mask to call, mask out, valid (share of the steps), shape, outcome.

        Masks are shown by one symbol per tensor: "m" with a mask, "-" without; for `call`, by one symbol per mask argument, and
        "not taken" if it has none. It needs pandas.
        """
        frame: pd.DataFrame = imported("pandas", "plot").DataFrame(self.rows(), columns=list(COLUMNS))
        return frame

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `to_frame`, each by the names of its columns."""
        return [_row(call) for call in self.calls]

    def __str__(self) -> str:
        """One line per call, indented by its depth, and the calls to look at."""
        cells = [
            [_indented(call), call.kind, *_signs(call), _percent(call.valid), _shapes(call), call.outcome] for call in self.calls
        ]
        head = ["call", "class", "in", "to call", "out", "valid", "shape", "outcome"]
        widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *cells]
        ]
        return "\n".join([*lines, "", self._summary()])

    def _summary(self) -> str:
        """Return the calls to look at, as text."""
        if not any(mask is not None for call in self.calls for mask in (*call.masks_out, *call.masks_got)):
            return "No call makes or gets a mask."
        if not self.lost:
            return "No mask is lost."
        return "\n".join(f"! {call.path}: {call.outcome}" for call in self.lost)

    def _repr_html_(self) -> str:
        """The table, for a notebook; names are text, not markup."""
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in COLUMNS)
        rows = "".join(_html_row(call, alarming=call in self.lost) for call in self.calls)
        summary = html.escape(self._summary()).replace("\n", "<br>")
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p>{summary}</p>"

    def plot(self, *, ax: "Axes | None" = None) -> "Axes":
        """Draw the calls and the path of the masks between them; see `masklib.auditing.tracing.drawing.plot_calls`."""
        imported("matplotlib", "plot")
        from masklib.auditing.tracing.drawing import plot_calls

        return plot_calls(self.calls, self.lost, self.model, ax=ax)


def trace(model: Any, inputs: Any) -> Trace:
    """Call a model once, in inference, and return what became of the masks.

    Weights, states, seeds and compiled settings are restored afterwards. A model or layer that was not built is built.

    Args:
        model: any Keras 3 model: functional, sequential or subclassed.
        inputs: as the model takes them: an array, or a list or dict of arrays. They must hold padding to show what is lost.

    Returns:
        Trace: a Call for each layer, also for those inside others, and for each operation of a functional model. In a custom
        layer or model, a computation on tensors that loses a mask is shown where its result is used, as "(computation)".

    Raises:
        ArgumentError: `model` is not a Keras model, or this Keras is older than 3.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.layers.Embedding(9, 2, mask_zero=True), keras.layers.Flatten(name="flat")])
        >>> [(call.path, call.outcome) for call in trace(model, np.array([[3, 1, 0]])).lost]
        [('flat', 'lost, with a warning')]
    """
    return trace_of(record(model, inputs), str(model.name))


def trace_of(records: Sequence[CallRecord], name: str) -> Trace:
    """Return the trace for the records of the calls of a model with this name."""
    return Trace([Call(**vars(one), outcome=outcome) for one, outcome in zip(records, decide(records), strict=True)], name)


def _row(call: Call) -> dict[str, Any]:
    """Return a call as a row of the table."""
    before, given, after = _signs(call)
    values = (call.path, call.kind, before, given or "not taken", after, call.valid, _shapes(call), call.outcome)
    return dict(zip(COLUMNS, values, strict=True))


def _html_row(call: Call, *, alarming: bool) -> str:
    """Return a call as a row of HTML."""
    cells = [*_row(call).values()]
    cells[5] = _percent(call.valid)
    style = "text-align:left" + (";font-weight:bold" if alarming else "")
    row = [f"<td style='{style}'>{html.escape(str(cell))}</td>" for cell in cells]
    row[0] = row[0].replace("text-align:left", f"text-align:left;padding-left:{0.5 + 1.2 * call.depth:.1f}em", 1)
    return f"<tr>{''.join(row)}</tr>"


def _signs(call: Call) -> tuple[str, str, str]:
    """Return the masks of the inputs, those that `call` was given and those of the outputs, as symbols."""
    return _sign(call.masks_in), _sign(call.masks_got) if call.takes_mask else "", _sign(call.masks_out)


def _sign(masks: Sequence[Mask | None]) -> str:
    """Return one symbol per tensor."""
    return "".join("-" if mask is None else "m" for mask in masks)


def _indented(call: Call) -> str:
    """Return the name of a call, indented by its depth."""
    return "  " * call.depth + call.name


def _percent(share: float) -> str:
    """Return a share in percent; "" for NaN."""
    return "" if np.isnan(share) else f"{share:.0%}"


def _shapes(call: Call) -> str:
    """Return the shapes of the outputs."""
    return ", ".join(map(str, call.shapes_out))
