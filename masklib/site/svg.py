"""Drawings of notebooks: an SVG file is a page of its own once it is opened, so nothing in it may run or load."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

SVG = "{http://www.w3.org/2000/svg}"
_SHAPES = (
    "circle",
    "ellipse",
    "g",
    "image",
    "line",
    "path",
    "polygon",
    "polyline",
    "rect",
    "svg",
    "symbol",
    "text",
    "tspan",
    "use",
)
_HELPERS = ("clipPath", "defs", "filter", "linearGradient", "marker", "mask", "pattern", "radialGradient", "stop", "style", "use")
_FILTERS = ("feBlend", "feColorMatrix", "feComposite", "feFlood", "feGaussianBlur", "feMerge", "feMergeNode", "feOffset")
ELEMENTS = {SVG + name for name in (*_SHAPES, *_HELPERS, *_FILTERS, "desc", "metadata", "textPath", "title")}
# Of the description that drawing programs write into `metadata`; browsers show nothing of it.
_ABOUT = (
    "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}",
    "{http://creativecommons.org/ns#}",
    "{http://purl.org/dc/elements/1.1/}",
)
_LINK = re.compile(r"#|data:image/(png|jpeg|gif|webp);base64,", re.IGNORECASE)
_LOADS = re.compile(r"@import|@font-face|url\(\s*['\"]?(?!#|['\"]|\s)|\\|javascript:", re.IGNORECASE)
_BEYOND = re.compile(rb"<\?(?!xml\s)|<!(ENTITY|ATTLIST|ELEMENT)")  # what the parsed tree does not show


def clean_svg(content: bytes) -> bytes:
    """Return an SVG file without anything that runs or loads; the same bytes if there was nothing of it.

    Args:
        content: of the file.

    Raises:
        ValueError: it is no XML, declares entities, or is no SVG.
    """
    try:
        root = fromstring(content)
    except (ElementTree.ParseError, DefusedXmlException, LookupError) as error:  # the last: of an unknown encoding
        msg = f"a drawing must be SVG, this one cannot be read: {error}"
        raise ValueError(msg) from None
    if root.tag != f"{SVG}svg":
        msg = f"a drawing must be SVG, this one is {root.tag}"
        raise ValueError(msg)
    found = sum([_strip(element) for element in list(root.iter())])
    if not found and not _BEYOND.search(content) and _is_utf8(content):
        return content
    return _written(root)


def _written(root: ElementTree.Element) -> bytes:
    """Return a drawing as the bytes of a file."""
    ElementTree.register_namespace("", SVG[1:-1])
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    try:
        return bytes(ElementTree.tostring(root, encoding="utf-8"))
    except RecursionError:
        msg = "a drawing must be nested less than a thousand elements deep, this one is deeper"
        raise ValueError(msg) from None


def _strip(element: ElementTree.Element) -> int:
    """Remove what runs or loads from an element; return how much it was."""
    children = [child for child in element if not _is_harmless(child)]
    for child in children:
        element.remove(child)
    names = list(_harmful(element))
    for name in names:
        del element.attrib[name]
    loads = element.tag == f"{SVG}style" and bool(_LOADS.search("".join(element.itertext())))
    if loads:
        element.clear()
    return len(children) + len(names) + loads


def _is_harmless(element: ElementTree.Element) -> bool:
    """Return whether an element may stay."""
    return element.tag in ELEMENTS or str(element.tag).startswith(_ABOUT)


def _harmful(element: ElementTree.Element) -> Iterator[str]:
    """Yield the attributes that run or load something."""
    for name, value in element.attrib.items():
        local = name.rpartition("}")[2].lower()
        if str(element.tag).startswith(_ABOUT):
            continue
        if (
            local.startswith("on")
            or (local in ("href", "src", "base") and not _LINK.match(value.strip()))
            or _LOADS.search(value)
        ):
            yield name


def _is_utf8(content: bytes) -> bool:
    """Return whether bytes are UTF-8, so that a search in them finds what is there."""
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False
