"""Executing one plan with its progress on stderr: what `run` and `reproduce` share."""

from typing import Any

import click


def recover(store: Any) -> None:
    """Move what was left of runs whose process is gone to the failed attempts, and say so."""
    recovered = store.recover()
    if recovered:
        click.echo(f"{len(recovered)} interrupted runs were moved to the failed attempts.", err=True)


def execute(
    plan: Any, store: Any, position: str, limits: Any, *, warm: bool = False, force: bool = False, keep_s: float = 0.0
) -> Any:
    """Execute a plan with its progress on stderr, and say what became of it."""
    from masklib.cli.console import Tracker
    from masklib.engine.run import Stored, execute_plan, look_up

    tracker = Tracker(f"[{position}] {plan.notebook.name}")
    stored = Stored() if force else look_up(plan, store)
    if stored.changes:
        click.echo(f"[{position}] {plan.notebook.name} is executed again: {'; '.join(stored.changes)}", err=True)
    result: Any = stored.result
    if result is None:
        from masklib.engine.execution import terminate_as_interrupt

        warm = warm or _is_served(plan, keep_s)
        with terminate_as_interrupt(), tracker.shown():
            result = execute_plan(plan, store, limits=limits, warm=warm, force=force, on_cell=tracker.on_cell)
    _say(result, position)
    return result


def _is_served(plan: Any, keep_s: float) -> bool:
    """Return whether a fork server is there for a run: one that an earlier command has left, or one that this command leaves."""
    from masklib.engine.kernels import servers

    if keep_s and plan.kernel.forkable:
        servers.start(plan.settings, 1, keep_s)
    return keep_s > 0 or servers.is_kept_for(plan.settings)


def _say(result: Any, position: str) -> None:
    """Print on stderr what became of a run."""
    record = result.record
    state = "already there" if result.cached else f"{record.status} in {record.duration_s:.1f} s"
    click.echo(f"[{position}] {record.notebook}: {state}", err=True)
    if record.error:
        click.echo(f"  {record.error.told}\n  evidence: {result.folder}", err=True)
