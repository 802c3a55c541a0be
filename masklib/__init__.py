"""What Keras masks really do, measured.

`sweep` executes a notebook for every combination of its parameters; `load_results`, `summarize` and `pivot` give the results of
the runs. They are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from masklib.engine.results import load_results, pivot, summarize
    from masklib.engine.sweep import sweep

__all__ = ["load_results", "pivot", "summarize", "sweep"]


def __getattr__(name: str) -> Any:
    """Return a function of the results, imported now."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module("masklib.engine.sweep" if name == "sweep" else "masklib.engine.results"), name)


def __dir__() -> list[str]:
    """Return the public names with those of the module."""
    return sorted([*globals(), *__all__])
