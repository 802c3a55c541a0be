"""What several commands share: options, and how they print and end."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from masklib.errors import ArgumentError, StoreError, printable

_SECONDS = {"s": 1, "m": 60, "h": 3600}
LONGEST_KEPT_S = 24 * 3600

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
LARGEST_BYTES = 2**62

runs_option = click.option(
    "--runs",
    "root",
    default="runs",
    envvar="MASKLIB_RUNS",
    show_default=True,
    help="Use the runs in this folder, or at a URL of fsspec such as s3://bucket/runs.",
    type=click.Path(),
)
cwd_option = click.option(
    "--cwd",
    type=click.Path(),
    help="Run the kernel in this folder; the default is the folder of the notebook.",
)
kernel_option = click.option("--kernel", help="Use this kernel, such as python3, instead of the one that the notebook names.")
files_option = click.option(
    "-f",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read parameters by name from a YAML or JSON file; -p takes precedence.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")


def _read_seconds(context: click.Context, option: click.Parameter, text: str | None) -> float:
    """Return a duration such as 10m in seconds; 0.0 for none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([smh])", text or "")
    if text is not None and (found is None or not 0 < float(found[1]) * _SECONDS[found[2]] < LONGEST_KEPT_S):
        msg = f"must be a time such as 30s, 10m or 2h, less than 24h, got {text!r}."
        raise click.BadParameter(msg)
    return float(found[1]) * _SECONDS[found[2]] if found else 0.0


keep_option = click.option(
    "--keep-warm",
    "keep_s",
    metavar="TIME",
    callback=_read_seconds,
    help="Keep the fork server for later commands, and stop it after this time without use, such as 10m.",
)
depends_option = click.option(
    "-d",
    "--depends",
    multiple=True,
    metavar="FILES",
    help="Declare a file that the results depend on, or a pattern in quotes such as 'data/*.csv'; may be repeated.",
)
force_option = click.option("--force", is_flag=True, help="Execute again, even if there is a finished run.")


def parse_bytes(text: str, option: str = "--memory") -> int:
    """Return the number of bytes that a text such as `500MB` or `2GiB` names.

    Raises:
        ArgumentError: it names none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]i?|)b?", text.strip().lower())
    size = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 1 <= size <= LARGEST_BYTES:
        msg = f"{option} must be a size such as 500MB or 2GB, got {text!r}."
        raise ArgumentError(msg)
    return round(size)


def several(allowed: tuple[str, ...]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return a callback that splits what was given at its commas, each part one of `allowed`."""

    def split(context: click.Context, option: click.Parameter, text: str) -> list[str]:
        parts: list[Any] = [part.strip() for part in text.split(",")]
        unknown = [part for part in parts if part not in allowed]
        if unknown:
            msg = f"must be of {', '.join(allowed)}, separated by commas, got {', '.join(map(repr, unknown))}."
            raise click.BadParameter(msg)
        return list(dict.fromkeys(parts))

    return split


def show(rows: list[dict[str, Any]], as_json: bool, title: str) -> None:
    """Print rows as a table, or as JSON."""
    from masklib.cli.console import print_json, print_table

    if as_json:
        print_json(rows)
    else:
        columns = list(rows[0]) if rows else ["nothing"]
        print_table(title, columns, [list(row.values()) for row in rows])


def check_there(store: Any) -> None:
    """Refuse a store that is not there: its path was mistyped, or nothing was run yet.

    Raises:
        StoreError: it is not.
    """
    if not store.exists():
        msg = f"There are no runs: {store.root} is not there. Check --runs. Run the suite first: masklib reproduce."
        raise StoreError(msg)


def say_unreadable(notes: Sequence[str]) -> bool:
    """Say on stderr what of the store could not be read; return whether all of it could."""
    for note in notes:
        click.echo(f"set aside: {printable(note)}", err=True)
    return not notes


def exit_unless(ok: bool) -> None:
    """End with status 1 unless `ok`."""
    if not ok:
        raise SystemExit(1)


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the time limits of a run."""
    for name, default, what in (("--cell-timeout", 600.0, "one cell"), ("--timeout", 3600.0, "the whole notebook")):
        text = f"Stop a run when {what} takes longer than so many seconds."
        command = click.option(name, default=default, show_default=True, type=click.FloatRange(min=1), help=text)(command)
    return command
