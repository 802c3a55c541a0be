"""The command that copies masklib's notebooks."""

from pathlib import Path

import click


@click.command(short_help="Copy masklib's notebooks, to be changed.")
@click.argument("folder", type=click.Path(path_type=Path))
def notebooks(folder: Path) -> None:
    """Copy the notebooks of the documents into a FOLDER that is new or empty, to be read, changed and run there.

    Example: masklib notebooks notebooks
    """
    from masklib.engine.notebooks import copy_own

    for path in copy_own(folder):
        click.echo(path)
