"""How every HTML page of masklib looks: one style sheet, light and dark, for screen, phone and print; no script, nothing loaded.

What is text stays text: give it to `text` before it goes into a page.
"""

from functools import cache
from html import escape
from importlib.resources import files

from masklib.claims.words import MARKS, marked

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # a page runs nothing and loads nothing


@cache
def css() -> str:
    """Return the style sheet."""
    return files("masklib.site").joinpath("look.css").read_text(encoding="utf-8")


def text(value: object) -> str:
    """Return a value as the text of an element or of a quoted attribute: never markup."""
    return escape(str(value), quote=True)


def verdict(word: str) -> str:
    """Return a verdict, or the status of a run, as HTML: its mark and its word, in its colour."""
    kind = "verdict" if word in MARKS else "status"
    return f'<span class="{kind} {text(word)}">{text(marked(word))}</span>'


def page(title: str, body: str) -> str:
    """Return a self-contained HTML page.

    Args:
        title: plain text.
        body: HTML; what is text in it went through `text`.
    """
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{text(title)}</title>",
        f"<style>\n{css()}</style>",
    ]
    return "<!doctype html>\n" + "\n".join(['<html lang="en">', *head, "<main>", body, "</main>", "</html>", ""])
