"""The command that copies masklib's notebooks."""

from pathlib import Path

import click


@click.command(short_help="Copy masklib's notebooks into a folder.")
@click.argument("folder", type=click.Path(path_type=Path))
def notebooks(folder: Path) -> None:
    """Copy masklib's notebooks into a new or empty FOLDER, where you can read, change and run them.

    Example: masklib notebooks notebooks
    """
    from masklib.engine.notebooks import copy_own

    for path in copy_own(folder):
        click.echo(path)
