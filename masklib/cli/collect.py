"""The command that writes the tables of a store."""

import click

from masklib.cli.options import check_there, exit_unless, json_option, runs_option, say_unreadable, show


@click.command(short_help="Write the tables of all runs.")
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
