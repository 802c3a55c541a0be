"""What Keras masks really do, measured.

`audit` tests whether padding changes what a model computes, `check_padding` and `trace` are its parts. `sweep` executes a
notebook for every combination of its parameters; `load_results`, `summarize` and `pivot` give the results of the runs. They, and
the modules `losses`, `metrics` and `layers`, are imported when they are first used.

PYTEST_DONT_REWRITE: no assertion here is a test's; without this, pytest warns of the plugin where masklib was imported before.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from masklib import layers, losses, metrics
    from masklib.auditing.invariance.check import check_padding
    from masklib.auditing.report.report import assert_padding_invariant, audit
    from masklib.auditing.tracing.trace import trace
    from masklib.engine.summaries import load_results, pivot, summarize
    from masklib.engine.sweep import sweep

__all__ = [
    "assert_padding_invariant",
    "audit",
    "check_padding",
    "layers",
    "load_results",
    "losses",
    "metrics",
    "pivot",
    "summarize",
    "sweep",
    "trace",
]

_SUBMODULES = ("layers", "losses", "metrics")

_MODULES = {
    "assert_padding_invariant": "masklib.auditing.report.report",
    "audit": "masklib.auditing.report.report",
    "check_padding": "masklib.auditing.invariance.check",
    "load_results": "masklib.engine.summaries",
    "pivot": "masklib.engine.summaries",
    "summarize": "masklib.engine.summaries",
    "sweep": "masklib.engine.sweep",
    "trace": "masklib.auditing.tracing.trace",
}


def __getattr__(name: str) -> Any:
    """Return a public function or module, imported now."""
    if name not in _MODULES and name not in _SUBMODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    try:
        if name in _SUBMODULES:
            return import_module(f"{__name__}.{name}")
        return getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        from masklib.extras import missing

        raise missing(error) or error from None


def __dir__() -> list[str]:
    """Return the public names with those of the module."""
    return sorted([*globals(), *__all__])
