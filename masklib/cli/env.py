"""The commands about other Keras versions and backends."""

import click

from masklib.cli.options import exit_unless, json_option, show


@click.group(short_help="Other Keras versions and backends.")
def env() -> None:
    """Environments with other Keras versions and backends, each with a kernel of its own, shared between checkouts.

    Example: masklib env create keras-2.15
    """


@env.command("list")
@json_option
def list_environments(as_json: bool) -> None:
    """Show the environments, and which of them are there.

    Example: masklib env list
    """
    from masklib.cli import env_view

    rows = env_view.list_rows()
    show(rows if as_json else env_view.shown(rows), as_json, "Environments")


@env.command("create")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
def create_environments(names: tuple[str, ...], as_json: bool) -> None:
    """Make environments with uv. What one will cost is printed first; a failure leaves no files.

    Example: masklib env create keras-2.15 keras-2.2.4
    """
    from masklib.cli import env_view

    rows = env_view.create(names)
    show(rows if as_json else env_view.shown(rows), as_json, "Environments")


@env.command("remove")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
def remove_environments(names: tuple[str, ...], as_json: bool) -> None:
    """Remove environments, those of earlier locks too.

    Example: masklib env remove keras-2.15
    """
    from masklib.cli import env_view

    show(env_view.remove(names), as_json, "Environments")


@env.command("check")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
def check_environments(names: tuple[str, ...], as_json: bool) -> None:
    """Import Keras, its backend and masklib in environments; by default in all that are there.

    An environment is `unavailable` if it is not there, `failed` if it does not import. Exit status 1 unless all are ok.

    Example: masklib env check keras-2.15
    """
    from masklib.cli import env_view

    rows = env_view.check(names)
    show(rows if as_json else env_view.shown_checks(rows), as_json, "Environments")
    exit_unless(all(row["status"] == "ok" for row in rows))
