"""`masklib audit --environment`: the same command, called with the same arguments in the Python of that environment."""

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from masklib.auditing.files import check_model_file, is_in_code
from masklib.errors import ArgumentError

INSIDE = "masklib.inside"  # in the object of click's context: the environment in which the command runs


class KeepsArguments(click.Command):
    """A command that keeps the arguments which it was called with, in `context.meta`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments and parse them."""
        ctx.meta[INSIDE] = list(args)
        return super().parse_args(ctx, args)


def is_elsewhere(context: click.Context, environment: str | None) -> bool:
    """Return whether the command must be called in another environment than that of this process."""
    return environment is not None and (context.find_root().obj or {}).get(INSIDE) != environment


def call(context: click.Context, name: str, backend: str | None) -> int:
    """Call the command of this context in an environment, and return its exit status.

    Raises:
        ArgumentError: there is no such environment, or it has another backend.
        UnavailableError: it was not made, or its Keras is too old for the audit.
    """
    from masklib.engine.inside import call_inside, check_audited, made_environment

    environment = made_environment(name)
    check_audited(environment)
    if backend not in (None, environment.backend):
        msg = f"--backend must be that of the environment, {environment.backend}, got {backend}. Leave --backend out."
        raise ArgumentError(msg)
    _check_models(context.params)
    sys.stdout.flush()
    debug = ["--debug"] if context.find_root().params.get("debug") else []
    arguments = [*debug, "audit", *context.meta[INSIDE]]
    return call_inside(environment, "masklib.cli.inside:main", [name, arguments], variables=_terminal()).returncode


def _check_models(options: Mapping[str, Any]) -> None:
    """Refuse model files that are none, are too large, or name code, before an older Keras loads them.

    Raises:
        ArgumentError: a file is one of these.
    """
    from masklib.migrating.trusting import check_is_data

    for path in options["models"]:
        if not is_in_code(path):
            check_model_file(path, options["limit_bytes"])
            if not options["allow_unsafe"]:
                check_is_data(path, options["custom"])


def _terminal() -> dict[str, str]:
    """Return what keeps output as the command itself would print it."""
    return {name: os.environ[name] for name in ("PYTHONIOENCODING", "PYTHONUTF8") if name in os.environ}
