"""Which axes of a model's outputs are time axes, and to which steps of the inputs they belong."""

from collections.abc import Mapping
from dataclasses import dataclass

from masklib.auditing.invariance.comparing import Axes, ShapeError, grown_axes
from masklib.auditing.invariance.lengthening import Lengthened
from masklib.auditing.invariance.locating import likely_axes
from masklib.auditing.invariance.observations import Observations


@dataclass(frozen=True)
class OutputAxes:
    """The time axes of the outputs.

    Attributes:
        of: for each output its time axes, with the group of steps of each.
        unknown: why the valid steps of an output are not known, by the index of the output.
    """

    of: tuple[Axes, ...]
    unknown: Mapping[int, str]


def find_axes(observations: Observations, lengthened: Lengthened) -> OutputAxes:
    """Return the time axes of the outputs: those that become longer with padding; else those of the length of a fixed group."""
    unknown: dict[int, str] = {}
    found = tuple(_axes_of(index, observations, lengthened, unknown) for index in range(len(observations.base)))
    return OutputAxes(found, unknown)


def _axes_of(index: int, observations: Observations, lengthened: Lengthened, unknown: dict[int, str]) -> Axes:
    """Return the time axes of one output; if they are not known, the reason is put into `unknown`."""
    shape = observations.base[index].shape
    found: dict[int, int] = {}
    for situation in lengthened.taken:
        try:
            grown = grown_axes(shape, observations.of(situation)[index].shape, lengthened.steps)
        except ShapeError as error:
            unknown[index] = str(error)
            continue
        found |= dict.fromkeys(grown, situation.groups[0])
    fixed = {situation.groups[0] for situation, _ in lengthened.refused}
    likely = likely_axes(shape, lengthened.batch)
    return found | {axis: group for axis, group in likely.items() if group in fixed and axis not in found}
