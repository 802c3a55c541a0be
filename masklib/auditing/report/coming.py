"""Masks that a model relies on today, and that the next Keras no longer hands on, as measured on its nightly builds.

`coming.toml` names that Keras and its layers. `python -m masklib.site.readme` makes it of `runs/reference/changes.csv`.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import keras
import tomllib
from packaging.version import Version

from masklib.auditing.tracing.calls import Call
from masklib.auditing.tracing.graph import calls_before


def lost_next(calls: Sequence[Call], *, has_loss: bool) -> tuple[str, dict[str, list[str]]]:
    """Return the next Keras, and the calls whose mask goes on today and not there, with those that use this mask.

    Args:
        calls: of a model.
        has_loss: whether the mask of its predictions is used by a loss.

    Returns:
        The version, and by the path of each such call the paths of its users; {} where this Keras is that one, or a later one.
    """
    coming = _coming()
    if Version(keras.__version__) >= Version(coming["keras"]):
        return coming["keras"], {}
    changing = [call for call in calls if _classes(call.operation) & {*coming["layers"]}]
    users = {call.path: _users(call, calls, has_loss=has_loss) for call in changing}
    return coming["keras"], {path: using for path, using in users.items() if using}


def _users(call: Call, calls: Sequence[Call], *, has_loss: bool) -> list[str]:
    """Return the paths of the later calls that Keras gives the mask that a call hands on, and "the loss"."""
    masks = [mask for mask in call.masks_out if mask is not None]
    after = [one for one in calls if call in calls_before(one, calls)]
    found = [one.path for one in after if _holds(one.masks_got, masks)]
    ends = any(one.ends and _holds(one.masks_out, masks) for one in (call, *after))
    return [*found, *(["the loss"] if ends and has_loss else [])]


def _holds(masks: Sequence[Any], some: Sequence[Any]) -> bool:
    """Return whether one of some masks is among others, itself: one that the model computes anew is not."""
    return any(mask is one for mask in masks for one in some)


def _classes(operation: Any) -> set[str]:
    """Return the names of the classes of Keras that an operation is of."""
    return {one.__name__ for one in type(operation).__mro__ if one.__module__.partition(".")[0] == "keras"}


@cache
def _coming() -> dict[str, Any]:
    """Return the next Keras, and the classes of its layers that no longer hand a mask on."""
    return tomllib.loads(files("masklib.auditing.report").joinpath("coming.toml").read_text(encoding="utf-8"))
