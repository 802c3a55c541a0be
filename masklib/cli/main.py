"""The command line: light over the library, with the same verbs and defaults.

Results go to stdout, progress to stderr. Exit status: 0 fine, 1 a run or a check failed, 2 the command was used wrongly.
Nothing heavy is imported before a command needs it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from masklib.cli.audit import audit
from masklib.cli.env import env
from masklib.cli.kernels import kernels
from masklib.cli.options import (
    check_there,
    cwd_option,
    depends_option,
    exit_unless,
    files_option,
    force_option,
    json_option,
    keep_option,
    kernel_option,
    parse_bytes,
    runs_option,
    say_unreadable,
    show,
)
from masklib.cli.publish import figures, tables
from masklib.cli.report import make_site, report
from masklib.cli.runs import runs
from masklib.engine.startup import leave_out_grammars
from masklib.errors import (
    ArgumentError,
    ClaimError,
    MasklibError,
    NotebookError,
    ParameterError,
    UntestableError,
    printable,
)
from masklib.extras import missing

USAGE_ERRORS = (ArgumentError, ClaimError, NotebookError, ParameterError, UntestableError)


class _Group(click.Group):
    """Commands in the order of use; masklib's errors become one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands as they were defined."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; `--debug` lets the traceback of an error through."""
        try:
            return super().invoke(ctx)
        except MasklibError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"masklib: {error}", err=True)
            ctx.exit(2 if isinstance(error, USAGE_ERRORS) else 1)
        except ModuleNotFoundError as error:
            found = missing(error)
            if found is None or ctx.params.get("debug"):
                raise
            click.echo(f"masklib: {found}", err=True)
            ctx.exit(2)
        except OSError as error:
            if ctx.params.get("debug") or isinstance(error, BrokenPipeError):  # the second is click's, of `masklib ... | head`
                raise
            click.echo(
                f"masklib: {printable(str(error.filename)[:200])} cannot be used: {error.strerror}. Check the path.", err=True
            )
            ctx.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="masklib")
def main(debug: bool) -> None:
    """What Keras masks really do, measured: run the notebooks, collect their results, list the verdicts."""
    del debug  # read by _Group
    leave_out_grammars()


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


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the time limits of a run."""
    for name, default, what in (("--cell-timeout", 600.0, "one cell"), ("--timeout", 3600.0, "a whole notebook")):
        option = click.option(name, default=default, show_default=True, type=click.FloatRange(min=1), help=f"Seconds for {what}.")
        command = option(command)
    return command


@main.command("list", short_help="Notebooks and parameters, or claims and verdicts.")
@click.option("--claims", is_flag=True, help="Every claim of the ledger, with the verdict of its last run.")
@runs_option
@json_option
def list_(claims: bool, root: str, as_json: bool) -> None:
    """Show the notebooks with their parameters, or the claims with their verdicts.

    Where nothing was run yet, the verdicts are those that masklib was published with; the column runs then says "committed".

    Example: masklib list --claims
    """
    from masklib.cli import listing

    if not claims:
        show(listing.notebook_rows(), as_json, "Notebooks and their parameters")
        return
    from masklib.claims.verdicts import count_verdicts
    from masklib.engine.stores import open_store

    store = open_store(root)
    if click.get_current_context().get_parameter_source("root") is not ParameterSource.DEFAULT:
        check_there(store)  # without runs every claim is open, which is no answer about a path that was mistyped
    rows, unreadable = listing.claim_rows(store) if store.exists() else (listing.committed_rows(), [])
    show(rows, as_json, "Claims")
    if not as_json:
        click.echo(count_verdicts(rows))
    exit_unless(say_unreadable(unreadable))


@main.command(short_help="Execute one notebook.")
@click.argument("notebook")
@click.option("-p", "pairs", multiple=True, nargs=2, metavar="NAME VALUE", help="A parameter; may be repeated.")
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
    """Execute one NOTEBOOK, a path or a name of the suite, and publish its run.

    A run that the store already has is not executed again, unless something that it used has changed since: a module, a library,
    or a file that is declared. What changed is reported; the earlier run is kept, see masklib runs. As in JupyterLab, modules and
    data beside the notebook are found, and what it writes to a relative path stays there; what it writes to the folder
    $MASKLIB_RUN_DIR is kept with the run.

    Example: masklib run 02_rnn_carry_over -p cell gru -p seed 7 --profile-run
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
        msg = f"A parameter is given once, {', '.join(repeated)} given more often."
        raise ParameterError(msg)
    (plan,) = declare([plan_run(source, read_files(files) | from_text(declared, dict(pairs)), cwd=cwd)], depends)
    store = open_store(root)
    _recover(store)
    result = _execute(plan, store, "1/1", Limits(timeout, cell_timeout), force=force, keep_s=keep_s)
    if as_json:
        _print_run(result)
    else:
        if profiled:
            show(_steps(result.record), as_json=False, title="Where the time went")
        click.echo(result.folder)
    exit_unless(result.record.status == "ok")


