"""Runs of our notebooks, executed only where `make reproduce` has not left one that counts."""

from pathlib import Path

from masklib.engine.run import Result, execute_plan, look_up, plan_run
from masklib.engine.store import Store

ROOT = Path(__file__).parents[2]


def finished(name: str, store: Store, *, warm: bool = False) -> Result:
    """Return the run of a notebook with its default parameters from the store of this checkout; else execute it in another."""
    plan = plan_run(ROOT / "notebooks" / f"{name}.ipynb")
    return look_up(plan, Store(ROOT / "runs")).result or execute_plan(plan, store, warm=warm)
