"""What `masklib audit` does: loads a model, audits it, and shows the report."""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


def execute(
    path: str,
    inputs: str | None,
    *,
    custom: Sequence[str],
    allow_unsafe: bool,
    backend: str | None,
    **options: Any,
) -> Any:
    """Return the report of a saved model.

    Args:
        path: of the model.
        inputs: path of arrays for it; None: they are made.
        custom: "module:name" each.
        allow_unsafe: whether code in the file may be executed.
        backend: of Keras; None: the one that is set.
        **options: of `masklib.audit`.

    Raises:
        ArgumentError: the file or the arrays cannot be used.
        UntestableError: the model cannot be tested.
    """
    _prepare(backend)
    click.echo(f"loading {path}", err=True)
    with _greetings_kept_back():
        from masklib.auditing import loading
        from masklib.auditing.report import audit

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras about masks: the report says it better
        model = loading.load_model(path, custom=custom, allow_unsafe=allow_unsafe)
        given = loading.load_arrays(inputs, model) if inputs else loading.Given(None)
        click.echo("testing", err=True)
        return audit(model, given.inputs, given.targets, sample_weight=given.sample_weight, **options)


def write_html(report: Any, path: str) -> None:
    """Write the report as one page of HTML that needs nothing else."""
    from masklib.auditing import page

    Path(path).write_text(page.whole(report), encoding="utf-8")


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
