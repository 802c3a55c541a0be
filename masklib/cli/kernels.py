"""`masklib kernels`: the warm kernel for Jupyter's tools, and the fork servers that were left for the next commands."""

import click


@click.group(short_help="Install warm kernels for JupyterLab, nbclient and papermill.")
def kernels() -> None:
    """Install warm kernels, or stop the servers that --keep-warm has kept.

    A warm kernel is forked from a process that has already imported the libraries. It is ready in a fraction of a second.

    Example: masklib kernels install
    """


@kernels.command()
@click.option("--user", is_flag=True, help="Install it for this user instead of this environment.")
def install(user: bool) -> None:
    """Install a warm kernel named masklib.

    JupyterLab, nbclient and papermill can then use it.

    Example: papermill --kernel masklib in.ipynb out.ipynb
    """
    from masklib.engine.kernels import spec

    click.echo(spec.install(user=user))


@kernels.command()
def stop() -> None:
    """Stop the fork servers that --keep-warm has kept.

    Each stops when its last kernel has ended.

    Example: masklib kernels stop
    """
    from masklib.engine.kernels import servers

    count = servers.stop_kept()
    click.echo(f"Fork servers that stop, each when its last kernel has ended: {count}." if count else "No fork server was kept.")
