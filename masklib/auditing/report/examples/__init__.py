"""For every code of the catalogue a model that shows it, and the same model put right. A test audits each; the site prints them.

Each function returns a model that is built, with random weights; those of losses and metrics are compiled.
"""

from collections.abc import Callable
from typing import Any

from masklib.auditing.report.examples import masks, training

# What the audit is told of a model whose fault shows on one side of the padding only; by code.
OPTIONS: dict[str, dict[str, Any]] = {"MSK112": {"padding_side": "pre"}, "MSK113": {"padding_side": "post"}}
# The only backend of Keras that has the fault; by code.
BACKENDS = {"MSK150": "tensorflow", "MSK304": "jax"}


def pair(code: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the functions that build the failing model of a code, and the one put right.

    Raises:
        KeyError: there is no such code.
    """
    found = vars(masks) | vars(training)
    return found[f"{code.lower()}_failing"], found[f"{code.lower()}_remedied"]
