"""Of what a report may say "no leak found": what met padding where it could have differed, and what did not, and why.

The outputs decide, and beside them the parts that a model has: the loss and the metrics that it was compiled with, the gradients
of its weights. A part of which something was not tested is a gap.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from masklib.auditing.invariance.changes import Quantity
from masklib.auditing.invariance.results import NO_METRICS, NOT_ASKED, Leak, PaddingCheck, Passed, Untested

OUTPUTS = "outputs"
PARTS = ("loss", "metrics", "gradients")  # that a user may allow to be untested
KIND_OF = {OUTPUTS: Quantity.OUTPUT, "loss": Quantity.LOSS, "metrics": Quantity.METRIC, "gradients": Quantity.GRADIENT}

_MORE_STEPS = "A model with a free number of steps, Input((None, ...)), can be given longer padding."
_TARGETS = "Give the targets that `fit` gets: y in the file of --inputs, or audit(model, inputs, targets)."
_OTHER_TARGETS = "Give targets and weights that `model.evaluate` takes, with which it gives a finite number."
_WITH_THE_LOSS = "They are tested as soon as the loss is."
_METRICS = (
    "Give targets of which the model predicts some, so that it is not 0; what only a step of your own updates is not tested."
)
_BROKEN = "Mend the metric: `model.evaluate` fails with it, too."
_NOT_QUICK = "Test without quick."
_NO_SITUATION = "no other padding could be tried"


@dataclass(frozen=True)
class Gap:
    """Something that was not tested with other padding.

    Attributes:
        part: "outputs", or one of `PARTS`.
        of: the names of what was not tested.
        why: for which reason.
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
    """Return what would make something testable that was not for a reason of its own; "" for other reasons."""
    return _NOT_QUICK if why == NOT_ASKED else _BROKEN if why.startswith(NO_METRICS) else ""


def phrase(found: Iterable[Gap]) -> str:
    """Return gaps in a line, such as "loss and metrics not tested: the reason"."""
    by_reason: dict[str, list[str]] = {}
    for gap in found:
        by_reason.setdefault(gap.why, []).append(gap.part)
    return "; ".join(f"{listed(dict.fromkeys(parts))} not tested: {why}" for why, parts in by_reason.items())


def _reasons(part: str, check: PaddingCheck) -> dict[str, list[str]]:
    """Return the names of what was not tested in a part, by the reason."""
    kind = KIND_OF[part]
    verdicts: list[Leak | Passed | Untested] = [*check.passed, *check.leaks, *check.untested]
    every = [one for one in verdicts if one.kind is kind]
    untested = [one for one in every if isinstance(one, Untested) and one.change.is_of_padding]
    tried = {(_name(one), one.change) for one in every if not isinstance(one, Untested) and one.change.is_of_padding}
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys([_name(one) for one in every]) or [part]:
        open_ = [one for one in untested if _name(one) == name]
        if kind is Quantity.LOSS:  # a change that could not be tried there is one of the targets, which no other one stands for
            open_ = [one for one in open_ if (name, one.change) not in tried]
        if (kind is Quantity.LOSS and open_) or name not in {of for of, _ in tried}:
            found.setdefault(open_[0].why if open_ else _NO_SITUATION, []).append(name)
    return found


def _name(one: Leak | Passed | Untested) -> str:
    """Return what a verdict is of; all gradients are one."""
    return "gradients" if one.kind is Quantity.GRADIENT else one.of


def listed(names: Iterable[str]) -> str:
    """Return names as a phrase: "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
