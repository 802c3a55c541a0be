"""The command that makes the report: a site of all runs, or one page of one run."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from masklib.cli.options import exit_unless, runs_option, say_unreadable


@click.command(short_help="Make the site of all runs, or the page of one run.")
@click.argument("run", required=False)
@runs_option
@click.option(
    "--out",
    type=click.Path(),
    help="Write the site to this folder, or the page of RUN to this file; the default folder is `site` next to the runs.",
)
@click.option("--open", "opened", is_flag=True, help="Open the site or the page in a browser.")
def report(run: str | None, root: str, out: str | None, opened: bool) -> None:
    """Make a site of all runs, or one HTML file of one RUN, and print its path.

    The site is static: it works from its folder or from any web server, without a network. Only pages that changed are made
    again. If the runs are at a URL, --out must name a folder of this machine.

    Example: masklib report --open

    Example: masklib report 3f9a02c1 --out lstm.html
    """
    from masklib.engine.stores import open_store

    whole = True
    if run is None:
        path, whole = make_site(open_store(root), out)
    else:
        from masklib.site import single

        path = single.write(run, root, out)
    click.echo(path)
    if opened:
        click.launch(str(path))
    exit_unless(whole)


def make_site(store: Any, out: str | None = None) -> tuple[Path, bool]:
    """Make the site of a store with its progress on stderr, and say there what Sphinx says.

    Returns:
        The path of its front page, and whether all of the store could be read.
    """
    from masklib.cli.console import SiteTracker
    from masklib.site.build import build, site_folder

    with ExitStack() as stack:
        tracker = SiteTracker(site_folder(store, out))
        site = build(store, out, on_start=lambda: stack.enter_context(tracker.shown()))
    if site.built:
        click.echo(f"{tracker.title}: made in {tracker.elapsed_s:.0f} s", err=True)
    for note in site.warnings:
        click.echo(note, err=True)
    return site.index, say_unreadable(site.unreadable)
