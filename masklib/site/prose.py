"""Markdown of notebooks as Sphinx reads it: text alone, whoever wrote the notebook.

MyST's directives and roles read files, import modules and write HTML. Cells that masklib writes may use them, cells of a notebook
may not: there they are text, as in JupyterLab. A picture is shown by its text, for Sphinx would copy the file that it names.
"""

from dataclasses import replace
from typing import Any

import myst_nb.sphinx_
from docutils import nodes
from myst_nb.sphinx_ import SphinxNbRenderer

from masklib.site.text import OWN

HTML = ["html_block", "html_inline"]
MYST = ["myst_role", "myst_target", "myst_line_comment", "myst_block_break"]  # rules that CommonMark does not have


class NotebookRenderer(SphinxNbRenderer):  # type: ignore[misc] # MyST-NB publishes no types
    """MyST-NB's, which takes Markdown of notebooks for text."""

    md_config: Any

    def setup_render(self, options: Any, env: Any) -> None:
        """Get ready, before anything is parsed: what MyST adds to CommonMark within a line is shown as it is written."""
        super().setup_render(options, env)
        self.md.disable([*HTML, *MYST], ignoreInvalid=True)

    def render_nb_cell_markdown(self, token: Any) -> None:
        """Render a Markdown cell; one of a notebook as CommonMark, which knows no directives and no links to files."""
        config = self.md_config
        self.md_config = replace(config, commonmark_only=OWN not in token.meta["metadata"])
        super().render_nb_cell_markdown(token)
        self.md_config = config

    def render_image(self, token: Any) -> None:
        """Render the text of a picture."""
        self.current_node.append(nodes.Text(self.renderInlineAsText(token.children or [])))


def use() -> None:
    """Let MyST-NB, whose parser names its renderer, use this one."""
    myst_nb.sphinx_.SphinxNbRenderer = NotebookRenderer
