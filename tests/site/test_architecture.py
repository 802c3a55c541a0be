"""What the pages on the architecture say is so: the tree has these parts, the code these arrows, the steps are there."""

import re
from graphlib import CycleError
from pathlib import Path

import grimp
import pytest

from masklib.site import architecture
from masklib.site.drawings import LETTERS, LINES, Box, drawn
from masklib.site.writing import Writer

ROOT = Path(__file__).parents[2]
PARTS, DRAWN = architecture.told()["part"], [part["name"] for part in architecture.told()["part"] if "column" in part]
STEPS = [(kind, step) for kind in ("number", "model") for step in architecture.told()[kind]]
CODE = ("*.py", "*.ipynb")


def test_every_file_of_masklib_belongs_to_one_part():
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "masklib").rglob("*.py")]
    homeless = {file for file in files if not architecture.part_of(file)}

    assert homeless == {"masklib/__init__.py"}  # the face of them all
    places = [place for part in PARTS for place in part["places"]]
    assert all((ROOT / place).exists() for place in places)
    assert [(one, other) for one in places for other in places if one != other and one.startswith(other)] == []


def test_every_folder_of_the_project_is_in_the_layout():
    folders = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") for kind in CODE if any(path.glob(kind))}
    named = {place.partition("/")[0] for part in PARTS for place in part["places"]}

    assert {"masklib", "notebooks"} <= folders <= named


def test_the_layout_has_a_line_for_each_part_and_fits():
    lines = architecture.layout().splitlines()

    assert [line.split()[0] for line in lines] == [part["places"][0] for part in PARTS]
    assert max(map(len, lines)) <= 130
    assert len({len(re.match(r"\S+\s+", line)[0]) for line in lines}) == 1


def part_of_module(name: str) -> str:
    """The part of a module, which may be a file or a folder."""
    path = name.replace(".", "/")
    return architecture.part_of(f"{path}.py") or architecture.part_of(f"{path}/")


def test_the_arrows_are_the_imports_in_the_code():
    graph = grimp.build_graph("masklib", exclude_type_checking_imports=True, cache_dir=None)
    pairs = {(one, other) for one in graph.modules for other in graph.find_modules_directly_imported_by(one)}
    parts = {(part_of_module(one), part_of_module(other)) for one, other in pairs}
    found = {name: {other for one, other in parts if one == name} - {name, ""} for name in DRAWN}

    assert architecture.arrows() == found
    assert found["auditing"] > {"compat", "figures"}


def test_a_part_stands_above_all_that_it_imports():
    arrows = architecture.arrows()
    floors = architecture.floors(arrows)

    assert min(floors.values()) == 0
    assert all(floors[part] > floors[other] for part, others in arrows.items() for other in others)
    seats = [(part["column"], floors[part["name"]]) for part in PARTS if "column" in part]
    assert len(set(seats)) == len(seats)


def test_only_arrows_that_others_stand_for_are_left_out():
    arrows = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": {"c"}}

    assert architecture.fewest(arrows) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": {"c"}}
    with pytest.raises(CycleError):
        architecture.fewest({"a": {"b"}, "b": {"a"}})


@pytest.mark.parametrize(("kind", "step"), STEPS, ids=lambda one: one if isinstance(one, str) else one["name"])
def test_a_step_names_what_is_there(kind: str, step: dict[str, object]):
    file, _, name = str(step["code"]).partition("::")

    assert (ROOT / file).exists()
    assert not name or re.search(rf"^ *(?:def|class) {name}\b", (ROOT / file).read_text(), re.MULTILINE)
    assert set(step.get("to", [])) <= {other["name"] for other in architecture.told()[kind]}


def test_every_step_leads_on_from_the_first():
    for kind in ("number", "model"):
        steps = {step["name"]: step.get("to", []) for step in architecture.told()[kind]}
        reached, ahead = set(), [next(iter(steps))]
        while ahead:
            reached.add(one := ahead.pop())
            ahead += steps[one]
        assert reached == set(steps)


def test_texts_fit_into_their_boxes():
    texts = [part["brief"] for part in PARTS if "column" in part] + [step["text"] for _, step in STEPS]
    lines = [Box("", text, 0, 0).lines for text in texts]

    assert max(map(len, lines)) <= LINES
    assert max(len(line) for several in lines for line in several) <= LETTERS


def test_names_in_a_drawing_are_text():
    html = drawn({"a": Box("<b>a</b>", "x & y", 0, 0), "b": Box("b", "", 1, 1)}, [("a", "b")], 'a "b"')

    assert "&lt;b&gt;a&lt;/b&gt;" in html
    assert html.count("<path class") == 1
    assert 'aria-label="a &#34;b&#34;"' in html


def test_a_decision_is_one_paragraph_with_its_price(tmp_path: Path):
    source = Writer(tmp_path)
    assert architecture.write_architecture(source) == ["architecture", "decisions"]
    page = (tmp_path / "decisions.md").read_text()

    decisions = page.split("\n## ")[1:]
    assert len(decisions) == len(architecture.told()["decision"]) >= 6
    assert all(one.count("\n\n") == 1 and "The price" in one for one in decisions)
