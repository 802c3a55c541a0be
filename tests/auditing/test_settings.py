"""What a user says about padding travels as one object; a misspelt option is refused by Python, whichever function gets it."""

import inspect
from typing import Any

import numpy as np
import pytest

import masklib
from masklib.auditing.inputs.settings import PaddingSettings
from masklib.errors import ArgumentError

PUBLIC = (masklib.audit, masklib.assert_padding_invariant, masklib.check_padding)


@pytest.mark.parametrize("function", PUBLIC)
def test_a_misspelt_option_is_refused(function: Any):
    with pytest.raises(TypeError, match="pad_ids"):
        function(None, np.zeros((2, 3), int), pad_ids=1)


def test_the_public_functions_take_the_same_options_with_the_same_defaults():
    options = [
        {one.name: one.default for one in inspect.signature(function).parameters.values() if one.kind is one.KEYWORD_ONLY}
        for function in PUBLIC
    ]

    assert options[0] == options[1] == options[2]
    assert vars(PaddingSettings()).items() <= options[0].items()


def test_a_side_that_does_not_exist_is_refused():
    with pytest.raises(ArgumentError, match="padding_side"):
        PaddingSettings(padding_side="left")


@pytest.mark.parametrize(
    ("said", "of_masking", "pad"), [(None, None, 0.0), (None, -9.0, -9.0), (4.0, -9.0, 4.0), (0.0, -9.0, 0.0)]
)
def test_padded_floats_hold_what_the_user_says_else_what_the_model_masks(
    said: float | None, of_masking: float | None, pad: float
):
    assert PaddingSettings(mask_value=said).pad_of_floats(of_masking) == pad