@main.command(short_help="Execute a notebook for every combination of parameters.")
@click.argument("source", metavar="NOTEBOOK|SPEC")
@click.option(
    "-g", "grid", multiple=True, metavar="NAME=VALUES", callback=_split_grid, help="Values to combine: 0:20 or lstm,gru."
)
@click.option("-p", "fixed", multiple=True, nargs=2, metavar="NAME VALUE", help="A parameter with one value; may be repeated.")
@files_option
@kernel_option
@cwd_option
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Draw N of all combinations, each at most once.")
@click.option("--seed", type=int, help="Of the drawing; 0 by default. The same seed draws the same ones.")
@click.option("--jobs", type=click.IntRange(min=1), help="Runs side by side; by default one per core.")
@click.option(
    "--dask",
    metavar="[ADDRESS]",
    is_flag=False,
    flag_value="",
    help="Execute on the Dask cluster of this scheduler, such as tcp://host:8786, or of the one that Dask's configuration names.",
)
@click.option("--retry", type=click.Choice(["failed"]), help="Execute again what failed before.")
@depends_option
@force_option
@click.option("--fail-fast", is_flag=True, help="Start no further run once one has failed.")
@click.option("--memory", "memory_bytes", callback=_read_bytes, metavar="SIZE", help="Limit of each run, such as 2GB.")
@keep_option
@click.option("--dry-run", is_flag=True, help="Print the plan, and which of its runs are there; execute nothing.")
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

    The same command again continues where it stopped: finished runs are not executed again, failed ones only with --retry failed;
    both are if something that they used has changed since, which is reported. Ctrl-C lets the running ones finish; twice
    interrupts them. Exit status 1 if a point has no run that ended well.

    On a Dask cluster each worker executes one run at a time. The store is then a folder that all its machines share, or a URL;
    --dask also takes a scheduler file.

    Example: masklib sweep 02_rnn_carry_over -g seed=0:20 -g cell=lstm,gru

    Example: masklib sweep 02_rnn_carry_over -g seed=0:1000 -g cell=lstm,gru --sample 200 --seed 1

    Example: masklib sweep 02_rnn_carry_over -g seed=0:1000 --dask tcp://host:8786 --runs s3://bucket/runs
    """
    from masklib.cli import sweep_view
    from masklib.engine.limits import Limits

    limits = Limits(timeout, cell_timeout, memory_bytes)
    exit_unless(sweep_view.execute(source, grid, fixed, root, retry=retry is not None, limits=limits, **options))


@main.command(short_help="Execute the suite and compare its verdicts.")
@click.option("--profile", default="smoke", show_default=True, type=click.Choice(["smoke", "full"]), help="How much is measured.")
@limit_options
@runs_option
@json_option
@click.option("--environment", help="Execute it with another Keras; see masklib env list.")
@click.option("--backend", help="Execute it on another backend of the Keras that is installed, such as jax.")
@click.option("--update-reference", is_flag=True, help="Write the verdicts to runs/reference/ instead of comparing.")
@click.option("--site/--no-site", "with_site", default=True, show_default=True, help="Make the report site of the runs.")
def reproduce(
    profile: str,
    timeout: float,
    cell_timeout: float,
    root: str,
    as_json: bool,
    update_reference: bool,
    with_site: bool,
    **chosen: str | None,
) -> None:
    """Execute the whole suite, collect tables and figures, compare the verdicts with the committed ones, and make the site.

    Runs that are there already are not executed again. Exit status 1 if a run failed or a verdict differs.

    Example: masklib reproduce

    Example: masklib reproduce --environment keras-2.2.4
    """
    from masklib.engine import reproduce as suite
    from masklib.engine.limits import Limits
    from masklib.engine.store import is_local
    from masklib.engine.stores import open_store

    store = open_store(root)
    plans = suite.plan_suite(profile, **{name: value for name, value in chosen.items() if value})
    _recover(store)
    limits, warm = Limits(timeout, cell_timeout), _several_are_missing(plans, store)
    results = []
    for index, plan in enumerate(plans, start=1):
        results.append(_execute(plan, store, f"{index}/{len(plans)}", limits, warm=warm))
        if results[-1].record.status == "interrupted":
            break
    reference = suite.reference_folder()
    if update_reference:
        suite.update_reference(suite.summarize(results, plans, store, reference), reference)
    found = suite.summarize(results, plans, store, reference)
    _report(found, store.root, as_json)
    if with_site and is_local(store.root):
        click.echo(f"The site: {make_site(store)[0]}", err=as_json)
    exit_unless(found.ok)


@main.command(short_help="Write the tables of all runs.")
@runs_option
@json_option
def collect(root: str, as_json: bool) -> None:
    """Write the tables runs/tables/{runs,claims,measurements}.{parquet,csv} from the folders of the runs.

    Example: masklib collect
    """
    from masklib.engine.collect import collect as collect_tables
    from masklib.engine.stores import open_store

    store = open_store(root)
    check_there(store)
    tables = collect_tables(store)
    tables.write(store.root / "tables")
    counts = {name: len(getattr(tables, name)) for name in ("runs", "claims", "measurements")}
    show(
        [{"table": name, "rows": rows, "file": store.root / "tables" / f"{name}.parquet"} for name, rows in counts.items()],
        as_json,
        "Tables",
    )
    exit_unless(say_unreadable(tables.unreadable))


@main.command(short_help="Copy masklib's notebooks, to be changed.")
@click.argument("folder", type=click.Path(path_type=Path))
def notebooks(folder: Path) -> None:
    """Copy the notebooks of the documents into a FOLDER that is new or empty, to be read, changed and run there.

    Example: masklib notebooks notebooks
    """
    from masklib.engine.notebooks import copy_own

    for path in copy_own(folder):
        click.echo(path)


main.add_command(runs)
main.add_command(audit)
main.add_command(report)
main.add_command(figures)
main.add_command(tables)
main.add_command(env)
main.add_command(kernels)


def _recover(store: Any) -> None:
    """Move what was left of runs whose process is gone to the failed attempts, and say so."""
    recovered = store.recover()
    if recovered:
        click.echo(f"{len(recovered)} interrupted runs were moved to the failed attempts.", err=True)


def _several_are_missing(plans: list[Any], store: Any) -> bool:
    """Return whether more than one run is to be executed: only then is a fork server worth its start."""
    from masklib.engine.sweep import look_up

    return sum(outcome.status == "ok" for outcome in look_up(plans, store).values()) < len(plans) - 1


def _execute(
    plan: Any, store: Any, position: str, limits: Any, *, warm: bool = False, force: bool = False, keep_s: float = 0.0
) -> Any:
    """Execute a plan with its progress on stderr, and say what became of it."""
    from masklib.cli.console import Tracker
    from masklib.engine.run import Stored, execute_plan, look_up

    tracker = Tracker(plan.notebook.name, position)
    stored = Stored() if force else look_up(plan, store)
    if stored.changes:
        click.echo(f"[{position}] {plan.notebook.name} is executed again: {'; '.join(stored.changes)}", err=True)
    result: Any = stored.result
    if result is None:
        from masklib.engine.execution import terminate_as_interrupt

        warm = warm or _is_served(plan, keep_s)
        with terminate_as_interrupt(), tracker.shown():
            result = execute_plan(plan, store, limits=limits, warm=warm, force=force, on_cell=tracker.on_cell)
    _say(result, position)
    return result


def _is_served(plan: Any, keep_s: float) -> bool:
    """Return whether a fork server is there for a run: one that an earlier command has left, or one that this command leaves."""
    from masklib.engine.kernels import servers

    if keep_s and plan.kernel.forkable:
        servers.start(plan.settings, 1, keep_s)
    return keep_s > 0 or servers.is_kept_for(plan.settings)


def _say(result: Any, position: str) -> None:
    """Print on stderr what became of a run."""
    record = result.record
    state = "already there" if result.cached else f"{record.status} in {record.duration_s:.1f} s"
    click.echo(f"[{position}] {record.notebook}: {state}", err=True)
    if record.error:
        click.echo(f"  {record.error.told}\n  evidence: {result.folder}", err=True)


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


def _report(found: Any, root: Path, as_json: bool) -> None:
    """Print the claims and verdicts of the suite, and what differs from the committed ones."""
    from masklib.claims.verdicts import count_verdicts, verdict_rows

    rows = verdict_rows(found.claims)
    show(rows, as_json, "Claims and verdicts")
    if not as_json:
        click.echo(count_verdicts(rows, whole_ledger=True))
        click.echo(f"Tables in {root / 'tables'}, figures in {root / 'figures'}.")
        if all(result.cached for result in found.results):
            click.echo("Every run was already there; nothing was executed.")
    say_unreadable(found.unreadable)
    for note in found.differences:
        click.echo(note, err=True)
    if found.unreferenced:
        click.echo(f"No committed verdict for this Keras and backend: {', '.join(found.unreferenced)}.", err=True)
    for result in found.results:
        if result.record.status != "ok":
            click.echo(f"{result.record.notebook} {result.record.status}: {result.folder}", err=True)
