"""The pages of the API: one for each public module, made of its docstrings."""

import pkgutil

import masklib
from masklib.site.text import markdown
from masklib.site.writing import Writer

LEFT_OUT = (
    "checks",
    "cli",
    "console",
    "engine",
    "figure_style",
    "giving",
    "listing",
    "site",
    "spoiling",
    "startup",
)  # and all below
ENGINE = ("cluster", "collect", "environments", "record", "results", "run", "store", "sweep")  # of it, what users call


def modules() -> list[str]:
    """Return the names of the public modules, in order."""
    found = [module.name for module in pkgutil.walk_packages(masklib.__path__, "masklib.")]
    return ["masklib", *sorted(name for name in found if _is_public(name.removeprefix("masklib.")))]


def pages() -> list[str]:
    """Return the names of the pages."""
    return [f"api/{name}" for name in modules()]


def write_api(source: Writer) -> list[str]:
    """Write the page of each public module; return the pages."""
    for name in modules():
        source.write(f"api/{name}.md", f"# {markdown(name)}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n")
    listed = "\n".join(modules())
    source.write("api/index.md", f"# API\n\n{_ABOUT}\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n")
    return ["api/index"]


def _is_public(name: str) -> bool:
    """Return whether a module has a page."""
    parts = name.split(".")
    private = any(part.startswith("_") for part in parts) or name.endswith("_view")
    if name.startswith("engine."):
        return name.removeprefix("engine.") in ENGINE
    return not private and parts[0] not in LEFT_OUT


_ABOUT = "What can be imported, from the docstrings. In a mask, True is a valid step; axes are B (batch), T (time), F (features)."
