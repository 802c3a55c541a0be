"""Examples in the docstrings of masklib.reference print what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["masks", "losses", "metrics", "attention", "divisors"])
def test_docstring_examples_run(name):
    result = doctest.testmod(importlib.import_module(f"masklib.reference.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
