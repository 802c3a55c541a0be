"""The command that compares a model under two versions of Keras."""

from typing import Any

import click

from masklib.auditing.files import LIMIT_BYTES, in_gb
from masklib.cli.options import parse_bytes
from masklib.errors import MasklibError, printable

CANNOT = 2


@click.command("migrate-check", short_help="Compare a model under two versions of Keras.")
@click.argument("model", metavar="MODEL")
@click.option("--from", "source", metavar="NAME", help="Name the Keras to come from; the default is today's, beside masklib.")
@click.option("--to", "target", required=True, metavar="NAME", help="Name the Keras to go to: a version or an environment.")
@click.option("--inputs", default="", metavar="FILE", help="Compare with this batch: .npz, .npy or module:name.")
@click.option(
    "--weights",
    default="",
    metavar="FILE",
    help="Give a model in code these weights, .h5 or .keras, which the first Keras loads.",
)
@click.option("--custom", multiple=True, metavar="MODULE:NAME", help="Name a class or function that the model uses.")
@click.option("--allow-unsafe", is_flag=True, help="Execute code that is stored in the file, such as that of a Lambda layer.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Set the seed of made inputs.")
@click.option("--max-size", metavar="SIZE", help=f"Refuse files larger than this unpacked; the default is {in_gb(LIMIT_BYTES)}.")
@click.option(
    "--format",
    "form",
    default="text",
    show_default=True,
    type=click.Choice(["text", "json"]),
    help="Choose how the report is printed.",
)
def migrate_check(model: str, source: str | None, target: str, max_size: str | None, form: str, **options: Any) -> None:
    """Compare outputs, loss, metrics and masks of a MODEL under two versions of Keras, with the same weights and inputs.

    MODEL is a .keras or .h5 file that both can load, or module:function, which builds the model on both sides: then the weights
    of the first are carried over. Keras 3 cannot load .keras files of Keras 2: name the function, and the file by --weights.
    NAME is an environment of masklib env list, a version such as 2.15, or today.

    Each difference larger than the rounding noise is printed, with the change of masklib versions that names it, if there is one.

    The exit status is 0 if all is the same, 1 if something differs, and 2 if something could not be compared.

    Example: masklib migrate-check tagger.h5 --from 2.15 --to 3.15

    Example: masklib migrate-check package.module:build_model --weights tagger.keras --from 2.15 --to 3.15

    Example: masklib migrate-check package.module:build_model --from keras@3.3.3 --to keras@3.4.1
    """
    from masklib.cli import migrate_view

    try:
        options["limit_bytes"] = LIMIT_BYTES if max_size is None else parse_bytes(max_size, "--max-size")
        found = migrate_view.check(model, source, target, options)
    except MasklibError as error:
        if click.get_current_context().find_root().params.get("debug"):
            raise
        click.echo(f"masklib: {printable(error)}", err=True)
        raise SystemExit(CANNOT) from None
    migrate_view.show(found, form)
    raise SystemExit(found.comparison.exit_status)
