"""The commands about other Keras versions and backends."""

import click

from masklib.cli.options import exit_unless, json_option, show


@click.group(short_help="Make and check environments with other versions of Keras.")
def env() -> None:
    """Make, check and remove environments with other Keras versions and backends.

    Each environment has its own kernel. Checkouts share them.

    Example: masklib env create keras-2.15
    """


@env.command("list")
@json_option
def list_environments(as_json: bool) -> None:
    """List the environments and their state.

    Example: masklib env list
    """
    from masklib.cli import env_view

    rows = env_view.list_rows()
    show(rows if as_json else env_view.shown(rows), as_json, "Environments")


@env.command("create")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
def create_environments(names: tuple[str, ...], as_json: bool) -> None:
    """Make environments with uv.

    The size of each is printed first. A failure leaves no files.

    Example: masklib env create keras-2.15 keras-2.2.4
    """
    from masklib.cli import env_view

    rows = env_view.create(names)
    show(rows if as_json else env_view.shown(rows), as_json, "Environments")


@env.command("remove")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
def remove_environments(names: tuple[str, ...], as_json: bool) -> None:
    """Remove environments.

    Those that were made from earlier lock files are removed, too.

    Example: masklib env remove keras-2.15
    """
    from masklib.cli import env_view

    show(env_view.remove(names), as_json, "Environments")


@env.command("check")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
def check_environments(names: tuple[str, ...], as_json: bool) -> None:
    """Check that environments work, by default all that were made.

    Keras, its backend and masklib are imported in each. An environment is unavailable if it was not made, and failed if an import
    fails. The exit status is 0 only if all are ok.

    Example: masklib env check keras-2.15
    """
    from masklib.cli import env_view

    rows = env_view.check(names)
    show(rows if as_json else env_view.shown_checks(rows), as_json, "Environments")
    exit_unless(all(row["status"] == "ok" for row in rows))
