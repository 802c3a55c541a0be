"""What the project says of itself is so: environment, make targets, README."""

import json
import re
import subprocess
import sys
from hashlib import sha256
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import tomllib
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from masklib.site import readme

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def test_environment_yml_asks_for_the_python_of_the_project_and_leaves_versions_to_it():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert conda == [f"python{PROJECT['requires-python']}", "pip"]
    assert pip == {"pip": ["-e .[suite]"]}
    assert environment["name"] == PROJECT["name"]


def test_the_packages_of_the_mission_are_dependencies():
    names = declared(*(PROJECT["optional-dependencies"][extra] for extra in ("suite", "engine", "plot", "tensorflow")))
    assert {"jupyterlab", "papermill", "keras", "tensorflow", "pandas", "pyarrow", "matplotlib"} <= names


# Used by name, not imported: a store's protocols, the site's builder, its theme and its reader of notebooks, pandas's Parquet.
BY_NAME = {"fsspec", "sphinx", "furo", "myst-nb", "pyarrow", "s3fs", "gcsfs"}
USERS = {"pytest"}  # whose plugin is ours
OLD_PYTHON = {"tomli"}  # in environments whose Python has no tomllib; see masklib/engine/environments.toml


def declared(*groups: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for group in groups for line in group}


def imported() -> set[str]:
    """The distributions that masklib imports, in functions too."""
    graph = grimp.build_graph("masklib", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None)
    modules = graph.find_modules_that_directly_import
    found = {name for name in graph.modules if graph.is_module_squashed(name) and modules(name)} - sys.stdlib_module_names
    providers = packages_distributions()
    return {canonicalize_name(providers.get(name, [name])[0]) for name in found} - OLD_PYTHON - USERS


def test_what_is_imported_is_declared_and_what_is_declared_is_used():
    needed = declared(PROJECT["dependencies"])
    extra = declared(*PROJECT["optional-dependencies"].values()) - {"masklib"}
    found = imported()

    assert {"numpy", "keras", "ipython", "packaging", "platformdirs", "distributed"} <= found
    assert found - needed - extra == set()
    assert (needed | extra) - found - BY_NAME == set()
    assert needed & extra == set()


def test_table_and_picture_of_the_readme_are_generated_from_the_reference():
    assert readme.with_parts(README) == README
    changed = README.replace("| holds |", "| refuted |", 1).replace("prefers-color-scheme: dark", "print")
    assert readme.with_parts(changed) == README != changed


def test_the_picture_of_the_readme_is_the_one_of_its_sidecar_in_both_themes():
    names = re.findall(r'(?:srcset|src)="([^"]+)"', README)
    told = json.loads((ROOT / "runs" / "reference" / "loss_denominators.json").read_text())
    drawn = {f"runs/reference/{name}": file["sha256"] for name, file in told["files"].items()}
    assert {name: sha256((ROOT / name).read_bytes()).hexdigest() for name in names} == drawn
    assert sorted(file["theme"] for file in told["files"].values()) == ["dark", "light"]


def test_every_link_of_the_readme_into_the_project_exists():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"reproduce", "test"} <= named <= targets


def test_make_help_lists_every_target():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())
    assert set(re.findall(r"make ([a-z-]+)", listed)) == targets


def test_what_contributing_names_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = [one for one in re.findall(r"`([\w/.]+/[\w.]+)`", text) if "NN_" not in one]
    inside = [one if one.startswith(("masklib", "tests")) else f"masklib/auditing/{one}" for one in named]
    assert len(inside) > 8
    assert [one for one in inside if not (ROOT / one).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
