"""Arrows point one way: who may import whom, by reading the source and by importing it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "masklib"
KERAS = {"keras", "tensorflow", "jax", "torch"}
HEAVY = KERAS | {"matplotlib"}

# module (a folder stands for all below it): what it must not import
FORBIDDEN: dict[str, set[str]] = {
    "errors": {"masklib", "numpy"} | HEAVY,
    "checks": {"masklib.reference", "masklib.engine"} | HEAVY,
    "reference": {"pandas", "masklib.losses", "masklib.metrics", "masklib.models", "masklib.engine", "masklib.recording"} | HEAVY,
    "data": {"masklib.reference", "masklib.engine", "masklib.models"} | HEAVY,
    "giving": {"masklib.reference", "masklib.engine", "masklib.models"} | HEAVY,
    "spoiling": {"masklib.reference", "masklib.engine", "masklib.models"} | HEAVY,
    "consumers": {"masklib.reference", "masklib.engine", "masklib.recording", "matplotlib"},
    "models": {"masklib.reference", "masklib.engine", "masklib.recording", "matplotlib"},
    "layers": {"masklib.reference", "masklib.engine", "masklib.recording", "matplotlib"},
    "losses": {"masklib.reference", "masklib.engine", "masklib.recording", "matplotlib", "tensorflow", "jax", "torch"},
    "metrics": {"masklib.reference", "masklib.engine", "masklib.recording", "matplotlib", "tensorflow", "jax", "torch"},
    "compat": {"masklib.reference", "masklib.engine", "masklib.losses", "masklib.models", "masklib.recording", "matplotlib"},
    "startup": {"masklib"},
    "documented": {"masklib.reference", "masklib.engine", "masklib.losses"},
    "auditing": {"masklib.reference", "masklib.engine", "masklib.recording"},
    "figures": {"masklib.reference", "masklib.engine", "masklib.models", "masklib.recording"} | KERAS,
    **dict.fromkeys(
        ("figure_style", "figure_tiles", "drawing"),
        {"masklib.reference", "masklib.engine", "masklib.models", "masklib.recording", "masklib.site"} | KERAS,
    ),
    "recording": {"masklib.engine", "masklib.reference", "masklib.models"} | KERAS,
    "ledger": {"masklib.engine", "masklib.reference", "pandas"} | HEAVY,
    "engine": {"masklib.cli", "masklib.console", "masklib.reference", "masklib.models"} | HEAVY,
    "site": {"masklib.cli", "masklib.console", "masklib.reference", "masklib.models"} | HEAVY,
    "cli_report": {"numpy", "pandas", "rich", "papermill", "nbformat", "sphinx", "masklib.engine", "masklib.site"} | HEAVY,
    "cli": {"numpy", "pandas", "rich", "papermill", "nbformat"} | HEAVY,
}
LAZY_ALLOWED = {
    "cli_report": {"masklib.engine", "masklib.site"},
    "site": {"matplotlib"},
    "recording": {"matplotlib"},
    "engine": {"pandas"},
}
PRIVATE_MASK = "_keras_mask"


def imports(source: str, *, top_level_only: bool = False) -> set[str]:
    """The absolute names that a module imports, each with the packages above it."""
    tree = ast.parse(source)
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(name.split(".")[: i + 1]) for name in names for i in range(name.count(".") + 1)}


def type_checking_only(source: str) -> str:
    """The source without its `if TYPE_CHECKING:` blocks."""
    tree = ast.parse(source)
    tree.body = [n for n in tree.body if not (isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")]
    return ast.unparse(tree)


def offences(module: str, source: str) -> set[str]:
    """What a module imports and must not, at any depth of its functions unless allowed there."""
    source = type_checking_only(source)
    forbidden = FORBIDDEN[module]
    lazily = forbidden - LAZY_ALLOWED.get(module, set()) if module != "cli" else set()
    return (imports(source) & lazily) | (imports(source, top_level_only=True) & forbidden)


def files_of(module: str) -> list[Path]:
    """The files of a module or of all modules in a folder."""
    single = PACKAGE / f"{module}.py"
    return [single] if single.exists() else sorted((PACKAGE / module).rglob("*.py"))


@pytest.mark.parametrize("module", FORBIDDEN)
def test_a_module_imports_only_what_lies_below_it(module: str):
    files = files_of(module)
    assert files, f"no file for {module}"
    assert {f.name: found for f in files if (found := offences(module, f.read_text()))} == {}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("reference", "import keras"),
        ("losses", "from masklib.reference import losses"),
        ("losses", "def f():\n    from masklib import reference"),
        ("engine", "import tensorflow as tf"),
        ("cli", "import pandas as pd"),
        ("errors", "from masklib import checks"),
        ("recording", "def f():\n    import keras.ops"),
    ],
)
def test_an_arrow_the_wrong_way_is_found(module: str, line: str):
    assert offences(module, line)


@pytest.mark.parametrize(
    ("module", "line"),
    [("cli", "def f():\n    import pandas"), ("recording", "def f():\n    import matplotlib"), ("losses", "import keras")],
)
def test_an_allowed_arrow_is_not_found(module: str, line: str):
    assert not offences(module, line)


def loaded_by(module: str) -> set[str]:
    """The top-level packages that importing a module loads, in a process of its own."""
    code = f"import sys, {module}; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "masklib",
        "masklib.cli",
        "masklib.recording",
        "masklib.ledger",
        "masklib.engine.run",
        "masklib.engine.collect",
        "masklib.reference.recurrent",
    ],
)
def test_importing_a_module_loads_no_backend(module: str):
    assert loaded_by(module) & HEAVY == set()


def test_loading_a_backend_would_be_seen():
    assert "matplotlib" in loaded_by("masklib.figures")


def test_the_private_mask_of_keras_is_touched_in_one_module():
    found = {f.relative_to(PACKAGE).as_posix() for f in PACKAGE.rglob("*.py") if PRIVATE_MASK in f.read_text()}
    assert found == {"auditing/attached.py"}
