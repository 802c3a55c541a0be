"""What Keras masks really do, measured.

`load_results`, `summarize` and `pivot` give the results of the runs; they are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from masklib.engine.results import load_results, pivot, summarize

__all__ = ["load_results", "pivot", "summarize"]


def __getattr__(name: str) -> Any:
    """Return a function of the results, imported now."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from masklib.engine import results

    return getattr(results, name)


def __dir__() -> list[str]:
    """Return the public names with those of the module."""
    return sorted([*globals(), *__all__])
