"""The command that audits a saved model."""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from masklib.cli.options import json_option


@click.command(short_help="Does padding leak into a model?")
@click.argument("model", metavar="MODEL")
@click.option(
    "--inputs",
    type=click.Path(),
    metavar="INPUTS",
    help="A padded batch, .npz or .npy, or MODULE:NAME; by default one is made.",
)
@click.option("--mask-value", type=float, help="What padded steps of numbers hold; by default what the model masks, else 0.")
@click.option("--pad-id", type=int, help="The id of padding; by default what the model's own mask marks, else 0.")
@click.option("--padding-side", type=click.Choice(["pre", "post"]), help="Where padding stands; by default as in the inputs.")
@click.option("--not-a-sequence", multiple=True, metavar="NAME", help="An input that is never padded; may be repeated.")
@click.option("--causal/--not-causal", default=None, help="Whether a step may depend on earlier steps only.")
@click.option("--custom", multiple=True, metavar="MODULE:NAME", help="A class or function that the model uses; may be repeated.")
@click.option("--allow-unsafe", is_flag=True, help="Execute code that the file holds, such as a Lambda layer's.")
@click.option("--backend", type=click.Choice(["tensorflow", "jax", "torch"]), help="Of Keras, by default the one that is set.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the inputs that are made, and of the changes.")
@click.option("--html", type=click.Path(), metavar="FILE", help="Write the report, with the model's graph, as one page.")
@click.option(
    "--fail-on", default="leak", show_default=True, type=click.Choice(["leak", "risk", "never"]), help="What exits with 1."
)
@json_option
def audit(model: str, html: str | None, fail_on: str, as_json: bool, **options: Any) -> None:
    """Test whether padding changes what a saved Keras MODEL computes; say where it enters, and what to write instead.

    In FILE arrays have the names of the model's inputs, or their order; y holds targets, sample_weight the weights. Exit status
    1 if there is a leak (or a risk, with --fail-on risk), 2 if the model could not be tested.

    Example: masklib audit model.keras

    Example: masklib audit tagger.keras --inputs batch.npz --custom my_layers:Attention --html report.html
    """
    report = _execute(model, options.pop("inputs"), **options)
    if html:
        _write_page(report, html)
    if as_json:
        from masklib.cli.console import print_json

        print_json(report.to_dict())
    else:
        click.echo(report)
    raise SystemExit(2 if report.verdict == "not tested" else int(report.fails(fail_on)))


def _execute(
    path: str,
    inputs: str | None,
    *,
    custom: Sequence[str],
    allow_unsafe: bool,
    backend: str | None,
    **options: Any,
) -> Any:
    """Return the report of a saved model; errors are those of `masklib.audit` and of `masklib.auditing.loading`."""
    _prepare(backend)
    click.echo(f"loading {path}", err=True)
    with _greetings_kept_back():
        from masklib.auditing import loading
        from masklib.auditing.report.report import audit

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras about masks: the report says it better
        model = loading.load_model(path, custom=custom, allow_unsafe=allow_unsafe)
        given = loading.load_arrays(inputs, model) if inputs else loading.Given(None)
        click.echo("testing", err=True)
        return audit(model, given.inputs, given.targets, sample_weight=given.sample_weight, **options)


def _write_page(report: Any, path: str) -> None:
    """Write the report as one page of HTML that needs nothing else."""
    from masklib.auditing.report.page import fragment
    from masklib.site.look import page

    Path(path).write_text(page(f"Audit of {report.model}", fragment(report, graph=True)), encoding="utf-8")


@contextmanager
def _greetings_kept_back() -> Iterator[None]:
    """Keep what TensorFlow prints while it is imported, such as that there is no GPU, off the terminal, but after an error."""
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


def _prepare(backend: str | None) -> None:
    """Set what is read when Keras is imported; modules of the user's are found beside the model of the user's."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
