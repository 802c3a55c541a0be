"""How Sphinx makes the site. `masklib.site.build` writes the pages; nothing is executed, nothing is loaded from the network."""

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from masklib.engine.startup import leave_out_grammars
from masklib.site import prose

prose.use()
leave_out_grammars()  # a second of parsers that nothing here needs
if find_spec("jax"):  # Keras on NumPy needs it; where it is there, the docstrings are read without loading TensorFlow
    os.environ["KERAS_BACKEND"] = "numpy"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ASSETS = Path(__file__).parent / "assets"

project = "masklib"
copyright = ""  # noqa: A001 (Sphinx's name)
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["fragments", "*/fragments"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}

nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions: list[str] = []
myst_disable_syntax = prose.HTML  # in Markdown, markup is text
suppress_warnings = ["myst.header", "myst.xref_missing", "mystnb.unknown_mime_type", "config.cache"]
suppress_warnings += ["misc.highlighting_failure"]  # a notebook may hold code of any language

smartquotes = False  # "" is a value in a docstring
default_role = "py:obj"  # `name` in a docstring leads to what it names, if it names something
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True  # attributes stand in their class once
add_module_names = False

html_theme = "furo"
html_title = "masklib"
html_static_path = [str(ASSETS)]
html_css_files = ["masklib.css"]
html_js_files = [("tables.js", {"defer": "defer"}), ("pages.js", {"defer": "defer"})]
html_show_search_summary = False  # fetched page by page, which no browser allows in a folder; pages.js asks for it over HTTP
html_copy_source = False
html_use_index = html_domain_indices = False  # search finds what they list
html_show_sphinx = False
html_show_copyright = False
html_theme_options: dict[str, Any] = {"top_of_page_buttons": []}
templates_path: list[str] = []


def plain_fences(_app: Any, what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Make reStructuredText of what our docstrings write as Markdown: code between fences, `.attributes`, `paths/<name>`."""
    text = re.sub(r"^```\w*\n(.*?)^```$", _literal, "\n".join(lines), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"(?<!`)`(\.\w+|[^`\n]*<[^`\n]*)`(?!`)", r"``\1``", text)
    text = re.sub(r"(?<=\w)_(?=[\"'\s]|$)", r"\\_", text)  # a name that ends so is not a link
    before = ["..", ""] if what == "property" else []  # an empty comment: else the words before a colon are taken for its type
    lines[:] = [*before, *text.split("\n")]


def leave_out_keras(_app: Any, _what: str, _name: str, thing: Any, _skip: bool, _options: Any) -> bool | None:
    """Return True for a member that is Keras's own, such as the function that a loss is made of."""
    return True if str(getattr(thing, "__module__", "")).startswith("keras.") else None


def _literal(block: re.Match[str]) -> str:
    """Return a literal block."""
    return "::\n\n" + "\n".join(f"    {line}" for line in block.group(1).splitlines()) + "\n"


def keep_outputs_inside(app: Any) -> None:
    """Let myst-nb write the files of notebooks next to the doctrees; by default it takes the folder that holds the site."""
    folder = Path(app.doctreedir).parent / "outputs"
    app.env.mystnb_config = app.env.mystnb_config.copy(output_folder=str(folder))


def give_levels(_app: Any, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Give the captions of the menu, which Sphinx calls headings, the level that a heading must have."""
    tree = context.get("furo_navigation_tree")
    if tree:
        context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app: Any) -> None:
    """Connect what prepares docstrings and notebooks."""
    app.connect("autodoc-process-docstring", plain_fences, priority=400)
    app.connect("autodoc-skip-member", leave_out_keras)
    app.connect("builder-inited", keep_outputs_inside, priority=900)
    app.connect("html-page-context", give_levels, priority=900)
