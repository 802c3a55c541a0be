"""The command that audits a model: what is given is checked, then the model is tested, then the report is shown."""

import json
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from masklib.auditing.files import LIMIT_BYTES, check_model_file, in_gb, is_in_code, read_arrays
from masklib.auditing.report.coverage import PARTS
from masklib.cli import audit_ci, audit_inside
from masklib.cli.audit_view import Stages, check_page, show, write_page
from masklib.cli.options import parse_bytes, several
from masklib.errors import ArgumentError, MasklibError, printable
from masklib.extras import BACKENDS, installed_backends, missing

INTERRUPTED = 130  # as a shell has it


def _read_parts(context: click.Context, option: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Return the parts that are named, separated by commas."""
    return tuple(several(PARTS)(context, option, text)) if text else ()


def _read_bytes(context: click.Context, option: click.Parameter, text: str | None) -> int:
    """Return a size in bytes."""
    return LIMIT_BYTES if text is None else parse_bytes(text, "--max-size")


@click.command(cls=audit_inside.KeepsArguments, short_help="Test whether padding leaks into a model.")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--inputs", metavar="FILE", help="Test with this padded batch: .npz, .npy or module:name. By default masklib makes one."
)
@click.option(
    "--mask-value",
    type=float,
    help="Set the value of padded steps of numbers; the default is the value that the model masks, else 0.",
)
@click.option("--pad-id", type=int, help="Set the id of padding; the default is the id that the model masks, else 0.")
@click.option(
    "--padding-side", type=click.Choice(["pre", "post"]), help="Set the side of padding; the default is as in the inputs."
)
@click.option("--not-a-sequence", multiple=True, metavar="NAME", help="Name an input that is never padded; may be repeated.")
@click.option("--causal/--not-causal", default=None, help="Say whether a step may depend on earlier steps only.")
@click.option(
    "--custom",
    multiple=True,
    metavar="MODULE:NAME",
    help="Name a class or function that the model uses; Python also looks for it in the current folder.",
)
@click.option("--allow-unsafe", is_flag=True, help="Execute code that is stored in the file, such as that of a Lambda layer.")
@click.option(
    "--allow-untested",
    callback=_read_parts,
    metavar="PARTS",
    help=f"Accept that these parts were not tested: any of {','.join(PARTS)}.",
)
@click.option("--quick", is_flag=True, help="Test only the outputs, with longer padding and without padding.")
@click.option("--backend", type=click.Choice(BACKENDS), help="Choose the backend of Keras; the default is the one that is set.")
@click.option(
    "--environment",
    metavar="NAME",
    help="Audit with the Keras of this environment, such as keras@3.12.0, which masklib env create has made.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Set the seed of made inputs and of changes to them."
)
@click.option(
    "--max-size",
    "limit_bytes",
    callback=_read_bytes,
    metavar="SIZE",
    help=f"Refuse files that are larger than this when unpacked; the default is {in_gb(LIMIT_BYTES)}.",
)
@click.option("--html", type=click.Path(), metavar="FILE", help="Write the report as one HTML page, with a graph of the model.")
@click.option("--junit", type=click.Path(), metavar="FILE", help="Write the report as JUnit XML, too.")
@click.option(
    "--format",
    "form",
    default="text",
    show_default=True,
    type=click.Choice(["text", "github", "json"]),
    help="Choose how the report is printed; github prints annotations and adds to the summary of the step.",
)
@click.option(
    "--fail-on",
    default="leak",
    show_default=True,
    type=click.Choice(["leak", "risk", "never"]),
    help="Choose what gives exit status 1.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, as --format json does.")
def audit(
    models: tuple[str, ...],
    html: str | None,
    junit: str | None,
    form: str,
    fail_on: str,
    as_json: bool,
    environment: str | None,
    **options: Any,
) -> None:
    """Test whether padding changes what a Keras MODEL computes, and print where it enters and what to write instead.

    Each MODEL is a .keras file, or module:function: a function without arguments that returns the model.

    The arrays in the FILE of --inputs are named as the inputs of the model, or in their order. y holds the targets, and
    sample_weight the weights. module:name is a batch, a tuple (x, y) or (x, y, sample_weight), a dataset, or a function that
    returns one of these.

    The exit status is 1 if a model has a leak (or a risk, with --fail-on risk), 2 if something could not be tested or did not
    work, and 0 if everything was tested and no leak was found.

    Example: masklib audit model.keras

    Example: masklib audit tagger.keras --inputs batch.npz --custom my_layers:Attention --html report.html

    Example: masklib audit package.module:build_model --inputs package.module:batch

    Example: masklib audit model.keras --environment keras@3.12.0
    """
    context = click.get_current_context()
    if environment is not None and audit_inside.is_elsewhere(context, environment):
        raise SystemExit(_status_inside(context, environment, options["backend"]))
    form = "json" if as_json else form
    if len(models) > 1 and (html or junit or form == "json"):
        click.echo(
            "masklib: --html, --junit and --format json work for one MODEL, got several. Audit each model with its own command.",
            err=True,
        )
        raise SystemExit(2)
    found = [_status_of(model, html, junit, form, fail_on, **options) for model in models]
    raise SystemExit(1 if 1 in found else max(found))


def _status_inside(context: click.Context, environment: str, backend: str | None) -> int:
    """Return the exit status of the command in another environment; 2 where that cannot be used, since 1 means a leak."""
    try:
        return audit_inside.call(context, environment, backend)
    except MasklibError as error:
        if context.find_root().params.get("debug"):
            raise
        click.echo(f"masklib: {error}", err=True)
        return 2


def _status_of(model: str, *arguments: Any, **options: Any) -> int:
    """Return the exit status of one model; any error is one sentence and status 2, since 1 means a leak.

    With `--debug` the traceback is shown, too.
    """
    try:
        status = _audit(model, *arguments, **options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        click.echo("masklib: interrupted", err=True)
        raise SystemExit(INTERRUPTED) from None
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        if click.get_current_context().find_root().params.get("debug"):
            traceback.print_exc()
        click.echo(f"masklib: {printable(_sentence(model, error))}", err=True)
        return 2
    return status


def _sentence(model: str, error: BaseException) -> str:
    """Return the sentence for an error."""
    found = missing(error) if isinstance(error, ModuleNotFoundError) else error
    if isinstance(found, MasklibError):
        return str(found)
    told = f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    first = told.strip().splitlines()[0][:300].rstrip(".")
    return f"{model} could not be tested: {first}. Where it broke: masklib --debug audit ..."


def _audit(path: str, html: str | None, junit: str | None, form: str, fail_on: str, **options: Any) -> int:
    """Audit a model, show the report, and return the exit status."""
    for option, file in (("--html", html), ("--junit", junit)):
        if file:
            check_page(file, option)
    report = _execute(path, options.pop("inputs"), **options)
    status = int(report.exit_status(fail_on))
    if html:
        write_page(report, html)
    if junit:
        Path(junit).write_bytes(audit_ci.junit(report, path, status))
    if form == "json":
        from masklib.cli.console import print_json

        print_json(report.to_dict())
    elif form == "github":
        click.echo(audit_ci.annotations(report, path), nl=False)
        audit_ci.add_to_summary(report, path)
    else:
        show(report)
    return status


def _execute(
    path: str,
    inputs: str | None,
    *,
    custom: Sequence[str],
    allow_unsafe: bool,
    backend: str | None,
    limit_bytes: int,
    **options: Any,
) -> Any:
    """Return the report of a model; errors are those of `masklib.audit` and of `masklib.auditing.loading`."""
    in_code = [text for text in (path, inputs or "") if is_in_code(text)]
    if path not in in_code:
        check_model_file(path, limit_bytes)
    arrays = read_arrays(inputs, limit_bytes) if inputs and inputs not in in_code else None
    _set_backend(backend)
    click.echo(f"{printable(path)}: loading", err=True)
    with _greetings_kept_back():
        from masklib.auditing import loading
        from masklib.auditing.report.report import audit

    if custom or in_code:
        _look_in_current_folder()
    with (
        Stages(path) as say,
        warnings.catch_warnings(),
        redirect_stdout(sys.stderr),
    ):  # what the user's code prints is not a result
        warnings.simplefilter("ignore")  # of Keras about masks: the report says it better
        model = loading.load_model(path, custom=custom, allow_unsafe=allow_unsafe, limit_bytes=limit_bytes)
        given = loading.Given(None)
        if inputs:
            given = loading.load_arrays(inputs, model) if arrays is None else loading.arrange(arrays, model, inputs)
        options |= {"sample_weight": given.sample_weight, "on_stage": say}
        report = audit(model, given.inputs, given.targets, **options)
    return replace(report, heading=replace(report.heading, source=path))


def _look_in_current_folder() -> None:
    """Let Python look for modules in the current folder first, and say so; modules that are imported already stay."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    click.echo(f"Python also looks for modules in {printable(folder)}, because --custom or module:name was given.", err=True)


def _set_backend(backend: str | None) -> None:
    """Set what is read when Keras is imported.

    Raises:
        ArgumentError: there is no such backend, it is not installed, or Keras runs on another one already.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    wanted = backend or os.environ.get("KERAS_BACKEND")
    if wanted and wanted not in installed_backends():
        named = "--backend" if backend else "KERAS_BACKEND"
        msg = f"{named} must be a backend of Keras that is installed, {wanted!r} is not. Install it, or choose another one."
        raise ArgumentError(msg)
    if backend and "keras" in sys.modules and sys.modules["keras"].backend.backend() != backend:
        msg = f"--backend must be set before Keras is imported, it is imported with {sys.modules['keras'].backend.backend()}."
        raise ArgumentError(msg)
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    elif not wanted and "keras" not in sys.modules:
        _choose_backend()


def _choose_backend() -> None:
    """Let Keras run on a backend that is installed, where the one that it is set to is not, and say so."""
    found = installed_backends()
    if found and _configured() not in found:
        os.environ["KERAS_BACKEND"] = found[0]
        click.echo(
            f"Keras is set to {_configured()}, which is not installed: {found[0]} is used instead. Choose one with --backend.",
            err=True,
        )


def _configured() -> str:
    """Return the backend that Keras's own configuration names; its default where there is none."""
    file = Path(os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser(), "keras.json")
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, TypeError, LookupError):
        return "tensorflow"


@contextmanager
def _greetings_kept_back() -> Iterator[None]:
    """Hide what TensorFlow prints while it is imported, such as that there is no GPU; show it after an error."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        terminal = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
