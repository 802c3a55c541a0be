"""An executed notebook in reading form, as parts of a self-contained page: prose, folded code, outputs, vector figures."""

import base64
import re
from functools import cache
from typing import Any

from markupsafe import Markup

from masklib.claims.outputs import FIGURE, TABLE, shown_by
from masklib.engine.notebooks import tags
from masklib.site.executed import ANSWER, PLAIN, PLAINLY, SVG, shown_kind
from masklib.site.look import text
from masklib.site.pictures import draw
from masklib.site.recorded_tables import has_plain_index, whole_table
from masklib.site.survey import Experiment
from masklib.site.svg import clean_svg
from masklib.site.text import clean

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_DARK = "screen and (prefers-color-scheme: dark)"


def plain_text(output: str) -> str:
    """Return what a terminal would show of an output: without colours."""
    return _ANSI.sub("", output)


def read_cells(node: Any, run: Experiment, failed: int | None) -> list[dict[str, Any]]:
    """Return the cells of a notebook for the template of a page; empty ones are left out.

    Args:
        node: of the executed notebook.
        run: whose notebook it is, for its figures.
        failed: the index of the cell in which the run failed, or None.
    """
    figures = {name: recorded_figure(run, name) for name in run.figures}
    cells: list[dict[str, Any]] = []
    for index, cell in enumerate(node.cells):
        if cell.cell_type == "markdown" and cell.source.strip():
            cells.append({"prose": _prose(cell.source)})
        elif cell.cell_type == "code" and cell.source.strip():
            label = next(iter(tags(cell)), "cell").replace("-", " ")
            if PLAIN in tags(cell):
                cells.append({"prose": _prose(f"## {PLAINLY}")})
            is_repeated = ANSWER in tags(cell) and run.answer  # it stands on top of the page
            outputs = [] if is_repeated else [shown for output in cell.outputs if (shown := _output(output, run, figures))]
            is_open = index == failed or PLAIN in tags(cell)
            cells.append({"label": label, "source": cell.source, "outputs": outputs, "failed": index == failed, "open": is_open})
    return cells


@cache
def _markdown() -> Any:
    """Return the reader of Markdown: HTML in it is text."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    return MarkdownWithMath(renderer=IPythonRenderer(escape=True, allow_harmful_protocols=False, exclude_anchor_links=True))


def _prose(source: str) -> Markup:
    """Return Markdown as HTML; the title of the page stays the only one."""
    return Markup(_markdown().render(re.sub(r"(?m)^# ", "## ", source)))  # noqa: S704 (HTML in it was escaped)


def _output(output: Any, run: Experiment, figures: dict[str, Markup]) -> Markup:
    """Return an output as HTML; "" if it has nothing to show."""
    if output.output_type == "stream":
        return _pre(output.text)
    if output.output_type == "error":
        return _pre("\n".join(output.traceback) or f"{output.ename}: {output.evalue}")
    found = shown_by(output)
    if found.kind == FIGURE and figures.get(found.name):
        return figures[found.name]
    kind = shown_kind(output)
    if found.kind == TABLE and found.name in run.tables and has_plain_index(output.data.get("text/html", "")):
        return whole_table(run, found.name)
    return _shown(kind, output.data[kind]) if kind else Markup()


def _shown(kind: str, content: Any) -> Markup:
    """Return the content of an output as HTML."""
    if kind == "text/html":
        inner = Markup(clean(content))  # noqa: S704 (cleaned)
        return Markup('<div class="wide" tabindex="0" role="region" aria-label="Output">{}</div>').format(inner)
    if kind == "text/plain":
        return _pre(content)
    if kind == SVG:
        return _image(_data_url(kind, clean_svg(content.encode())), "A figure of the notebook")
    return _image(_data_url(kind, base64.b64decode(content)), "A figure of the notebook")


def _pre(content: str) -> Markup:
    """Return text as it was printed."""
    shown = plain_text(content)
    return Markup('<pre tabindex="0">{}</pre>').format(shown) if shown.strip() else Markup()


def _image(url: str, alt: str) -> Markup:
    """Return a picture."""
    return Markup('<figure><img src="{}" alt="{}"></figure>').format(url, alt)


def recorded_figure(run: Experiment, name: str) -> Markup:
    """Return a recorded figure as HTML: vectors for light and dark pages, or as it was recorded; "" for none."""
    light, recipe, dark = draw(run, name, "light"), run.recipe(name), draw(run, name, "dark")
    if light is None:
        return Markup()
    if not recipe or not dark:
        return _image(_data_url(SVG, light), f"Figure {name}")
    source = f'<source media="{_DARK}" srcset="{_data_url(SVG, dark)}">'
    shown = Markup('<figure><picture>{}<img src="{}" alt="{}"></picture><figcaption>{}</figcaption></figure>')
    return shown.format(Markup(source), _data_url(SVG, light), recipe.alt, recipe.caption)  # noqa: S704 (base64)


def _data_url(kind: str, content: bytes) -> str:
    """Return a file as a URL that holds it."""
    return f"data:{text(kind)};base64,{base64.b64encode(content).decode()}"
