"""The project's exceptions. Each message says what was required, what was given, and what to do."""

import unicodedata
from collections.abc import Iterable

__all__ = [
    "ArgumentError",
    "ClaimError",
    "MaskError",
    "MaskShapeError",
    "MasklibError",
    "NoPaddingError",
    "NotebookError",
    "ParameterError",
    "RunError",
    "StoreError",
    "UnavailableError",
    "UntestableError",
    "printable",
]

INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # kinds of characters that move a cursor, turn a text round, or are no text


class MasklibError(Exception):
    """Base of every error that masklib raises on purpose; the command line prints it without a traceback."""


class ArgumentError(MasklibError, ValueError):
    """An argument is not one of the allowed values."""


class NoPaddingError(ArgumentError):
    """Inputs hold no padding, or nothing has steps that could be padded: there is nothing to test."""


class MaskError(MasklibError, ValueError):
    """A mask does not fit what it is to mask."""


class MaskShapeError(MaskError):
    """An array does not have the shape that its mask, or its companion array, requires."""


class ParameterError(MasklibError, ValueError):
    """Parameters of a notebook are unknown, missing, or of the wrong type.

    Attributes:
        problems: each one, where several are reported together.
    """

    def __init__(self, message: str, problems: Iterable[str] = ()):
        super().__init__(message)
        self.problems = list(problems)


class NotebookError(MasklibError, ValueError):
    """A file is missing, is not a notebook, or does not have the form that a run needs."""


class ClaimError(MasklibError, ValueError):
    """A claim is not in the ledger, or cannot be judged."""


class StoreError(MasklibError, OSError):
    """The store of runs cannot be read or written."""


class RunError(MasklibError, RuntimeError):
    """A run did not end well; its evidence is kept apart from the results."""


class UnavailableError(MasklibError, RuntimeError):
    """An environment cannot be made or used on this machine."""


class UntestableError(MasklibError, RuntimeError):
    """A model cannot be tested at all: its output is random, or no number where it must be one."""


def printable(text: object) -> str:
    """Return a text as one line that a terminal shows as it is: a character that would control it is written as its escape."""
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in INVISIBLE else char for char in str(text)
    )
