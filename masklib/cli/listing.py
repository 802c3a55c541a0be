"""The command that lists notebooks and claims."""

import click
from click.core import ParameterSource

from masklib.cli.options import check_there, exit_unless, json_option, runs_option, say_unreadable


@click.command("list", short_help="Show the notebooks and their answers, or the claims and their verdicts.")
@click.argument("notebook", required=False)
@click.option("--claims", is_flag=True, help="Show every claim with its verdict instead.")
@runs_option
@json_option
def list_(notebook: str | None, claims: bool, root: str, as_json: bool) -> None:
    """Show each notebook with its question and its answer, or one NOTEBOOK with its whole answer and its parameters.

    The answers are those of your last masklib reproduce. Before the first one, answers and verdicts are those that masklib was
    published with, marked "committed". With --claims, the refuted claims come first, and --json prints the verdicts on every
    Keras and backend.

    Example: masklib list

    Example: masklib list 02

    Example: masklib list --claims
    """
    from masklib.cli import listing_view as view
    from masklib.engine.notebooks import find_notebook, suite

    path = find_notebook(notebook) if notebook else None
    if claims:
        _list_claims(path.stem if path else None, root, as_json)
    elif path:
        view.show_notebook(path, root, as_json)
    else:
        view.show_notebooks(suite(), root, as_json)


def _list_claims(notebook: str | None, root: str, as_json: bool) -> None:
    """Show the claims, or those that one notebook measures."""
    from masklib.claims.words import OPEN
    from masklib.cli import claims_view
    from masklib.engine.stores import open_store

    store, is_named = open_store(root), click.get_current_context().get_parameter_source("root") is not ParameterSource.DEFAULT
    if is_named:
        check_there(store)  # without runs every claim is open, which is no answer about a path that was mistyped
    rows, unreadable = claims_view.claim_rows(store) if store.exists() else ([], [])
    if not is_named and all(row["verdict"] == OPEN for row in rows):
        rows = claims_view.committed_rows()
    claims_view.show_claims([row for row in rows if notebook in (None, row["notebook"])], as_json)
    exit_unless(say_unreadable(unreadable))
