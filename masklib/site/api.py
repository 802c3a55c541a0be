"""The pages of the API: one for each public module, made of its docstrings, in groups by who calls it."""

import ast
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from masklib.site.text import markdown
from masklib.site.writing import Writer

FOR_A_MODEL = (
    "masklib",
    "masklib.auditing.report.report",
    "masklib.auditing.report.findings",
    "masklib.auditing.invariance.results",
    "masklib.auditing.invariance.changes",
    "masklib.auditing.tracing.trace",
    "masklib.auditing.tracing.calls",
    "masklib.migrating.check",
    "masklib.losses",
    "masklib.metrics",
    "masklib.layers",
)
FOR_RUNS = (
    "masklib.claims.recording",
    "masklib.engine.sweep",
    "masklib.engine.summaries",
    "masklib.engine.limits",
    "masklib.engine.run",
    "masklib.engine.record",
    "masklib.engine.collect",
    "masklib.engine.store",
    "masklib.engine.cluster",
    "masklib.engine.environments",
    "masklib.figures.plots",
)
BREAK = "\N{ZERO WIDTH SPACE}"
_ABOUT = "What can be imported, from the docstrings. In a mask, True is a valid step; axes are B (batch), T (time), F (features)."
_STABLE = """Stable is what `import masklib` offers, the losses, metrics and layers, the command line with its exit statuses, the
JSON that has a schema number, and `record.json`. It changes only with a line in the changelog; what will be removed is announced
there one version earlier, and warns until then. Other modules may change with any version."""


def groups() -> Mapping[str, Sequence[str]]:
    """Return the names of the public modules, by who calls them."""
    return {
        "For your model": FOR_A_MODEL,
        "For notebooks and sweeps": (*FOR_RUNS, *_modules_of("experiments")),
        "What is true: masks in NumPy": ("masklib.reference", *_modules_of("reference"), "masklib.errors"),
    }


def modules() -> list[str]:
    """Return the names of the public modules, group by group."""
    return [name for names in groups().values() for name in names]


def pages() -> list[str]:
    """Return the names of the pages."""
    return [f"api/{name}" for name in modules()]


def write_api(source: Writer) -> list[str]:
    """Write the page of each public module; return the pages."""
    shown = set(modules())
    for name in modules():
        source.write(f"api/{name}.md", f"# {markdown(name)}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n")
    lists = [(title, [name for name in names if name in shown]) for title, names in groups().items()]
    parts = [_group(title, names) for title, names in lists if names]
    source.write("api/index.md", "\n\n".join(["# API", _ABOUT, _STABLE, *parts]) + "\n")
    return ["api/index"]


def _group(title: str, names: Sequence[str]) -> str:
    """Return the Markdown of a group: its modules with a sentence each; in the menu a name breaks after a dot, not in a word."""
    listed = "\n".join(f"- [{markdown(name)}]({name}.md): {markdown(_about(name))}" for name in names)
    entries = "\n".join(f"{name.replace('.', f'.{BREAK}')} <{name}>" for name in names)
    return f"## {title}\n\n{listed}\n\n```{{toctree}}\n:hidden:\n\n{entries}\n```"


def _about(name: str) -> str:
    """Return the first line of a module's docstring, which is not imported for it."""
    path = Path(__file__).parents[2] / name.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _modules_of(package: str) -> list[str]:
    """Return the names of the public modules of a package of masklib, in order."""
    folder = Path(__file__).parents[1] / package
    return sorted(one.name for one in pkgutil.iter_modules([str(folder)], f"masklib.{package}.") if "._" not in one.name)
