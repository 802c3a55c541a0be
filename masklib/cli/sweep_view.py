"""What `masklib sweep` does besides the sweep itself: its plan, its progress and its end, as text."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from masklib.cli.console import SweepTracker, print_json, print_table
from masklib.cli.options import say_unreadable
from masklib.engine.collect import collect
from masklib.engine.grid import Sweep, describe, names_of, plan_sweep, varying
from masklib.engine.limits import Limits
from masklib.engine.parameter_files import read_files
from masklib.engine.pool import Executor
from masklib.engine.run import Plan, declare
from masklib.engine.store import OK, Store
from masklib.engine.stores import open_store
from masklib.engine.sweep import Outcome, SweepResult, look_up, run_sweep
from masklib.errors import ArgumentError

Pairs = Sequence[tuple[str, str]]
_SHOWN = 12  # digits of a key


def execute(
    source: str,
    grid: Pairs,
    fixed: Pairs,
    root: str,
    *,
    sample: int | None,
    seed: int | None,
    files: tuple[Path, ...],
    kernel: str | None,
    cwd: str | None,
    dry_run: bool,
    as_json: bool,
    dask: str | None,
    jobs: int | None,
    retry: bool,
    force: bool,
    depends: Sequence[str],
    fail_fast: bool,
    limits: Limits,
    keep_s: float,
) -> bool:
    """Plan a sweep, execute it or show its plan, and print what came of it; return whether all is well."""
    _check_options(dask, jobs, sample, seed, keep_s)
    plan = plan_sweep(source, grid, _fixed(grid, fixed, files), cwd=cwd, kernel=kernel, sample=sample, seed=seed or 0)
    plan = replace(plan, plans=declare(plan.plans, depends))
    if plan.duplicates:
        click.echo(f"{plan.duplicates} duplicate points were left out.", err=True)
    store = open_store(root)
    if dry_run:
        _show_plan(plan, store, force, as_json)
        return True
    return _run(
        plan, store, dask, as_json, jobs=jobs, retry=retry, force=force, fail_fast=fail_fast, limits=limits, keep_s=keep_s
    )


def _check_options(dask: str | None, jobs: int | None, sample: int | None, seed: int | None, keep_s: float) -> None:
    """Raise if one option contradicts another, or needs one that is missing.

    Raises:
        ArgumentError: `jobs` or `keep_s` beside `dask`, or `seed` without `sample`.
    """
    if dask is not None and jobs:
        msg = "--jobs is for this machine; on a cluster each worker executes one run at a time. Give --jobs or --dask, not both."
        raise ArgumentError(msg)
    if dask is not None and keep_s:
        msg = "--keep-warm keeps a fork server on this machine, a cluster has none. Leave out --keep-warm or --dask."
        raise ArgumentError(msg)
    if seed is not None and sample is None:
        msg = "--seed sets the seed of --sample, which is missing. Give --sample, or set a parameter named seed with -p or -g."
        raise ArgumentError(msg)


def _run(plan: Sweep, store: Store, dask: str | None, as_json: bool, **how: Any) -> bool:
    """Execute a sweep, print what came of it and write its tables; return whether all is well.

    Args:
        plan: the sweep.
        store: in which the runs are.
        dask: the address of a scheduler; None: on this machine.
        as_json: whether the result is printed as JSON.
        **how: of `run_sweep`.
    """
    executor = _connect(dask) if dask is not None else None
    with SweepTracker(_labels(plan.plans)).shown() as tracker:
        result = run_sweep(plan.plans, store, listener=tracker, executor=executor, **how)
    tables = collect(store)
    _show_result(plan, result, store.root / "tables", as_json)
    tables.write(store.root / "tables")
    return say_unreadable(tables.unreadable) and result.ok


def _fixed(grid: Pairs, fixed: Pairs, files: tuple[Path, ...]) -> list[tuple[str, Any]]:
    """Return the parameters with one value: those of files, but for what an option gives, and those of -p."""
    given = {name for name, _ in (*grid, *fixed)}
    return [*((name, value) for name, value in read_files(files).items() if name not in given), *fixed]


def _connect(address: str) -> Executor:
    """Return the cluster at an address, and say how many workers it has."""
    from masklib.engine.cluster import DaskCluster

    cluster = DaskCluster(address)
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # each run reports in a sentence what was lost
    n_workers = cluster.n_workers
    where, waits = address or "the scheduler of the configuration", "" if n_workers else ", the sweep waits for the first"
    click.echo(f"Dask workers at {where}: {n_workers}{waits}.", err=True)
    return cluster


def _show_plan(plan: Sweep, store: Store, force: bool, as_json: bool) -> None:
    """Print the points of a sweep with what the store has of them, and why that does not count where it does not."""
    changed: dict[str, Sequence[str]] = {}
    found = look_up(plan.plans, store, on_change=lambda one, changes: changed.update({one.key: changes}))
    known = {} if force else found
    names, notebooks = varying(plan.plans), names_of(plan.plans)
    rows = [
        {
            "notebook": notebooks[p.key],
            "parameters": p.parameters if as_json else describe(p, names[p.notebook.name]),
            "key": p.key if as_json else p.key[:_SHOWN],
            "state": _state(known.get(p.key), changed.get(p.key, ())),
        }
        for p in plan.plans
    ]
    if as_json:
        print_json(rows)
        return
    print_table(plan.title, list(rows[0]), [list(row.values()) for row in rows])
    click.echo(f"{len(rows)} points, {len(rows) - len(known)} to run.")


def _state(outcome: Outcome | None, changes: Sequence[str]) -> str:
    """Return what the store has of a point, in words."""
    if outcome is None:
        return f"to run: {'; '.join(changes)}" if changes else "to run"
    return outcome.state if outcome.status == OK else f"{outcome.state}: {outcome.reason}"


def _show_result(plan: Sweep, result: SweepResult, tables: Path, as_json: bool) -> None:
    """Print what became of a sweep: how many points of each state, and every failure with its evidence."""
    if as_json:
        print_json({"title": plan.title, "states": result.counts, "points": _points(result), "tables": tables})
        return
    print_table(plan.title, ["state", "points"], [[state, count] for state, count in result.counts.items()])
    labels = _labels(plan.plans)
    for outcome in result.failures:
        click.echo(f"{labels[outcome.plan.key]} {outcome.state}: {outcome.reason}\n  evidence: {outcome.folder or 'none'}")
    if any(outcome.cached for outcome in result.failures):
        click.echo("Runs that failed before are executed again with --retry failed.")
    click.echo(f"Tables in {tables}.")


def _points(result: SweepResult) -> list[dict[str, Any]]:
    """Return the points of a sweep as plain values."""
    notebooks = names_of(outcome.plan for outcome in result.outcomes)
    return [
        {
            "notebook": notebooks[outcome.plan.key],
            "parameters": outcome.plan.parameters,
            "key": outcome.plan.key,
            "status": outcome.status,
            "cached": outcome.cached,
            "reason": outcome.reason,
            "folder": outcome.folder,
        }
        for outcome in result.outcomes
    ]


def _labels(plans: Sequence[Plan]) -> dict[str, str]:
    """Return, by key, the notebook of each plan and the parameters that tell it from its neighbours."""
    names, notebooks = varying(plans), names_of(plans)
    return {plan.key: f"{notebooks[plan.key]} {describe(plan, names[plan.notebook.name])}".strip() for plan in plans}
