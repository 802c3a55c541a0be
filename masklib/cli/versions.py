"""The commands about the versions of Keras: what changed from one to the next, and in which release an answer changed."""

import click

from masklib.cli.options import exit_unless, json_option, limit_options, runs_option, show


@click.command(short_help="List what changed from one Keras to the next.")
@click.argument("names", nargs=-1, metavar="[CLAIM|LAYER]...")
@click.option("--since", metavar="VERSION", help="List only what changed after this version of Keras, such as yours: 3.9.2.")
@click.option(
    "--backend",
    type=click.Choice(["tensorflow", "jax", "torch"]),
    help="List only what changed on this backend of Keras, such as torch.",
)
@click.option("--measured", is_flag=True, help="Use the runs of masklib sweep versions in place of what masklib comes with.")
@click.option("--update-reference", is_flag=True, help="Renew these versions in runs/reference/versions.csv.")
@runs_option
@json_option
def versions(
    names: tuple[str, ...],
    since: str | None,
    backend: str | None,
    measured: bool,
    update_reference: bool,
    root: str,
    as_json: bool,
) -> None:
    """List where the verdict of a claim, or what a layer does with a mask, changed from one version of Keras to the next.

    CLAIM and LAYER choose some, such as mask-3 or RNN; by default all are listed. The versions were measured by masklib sweep
    versions, which runs the suite on every environment that was made (see masklib env).

    Example: masklib versions --since 3.9.2

    Example: masklib versions mask-3 Bidirectional --backend torch
    """
    from masklib.cli import versions_view

    rows = versions_view.changed(root if measured or update_reference else None, update_reference)
    chosen = versions_view.choose(rows, names, since, backend)
    if chosen or as_json:
        show(chosen if as_json else versions_view.shown(chosen), as_json, "What changed")
    else:
        click.echo("Nothing changed in the versions that were measured.")


@click.command(short_help="Find the release of Keras in which an answer changed.")
@click.argument("name", metavar="CLAIM|LAYER")
@click.option("--good", required=True, metavar="VERSION", help="Give a release of Keras 3 with one answer, such as 3.3.3.")
@click.option("--bad", required=True, metavar="VERSION", help="Give a release of Keras 3 with another answer, such as 3.4.1.")
@click.option(
    "--backend",
    type=click.Choice(("torch", "tensorflow", "jax")),
    default="torch",
    show_default=True,
    help="Run Keras on this backend.",
)
@limit_options
@runs_option
@json_option
def bisect(name: str, good: str, bad: str, backend: str, timeout: float, cell_timeout: float, root: str, as_json: bool) -> None:
    """Find the release of Keras 3 in which the verdict of a CLAIM, or what a LAYER does, changed.

    The notebook that measures it runs on release after release, in the middle of those that remain. On PyTorch only the wheel of
    Keras is exchanged; on another backend, each release runs on the backend of the next one that masklib env list shows. What is
    missing is made.

    Example: masklib bisect mask-2 --good 3.3.3 --bad 3.15.1

    Example: masklib bisect loss-1 --good 3.6.0 --bad 3.4.1 --backend jax
    """
    from masklib.cli import versions_view
    from masklib.engine.limits import Limits

    found = versions_view.bisect(name, good, bad, backend, root, Limits(timeout, cell_timeout))
    if as_json:
        show([found], as_json, "")
    else:
        click.echo(versions_view.sentence(found))


@click.command(short_help="Measure a new Keras, and list what it changes.")
@click.argument("version", default="nightly", metavar="[VERSION]")
@limit_options
@runs_option
@json_option
def watch(version: str, timeout: float, cell_timeout: float, root: str, as_json: bool) -> None:
    """Run the suite on a VERSION of Keras 3 that is new, and list only what changed against the release before it.

    VERSION is a release such as 3.15.1, latest, or nightly, which is the default. It is installed as keras@VERSION (see masklib
    env). The exit status is 1 if anything changed, or if a notebook failed.

    Example: masklib watch nightly
    """
    from masklib.cli import versions_view
    from masklib.engine.limits import Limits

    keras, changed, failed = versions_view.watch(version, root, Limits(timeout, cell_timeout))
    show(changed if as_json else versions_view.shown(changed), as_json, f"What Keras {keras} changes")
    if failed:
        click.echo(f"Not measured on Keras {keras}, because the notebook failed: {', '.join(failed)}.", err=True)
    exit_unless(not changed and not failed)
