"""What a user says about padding is passed on as one object; Python refuses a misspelt option in every function."""

import inspect
from typing import Any

import numpy as np
import pytest

import masklib
from masklib.auditing.inputs.settings import PaddingSettings
from masklib.auditing.invariance.check import Options
from masklib.errors import ArgumentError

PUBLIC = (masklib.audit, masklib.assert_padding_invariant, masklib.check_padding)


@pytest.mark.parametrize("function", PUBLIC)
def test_a_misspelt_option_is_refused(function: Any):
    with pytest.raises(TypeError, match="pad_ids"):
        function(None, np.zeros((2, 3), int), pad_ids=1)


def test_the_options_that_are_passed_on_are_those_of_check_padding():
    parameters = inspect.signature(masklib.check_padding).parameters.values()
    options = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}

    assert set(options) == set(Options.__annotations__)
    assert vars(PaddingSettings()).items() <= options.items()


def test_a_side_that_does_not_exist_is_refused():
    with pytest.raises(ArgumentError, match="padding_side"):
        PaddingSettings(padding_side="left")
