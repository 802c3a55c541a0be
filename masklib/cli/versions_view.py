"""What `masklib versions`, `masklib bisect` and `masklib watch` show."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from masklib.cli import env_view
from masklib.cli.executing import execute, recover
from masklib.engine import bisecting, changes, versions
from masklib.engine.committed import CHANGES, VERSIONS, Row, as_csv, committed_changes, committed_versions, reference_folder
from masklib.engine.environments import find_environment, name_of, newest
from masklib.engine.limits import Limits
from masklib.engine.releases import version_key
from masklib.engine.reproduce import plan_suite
from masklib.engine.run import SOURCE_CHANGED, plan_run
from masklib.engine.store import OK, write_atomically
from masklib.engine.stores import open_store
from masklib.errors import ArgumentError, RunError

LONGEST = 45  # characters of what a table shows of a behaviour


def changed(root: str | None, update_reference: bool) -> list[Row]:
    """Return the changes: those that are committed, or those of the runs in a store, which may be written to the reference.

    Args:
        root: of the store; None for the committed ones.
        update_reference: whether to write the matrix, and its changes, to `runs/reference`; versions of which the store has no
            run stay there as they are.
    """
    if root is None:
        return committed_changes()
    rows = versions.matrix(open_store(root))
    if update_reference:
        rows = versions.renewed(committed_versions(), rows)
    found = changes.changes(rows)
    if update_reference:
        for file, columns, told in ((VERSIONS, versions.COLUMNS, rows), (CHANGES, changes.COLUMNS, found)):
            write_atomically(reference_folder() / file, as_csv(columns, told).encode())
    return found


def choose(rows: Sequence[Row], names: Sequence[str], since: str | None, backend: str | None) -> list[Row]:
    """Return the changes that are asked for; a layer's name stands for all its settings.

    Raises:
        ArgumentError: `since` is no version, or a name is neither a claim nor a layer.
    """
    for name in names:
        versions.check_name(name)
    if since is not None and not version_key(since)[0]:
        msg = f"--since must be a version of Keras, such as 3.9.2, got {since!r}."
        raise ArgumentError(msg)
    kept = [row for row in rows if since is None or version_key(row["keras"]) > version_key(since)]
    kept = [row for row in kept if backend in (None, row["backend"])]
    return [row for row in kept if not names or {row["claim"], row["claim"].partition("(")[0]} & {*names}]


def shown(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return changes as a table shows them."""
    return [
        {
            "keras": f"{row['keras']} {row['backend']}",
            "released": row["released"],
            "of": row["claim"],
            "until then": row["was"][:LONGEST],
            "from then on": row["is"][:LONGEST],
        }
        for row in rows
    ]


def bisect(name: str, good: str, bad: str, backend: str, root: str, limits: Limits) -> dict[str, Any]:
    """Execute the notebook that measures a claim, or a layer, on releases of Keras until two neighbours differ."""
    notebook, releases, store = versions.notebook_of(name), bisecting.between(good, bad), open_store(root)
    recover(store)

    def answer_of(version: str) -> tuple[str, str]:
        environment = name_of(version, backend)
        env_view.create_missing([environment])
        result = execute(plan_run(notebook, {"environment": environment}), store, version, limits)
        if result.record.error and result.record.error.ename == SOURCE_CHANGED:
            msg = "masklib's source changed while releases were compared. Run the command again: finished runs are reused."
            raise RunError(msg)
        answer = versions.answer_in(result, name)
        click.echo(f"[{version}] {name}: {answer[0]}", err=True)
        return answer

    return {"of": name, **asdict(found := bisecting.bisect(releases, answer_of)), "released": found.released}


def watch(version: str, root: str, limits: Limits) -> tuple[str, list[Row], list[str]]:
    """Execute the suite on a release or a nightly of Keras.

    Returns:
        Its version, what changed against the release before it, and the notebooks that did not run to their end.

    Raises:
        RunError: no notebook ran to its end.
        ArgumentError, UnavailableError: there is no such version, or it cannot be had.
    """
    name = newest(f"keras@{version}")
    found, store = find_environment(name), open_store(root)
    env_view.create_missing([name])
    recover(store)
    plans = plan_suite("smoke", environment=name)
    results = [execute(plan, store, f"{i}/{len(plans)}", limits, warm=True) for i, plan in enumerate(plans, start=1)]
    failed = [result.record.notebook for result in results if result.record.status != OK]
    if len(failed) == len(results):
        msg = f"Nothing was measured on Keras {found.keras}: no notebook ran to its end."
        raise RunError(msg)
    rows = versions.column(store, name)
    return found.keras, changes.changes([*versions.last_release(found.backend, found.keras), *rows]), failed


def sentence(found: dict[str, Any]) -> str:
    """Return in a sentence where an answer changed."""
    made = f" of {found['released']}" if found["released"] else ""
    without = "".join(f" No answer on {version}: {why}." for version, why in found["without"].items())
    return f"{found['of']}: {found['was']} up to Keras {found['before']}, {found['now']} from {found['keras']}{made} on.{without}"
