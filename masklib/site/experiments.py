"""A page for each experiment: its executed notebook in reading form, and the files that are its evidence."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from markupsafe import Markup

from masklib.claims.ledger import load_claims
from masklib.claims.outputs import FIGURE, shown_by
from masklib.claims.verdicts import reason
from masklib.engine.contents import read_inside
from masklib.engine.notebooks import tags
from masklib.engine.record import RECORD, Record
from masklib.site.executed import ANSWER, HEADING, PLAIN, PLAINLY, SVG, shown_kind
from masklib.site.front import raw
from masklib.site.names import BACKENDS, ran_on
from masklib.site.pictures import figures_by_name
from masklib.site.recorded_tables import has_plain_index, tables_by_name
from masklib.site.survey import Experiment, Survey, in_suite, slug
from masklib.site.svg import clean_svg
from masklib.site.text import OWN, clean, markdown, render
from masklib.site.writing import Writer

SECTIONS = {PLAIN: PLAINLY, "experiment": "Experiment", "table": "Tables", "figure": "Figures", "verdict": "Verdict"}
ROLES = {"parameters", "setup", "check", ANSWER, *SECTIONS}  # tags of cells that their fold names
_LEAD = re.compile(r"\A\*\*([^*\n]+)\.\*\*\s+")


@dataclass(frozen=True)
class Recorded:
    """What a run recorded, as HTML.

    Attributes:
        figures: by name.
        tables: by name.
    """

    figures: dict[str, str]
    tables: dict[str, str]

    def of(self, output: Any) -> str:
        """Return what is shown in place of an output: a figure as vectors, all of a table; "" for the output itself.

        A table whose index says something keeps it: the recorded one has none.
        """
        found = shown_by(output)
        if found.kind == FIGURE:
            return self.figures.get(found.name, "")
        kept = found.whole and not has_plain_index(output.get("data", {}).get("text/html", ""))
        return "" if kept else self.tables.get(found.name, "")


def write_experiments(survey: Survey, source: Writer, out: Writer) -> list[str]:
    """Write the page of every experiment and copy its evidence; return the pages of the main runs.

    Raises:
        StoreError: a file cannot be read or written.
    """
    for found in survey.experiments.values():
        for experiment in found:
            _copy_evidence(experiment, out)
            _write_page(experiment, found, source, Recorded(figures_by_name(experiment, out), tables_by_name(experiment, out)))
    return [found[0].page for found in survey.experiments.values()]


def _copy_evidence(experiment: Experiment, out: Writer) -> None:
    """Copy the files of a run beside the pages, its tables as CSV too."""
    source = _source(experiment.record)
    if source is not None:
        out.write(f"{experiment.evidence}/source.ipynb", source)
    _copy(f"{experiment.evidence}/{RECORD}", out, partial(read_inside, experiment.folder, RECORD))
    for name in experiment.files:
        _copy(f"{experiment.evidence}/{name}", out, partial(_content, experiment, name))
    for name in experiment.tables:
        _copy(f"{experiment.evidence}/tables/{name}.csv", out, partial(_as_csv, experiment, name))


def _copy(target: str, out: Writer, content: Callable[[], bytes | str]) -> None:
    """Write a file of the evidence, unless it is there: a published run never changes."""
    if not out.keep(target):
        out.write(target, content())


def _content(experiment: Experiment, name: str) -> bytes:
    """Return a file of a run; nothing in a drawing runs."""
    return experiment.drawing(Path(name).stem) if name.endswith(".svg") else experiment.read(name)


def _as_csv(experiment: Experiment, name: str) -> str:
    """Return a recorded table as CSV."""
    return str(experiment.table(name).to_csv(index=False))


def _source(record: Record) -> bytes | None:
    """Return the notebook as it is in the suite, without outputs; None if it is not there."""
    path = in_suite(record)
    return path.read_bytes() if path else None


def _write_page(experiment: Experiment, family: list[Experiment], source: Writer, recorded: Recorded) -> None:
    """Write the notebook that Sphinx reads, and what stands on top of it."""
    name = experiment.page.partition("/")[2]
    head = f"fragments/{name}.html"
    figure = Markup(recorded.figures.get(experiment.first_figure, ""))  # noqa: S704 (of a template)
    shown = render("experiment.html", answer=experiment.answer, figure=figure, **_head(experiment, family))
    source.write(f"experiments/{head}", shown)
    source.write(f"{experiment.page}.ipynb", nbformat.writes(_reading_form(experiment, family, head, recorded)))


def _head(experiment: Experiment, family: list[Experiment]) -> dict[str, Any]:
    """Return what stands on top of a page."""
    record, claims = experiment.record, load_claims()
    facts = {
        "key": record.key,
        "ran on": ran_on(record),
        "Python": record.inputs["python"] or "none",
        "device": record.inputs["device"],
        "versions": ", ".join(f"{k} {v}" for k, v in record.inputs["versions"].items() if v),
        "started": record.started,
        "took": f"{record.duration_s:.1f} s",
    }
    return {
        "verdicts": [{**row, "why": reason(row), "claim_of": claims[row["claim"]]} for row in experiment.claims],
        "facts": facts,
        "parameters": record.parameters,
        "evidence": f"../{experiment.evidence}",
        "has_source": _source(record) is not None,
        "tables": experiment.tables,
        "family": [{"where": ran_on(e.record), "page": e.page.partition("/")[2], "here": e is experiment} for e in family],
    }


def _reading_form(experiment: Experiment, family: list[Experiment], head: str, recorded: Recorded) -> Any:
    """Return the executed notebook with its head, sections, folded code, clean outputs and vector figures."""
    node = copy.deepcopy(experiment.notebook)
    shown, seen = [], set()
    for index, cell in enumerate(node.cells):
        if cell.cell_type == "code":
            role = next((SECTIONS[tag] for tag in tags(cell) if tag in SECTIONS), None)
            if role and role not in seen:
                seen.add(role)
                shown.append(nbformat.v4.new_markdown_cell(f"## {role}", id=f"section-{len(seen)}"))
            shown.append(_code(cell, recorded, is_answered=bool(experiment.answer)))
        elif cell.cell_type == "markdown":
            shown += _prose(cell, first=index == 0)
    own = nbformat.v4.new_markdown_cell(f"{raw(head)}{_toctree(experiment, family)}", id="head", metadata={OWN: True})
    title, about = _split_title(shown, experiment, "" if experiment is family[0] else f"({ran_on(experiment.record)})")
    begin = [title, own, *about] if experiment.answer else [title, *about, own]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=[*begin, *shown], metadata=metadata)


def _split_title(shown: list[Any], experiment: Experiment, suffix: str) -> tuple[Any, list[Any]]:
    """Take the title from the cells of a page, its notebook's name if they have none; return it, and what stood below it."""
    first = shown.pop(0).source if shown and HEADING.match(shown[0].source) else f"# {markdown(experiment.name)}"
    heading, _, rest = first.partition("\n")
    title = nbformat.v4.new_markdown_cell(f"{heading} {markdown(suffix)}", id="title")
    return title, [nbformat.v4.new_markdown_cell(rest, id="about")] if rest.strip() else []


