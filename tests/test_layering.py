"""Arrows point one way: which part of masklib may import which, and what importing a part must not load."""

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

from masklib.engine.identity import RUNNER

PACKAGE = Path(__file__).parents[1] / "masklib"
BACKENDS = {"tensorflow", "jax", "torch"}
KERAS = {"keras"} | BACKENDS
PRIVATE_MASK = "_keras_mask"

_BASE = {"checks", "errors", "extras"}
_REMEDIES = {"layers", "losses", "metrics"}
_AUDIT = ("borrowing", "tracing", "inputs", "invariance", "report")  # each imports those before it
# part of masklib (a folder stands for all in it): the parts that it may import, in functions too
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "checks": {"errors"},
    "extras": {"errors"},
    "reference": _BASE,
    "compat": _BASE,
    "_steps": _BASE | {"compat"},
    **{name: _BASE | {"compat", "_steps"} for name in _REMEDIES},
    "figures": _BASE,
    "claims": _BASE | {"figures"},
    "experiments": _BASE | _REMEDIES | {"compat"},
    **{
        f"auditing.{name}": _BASE | _REMEDIES | {"compat", "figures"} | {f"auditing.{one}" for one in _AUDIT[:place]}
        for place, name in enumerate(_AUDIT)
    },
    "auditing.files": _BASE,
    "auditing.loading": _BASE | _REMEDIES | {"compat", "auditing.files"},
    "engine": _BASE | {"claims"},
    "site": _BASE | {"claims", "figures", "engine"},
    "migrating": _BASE
    | {"compat", "claims", "engine", "auditing.files", "auditing.loading"}
    | {f"auditing.{one}" for one in _AUDIT},
    "pytest_plugin": {"auditing.report", "cli"},
    "cli": _BASE | {"claims", "engine", "site", "migrating", "auditing.report", "auditing.files", "auditing.loading"},
    "__main__": {"cli"},
}
# part: the libraries that it must not import, in functions either
MUST_NOT_IMPORT: dict[str, set[str]] = {
    "errors": {"numpy", "pandas", "matplotlib"} | KERAS,
    "checks": {"pandas", "matplotlib"} | KERAS,
    "reference": {"pandas", "matplotlib"} | KERAS,
    "_steps": {"matplotlib"} | BACKENDS,
    **dict.fromkeys(_REMEDIES, {"matplotlib"} | BACKENDS),
    "experiments": {"matplotlib"},
    "auditing.files": {"pandas", "matplotlib"} | KERAS,
    "figures": KERAS,
    "claims": KERAS,
    "engine": {"matplotlib"} | KERAS,
    "site": KERAS,
}

Edge = tuple[str, str]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """All imports of masklib, those in functions too, those for types only left out."""
    return grimp.build_graph("masklib", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None)


def part_of(module: str) -> str:
    """The part of masklib that a module belongs to, "" for the package itself; a library as it is."""
    name = module.removeprefix("masklib").removeprefix(".")
    return next((part for part in MAY_IMPORT if f"{name}.".startswith(f"{part}.")), name)


def edges(graph: grimp.ImportGraph) -> set[Edge]:
    """Every import: module, and module or library."""
    return {(one, other) for one in graph.modules for other in graph.find_modules_directly_imported_by(one)}


def upward(found: set[Edge]) -> set[Edge]:
    """The imports within masklib from a part into one that it may not import."""
    inside = {(one, other) for one, other in found if other.startswith("masklib.") and one != "masklib"}
    apart = {(one, other) for one, other in inside if part_of(one) != part_of(other)}
    return {(one, other) for one, other in apart if part_of(other) not in MAY_IMPORT[part_of(one)] | {"auditing"}}


def forbidden_libraries(found: set[Edge]) -> set[Edge]:
    """The imports of libraries that a part must not import."""
    return {(one, other) for one, other in found if other in MUST_NOT_IMPORT.get(part_of(one), set())}


