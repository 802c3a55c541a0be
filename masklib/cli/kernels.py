"""`masklib kernels`: the warm kernel for Jupyter's tools, and the fork servers that were left for the next commands."""

import click


@click.group(short_help="Warm kernels for JupyterLab, nbclient and papermill.")
def kernels() -> None:
    """Kernels that are forked from a process that has imported the libraries: ready in a fraction of a second.

    Example: masklib kernels install
    """


@kernels.command()
@click.option("--user", is_flag=True, help="For this user instead of this environment.")
def install(user: bool) -> None:
    """Install the kernel `masklib` for JupyterLab, nbclient and papermill.

    Example: papermill --kernel masklib in.ipynb out.ipynb
    """
    from masklib.engine.kernels import spec

    click.echo(spec.install(user=user))


@kernels.command()
def stop() -> None:
    """End the fork servers that --keep-warm has left, each once it has no kernel.

    Example: masklib kernels stop
    """
    from masklib.engine.kernels import servers

    count = servers.stop_kept()
    click.echo(f"Fork servers that end, each once it has no kernel: {count}." if count else "No fork server was left.")