def _toctree(experiment: Experiment, family: list[Experiment]) -> str:
    """Return the Markdown that lists the same experiment on other versions and backends, below the main page."""
    if experiment is not family[0] or len(family) == 1:
        return ""
    names = [f"Keras {slug(e.record.keras)}, {BACKENDS.get(e.record.backend, slug(e.record.backend))}" for e in family[1:]]
    others = [f"{name} <{e.page.partition('/')[2]}>" for name, e in zip(names, family[1:], strict=True)]
    return "\n".join(["", "```{toctree}", ":hidden:", "", *others, "```", ""])


def _prose(cell: Any, *, first: bool) -> list[Any]:
    """Return a Markdown cell; what it begins with in bold becomes a heading."""
    source = _LEAD.sub(lambda lead: f"## {lead.group(1)}\n\n", cell.source)
    if not first:
        source = re.sub(r"\A# ", "## ", source)
    return [nbformat.v4.new_markdown_cell(source, id=cell.id)]


def _code(cell: Any, recorded: Recorded, *, is_answered: bool) -> Any:
    """Return a code cell with its outputs as they are shown, folded unless it is plain Keras; an answer stands on top already."""
    role = next((tag for tag in tags(cell) if tag in ROLES), "parameters of this run" if _is_injected(cell) else "")
    label = f"Code: {role}" if role else "Code"
    outputs = [shown for output in cell.outputs if (shown := _output(output, recorded))]
    outputs = [] if role == ANSWER and is_answered else outputs
    found = nbformat.v4.new_code_cell(cell.source, id=cell.id, execution_count=cell.execution_count, outputs=outputs)
    if role == PLAIN:
        return found
    prompts = {"code_prompt_show": label, "code_prompt_hide": label}
    found.metadata = nbformat.from_dict({"tags": ["hide-input"], "mystnb": prompts})
    return found


def _is_injected(cell: Any) -> bool:
    """Return whether papermill wrote this cell."""
    return "injected-parameters" in tags(cell)


def _output(output: Any, recorded: Recorded) -> Any:
    """Return an output as the page shows it; None if it has nothing to show."""
    if output.output_type not in ("display_data", "execute_result"):
        return copy.deepcopy(output)
    instead, kind = recorded.of(output), shown_kind(output)
    if instead:
        return nbformat.v4.new_output("display_data", data={"text/html": instead})
    if not kind:
        return None
    return nbformat.v4.new_output("display_data", data={kind: _CLEANERS.get(kind, str)(output.data[kind])})


_CLEANERS: dict[str, Callable[[str], str]] = {"text/html": clean, SVG: lambda drawn: clean_svg(drawn.encode()).decode()}
