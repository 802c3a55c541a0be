"""Text that goes into pages: never markup, whatever it says.

HTML is made by Jinja templates that escape every value. What stands in Markdown goes through `markdown`; the HTML that a notebook
put out goes through `clean`.
"""

import json
import re
from functools import cache
from typing import Any

import bleach
import jinja2
from bs4 import BeautifulSoup, Tag
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from masklib.claims.words import MARKS, marked

_TEXT = ("a", "abbr", "b", "code", "del", "em", "i", "kbd", "p", "pre", "s", "samp", "small", "span", "strong", "sub", "sup", "u")
_BLOCKS = ("blockquote", "br", "dd", "details", "div", "dl", "dt", "h3", "h4", "h5", "h6", "hr", "li", "ol", "summary", "ul")
_TABLES = ("caption", "col", "colgroup", "table", "tbody", "td", "tfoot", "th", "thead", "tr")
TAGS = frozenset(_TEXT + _BLOCKS + _TABLES)
ATTRIBUTES = {"*": ["class", "title"], "a": ["href"], "td": ["colspan", "rowspan"], "th": ["colspan", "rowspan", "scope"]}
WORDS = {marked(word): word for word in MARKS}  # as notebooks show verdicts
OWN = "masklib"  # in the metadata of a Markdown cell: masklib wrote it, so it may use directives; see masklib.site.prose
LONG = 40  # characters: such a cell of a table is given room
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def markdown(text: object) -> str:
    """Return a line of text for Markdown; what stands between backticks becomes code, everything else is shown as it is."""
    parts = re.split(r"`([^`\n]+)`", " ".join(str(text).split()))
    return "".join(f"`{part}`" if index % 2 else _PUNCTUATION.sub(r"\\\1", part) for index, part in enumerate(parts))


def code_spans(text: object) -> Markup:
    """Return text as HTML; what stands between backticks becomes code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(str(text)))))  # noqa: S704 (escaped just before)


def sentences(text: object) -> Markup:
    """Return sentences in Markdown as HTML: code, emphasis and links into the web; everything else is shown as it is."""
    return Markup(_reader().renderInline(" ".join(str(text).split())))  # noqa: S704 (the reader escapes)


@cache
def _reader() -> MarkdownIt:
    """Return the reader of sentences."""
    reader = MarkdownIt("zero").enable(["backticks", "emphasis", "escape", "link"])
    reader.validateLink = lambda url: re.match("https?://", url) is not None  # type: ignore[method-assign] # its way to choose
    return reader


def verdict(word: str) -> Markup:
    """Return a verdict or a status as HTML: its mark, its word, and a class that colours it."""
    known = word if re.fullmatch("[a-z]+", word) else "unknown"
    return Markup('<span class="mk-verdict mk-{}">{}</span>').format(known, marked(word))


def clean(html: str) -> str:
    """Return the HTML that a notebook put out without anything that runs, loads or styles; other markup is shown as text."""
    try:
        return _cleaned(html)
    except RecursionError:  # it is nested a thousand elements deep
        return f"<pre>{escape(html)}</pre>"


def _cleaned(html: str) -> str:
    """Return HTML with allowed elements only, its tables dressed."""
    soup = BeautifulSoup(html, "html.parser")
    for style in soup.find_all("style"):
        style.decompose()
    allowed = bleach.clean(str(soup), tags=TAGS, attributes=ATTRIBUTES, protocols=["http", "https"])
    soup = BeautifulSoup(allowed, "html.parser")
    for table in soup.find_all("table"):
        _dress(soup, table)
    return str(soup)


def _dress(soup: BeautifulSoup, table: Tag) -> None:
    """Make a table one that can be sorted, with its verdicts in colour."""
    table["class"] = "mk-table"
    table.wrap(soup.new_tag("div", attrs={"class": "mk-scroll"}))
    for head in table.select("thead th"):
        if not head.get_text(strip=True):
            head.string = "#"
    for cell in table.find_all("td"):
        shown = cell.get_text(strip=True)
        cell["class"] = "mk-say" if len(shown) > LONG else "mk-short"
        word = WORDS.get(shown)
        if word:
            cell.clear()
            cell.append(BeautifulSoup(verdict(word), "html.parser"))


def script(name: str, *values: Any) -> str:
    """Return JavaScript that calls a function with values: data for a page, which needs no server to be read."""
    told = ", ".join(json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c") for value in values)
    return f"{name}({told});\n"


@cache
def templates() -> jinja2.Environment:
    """Return the templates of the site; they escape every value, and refuse a name that is missing."""
    loader = jinja2.PackageLoader("masklib.site", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"code": code_spans, "sentences": sentences, "verdict": verdict}
    return environment


def render(template: str, **values: Any) -> str:
    """Return a template of the site, filled in."""
    return templates().get_template(template).render(**values)
