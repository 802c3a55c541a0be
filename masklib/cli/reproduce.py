"""The command that executes the suite, compares its verdicts with the committed ones, and makes the site."""

from pathlib import Path
from typing import Any

import click

from masklib.cli.executing import execute, recover
from masklib.cli.options import exit_unless, json_option, limit_options, runs_option, say_unreadable
from masklib.cli.report import make_site


@click.command(short_help="Execute the suite and compare its verdicts.")
@click.option(
    "--profile", default="smoke", show_default=True, type=click.Choice(["smoke", "full"]), help="Choose how much is measured."
)
@limit_options
@runs_option
@json_option
@click.option("--environment", help="Use another version of Keras; masklib env list shows which there are.")
@click.option("--backend", help="Use another backend of the installed Keras, such as jax.")
@click.option("--update-reference", is_flag=True, help="Write verdicts and answers to runs/reference/ instead of comparing them.")
@click.option(
    "--site/--no-site", "with_site", default=True, show_default=True, help="Make the site of the runs, or leave it out."
)
def reproduce(
    profile: str,
    timeout: float,
    cell_timeout: float,
    root: str,
    as_json: bool,
    update_reference: bool,
    with_site: bool,
    **chosen: str | None,
) -> None:
    """Execute the whole suite, collect tables and figures, compare the verdicts with the committed ones, and make the site.

    Finished runs are reused. The last lines name the refuted claims; masklib list --claims shows all. The exit status is 1 if a
    run failed or a verdict differs from the committed one.

    Example: masklib reproduce

    Example: masklib reproduce --environment keras-2.2.4
    """
    from masklib.claims.verdicts import verdict_rows
    from masklib.cli.console import print_json
    from masklib.engine import reproduce as suite
    from masklib.engine.committed import reference_folder
    from masklib.engine.limits import Limits
    from masklib.engine.store import is_local
    from masklib.engine.stores import open_store

    store, reference = open_store(root), reference_folder()
    plans = suite.plan_suite(profile, **{name: value for name, value in chosen.items() if value})
    recover(store)
    results = _execute_all(plans, store, Limits(timeout, cell_timeout))
    if update_reference:
        suite.update_reference(suite.summarize(results, plans, store, reference), reference)
    found = suite.summarize(results, plans, store, reference)
    rows = verdict_rows(found.claims)
    if as_json:
        print_json(rows)
    else:
        _report(found, rows, store.root)
    _say_problems(found)
    if with_site and is_local(store.root):
        click.echo(f"The site: {make_site(store)[0]}", err=as_json)
    if not as_json:
        _show_refuted(rows)
    exit_unless(found.ok)


def _execute_all(plans: list[Any], store: Any, limits: Any) -> list[Any]:
    """Execute plans one after another, until one is interrupted, and return what became of each."""
    warm, results = _several_are_missing(plans, store), []
    for index, plan in enumerate(plans, start=1):
        results.append(execute(plan, store, f"{index}/{len(plans)}", limits, warm=warm))
        if results[-1].record.status == "interrupted":
            break
    return results


def _several_are_missing(plans: list[Any], store: Any) -> bool:
    """Return whether more than one run is to be executed: only then is a fork server worth its start."""
    from masklib.engine.sweep import look_up

    return sum(outcome.status == "ok" for outcome in look_up(plans, store).values()) < len(plans) - 1


def _report(found: Any, rows: list[dict[str, Any]], root: Path) -> None:
    """Print how many claims have which verdict, and where the results are; problems on stderr."""
    from masklib.claims.verdicts import count_verdicts

    click.echo(count_verdicts(rows, whole_ledger=True))
    click.echo(f"Tables in {root / 'tables'}, figures in {root / 'figures'}.")
    if all(result.cached for result in found.results):
        click.echo("Every run was already there; nothing was executed.")


def _say_problems(found: Any) -> None:
    """Say on stderr what could not be read, which verdicts differ from the committed ones, and which runs did not end well."""
    say_unreadable(found.unreadable)
    for note in found.differences:
        click.echo(note, err=True)
    if found.unreferenced:
        click.echo(f"No committed verdict for this Keras and backend: {', '.join(found.unreferenced)}.", err=True)
    for result in found.results:
        if result.record.status != "ok":
            click.echo(f"{result.record.notebook} {result.record.status}: {result.folder}", err=True)


def _show_refuted(rows: list[dict[str, Any]]) -> None:
    """Print each claim that was refuted, with what decided it."""
    from masklib.claims.words import REFUTED
    from masklib.cli.console import print_table

    columns = ("claim", "statement", "decided by")
    refuted = [[row[name] for name in columns] for row in rows if row["verdict"] == REFUTED]
    if refuted:
        print_table("Refuted", columns, refuted, fold=columns[1:], width=100)