def test_every_module_is_in_a_part(graph: grimp.ImportGraph):
    modules = {name for name in graph.modules if name.startswith("masklib.")} - {"masklib.auditing"}
    assert len(modules) > 100
    assert {name for name in modules if part_of(name) not in MAY_IMPORT} == set()


def test_all_arrows_point_down(graph: grimp.ImportGraph):
    assert upward(edges(graph)) == set()


def test_no_part_is_in_a_circle():
    assert len(tuple(TopologicalSorter(MAY_IMPORT).static_order())) == len(MAY_IMPORT)


def test_no_module_is_in_a_circle_of_imports_not_even_of_those_for_types_only():
    whole = grimp.build_graph("masklib", cache_dir=None)
    inside = {one: set(whole.find_modules_directly_imported_by(one)) for one in whole.modules}
    assert len(tuple(TopologicalSorter(inside).static_order())) == len(whole.modules) > 100


def test_no_part_imports_a_library_that_it_must_not(graph: grimp.ImportGraph):
    assert forbidden_libraries(edges(graph)) == set()


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("masklib.errors", "masklib.checks"),
        ("masklib.losses", "masklib.reference.losses"),
        ("masklib.claims.recording", "masklib.engine.run"),
        ("masklib.auditing.borrowing.running", "masklib.auditing.inputs.batch"),
        ("masklib.auditing.tracing.trace", "masklib.auditing.report.report"),
        ("masklib.engine.reproduce", "masklib.cli.listing"),
        ("masklib.auditing.report.findings", "masklib.experiments.models"),
        ("masklib.site.build", "masklib.cli.console"),
    ],
)
def test_an_arrow_that_points_up_is_found(graph: grimp.ImportGraph, module: str, imported: str):
    assert {module, imported} <= graph.modules
    assert upward({*edges(graph), (module, imported)}) == {(module, imported)}


@pytest.mark.parametrize(
    ("module", "library"),
    [("masklib.engine.run", "tensorflow"), ("masklib.claims.recording", "keras"), ("masklib.losses", "jax")],
)
def test_a_forbidden_library_is_found(graph: grimp.ImportGraph, module: str, library: str):
    assert forbidden_libraries({*edges(graph), (module, library)}) == {(module, library)}


def test_a_circle_is_found():
    with pytest.raises(ValueError, match="cycle"):
        tuple(TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())


def test_what_a_kernel_imports_knows_nothing_of_what_runs_it():
    assert set(RUNNER) < set(MAY_IMPORT)
    assert {part: found for part in set(MAY_IMPORT) - set(RUNNER) if (found := MAY_IMPORT[part] & set(RUNNER))} == {}


def loaded_by(module: str) -> set[str]:
    """The top-level packages that importing a module loads, in a process of its own."""
    code = f"import sys, {module}; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("masklib", {"numpy", "pandas"}),
        ("masklib.cli", {"numpy", "pandas", "rich", "papermill", "nbformat", "sphinx"}),
        ("masklib.claims.recording", set()),
        ("masklib.claims.ledger", {"pandas"}),
        ("masklib.engine.run", {"pandas"}),
        ("masklib.engine.collect", set()),
        ("masklib.reference.recurrent", {"pandas"}),
    ],
)
def test_importing_a_module_loads_no_backend_and_nothing_heavy(module: str, unwanted: set[str]):
    assert loaded_by(module) & (KERAS | {"matplotlib"} | unwanted) == set()


def test_loading_a_heavy_library_would_be_seen():
    assert "matplotlib" in loaded_by("masklib.figures.plots")


def test_the_private_mask_of_keras_is_touched_in_one_module():
    found = {f.relative_to(PACKAGE).as_posix() for f in PACKAGE.rglob("*.py") if PRIVATE_MASK in f.read_text()}
    assert found == {"compat/attached.py"}


def test_what_runs_before_an_old_keras_imports_nothing_of_masklib():
    files = list((PACKAGE / "compat" / "startup").glob("*.py"))
    assert files
    assert [f.name for f in files if "import masklib" in f.read_text() or "from masklib" in f.read_text()] == []
