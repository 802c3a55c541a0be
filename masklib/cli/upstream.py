"""The command that makes a report for the authors of Keras."""

import click


@click.command("reproduce-report", short_help="Print a script that shows a finding, for a report to the authors of Keras.")
@click.argument("name", metavar="FINDING|CLAIM")
@click.option(
    "--environment",
    "environments",
    multiple=True,
    metavar="NAME",
    help="Run the script in this environment, such as keras@3.9.2; may be repeated. By default it runs on the installed Keras.",
)
def reproduce_report(name: str, environments: tuple[str, ...]) -> None:
    """Print a script of plain Keras that shows a FINDING of the audit, or a refuted CLAIM, with what it prints on each version.

    The text is Markdown, in the form of an issue.

    Example: masklib reproduce-report state-1 --environment keras-3.15-torch --environment keras@3.0.0
    """
    from masklib.engine import upstream

    report = upstream.find_report(name)
    outputs = [upstream.execute(report, environment) for environment in environments or upstream.environments_of(report)]
    click.echo(upstream.as_markdown(report, outputs))
