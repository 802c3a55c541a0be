"""The commands that give results to documents: figures and tables."""

from pathlib import Path
from typing import Any

import click

from masklib.cli.options import check_there, exit_unless, runs_option, say_unreadable, several

FORMATS, THEMES, WIDTHS = ("svg", "png", "pdf"), ("light", "dark"), ("page", "column")
TABLE_FORMATS = ("markdown", "latex", "csv", "html")


all_option = click.option(
    "--all", "every", is_flag=True, help="Take every run, such as all points of a sweep, not only the newest."
)


@click.command(short_help="Draw figures for documents.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--format",
    "formats",
    default="svg",
    show_default=True,
    callback=several(FORMATS),
    help="Write these formats: svg, png, pdf, separated by commas.",
)
@click.option(
    "--theme",
    "themes",
    default="light",
    show_default=True,
    callback=several(THEMES),
    help="Draw these themes: light, dark, separated by commas.",
)
@click.option(
    "--width",
    "widths",
    default="page",
    show_default=True,
    callback=several(WIDTHS),
    help="Draw for these widths: page, column, separated by commas.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the files to this folder; the default is `figures` next to the runs."
)
@click.option(
    "--check",
    "checked",
    type=click.Path(path_type=Path),
    help="List the figures below this folder that are out of date, without drawing.",
)
@click.option("--list", "listed", is_flag=True, help="Print names and captions, without drawing.")
@all_option
@runs_option
def figures(
    names: tuple[str, ...],
    formats: list[str],
    themes: list[str],
    widths: list[str],
    out: Path | None,
    checked: Path | None,
    listed: bool,
    every: bool,
    root: str,
) -> None:
    """Draw figures from stored results by NAME, by default all of them, and print the paths of the files.

    The figures are those of the newest run of each notebook with its default parameters. --all takes every run, and NAME@KEY the
    run of that key. The same results give the same bytes. NAME.json holds caption, alternative text and run.

    With --check, pictures below a folder that have the name of a figure are compared with what would be drawn now. The exit
    status is 1 if one differs. Other files are not looked at.

    Example: masklib figures loss_denominators --format svg,pdf --theme light,dark

    Example: masklib figures carry_over --all --format png

    Example: masklib figures --check docs
    """
    from masklib.engine.stores import open_store
    from masklib.site import figure_files as drawn
    from masklib.site.survey import survey

    store = open_store(root)
    check_there(store)
    found = survey(store)
    whole = say_unreadable(found.tables.unreadable)
    every = every or any("@" in name for name in names)
    chosen = drawn.choose(drawn.stored_figures(found, every=every), names)
    if checked:
        _check(drawn.check(chosen, checked))
    elif listed:
        for name, figure in chosen.items():
            click.echo(f"{name}: {figure.recipe.caption}")
    else:
        looks = drawn.looks_of(themes, widths)
        target = out or Path("runs" if "://" in root else root) / "figures"
        for name, figure in chosen.items():
            possible = [look for look in looks if names or drawn.fits(figure, look)]
            if len(possible) < len(looks):
                click.echo(f"{name} is left out for narrower widths: it needs that of a page.", err=True)
            for path in drawn.write({name: figure}, target, formats, possible) if possible else ():
                click.echo(path)
    exit_unless(whole)


def _check(found: list[Any]) -> None:
    """Print which pictures are out of date, and end with status 1 if one is."""
    old = [item for item in found if item.reason]
    for item in old:
        click.echo(f"{item.path}: {item.reason}")
    click.echo(f"{len(found)} files of the suite's figures, {len(old)} of them out of date.", err=True)
    if old:
        raise SystemExit(1)


@click.command(short_help="Print results as tables for documents.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--format",
    "formats",
    default="markdown",
    show_default=True,
    callback=several(TABLE_FORMATS),
    help="Write these formats: markdown, latex, csv, html, separated by commas.",
)
@click.option("--columns", help="Show only these columns, separated by commas.")
@click.option("--out", type=click.Path(path_type=Path), help="Write each table to a file in this folder instead of printing it.")
@click.option("--list", "listed", is_flag=True, help="Print the names of the tables.")
@all_option
@runs_option
def tables(
    names: tuple[str, ...], formats: list[str], columns: str | None, out: Path | None, listed: bool, every: bool, root: str
) -> None:
    """Print tables by NAME, by default the verdicts, as Markdown, LaTeX (with booktabs), CSV or HTML.

    NAME is verdicts, runs, claims, measurements, or a table of a notebook such as 02_rnn_carry_over/carry_over. A notebook's
    table is that of its newest run with default parameters. NAME@KEY takes another run, and --all every run, one below the other.

    Cells are text and are escaped for each format.

    Example: masklib tables verdicts --format latex --columns claim,verdict

    Example: masklib tables 02_rnn_carry_over/carry_over --format csv
    """
    from masklib.engine.stores import open_store
    from masklib.site import table_files as results

    found = results.load(open_store(root))
    whole = say_unreadable(found.found.tables.unreadable)
    wanted = [column.strip() for column in columns.split(",")] if columns else []
    for name in found.names if listed else names or (results.VERDICTS,):
        if listed:
            click.echo(name)
            continue
        frame = results.select(found.of_all_points(name) if every else found.frame(name), wanted)
        for kind in formats:
            text = results.to_text(frame, kind)
            click.echo(text if out is None else results.write(text, out, name, kind), nl=out is not None)
    exit_unless(whole)
