"""The results of a test of invariance: leaks, what passed, and what could not be tested."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from masklib.auditing.invariance.changes import Change, Entry, Quantity
from masklib.extras import imported

LOSS = "loss"  # the name of a model's loss as a whole, beside those of its outputs
NO_METRICS = "the metrics cannot be computed"
NOT_ASKED = "quick: only the outputs were tested"
COLUMNS = ("verdict", "change", "kind", "of", "relative", "tolerance", "layer", "told")


@dataclass(frozen=True)
class Place:
    """What is needed to compute and compare a leaking output again.

    Attributes:
        index: of the output.
        situation: in which it leaks.
        batch: as given.
        axes: the time axes of the output.
        scale: of the output.
        at: index, in the rows of the situation, of the sample that leaks most.
    """

    index: int
    situation: Any
    batch: Any
    axes: Mapping[int, int]
    scale: float
    at: int


@dataclass(frozen=True, kw_only=True)
class Leak:
    """One measured difference that is larger than the noise.

    Attributes:
        change: what was changed.
        kind: of the quantity that differs.
        of: name of the output, loss, metric, weight, or BatchNormalization layer.
        size: largest absolute difference; inf if a number became NaN.
        relative: size relative to the scale of that quantity.
        tolerance: the relative difference that the noise allows.
        layer: path, as in the trace, of the first call where the difference enters; None if it was not found.
        example: one number as given and changed.
        entry: for a loss or metric: how padding gets into it.
        is_compiled: for an output: whether `predict`, which is compiled, leaks, and an ordinary call does not.
        place: for an output: what is needed to compute it again.
    """

    change: Change
    kind: Quantity
    of: str
    size: float
    relative: float
    tolerance: float
    layer: str | None = None
    example: str
    entry: Entry = Entry.OUTPUTS
    is_compiled: bool = False
    place: Place | None = field(default=None, repr=False, compare=False)

    @property
    def alone(self) -> bool:
        """Whether a loss or metric depends on padding by itself, and not only because an output does."""
        return self.entry is not Entry.OUTPUTS


@dataclass(frozen=True)
class Passed:
    """Something that was tested and did not differ by more than the noise; attributes as those of `Leak`."""

    change: Change
    kind: Quantity
    of: str
    relative: float
    tolerance: float


@dataclass(frozen=True)
class Untested:
    """Something that could not be tested, and why; attributes as those of `Leak`."""

    change: Change
    kind: Quantity
    of: str
    why: str


Verdict = Leak | Passed | Untested


@dataclass(frozen=True)
class PaddingCheck:
    """What padding changes in a model, and what it does not.

    Attributes:
        leaks: each difference that is larger than the noise.
        passed: what was tested and stayed the same.
        untested: what could not be tested, and why.
        noise: for each repeated computation by name, the largest relative difference of the outputs.
        denominators: for each loss by name, the count by which its mean divides.
        notes: what a user may want to know, one sentence each.
        batch_size: for each loss and metric that depends on the batch size, what `evaluate` reports for one batch and for two.
        in_fit: for each metric for which `fit` and `evaluate` report different numbers for the same batch, both numbers.
        empty: for each output by name that is not finite for a sample of only padding, its value there.
        inputs: that were tested.
        assumptions: what was assumed because the user did not say it, one sentence each, with the option that changes it.
        other_side: the check with padding at the other side, if made sequences leak only there; else None.
        model: that was tested: the part after the layers that read text, if there are such layers.
        has_targets: whether the user gave targets.
        valid: for each time group which steps are valid, bool (B, T), or (B, S, T) for steps within steps.
        calls: the records of the calls of the model with these inputs; empty if nothing could be tested.
    """

    leaks: Sequence[Leak] = ()
    passed: Sequence[Passed] = ()
    untested: Sequence[Untested] = ()
    noise: Mapping[str, float] = field(default_factory=dict)
    denominators: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    batch_size: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    in_fit: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    empty: Mapping[str, float] = field(default_factory=dict)
    inputs: Any = None
    assumptions: Sequence[str] = ()
    other_side: "PaddingCheck | None" = None
    model: Any = field(default=None, repr=False)
    has_targets: bool = False
    valid: Sequence[Any] = ()
    calls: Sequence[Any] = field(default=(), repr=False)

    @property
    def ok(self) -> bool:
        """Return whether no leak was found; what was not tested may still leak."""
        return not self.leaks

    def to_frame(self) -> Any:
        """Return everything as a DataFrame, one row each; it needs pandas."""
        return imported("pandas", "plot").DataFrame(self.rows(), columns=list(COLUMNS))

    def rows(self) -> list[dict[str, Any]]:
        """Return everything, one row each, by the names of the columns."""
        return [dict(zip(COLUMNS, row, strict=True)) for row in self._rows()]

    def _rows(self) -> list[tuple[Any, ...]]:
        """Return the values of the rows."""
        leaks = [("leak", o.change.value, o.kind.value, o.of, o.relative, o.tolerance, o.layer, o.example) for o in self.leaks]
        passed = [("passed", o.change.value, o.kind.value, o.of, o.relative, o.tolerance, None, "") for o in self.passed]
        untested = [("not tested", o.change.value, o.kind.value, o.of, math.nan, math.nan, None, o.why) for o in self.untested]
        return [*leaks, *passed, *untested]

    def __str__(self) -> str:
        head = f"{len(self.leaks)} leaks, {len(self.passed)} passed, {len(self.untested)} not tested"
        leaks = [f"  {o.kind} {o.of}, {o.change}: {o.relative:.2g} of its scale{_at(o)}; {o.example}" for o in self.leaks]
        untested = [f"  not tested: {o.kind} {o.of}, {o.change}: {o.why}" for o in self.untested]
        return "\n".join([head, *leaks, *untested, *(f"  note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        cells = (f"<tr>{''.join(f'<td>{html.escape(_shown(one))}</td>' for one in row)}</tr>" for row in self._rows())
        head = "".join(f"<th>{name}</th>" for name in COLUMNS)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(cells)}</tbody></table>"


def _at(leak: Leak) -> str:
    """Return where a leak enters, as text."""
    return f", enters at {leak.layer}" if leak.layer else ""


def _shown(value: Any) -> str:
    """Return a cell of the table."""
    if value is None:
        return ""
    return ("" if math.isnan(value) else f"{value:.2g}") if isinstance(value, float) else str(value)
