"""Each mutant can be made in the current code, and names existing tests; without this test the table could become outdated."""

import re
from dataclasses import replace

import pytest

from tests.mutants.table import ROOT, MutantError, mutated, read

MUTANTS = read()


def test_there_are_enough_mutants_and_no_two_are_the_same():
    assert len(MUTANTS) >= 60
    assert len({(one.file, one.old, one.new) for one in MUTANTS}) == len(MUTANTS) == len({one.what for one in MUTANTS})


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.what)
def test_a_mutant_can_be_made_and_its_tests_exist(mutant):
    mutated(mutant, (ROOT / mutant.file).read_text())

    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), test


def test_a_text_that_stands_twice_or_not_at_all_is_refused():
    one = replace(MUTANTS[0], old="a = 1\n", new="a = 2\n")
    assert mutated(one, "a = 1\nb = 1\n") == "a = 2\nb = 1\n"
    for source, told in (("b = 1\n", "0 times"), ("a = 1\na = 1\n", "2 times")):
        with pytest.raises(MutantError, match=told):
            mutated(one, source)


def test_a_mutant_that_changes_nothing_or_is_no_python_is_refused():
    with pytest.raises(MutantError, match="something else"):
        mutated(replace(MUTANTS[0], old="a = 1", new="a = 1  # one"), "a = 1\n")
    with pytest.raises(MutantError, match="no Python"):
        mutated(replace(MUTANTS[0], old="a = 1", new="a = ("), "a = 1\n")
