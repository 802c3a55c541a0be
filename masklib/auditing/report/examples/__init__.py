"""For every code of the catalogue, a model with this fault and the same model corrected. A test audits both; the site shows them.

Each function returns a built model with random weights; models for losses and metrics are compiled.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from masklib.auditing.report.examples import masks, training

SQUARE = np.array([[3, 5, 2, 7], [4, 2, 0, 0], [6, 3, 5, 0], [2, 7, 0, 0]])  # as many samples as steps
# Options of the audit, by code, for models whose fault shows only with some inputs.
OPTIONS: dict[str, dict[str, Any]] = {
    "MSK112": {"padding_side": "pre"},
    "MSK113": {"padding_side": "post"},
    "MSK208": {"inputs": SQUARE, "targets": np.where(SQUARE != 0, np.sin(SQUARE + np.arange(4)), 0.0).astype("float32")},
}
# By code, the only backend of Keras that has the fault.
BACKENDS = {"MSK150": "tensorflow", "MSK304": "jax"}


def pair(code: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return the functions that build the model with the fault of a code, and the corrected one.

    Raises:
        KeyError: there is no such code.
    """
    found = vars(masks) | vars(training)
    return found[f"{code.lower()}_failing"], found[f"{code.lower()}_remedied"]
