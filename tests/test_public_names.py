"""What is public is said: each public module names it, and what is named is there and has a docstring."""

import importlib
from types import ModuleType

import pytest

from masklib.site.api import groups, modules

SAYS_ALL = ("masklib", "masklib.layers", "masklib.losses", "masklib.metrics", "masklib.errors")


@pytest.mark.parametrize("name", SAYS_ALL)
def test_a_module_names_all_that_is_public_in_it(name: str):
    module = importlib.import_module(name)
    own = {key for key, thing in vars(module).items() if not key.startswith("_") and getattr(thing, "__module__", None) == name}

    assert own <= set(module.__all__)
    assert sorted(module.__all__) == list(module.__all__)
    assert all(isinstance(thing, ModuleType) or thing.__doc__ for thing in (getattr(module, key) for key in module.__all__))


def test_each_public_module_is_in_one_group_and_can_be_imported():
    assert len(set(modules())) == len(modules()) == sum(map(len, groups().values()))
    for name in modules():
        assert importlib.import_module(name).__doc__, name


def test_a_name_that_is_not_there_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'audits'"):
        importlib.import_module("masklib").audits  # noqa: B018
