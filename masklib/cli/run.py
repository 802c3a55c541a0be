"""The command that executes one notebook."""

from pathlib import Path
from typing import Any

import click

from masklib.cli.executing import execute, recover
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
    runs_option,
    show,
)
from masklib.errors import ParameterError


@click.command(short_help="Execute one notebook.")
@click.argument("notebook")
@click.option("-p", "pairs", multiple=True, nargs=2, metavar="NAME VALUE", help="Set a parameter; may be repeated.")
@depends_option
@force_option
@files_option
@kernel_option
@cwd_option
@limit_options
@runs_option
@json_option
@keep_option
@click.option("--profile-run", "profiled", is_flag=True, help="Show where the time of the run went.")
def run(
    notebook: str,
    pairs: Any,
    depends: tuple[str, ...],
    force: bool,
    files: tuple[Path, ...],
    kernel: str | None,
    cwd: str | None,
    timeout: float,
    cell_timeout: float,
    root: str,
    as_json: bool,
    profiled: bool,
    keep_s: float,
) -> None:
    """Execute one NOTEBOOK, and print the folder of its run.

    NOTEBOOK is a path, a name of the suite, or the beginning of one, such as 02. A finished run is reused, unless something that
    it used has changed since: a module, a library, or a declared file. The command then says what changed, executes the notebook
    again, and keeps the earlier run (see masklib runs).

    As in JupyterLab, the notebook finds modules and data beside it, and what it writes to a relative path stays there. What it
    writes to the folder $MASKLIB_RUN_DIR is kept with the run.

    Example: masklib run 02 -p cell gru -p seed 7 --profile-run
    """
    from masklib.engine.limits import Limits
    from masklib.engine.notebooks import read_notebook
    from masklib.engine.parameter_files import read_files
    from masklib.engine.parameters import declared_parameters, from_text
    from masklib.engine.run import declare, plan_run
    from masklib.engine.stores import open_store

    source = read_notebook(notebook, kernel)
    declared = declared_parameters(source)
    repeated = sorted({name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1})
    if repeated:
        msg = f"Each parameter can be given once, {', '.join(repeated)} is given more often."
        raise ParameterError(msg)
    (plan,) = declare([plan_run(source, read_files(files) | from_text(declared, dict(pairs)), cwd=cwd)], depends)
    store = open_store(root)
    recover(store)
    result = execute(plan, store, "1/1", Limits(timeout, cell_timeout), force=force, keep_s=keep_s)
    if as_json:
        _print_run(result)
    else:
        if profiled:
            show(_steps(result.record), as_json=False, title="Where the time went")
        click.echo(result.folder)
    exit_unless(result.record.status == "ok")


def _print_run(result: Any) -> None:
    """Print a run as JSON, with the claims it measured."""
    from masklib.claims.recording import RECORDS
    from masklib.cli.console import print_json
    from masklib.engine.collect import claim_rows
    from masklib.engine.record import read_file, read_lines

    record = result.record
    is_recorded = record.status == "ok" and RECORDS in record.files
    claims = claim_rows(record, read_lines(read_file(result.folder, record, RECORDS))) if is_recorded else []
    fields = ("notebook", "key", "status", "launch", "duration_s", "parameters", "keras", "backend")
    print_json(
        {
            **{name: getattr(record, name) for name in fields},
            "error": record.to_json()["error"],
            "folder": result.folder,
            "cached": result.cached,
            "claims": claims,
        }
    )


def _steps(record: Any) -> list[dict[str, Any]]:
    """Return the steps of a run with the time that each took; the rest is reading, checking and writing."""
    rest = record.duration_s - sum(record.steps.values())
    steps = {**record.steps, "all else": rest, "the run": record.duration_s}
    return [{"step": name, "seconds": f"{took:.3f}", "share": f"{took / record.duration_s:.0%}"} for name, took in steps.items()]
