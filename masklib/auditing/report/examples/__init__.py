"""For every code of the catalogue a model that shows it, and the same model put right. A test audits each; the site prints them.

Each function returns a model that is built, with random weights; those of losses and metrics are compiled.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from masklib.auditing.report.examples import masks, training

SQUARE = np.array([[3, 5, 2, 7], [4, 2, 0, 0], [6, 3, 5, 0], [2, 7, 0, 0]])  # as many samples as steps
# What the audit is told of a model whose fault shows with some inputs only; by code.
OPTIONS: dict[str, dict[str, Any]] = {
    "MSK112": {"padding_side": "pre"},
    "MSK113": {"padding_side": "post"},
    "MSK208": {"inputs": SQUARE, "targets": np.where(SQUARE != 0, np.sin(SQUARE + np.arange(4)), 0.0).astype("float32")},
}
# The only backend of Keras that has the fault; by code.
BACKENDS = {"MSK150": "tensorflow", "MSK304": "jax"}


def pair(code: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the functions that build the failing model of a code, and the one put right.

    Raises:
        KeyError: there is no such code.
    """
    found = vars(masks) | vars(training)
    return found[f"{code.lower()}_failing"], found[f"{code.lower()}_remedied"]
