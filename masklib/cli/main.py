"""The command line: light over the library, with the same verbs and defaults.

Results go to stdout, progress to stderr. Exit status: 0 fine, 1 a run or a check failed, 2 the command was used wrongly.
Nothing heavy is imported before a command needs it.
"""

from typing import Any

import click

from masklib.cli.audit import audit
from masklib.cli.collect import collect
from masklib.cli.env import env
from masklib.cli.kernels import kernels
from masklib.cli.listing import list_
from masklib.cli.migrate import migrate_check
from masklib.cli.notebooks import notebooks
from masklib.cli.publish import figures, tables
from masklib.cli.report import report
from masklib.cli.reproduce import reproduce
from masklib.cli.run import run
from masklib.cli.runs import runs
from masklib.cli.sweep import sweep
from masklib.cli.upstream import reproduce_report
from masklib.cli.versions import bisect, versions, watch
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
    """Find out what Keras masks do: in your model, with audit, and in general, by running notebooks that measure it."""
    del debug  # read by _Group
    leave_out_grammars()


_OF_NOTEBOOKS = (list_, run, sweep, reproduce, collect, notebooks, runs)
_OF_VERSIONS = (env, versions, bisect, watch, reproduce_report)
for _command in (*_OF_NOTEBOOKS, audit, migrate_check, report, figures, tables, *_OF_VERSIONS, kernels):
    main.add_command(_command)
