"""Examples in docstrings print what they say, in every module that has one."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import masklib

ROOT = Path(masklib.__file__).parent
PROMPT = re.compile(r"^ *>>> ", re.MULTILINE)
FOUND = {path: len(PROMPT.findall(path.read_text(encoding="utf-8"))) for path in sorted(ROOT.rglob("*.py"))}
EXAMPLES = {".".join(["masklib", *path.relative_to(ROOT).with_suffix("").parts]): n for path, n in FOUND.items() if n}


def test_there_are_examples_where_readers_look_for_them():
    assert {"masklib.losses", "masklib.metrics", "masklib.auditing.report.report", "masklib.reference.masks"} <= set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_docstring_examples_run(name: str):
    result = doctest.testmod(importlib.import_module(name))

    assert result.attempted == EXAMPLES[name]  # none is out of doctest's reach
    assert result.failed == 0
