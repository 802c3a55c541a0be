"""The command that executes a notebook for every combination of its parameters."""

from typing import Any

import click

from masklib.cli.options import (
    cwd_option,
    depends_option,
    exit_unless,
    files_option,
    force_option,
    json_option,
    keep_option,
    kernel_option,
    limit_options,
    parse_bytes,
    runs_option,
)


def _split_grid(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the name and the values of each -g."""
    for text in given:
        if not text.partition("=")[0] or "=" not in text:
            msg = f"must be NAME=VALUES, such as seed=0:20, got {text!r}."
            raise click.BadParameter(msg)
    return [(name, values) for name, _, values in (text.partition("=") for text in given)]


def _read_bytes(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """Return a size in bytes."""
    return None if text is None else parse_bytes(text)


@click.command(short_help="Execute a notebook for every combination of parameters.")
@click.argument("source", metavar="NOTEBOOK|SPEC")
@click.option(
    "-g",
    "grid",
    multiple=True,
    metavar="NAME=VALUES",
    callback=_split_grid,
    help="Give the values of a parameter, such as 0:20 or lstm,gru; all combinations are executed.",
)
@click.option("-p", "fixed", multiple=True, nargs=2, metavar="NAME VALUE", help="Set a parameter to one value; may be repeated.")
@files_option
@kernel_option
@cwd_option
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Execute only N combinations, drawn at random.")
@click.option("--seed", type=int, help="Set the seed of --sample; the default is 0. The same seed draws the same combinations.")
@click.option("--jobs", type=click.IntRange(min=1), help="Execute this many runs at the same time; the default is one per core.")
@click.option(
    "--dask",
    metavar="[ADDRESS]",
    is_flag=False,
    flag_value="",
    help="Execute on the Dask cluster of this scheduler, such as tcp://host:8786, or of the one in Dask's configuration.",
)
@click.option("--retry", type=click.Choice(["failed"]), help="Execute runs that failed before again.")
@depends_option
@force_option
@click.option("--fail-fast", is_flag=True, help="Start no further run after one has failed.")
@click.option("--memory", "memory_bytes", callback=_read_bytes, metavar="SIZE", help="Limit the memory of each run, such as 2GB.")
@keep_option
@click.option("--dry-run", is_flag=True, help="Print the plan and which of its runs are finished, without executing anything.")
@limit_options
@runs_option
@json_option
def sweep(
    source: str,
    grid: Any,
    fixed: Any,
    root: str,
    retry: str | None,
    timeout: float,
    cell_timeout: float,
    memory_bytes: int | None,
    **options: Any,
) -> None:
    """Execute a NOTEBOOK for every combination of its parameters, or a SPEC, a file or a name in runs/specs.

    To continue a sweep that was stopped, give the same command again. Finished runs are reused. Runs that failed are executed
    again with --retry failed. Either is executed again if something that it used has changed since, and the command says what.
    Press Ctrl-C once to let the current runs finish, twice to interrupt them. The exit status is 1 if any run failed.

    On a Dask cluster each worker executes one run at a time. The runs must be in a folder that all machines share, or at a URL.
    --dask also takes a scheduler file.

    Example: masklib sweep 02_rnn_carry_over -g seed=0:20 -g cell=lstm,gru

    Example: masklib sweep 02_rnn_carry_over -g seed=0:1000 -g cell=lstm,gru --sample 200 --seed 1

    Example: masklib sweep 02_rnn_carry_over -g seed=0:1000 --dask tcp://host:8786 --runs s3://bucket/runs
    """
    from masklib.cli import sweep_view
    from masklib.engine.limits import Limits

    limits = Limits(timeout, cell_timeout, memory_bytes)
    exit_unless(sweep_view.execute(source, grid, fixed, root, retry=retry is not None, limits=limits, **options))
