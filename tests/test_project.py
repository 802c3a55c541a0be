"""What the project says of itself is so: environment, make targets, README."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest
import tomllib
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from masklib.claims.ledger import load_claims, load_documents
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


def test_the_generated_parts_of_the_readme_are_current():
    assert readme.with_parts(README) == README
    changed = README.replace(" are refuted", " hold").replace("prefers-color-scheme: dark", "print").replace("?](note", "](note")
    assert readme.with_parts(changed) == README != changed


def test_the_page_of_all_verdicts_is_current():
    text = (readme.REFERENCE / readme.PAGE).read_text()
    assert readme.page() == text
    assert readme.page() != text.replace("| holds |", "| refuted |", 1)


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """A folder of committed results: two verdicts on two versions of Keras, and one answer on each."""
    shutil.copy(readme.REFERENCE / f"{readme.FIGURE}.json", tmp_path)
    first, second = list(load_claims())[:2]
    rows = [(first, "3.9.0", "refuted", "a | b"), (first, "3.10.0", "holds", "2 of 2"), (second, "3.10.0", "refuted", "off by 1")]
    lines = [f"{claim},{keras},tensorflow,{verdict},{reason}" for claim, keras, verdict, reason in rows]
    (tmp_path / "verdicts.csv").write_text(
        "\n".join(["claim,keras,backend,verdict,reason", *lines, f"{first},3.10.0,jax,refuted,c"])
    )
    name = readme.FINDINGS[0]
    answers = [
        f"{name},3.9.0,tensorflow,Old.",
        f"{name},3.10.0,jax,Other.",
        f'{name},3.10.0,tensorflow,"Twelve layers drop it. More."',
    ]
    (tmp_path / "answers.csv").write_text("\n".join(["notebook,keras,backend,answer", *answers]))
    return tmp_path


def test_a_finding_is_the_first_sentence_of_the_answer_on_the_newest_keras(reference: Path):
    text = readme.with_parts(README, reference)
    findings = [line for line in text.splitlines() if line.startswith("- [")]
    assert [line.endswith("?](notebooks/" + f"{name}.ipynb)") for line, name in zip(findings, readme.FINDINGS, strict=True)] == [
        False,
        *[True] * (len(readme.FINDINGS) - 1),  # without an answer the question stands alone
    ]
    assert findings[0].endswith(f"?](notebooks/{readme.FINDINGS[0]}.ipynb) Twelve layers drop it.")


def test_verdicts_are_counted_and_shown_apart_for_what_was_found_here(reference: Path, monkeypatch: pytest.MonkeyPatch):
    claims = dict(list(load_claims().items())[:3])
    mine = replace(claims[next(iter(claims))], id="own-1", documents=(), says="found here", quote="", notebook="")
    claims[next(iter(claims))] = replace(claims[next(iter(claims))], quote="as they say")
    monkeypatch.setattr(readme, "load_claims", lambda: {**claims, "own-1": mine})
    first, second, third = claims
    text = readme.page(reference)
    said, found = text.split("## What was found here")
    rows = {line.split("[")[1].split("]")[0]: line for line in said.splitlines() if line.startswith("| [")}

    assert (
        "On Keras 3.10.0 (tensorflow): of 3 claims in the documents 1 holds, 1 is refuted, 1 is open; 1 more was found here."
        in text
    )
    assert list(rows) == [first, second, third]
    assert rows[first].endswith("| holds, jax: refuted |  | 2 of 2 |")
    assert '<br>"as they say"' in rows[first]
    assert rows[second].endswith("| **refuted** |  | off by 1 |")
    assert rows[third].endswith("|  |  | not measured yet |")
    assert found.splitlines()[-1].startswith("| own-1 | found here |")
    for document in load_documents().values():
        assert document.title in said
        assert document.address in said


def test_the_picture_of_the_readme_is_the_one_of_its_sidecar_in_both_themes():
    names = re.findall(r'(?:srcset|src)="([^"]+)"', README)
    told = json.loads((readme.REFERENCE / f"{readme.FIGURE}.json").read_text())
    drawn = {f"runs/reference/{name}": file["sha256"] for name, file in told["files"].items()}
    assert {name: sha256((ROOT / name).read_bytes()).hexdigest() for name in names} == drawn
    assert sorted(file["theme"] for file in told["files"].values()) == ["dark", "light"]


@pytest.mark.parametrize("name", ["README.md", "runs/reference/verdicts.md", "CONTRIBUTING.md"])
def test_every_link_into_the_project_exists(name: str):
    text = (ROOT / name).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link and not link.startswith("mask=")]
    assert links or name == "CONTRIBUTING.md"
    assert [link for link in links if not (ROOT / name).parent.joinpath(link).exists()] == []


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


def test_set_up_announces_the_time_in_which_it_is_silent():
    announced, _ = MAKEFILE.split(".venv/.complete: pyproject")[1].split("$(SYNC)", 1)
    assert "compiling it to bytecode" in announced
