"""The commands about what a store holds: list, show, diff, remove and prune."""

from typing import Any

import click

from masklib.cli.options import exit_unless, json_option, runs_option, show

dry_option = click.option("--dry-run", is_flag=True, help="Print what would be removed, without removing it.")


@click.group("runs", short_help="List, show, compare and remove runs.")
def runs() -> None:
    """List the runs of a store, show one, compare two, and remove runs that are not needed.

    RUN is a folder, a key, or the beginning of a key, such as 3f9a02c1 or 02_rnn_carry_over/3f9a02c1.

    Example: masklib runs list --stale
    """


@runs.command("list")
@click.argument("notebook", required=False)
@click.option(
    "--status",
    "states",
    multiple=True,
    metavar="STATUS",
    help="Choose runs that are ok, failed, timeout, died, interrupted or earlier; may be repeated.",
)
@click.option("--stale", is_flag=True, help="Show only runs that used something that has changed since.")
@runs_option
@json_option
def list_(notebook: str | None, states: tuple[str, ...], stale: bool, root: str, as_json: bool) -> None:
    """List the runs of a store, or of one NOTEBOOK.

    The last column says what has changed since a run. The state "earlier" means that the run was executed again later.

    Example: masklib runs list 02_rnn_carry_over --status failed
    """
    from masklib.cli import runs_view
    from masklib.engine.inventory import check_states, holdings, prunable

    check_states(states)
    held = [one for one in holdings(_open(root)) if notebook in (None, one.notebook)]
    found = [one for one, _ in prunable(held, states=states, stale=stale)]
    show(runs_view.rows(found, as_json=as_json), as_json, f"Runs in {root}")


@runs.command("show")
@click.argument("run")
@runs_option
@json_option
def show_(run: str, root: str, as_json: bool) -> None:
    """Show one RUN.

    This prints its parameters and results, what it used, and what has changed since.

    Example: masklib runs show 3f9a02c1
    """
    from masklib.cli import runs_view
    from masklib.engine.inventory import find, holdings

    store = _open(root)
    one = find(holdings(store), run)
    if as_json:
        runs_view.print_whole(one, store)
    else:
        show(runs_view.facts(one, store), as_json=False, title=one.short)


@runs.command()
@click.argument("first")
@click.argument("second")
@runs_option
@json_option
def diff(first: str, second: str, root: str, as_json: bool) -> None:
    """Compare two runs.

    Parameters, code, versions, modules, files, metrics and claims are compared. An earlier run is named by its folder and number,
    such as 02_rnn_carry_over/earlier/3f9a02c1-1.

    Example: masklib runs diff 3f9a02c1 77b01d3e
    """
    from masklib.cli import runs_view
    from masklib.engine.inventory import find, holdings

    store = _open(root)
    held = holdings(store)
    runs_view.print_differences(find(held, first), find(held, second), store, as_json)


@runs.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@dry_option
@runs_option
@json_option
def remove(names: tuple[str, ...], dry_run: bool, root: str, as_json: bool) -> None:
    """Remove runs or failed attempts.

    Nothing is removed unless every RUN is found.

    Example: masklib runs remove 3f9a02c1 --dry-run
    """
    from masklib.engine.inventory import find, holdings

    store = _open(root)
    held = holdings(store)
    chosen: dict[str, Any] = {one.entry.name: (one, []) for one in (find(held, name) for name in names)}
    _remove(list(chosen.values()), store, dry_run, as_json)


@runs.command()
@click.option("--older", metavar="AGE", help="Remove runs that are older than this, such as 30d, 12h or 2w.")
@click.option(
    "--status",
    "states",
    multiple=True,
    metavar="STATUS",
    help="Choose runs that are ok, failed, timeout, died, interrupted or earlier; may be repeated.",
)
@click.option("--stale", is_flag=True, help="Remove runs that used something that has changed since.")
@dry_option
@runs_option
@json_option
def prune(older: str | None, states: tuple[str, ...], stale: bool, dry_run: bool, root: str, as_json: bool) -> None:
    """Remove the runs that meet all conditions.

    At least one condition is needed.

    Example: masklib runs prune --status failed --status earlier --older 30d --dry-run
    """
    from masklib.engine.inventory import check_states, holdings, parse_age, prunable
    from masklib.errors import ArgumentError

    if not (older or states or stale):
        msg = "masklib runs prune needs a condition, none was given. Give --older, --status or --stale."
        raise ArgumentError(msg)
    check_states(states)
    store = _open(root)
    _remove(prunable(holdings(store), parse_age(older) if older else None, states, stale), store, dry_run, as_json)


def _open(root: str) -> Any:
    """Return the store, which must be there.

    Raises:
        ArgumentError: it is not.
    """
    from masklib.engine.stores import open_store
    from masklib.errors import ArgumentError

    store = open_store(root)
    if not store.exists():
        msg = f"There is no store of runs at {root}. Name another with --runs."
        raise ArgumentError(msg)
    return store


def _remove(chosen: list[Any], store: Any, dry_run: bool, as_json: bool) -> None:
    """Remove runs and say which; end with status 1 if one could not be."""
    from masklib.cli.console import print_json
    from masklib.engine.inventory import removed

    kept = [] if dry_run else [one for one, _ in chosen if not removed(one, store)]
    gone = [(one, changed) for one, changed in chosen if one not in kept]
    if as_json:
        print_json([{"run": one.entry.name, "state": one.state, "changed": changed} for one, changed in gone])
    else:
        for one, changed in gone:
            click.echo(f"{one.short}: {one.state}{''.join(f', {change}' for change in changed)}")
    click.echo(f"{len(gone)} run{'' if len(gone) == 1 else 's'} {'would be removed' if dry_run else 'removed'}.", err=True)
    for one in kept:
        click.echo(f"kept: {one.short}, because another process is using it.", err=True)
    exit_unless(not kept)
