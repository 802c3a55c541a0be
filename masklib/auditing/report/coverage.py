"""When a report may say "no leak found": which parts of a model were tested with other padding, which were not, and why.

The outputs must be tested, and the other parts that a model has: the loss and the metrics with which it was compiled, and the
gradients of its weights. What was not tested in a part is a gap.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from masklib.auditing.invariance.changes import Quantity
from masklib.auditing.invariance.results import NO_METRICS, NOT_ASKED, Leak, PaddingCheck, Passed, Untested

OUTPUTS = "outputs"
PARTS = ("loss", "metrics", "gradients")  # a user may allow these to be untested
KIND_OF = {OUTPUTS: Quantity.OUTPUT, "loss": Quantity.LOSS, "metrics": Quantity.METRIC, "gradients": Quantity.GRADIENT}

_MORE_STEPS = "A model with a free number of steps, Input((None, ...)), can be tested with longer padding."
_TARGETS = "Give the targets that `fit` gets: y in the file of --inputs, or audit(model, inputs, targets)."
_OTHER_TARGETS = "Give targets and weights for which `model.evaluate` reports a finite number."
_WITH_THE_LOSS = "They are tested if the loss is."
_METRICS = (
    "Give targets of which the model predicts some, so that the metric is not 0. "
    "A metric that only your own step updates cannot be tested."
)
_BROKEN = "Fix the metric: `model.evaluate` fails with it, too."
_NOT_QUICK = "Test without quick."
_NO_SITUATION = "no other padding could be tried"


@dataclass(frozen=True)
class Gap:
    """Something that was not tested with other padding.

    Attributes:
        part: "outputs", or one of `PARTS`.
        of: the names of what was not tested.
        why: the reason.
        remedy: what would make it testable.
    """

    part: str
    of: tuple[str, ...]
    why: str
    remedy: str

    @property
    def what(self) -> str:
        """The part, with the names of what was not tested in it."""
        return self.part if self.of == (self.part,) else f"{self.part} {', '.join(map(repr, self.of))}"


def gaps(check: PaddingCheck, parts: Iterable[str], *, has_targets: bool) -> list[Gap]:
    """Return what was not tested, the outputs first.

    Args:
        check: what was tested.
        parts: those of `PARTS` that the model has.
        has_targets: whether the user gave targets.
    """
    remedies = {OUTPUTS: _MORE_STEPS, "loss": _OTHER_TARGETS if has_targets else _TARGETS, "gradients": _MORE_STEPS}
    found: list[Gap] = []
    for part in (OUTPUTS, *(one for one in PARTS if one in parts)):
        is_loss_open = any(gap.part == "loss" for gap in found)
        remedy = remedies.get(part, _WITH_THE_LOSS if is_loss_open else _METRICS)
        found += [
            Gap(part, tuple(names), why.rstrip("."), _special(why) or remedy) for why, names in _reasons(part, check).items()
        ]
    return found


def _special(why: str) -> str:
    """Return what would make something testable, for the reasons that have a remedy of their own; "" for other reasons."""
    return _NOT_QUICK if why == NOT_ASKED else _BROKEN if why.startswith(NO_METRICS) else ""


def phrase(found: Iterable[Gap]) -> str:
    """Return gaps in one line, such as "loss and metrics not tested: the reason"."""
    by_reason: dict[str, list[str]] = {}
    for gap in found:
        by_reason.setdefault(gap.why, []).append(gap.part)
    return "; ".join(f"{listed(dict.fromkeys(parts))} not tested: {why}" for why, parts in by_reason.items())


def _reasons(part: str, check: PaddingCheck) -> dict[str, list[str]]:
    """Return the names of what was not tested in a part, by reason."""
    kind = KIND_OF[part]
    verdicts: list[Leak | Passed | Untested] = [*check.passed, *check.leaks, *check.untested]
    every = [one for one in verdicts if one.kind is kind]
    untested = [one for one in every if isinstance(one, Untested) and one.change.is_of_padding]
    tried = {(_name(one), one.change) for one in every if not isinstance(one, Untested) and one.change.is_of_padding}
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys([_name(one) for one in every]) or [part]:
        open_ = [one for one in untested if _name(one) == name]
        if kind is Quantity.LOSS:  # each change of the loss must be tried; no other change replaces it
            open_ = [one for one in open_ if (name, one.change) not in tried]
        if (kind is Quantity.LOSS and open_) or name not in {of for of, _ in tried}:
            found.setdefault(open_[0].why if open_ else _NO_SITUATION, []).append(name)
    return found


def _name(one: Leak | Passed | Untested) -> str:
    """Return the name of what a verdict is about; all gradients have one name."""
    return "gradients" if one.kind is Quantity.GRADIENT else one.of


def listed(names: Iterable[str]) -> str:
    """Return names as a phrase: "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
